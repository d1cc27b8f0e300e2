"""Help in two languages, the layout of wide characters, and options made from dataclasses."""

import dataclasses
import subprocess
import sys

import click
import pytest
from cli.tiny import half_width_marks

from rgz.cli.app import MODULES, build_app, summaries
from rgz.cli.flags import model_helps, training_helps
from rgz.cli.layout import described, pad, table, width, wrap
from rgz.config import ModelConfig, TrainingArguments


def options(name):
    command = build_app().get_command(click.Context(build_app()), name)
    return {option for p in command.params for option in (*p.opts, *p.secondary_opts)}


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_help_fits_the_terminal(rgz, monkeypatch, name, language):
    monkeypatch.setenv("RGZ_LANG", language)
    result = rgz(name, "--help")
    assert result.exit_code == 0 and not result.stderr
    text = result.stdout.partition("Examples:" if language == "en" else "示例：")[0]
    assert max(map(width, text.splitlines())) <= 81  # a closing mark may hang over
    assert f"rgz {name}" in text
    assert ("选项" in text) == (language == "zh")
    assert not half_width_marks(text)


def test_every_command_has_a_summary():
    assert list(summaries()) == list(MODULES)


def test_without_a_command_the_help_is_shown(rgz):
    assert rgz().stdout == rgz("-h").stdout
    assert all(name in rgz().stdout for name in MODULES)


@pytest.mark.parametrize("name", ["train", "sft"])
def test_every_training_argument_is_an_option(name):
    for field in dataclasses.fields(TrainingArguments):
        assert f"--{field.name.replace('_', '-')}" in options(name)


def test_every_field_of_the_model_is_an_option_of_train():
    for field in dataclasses.fields(ModelConfig):
        assert f"--{field.name.replace('_', '-')}" in options("train")


def test_there_is_a_help_for_every_field_and_for_nothing_else():
    own = {"output_dir", "overwrite"}
    assert set(training_helps()) == {f.name for f in dataclasses.fields(TrainingArguments)} - own
    assert set(model_helps()) == {f.name for f in dataclasses.fields(ModelConfig)}


def test_the_help_imports_no_numpy():
    code = "import sys; from rgz.cli.app import build_app; build_app()(['--help'], standalone_mode=False)"
    check = f"import atexit, sys; atexit.register(lambda: print('numpy' in sys.modules, file=sys.stderr)); {code}"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stderr.split() == ["False"]


def test_a_han_character_is_two_columns_wide():
    assert [width(text) for text in ("abc", "中文", "é", "a中，")] == [3, 4, 1, 5]
    assert pad("中", 4) == "中  "
    assert table([("中文", "x"), ("a", "y")]) == ["中文  x", "a     y"]


def test_lines_break_between_han_characters_and_at_spaces_but_not_before_a_comma():
    assert wrap("one two three", 8) == ["one two", "three"]
    assert wrap("中文中文，好", 8) == ["中文中", "文，好"]
    assert wrap("用 --help 看", 6) == ["用", "--help", "看"]


def test_a_long_name_stands_on_a_line_of_its_own():
    assert described([("--a", "x"), ("--a-long-name", "y")], 40, first=5) == [
        "  --a    x", "  --a-long-name", "         y",
    ]  # fmt: skip
