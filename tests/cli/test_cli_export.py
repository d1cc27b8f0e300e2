"""export: where the file goes, what it holds of the run, what is refused before anything is written."""

import json

import pytest
from cli.tiny import TINY, half_width_marks
from gguf import GGUFReader

from rgz.text import load_tokenizer

BPE = [*TINY, "--tokenizer", "bpe", "--vocab-size", 300, "--max-steps", 2]


@pytest.fixture(scope="session")
def bpe_run(texts, tmp_path_factory):
    from click.testing import CliRunner

    from rgz.cli.app import build_app

    run = tmp_path_factory.mktemp("bpe") / "我的 run"
    done = CliRunner().invoke(build_app(), [str(arg) for arg in ("train", texts, "-o", run, *BPE)])
    assert done.exit_code == 0, done.stderr
    return run


@pytest.fixture(scope="session")
def bpe_chat(bpe_run, dialogues):
    from click.testing import CliRunner

    from rgz.cli.app import build_app

    run = bpe_run.with_name("chat")
    arguments = ("sft", dialogues, "--from", bpe_run, "-o", run, "--max-steps", 2, "--n-threads", 1)
    done = CliRunner().invoke(build_app(), [str(arg) for arg in arguments])
    assert done.exit_code == 0, done.stderr
    return run


def contents(path):
    return {name: field.contents() for name, field in GGUFReader(path).fields.items()}


def test_a_run_becomes_a_file_beside_its_own(rgz, bpe_run):
    result = rgz("export", bpe_run)
    path = bpe_run / "我的 run.gguf"
    assert (result.exit_code, result.stdout) == (0, f"{path}\n")
    assert result.stderr == f"load it: llama-cli -m '{path}'\n"
    found = contents(path)
    assert found["general.name"] == "我的 run" and "tokenizer.chat_template" not in found  # it was not taught to answer
    again = rgz("export", bpe_run, "--dtype", "float16")
    assert again.exit_code == 1 and "--overwrite" in again.stderr and contents(path)["general.file_type"] == 0
    assert rgz("export", bpe_run, "--dtype", "float16", "--overwrite").exit_code == 0
    assert contents(path)["general.file_type"] == 1


def test_a_model_that_answers_takes_its_template_along(rgz, bpe_chat, tmp_path):
    assert rgz("export", bpe_chat, "-o", tmp_path / "a.gguf").exit_code == 0
    assert "用户：" in contents(tmp_path / "a.gguf")["tokenizer.chat_template"]
    checkpoint = next(bpe_chat.glob("checkpoint-*"))
    assert rgz("export", checkpoint, "-o", tmp_path / "b.gguf").exit_code == 0
    assert contents(tmp_path / "b.gguf")["general.name"] == "chat"


def test_a_folder_for_transformers(rgz, bpe_run, bpe_chat, tmp_path):
    result = rgz("export", bpe_chat, "--format", "transformers")
    folder = bpe_chat / "transformers"
    assert (result.exit_code, result.stdout) == (0, f"{folder}\n")
    assert json.loads((folder / "config.json").read_text())["model_type"] == "llama"
    assert load_tokenizer(folder).encode("太阳") == load_tokenizer(bpe_chat).encode("太阳")
    assert rgz("export", bpe_chat, "--format", "transformers").exit_code == 1
    assert "chat_template" in (folder / "tokenizer_config.json").read_text()
    (tmp_path / "empty").mkdir()
    assert rgz("export", bpe_run, "--format", "transformers", "-o", tmp_path / "empty").exit_code == 0
    assert "chat_template" not in (tmp_path / "empty/tokenizer_config.json").read_text()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["-o", "x.bin"], "must end in .gguf, got x.bin"),
        (["--format", "transformers", "--dtype", "float16", "-o", "x"], "--dtype is of --format gguf"),
        (["--format", "transformers", "-o", "{run}", "--overwrite"], "holds a model of rgz"),
        (["-o", "none/x.gguf"], "cannot write none/x.gguf"),
    ],
)
def test_wrong_wishes_are_refused(rgz, bpe_run, tmp_path, monkeypatch, arguments, reason):
    monkeypatch.chdir(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in bpe_run.rglob("*")}
    result = rgz("export", bpe_run, *(argument.replace("{run}", str(bpe_run)) for argument in arguments))
    assert (result.exit_code, result.stdout) == (1, "") and reason in result.stderr
    assert {path: path.stat().st_mtime_ns for path in bpe_run.rglob("*")} == before and not list(tmp_path.iterdir())


def test_a_model_of_words_is_refused_and_told_what_to_do(rgz, trained, tmp_path, monkeypatch):
    result = rgz("export", trained, "-o", tmp_path / "a.gguf")
    assert result.exit_code == 1 and "--tokenizer bpe" in result.stderr and "rgz serve" in result.stderr
    monkeypatch.setenv("RGZ_LANG", "zh")
    result = rgz("export", trained, "-o", tmp_path / "a.gguf")
    assert "分词器" in result.stderr and not half_width_marks(result.stderr)
    assert not list(tmp_path.iterdir())
