"""The dictionary is jieba's and the user's, kept in a private folder or not at all; what is malformed is named."""

import ast
import os
import shutil
import stat
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from jieba_oracle import forget_split_words, jieba_tokenizer

from rgz import _kernels
from rgz.errors import RgzError, RgzWarning
from rgz.text import Segmenter, WordTokenizer, segment
from rgz.text import dictionary as module
from rgz.text.dictionary import jieba_files, load
from rgz.text.user_words import Entry

pytestmark = pytest.mark.hard
ROOT = str(Path(module.__file__).parents[2])


def run_python(code, **environment):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "PYTHONPATH": ROOT, "RGZ_LANG": "en", **environment},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
    )


CUT = "from rgz.text.segment import segment; print('|'.join(segment('人工智能学习')))"


def test_the_first_use_is_silent_and_leaves_a_private_cache(tmp_path):
    done = run_python(CUT, XDG_CACHE_HOME=str(tmp_path / "cache"), PYTHONIOENCODING="utf-8")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "人工智能|学习", "")
    folder = tmp_path / "cache" / "rgz"
    assert len(list(folder.iterdir())) == 1
    if os.name == "posix":
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_importing_the_tokenizers_loads_neither_jieba_nor_its_dictionary():
    code = (
        "import sys, rgz.text; from rgz.text.segment import default_segmenter; "
        "print('jieba' in sys.modules, default_segmenter()._loaded)"
    )
    done = run_python(code)
    assert done.stdout.split() == ["False", "None"], done.stderr


def test_words_are_cut_where_no_cache_can_be_kept(tmp_path):
    (tmp_path / "file").write_text("in the way")
    code = "import warnings; warnings.simplefilter('always'); " + CUT + "; " + CUT
    code += "; from rgz.text import Segmenter; Segmenter([('学习', 5)]).segment('学习')"
    done = run_python(code, XDG_CACHE_HOME=str(tmp_path / "file"), PYTHONIOENCODING="utf-8")
    assert (done.returncode, done.stdout.split()) == (0, ["人工智能|学习"] * 2)
    told, *shown = done.stderr.splitlines()
    assert all(line.strip() in code for line in shown)  # Python 3.13 shows the line that it is told of
    folder = tmp_path / "file" / "rgz"
    assert told.startswith(f"<string>:1: RgzWarning: jieba's dictionary cannot be kept in {folder} (")
    assert told.endswith("; put that right, or name another folder in XDG_CACHE_HOME")


def test_a_disk_that_is_full_is_told_and_words_are_cut(files, tmp_path, monkeypatch):
    def full(file):
        raise OSError(28, "No space left on device")

    module._tell_unkept.cache_clear()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(RgzWarning, match=r"cannot be kept in .*cache \(No space left on device\)"):
        assert cut(load(files, cache_in(tmp_path)), "学习") == ["学习"]
    assert not list((tmp_path / "cache").iterdir())


def test_without_jieba_it_says_what_to_install(tmp_path):
    code = "import importlib.util as u; u.find_spec = lambda name: None; " + CUT
    done = run_python(code, XDG_CACHE_HOME=str(tmp_path))
    assert "RgzError: splitting text into words needs jieba, which is not installed: pip install jieba" in done.stderr


# ---- a small dictionary


@pytest.fixture
def files(tmp_path):
    words = tmp_path / "dict.txt"
    words.write_text("学习 5 v\n学 2 v\n人工智能 3 n\n", encoding="utf-8")
    return jieba_files()._replace(words=words)


@pytest.fixture(autouse=True)
def nothing_left_in_jieba():
    yield
    forget_split_words()


def cut(dictionary, text, hmm=False):
    return _kernels.text_segment(text, dictionary, hmm)


def same_as_jieba(files, texts, user=()):
    oracle = jieba_tokenizer(files.words)
    for word, frequency in user:
        oracle.add_word(word, frequency)
    dictionary = load(files, None, [Entry(*pair) for pair in user])
    for text in texts:
        assert cut(dictionary, text) == list(oracle.cut(text, HMM=False))
        assert cut(dictionary, text, hmm=True) == list(oracle.cut(text, HMM=True))


