"""export: where the file goes, what it holds of the run, what is refused before anything is written."""

import json

import pytest
from cli.tiny import TINY, half_width_marks
from click.testing import CliRunner
from gguf import GGUFReader

from rgz.cli.app import build_app
from rgz.text import load_tokenizer

BPE = [*TINY, "--tokenizer", "bpe", "--vocab-size", 300, "--max-steps", 2]


def done(*arguments):
    """A command that must go well, for what all tests share."""
    result = CliRunner().invoke(build_app(), [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.stderr


@pytest.fixture(scope="session")
def bpe_run(texts, tmp_path_factory):
    run = tmp_path_factory.mktemp("bpe") / "我的 run"
    done("train", texts, "-o", run, *BPE)
    return run


@pytest.fixture(scope="session")
def bpe_chat(bpe_run, dialogues):
    run = bpe_run.with_name("chat")
    done("sft", dialogues, "--from", bpe_run, "-o", run, "--max-steps", 2, "--n-threads", 1)
    return run


def contents(path):
    return {name: field.contents() for name, field in GGUFReader(path).fields.items()}


def test_a_run_becomes_a_file_beside_its_own(rgz, bpe_run):
    result = rgz("export", bpe_run)
    path = bpe_run / "我的 run.gguf"
    assert (result.exit_code, result.stdout) == (0, f"{path}\n")
    assert result.stderr == f"load it: llama-server -m '{path}'\n"
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
    assert rgz("export", checkpoint).exit_code == 0
    assert contents(bpe_chat / "chat.gguf")["general.name"] == "chat"


def test_a_folder_for_transformers(rgz, bpe_run, bpe_chat, tmp_path):
    result = rgz("export", bpe_chat, "--format", "transformers")
    folder = bpe_chat / "transformers"
    assert (result.exit_code, result.stdout) == (0, f"{folder}\n")
    assert json.loads((folder / "config.json").read_text())["model_type"] == "llama"
    assert load_tokenizer(folder).encode("太阳") == load_tokenizer(bpe_chat).encode("太阳")
    assert rgz("export", bpe_chat, "--format", "transformers").exit_code == 1
    assert "chat_template" in (folder / "tokenizer_config.json").read_text()
    assert rgz("export", bpe_run, "--format", "transformers", "-o", tmp_path / "new").exit_code == 0
    assert "chat_template" not in (tmp_path / "new/tokenizer_config.json").read_text()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["-o", "x.bin"], "must end in .gguf, got x.bin"),
        (["--format", "transformers", "--dtype", "float16", "-o", "x"], "--dtype is of --format gguf"),
        (["--format", "transformers", "-o", "{run}"], "is there already; choose a new folder"),
        (["--format", "transformers", "-o", "{run}/checkpoint-2"], "is there already; choose a new folder"),
        (["--format", "transformers", "-o", "x", "--overwrite"], "--overwrite is of --format gguf"),
        (["-o", ""], "--output must be the name"),
        (["-o", "folder.gguf", "--overwrite"], "folder.gguf is a folder; choose another name"),
        (["-o", "link.GGUF"], "link.GGUF is there already"),
        (["-o", "none/x.gguf"], "cannot write none/x.gguf"),
    ],
)
def test_wrong_wishes_are_refused(rgz, bpe_run, tmp_path, monkeypatch, arguments, reason):
    (tmp_path / "folder.gguf").mkdir()
    (tmp_path / "link.GGUF").symlink_to("nowhere")
    monkeypatch.chdir(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in bpe_run.rglob("*")}
    result = rgz("export", bpe_run, *(argument.replace("{run}", str(bpe_run)) for argument in arguments))
    assert (result.exit_code, result.stdout) == (1, "") and reason in result.stderr
    assert {path: path.stat().st_mtime_ns for path in bpe_run.rglob("*")} == before
    assert {path.name for path in tmp_path.iterdir()} == {"folder.gguf", "link.GGUF"}


def test_a_wrong_name_is_refused_before_anything_is_read(rgz, tmp_path):
    assert "must end in .gguf" in rgz("export", tmp_path / "none", "-o", "x.bin").stderr


def test_what_readers_do_otherwise_is_told(rgz, bpe_run, tmp_path, monkeypatch):
    monkeypatch.setattr("rgz.export.gguf.differences", lambda *_, **__: ["they sing", "they dance"])
    result = rgz("export", bpe_run, "-o", tmp_path / "a.GGUF")
    assert result.exit_code == 0 and result.stderr.startswith("they sing\nthey dance\nload it")


def test_a_model_of_words_is_refused_and_told_what_to_do(rgz, trained, tmp_path, monkeypatch):
    result = rgz("export", trained, "-o", tmp_path / "a.gguf")
    assert result.exit_code == 1 and "--tokenizer bpe" in result.stderr and "rgz serve" in result.stderr
    monkeypatch.setenv("RGZ_LANG", "zh")
    result = rgz("export", trained, "-o", tmp_path / "a.gguf")
    assert "分词器" in result.stderr and not half_width_marks(result.stderr)
    assert not list(tmp_path.iterdir())
