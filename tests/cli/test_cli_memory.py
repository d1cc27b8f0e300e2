"""Where memory does not suffice a line says what helps: of text what is to be cut, else options of the command."""

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from cli.tiny import TINY

import rgz
from rgz.cli.app import MODULES, build_app
from rgz.cli.memory import out_of_memory

LONG = "太阳从东方升起，照亮了山谷。" * 80_000  # more than a million characters
NOT_ENOUGH = "error: not enough memory for "


def fail(*_, **__):
    raise MemoryError


@pytest.fixture
def long(tmp_path):
    path = tmp_path / "long.txt"
    path.write_text(f"短。\n{LONG}\n短。\n", encoding="utf-8")
    return path


STAGES = {  # command, what it calls where memory ends
    "tokenize, learning": ("tokenize", "rgz.text.word.WordTokenizer.train"),
    "tokenize, figures": ("tokenize --tokenizer byte", "rgz.text.coverage.coverage"),
    "augment": ("augment", "rgz.augment.Augmenter.vary"),
    "train, learning": ("train --dry-run", "rgz.text.word.WordTokenizer.train"),
    "train, counting": ("train --dry-run --tokenizer byte", "rgz.text.char.ByteTokenizer.encode"),
    "train, encoding": ("train --dry-run --tokenizer byte --no-token-cache", "rgz.data.token_cache.encode_dataset"),
    "sft, counting": ("sft --from RUN", "rgz.text.char.CharTokenizer.encode"),
    "eval, encoding": ("eval RUN", "rgz.data.encode_dataset"),
}


@pytest.mark.parametrize(("words", "where"), STAGES.values(), ids=STAGES)
def test_text_that_is_too_long_is_named_and_short_text_is_not(rgz, trained, texts, long, monkeypatch, words, where):
    monkeypatch.setattr(where, fail)
    arguments = [trained if word == "RUN" else word for word in words.split()]
    arguments += ["--no-mask-prompts"] if words.startswith("sft") else []
    result = rgz(*arguments, long)
    [line] = [line for line in result.stderr.splitlines() if line.startswith("error")]
    named = "the longest text, '太阳从东方升起，照亮了山谷。太阳从东方升...' with 1,120,000 characters: cut it at lines"
    assert result.exit_code == 1 and line == NOT_ENOUGH + named
    result = rgz(*arguments, texts)
    assert result.stderr.splitlines()[-1] == NOT_ENOUGH + "this text; give less of it, or close other programs"


@pytest.mark.parametrize("command", ["tokenize", "augment", "train"])
def test_a_line_that_cannot_be_read_is_named_with_its_file(rgz, texts, long, monkeypatch, command):
    lines = "rgz.data.readers.Source.lines"
    monkeypatch.setattr(lines, fail)
    for language, told in (
        ("en", f"line 2 of {long}, which has 3 MB: cut it at lines"),
        ("zh", f"内存不够读取 {long} 第 2 行，它有 3 MB：请按行切开"),
    ):
        monkeypatch.setenv("RGZ_LANG", language)
        result = rgz(command, long)
        assert result.exit_code == 1 and result.stderr.splitlines()[0].endswith(told)
    monkeypatch.setenv("RGZ_LANG", "en")
    result = rgz(command, texts)
    assert result.stderr == f"error: not enough memory to read {texts}; give less text, or close other programs\n"
    if command != "train":
        assert "line 1 of stdin, which has 3 MB: cut it at lines" in rgz(command, "-", input=LONG).stderr


def test_json_that_cannot_be_read_whole_is_to_be_written_in_lines(rgz, tmp_path, monkeypatch):
    (tmp_path / "a.json").write_text(f'["{LONG}"]', encoding="utf-8")
    monkeypatch.setattr("rgz.data.readers.Source.text", fail)
    result = rgz("train", tmp_path / "a.json")
    assert result.exit_code == 1
    assert "a.json: JSON that is no lines is read whole, for which memory does not suffice; write one" in result.stderr


@pytest.mark.parametrize("name", MODULES)
def test_only_options_that_a_command_has_are_named(name):
    command = build_app().get_command(click.Context(build_app()), name)
    options = {option for p in command.params for option in p.opts}
    told = out_of_memory(command)
    named = [word for word in told.split() if word.startswith("--")]
    assert options.issuperset(named) and bool(named) == (name in ("train", "sft", "eval", "generate", "chat", "serve"))
    assert named or told == "not enough memory; close other programs"


def test_a_model_that_is_too_large_names_options(rgz, texts, monkeypatch):
    monkeypatch.setattr("rgz.cli.estimate.estimate", fail)
    result = rgz("train", texts, "--dry-run", *TINY)
    told = "error: not enough memory; try smaller values of --preset --batch-size --max-length --max-memory"
    assert result.exit_code == 1 and result.stderr.splitlines()[-1] == told


LIMITED = """
import resource, sys
import rgz, rgz.data, rgz.text.coverage, rgz.cli.settings, rgz.cli.train
from rgz.cli.app import build_app
limit = int(next(line for line in open("/proc/self/status") if line.startswith("VmData")).split()[1]) * 1024
limit += int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
build_app().main(["tokenize", sys.argv[1], "--tokenizer", "byte", "--limit", "0"])
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_DATA counts mapped memory on Linux only")
@pytest.mark.parametrize(
    ("room", "told"),
    [(12, "line 1 of {path}, which has 13 MB: cut it at lines"), (120, "with 4,480,000 characters: cut it at lines")],
    ids=["read", "encode"],
)
def test_a_long_line_is_named_where_memory_ends_indeed(tmp_path, room, told):
    path = tmp_path / "long.txt"
    path.write_text(LONG * 4, encoding="utf-8")
    installed = str(Path(rgz.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, path, str(room << 20)],
        env={**os.environ, "PYTHONPATH": installed, "RGZ_LANG": "en", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=100,
    )
    assert done.returncode == 1 and told.format(path=path) in done.stderr
    assert len(done.stderr.splitlines()) == 1