def test_of_equally_probable_cuts_the_longer_first_word_wins_as_in_jieba(files):
    files.words.write_text("甲乙 4 n\n丙 4 n\n甲 4 n\n乙丙 4 n\n", encoding="utf-8")
    assert cut(load(files, None), "甲乙丙") == ["甲乙", "丙"]
    same_as_jieba(files, ["甲乙丙", "乙丙甲乙丙", "丁甲乙丙丁"])


def test_a_word_of_frequency_0_or_twice_counts_as_in_jieba(files):
    files.words.write_text("甲乙 0 n\n甲 4\n甲 9 n\n乙 1 n\n乙丙 1\n", encoding="utf-8")
    same_as_jieba(files, ["甲乙丙", "乙丙甲乙", "丙甲乙甲"])


def test_a_single_word_of_probability_1(files):
    files.words.write_text("甲乙 7 n", encoding="utf-8")
    same_as_jieba(files, ["甲乙丙甲乙", "乙甲乙", "甲"])


def test_the_hidden_markov_model_is_that_of_jieba():
    folder = jieba_files().start.parent
    start, transitions, emissions = (
        ast.literal_eval((folder / f"prob_{name}.py").read_text(encoding="utf-8").split("P=", 1)[-1].strip())
        for name in ("start", "trans", "emit")
    )
    ours = module._model(jieba_files())
    assert ours[0].tolist() == [start[s] for s in "BEMS"]
    assert ours[1].tolist() == [[transitions[a].get(b, -3.14e100) for b in "BEMS"] for a in "BEMS"]
    assert ours[2].tolist() == [[emissions[s].get(chr(c), -3.14e100) for s in "BEMS"] for c in range(0x4E00, 0x9FD6)]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("学习 5 v\n学\n", 2),
        ("学习 five v\n", 1),
        ("学习 5\n\n学 1\n", 2),
        ("学习 -5 v\n", 1),
        ("学习  5\n", 1),
    ],
)
def test_a_malformed_line_is_named(files, text, line):
    files.words.write_text(text, encoding="utf-8")
    with pytest.raises(RgzError, match=rf"dict\.txt, line {line}: must be a word, how often"):
        load(files, None)


def test_a_dictionary_in_another_encoding_is_named(files):
    files.words.write_bytes("学习 5 v\n".encode() + "人工智能 3 n\n".encode("gb18030"))
    with pytest.raises(RgzError, match=r"dict\.txt, line 2: a dictionary must be in UTF-8"):
        load(files, None)


def test_a_dictionary_without_words_is_refused(files):
    files.words.write_text("", encoding="utf-8")
    with pytest.raises(RgzError, match="holds no words"):
        load(files, None)


@pytest.mark.parametrize(
    "content", ["", "P={", "P=__import__('os').system('true')", "P={'B': 'x'}", "P=[]", "P={'B': None}"]
)
def test_a_damaged_model_is_named_and_never_run(files, tmp_path, content):
    (tmp_path / "table.py").write_text(content, encoding="utf-8")
    for name in ("start", "transitions", "emissions"):
        with pytest.raises(RgzError, match=r"table\.py is damaged; install jieba anew"):
            load(files._replace(**{name: tmp_path / "table.py"}), None)


# ---- the user's words


USER = "云计算 50 n\n\n韩玉赏鉴 3 nz\n八一双鹿 3\n学习 0\n人工智能 9\n李小福 2 nr\n"
SENTENCES = ["李小福是云计算方面的专家", "八一双鹿更名为八一南昌，韩玉赏鉴", "人民在学习人工智能", "学习学习"]


