"""--user-dict: words beside jieba's, from jieba's own kind of file, in `tokenize` and `train`."""

import os

import pytest

from rgz.text import load_tokenizer

TEXT = "云原生平台很好。\n云原生平台真好。\n" * 30


@pytest.fixture
def files(tmp_path):
    (tmp_path / "a.txt").write_text(TEXT, encoding="utf-8")
    (tmp_path / "words.txt").write_text("云原生平台 9000 n\n\n真好 300\n", encoding="utf-8")
    (tmp_path / "broken.txt").write_text("云原生平台 9000 n\n真好\n", encoding="utf-8")
    return tmp_path


def test_words_of_ones_own_are_cut_shown_and_kept(rgz, files):
    plain = rgz("tokenize", files / "a.txt", "--limit", 1)
    assert plain.exit_code == 0 and "云原生平台" not in plain.stdout
    result = rgz("tokenize", files / "a.txt", "--limit", 1, "--user-dict", files / "words.txt", "-o", files / "t.json")
    assert result.exit_code == 0 and result.stdout.startswith("云原生平台▏很▏好▏。\n")
    assert load_tokenizer(files / "t.json").segmenter.user_words == (("云原生平台", 9000), ("真好", 300))


def test_a_run_is_trained_with_them_and_resumed(rgz, files):
    options = ["--preset", "pico", "--max-length", 8, "--max-steps", 1, "--user-dict", files / "words.txt"]
    result = rgz("train", files / "a.txt", "-o", files / "run", *options)
    assert result.exit_code == 0, result.stderr
    assert "云原生平台" in load_tokenizer(files / "run").words
    (files / "my.toml").write_text(f'user_dict = "{files / "words.txt"}"\n', encoding="utf-8")
    result = rgz("train", files / "a.txt", "-o", files / "b", *options[:-2], "--config", files / "my.toml")
    assert result.exit_code == 0 and "云原生平台" in load_tokenizer(files / "b").words


@pytest.mark.parametrize("command", ["train", "tokenize"])
def test_wrong_files_and_other_vocabularies_are_refused_in_a_line(rgz, files, command):
    for words, kind, reason in (
        ("broken.txt", "word", "broken.txt, line 2"),
        ("missing.txt", "word", "cannot read the dictionary"),
        ("words.txt", "bpe", "--user-dict is for a new vocabulary of words (--tokenizer word), got bpe"),
    ):
        result = rgz(command, files / "a.txt", "--user-dict", files / words, "--tokenizer", kind)
        assert result.exit_code == 1 and reason in result.stderr and not result.stdout


def test_words_that_can_never_be_found_are_a_notice(rgz, files, monkeypatch):
    (files / "odd.txt").write_text("卡尔·马克思 5 nr\n真好 300\n", encoding="utf-8")
    for language, told in (
        (
            "en",
            "odd.txt: words that can never be found, since text is cut at their signs: 1; the first is '卡尔·马克思'",
        ),
        ("zh", "odd.txt：有 1 个词永远切不出来，因为文本会在其中的符号处断开；第一个是 '卡尔·马克思'"),
    ):
        monkeypatch.setenv("RGZ_LANG", language)
        result = rgz("tokenize", files / "a.txt", "--user-dict", files / "odd.txt")
        assert result.exit_code == 0 and result.stderr.splitlines() == [f"{files}{os.sep}{told}"]


@pytest.mark.parametrize(
    ("language", "told"), [("en", "jieba's dictionary cannot be kept in"), ("zh", "jieba 的词典无法保存在")]
)
def test_a_cache_folder_that_cannot_be_written_is_a_notice(command, files, language, told):
    (files / "file").write_text("in the way")
    environment = {"XDG_CACHE_HOME": str(files / "file"), "RGZ_LANG": language}
    process = command("tokenize", files / "a.txt", "--user-dict", files / "words.txt", environment=environment)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0 and len(stderr.splitlines()) == 1
    assert stderr.startswith(f"{told} {files / 'file' / 'rgz'}") and "XDG_CACHE_HOME" in stderr