def test_a_users_words_are_cut_as_jieba_cuts_them(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # not to push out the user's own
    path = tmp_path / "user.txt"
    path.write_text("\ufeff" + USER, encoding="utf-8")
    segmenter = Segmenter(path)
    oracle = jieba_tokenizer()
    oracle.load_userdict(str(path))
    for text in SENTENCES:
        for hmm in (False, True):
            assert segmenter.segment(text, hmm) == list(oracle.cut(text, HMM=hmm))
    assert "云计算" in segmenter.segment(SENTENCES[0])
    assert "云计算" not in segment(SENTENCES[0])
    assert Segmenter(segmenter.user_words).segment(SENTENCES[0]) == segmenter.segment(SENTENCES[0])


def test_the_users_words_of_a_small_dictionary_count_towards_its_total(files):
    same_as_jieba(files, ["学习人工智能", "人工学习", "智能学"], [("人工", 2), ("智能学", 1), ("学习", 0), ("学习", 4)])


@pytest.mark.parametrize(
    "line", ["云计算", "云计算 n", "云 计算 5 n", "云计算 5.5", "云计算 -1", "云计算 5 n x", "云 " + "9" * 5000]
)
def test_a_users_malformed_line_is_named(tmp_path, line):
    path = tmp_path / "user.txt"
    path.write_text(f"学习 5 v\n{line}\n", encoding="utf-8")
    with pytest.raises(RgzError, match=r"user\.txt, line 2: must be a word, how often it occurs"):
        Segmenter(path)


def test_a_users_file_in_another_encoding_too_long_a_word_or_no_file_are_named(tmp_path):
    path = tmp_path / "user.txt"
    path.write_bytes("云计算 5\n".encode("gb18030"))
    with pytest.raises(RgzError, match=r"user\.txt, line 1: a dictionary must be in UTF-8"):
        Segmenter(path)
    path.write_text("长" * 256 + " 5\n", encoding="utf-8")
    with pytest.raises(RgzError, match=r"user\.txt, line 1: a word must have 1 to 255 characters, got 256"):
        Segmenter(path)
    with pytest.raises(RgzError, match=r"cannot read the dictionary .*missing\.txt: No such file"):
        Segmenter(tmp_path / "missing.txt")


@pytest.mark.parametrize(
    ("pair", "reason"),
    [
        (("云", -1), r"in 0\.\.2\*\*53, got -1"),
        (("云", 10**400), r"in 0\.\.2\*\*53, got 1000"),
        (("云", 2.5), r"in 0\.\.2\*\*53, got 2\.5"),
        (("云", True), r"in 0\.\.2\*\*53, got True"),
        (("云", "5"), r"in 0\.\.2\*\*53, got '5'"),
        (("", 1), "255 characters, got 0"),
        (("长" * 256, 1), "characters, got 256"),
        (("云\ud800", 1), "a text without lone surrogates"),
        ((5, 1), "must be a text .* got 5"),
    ],
)
def test_pairs_are_checked_too(pair, reason):
    with pytest.raises(RgzError, match=reason):
        Segmenter([("学习", 5), pair])


def test_words_that_can_never_be_found_are_told(tmp_path):
    path = tmp_path / "user.txt"
    path.write_text("卡尔·马克思 5 nr\n云计算 5\n", encoding="utf-8")
    told = r"user\.txt: words that can never be found, since text is cut at their signs: 1; the first is '卡尔·马克思'"
    with pytest.warns(RgzWarning, match=told) as caught:
        Segmenter(path)
        WordTokenizer.train([], user_dictionary=path)
    assert [warning.filename for warning in caught] == [__file__] * 2
    path.write_text("云计算 5\n", encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Segmenter(path)


def test_a_word_may_have_255_characters(files):
    same_as_jieba(files, ["长" * 600], [("长" * 255, 5)])
    assert cut(load(files, None, [Entry("长" * 255, 5)]), "长" * 256)[0] == "长" * 255


# ---- the cache


def cache_in(tmp_path):
    folder = tmp_path / "cache"
    folder.mkdir(exist_ok=True)
    return folder


def test_the_cache_is_used_the_second_time_and_says_the_same(files, tmp_path, monkeypatch):
    folder = cache_in(tmp_path)
    first = cut(load(files, folder), "人工智能学习")
    monkeypatch.setattr(module, "build", None)
    assert cut(load(files, folder), "人工智能学习") == first == ["人工智能", "学习"]


def test_a_cache_that_is_shortened_while_it_is_used_harms_nobody(tmp_path):
    code = (
        "import os, pathlib; from rgz.text import segment; segment('学习'); "
        f"[path] = pathlib.Path({str(tmp_path)!r}, 'rgz').iterdir(); os.truncate(path, 0); "
        "print('|'.join(segment('人工智能学习')))"
    )
    run_python(CUT, XDG_CACHE_HOME=str(tmp_path))
    done = run_python(code, XDG_CACHE_HOME=str(tmp_path), PYTHONIOENCODING="utf-8")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "人工智能|学习", "")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such pipes")
def test_a_pipe_in_the_place_of_the_cache_holds_nobody_up(files, tmp_path):
    folder = cache_in(tmp_path)
    whole = load(files, folder)
    [path] = folder.glob("*.trie")
    path.unlink()
    os.mkfifo(path)
    assert cut(load(files, folder), "人工智能学习") == cut(whole, "人工智能学习") and path.is_file()


@pytest.mark.parametrize("damage", ["empty", "short", "a bit", "its magic", "longer"])
def test_a_damaged_cache_is_rebuilt(files, tmp_path, damage):
    folder = cache_in(tmp_path)
    load(files, folder)
    [path] = folder.iterdir()
    whole = path.read_bytes()
    broken = bytearray(whole)
    broken[-9] ^= 1
    kinds = {
        "empty": b"",
        "short": whole[:1000],
        "a bit": broken,
        "its magic": b"x" + whole[1:],
        "longer": whole + b"x",
    }
    path.write_bytes(kinds[damage])
    assert cut(load(files, folder), "学习") == ["学习"]
    assert path.read_bytes() == whole


def test_every_bit_of_the_block_is_guarded(files):
    block = module.build(files)
    for at in np.random.default_rng(0).integers(0, len(block), 60).tolist():
        broken = block.copy()
        broken[at] ^= 64
        if 48 <= at < 80:
            continue  # the key, which is compared by itself
        with pytest.raises(ValueError, match="the block must be one"):
            _kernels.TextDictionary(broken)


def test_another_dictionary_takes_the_place_of_the_old_one_and_leaves_nothing_behind(files, tmp_path):
    folder = cache_in(tmp_path)
    load(files, folder)
    files.words.write_text("太阳 7 n\n", encoding="utf-8")
    assert cut(load(files, folder), "太阳学习") == ["太阳", "学", "习"]
    assert cut(load(files, folder, [Entry("学习", 3)]), "太阳学习") == ["太阳", "学习"]
    assert cut(load(files, folder, [Entry("太阳学", 30)]), "太阳学习") == ["太阳学", "习"]
    assert cut(load(files, folder), "太阳学习") == ["太阳", "学", "习"]
    assert len(list(folder.iterdir())) == 2


def moved(files, folder):
    """The same jieba, installed elsewhere."""
    folder.mkdir()
    return files._replace(words=Path(shutil.copy2(files.words, folder)))


def test_dictionaries_of_environments_that_are_gone_go_when_there_are_too_many(files, tmp_path, monkeypatch):
    folder = cache_in(tmp_path)
    others = [moved(files, tmp_path / f"venv{n}") for n in range(4)]
    (folder / "mine.trie").write_bytes(b"not rgz's")
    load(files, folder)
    [kept] = folder.glob("words-*.trie")
    monkeypatch.setattr(module, "_LIMIT", 3 * kept.stat().st_size)
    for age, jieba in enumerate(others):
        before = set(folder.iterdir())
        load(jieba, folder)
        [new] = set(folder.iterdir()) - before
        os.utime(new, (age, age))  # long before the first one, which is in use
    assert kept.exists() and (folder / "mine.trie").exists()
    assert len(list(folder.glob("words-*.trie"))) == 3


def test_environments_that_take_turns_do_not_build_again(files, tmp_path, monkeypatch):
    folder = cache_in(tmp_path)
    other, built, build = moved(files, tmp_path / "venv"), [], module.build

    def counted(*arguments):
        built.append(arguments)
        return build(*arguments)

    monkeypatch.setattr(module, "build", counted)
    for _ in range(3):
        for jieba in files, other:
            load(jieba, folder)
            load(jieba, folder, [Entry("太阳", 3)])
    assert len(built) == 4


def test_what_is_used_is_not_the_first_to_go(files, tmp_path):
    folder = cache_in(tmp_path)
    load(files, folder)
    [kept] = folder.iterdir()
    os.utime(kept, (1, 1))
    load(files, folder)
    assert kept.stat().st_mtime > 1
