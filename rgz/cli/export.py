"""`rgz export`: a model in the files of other programs."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

from rgz.cli.command import Command, Flag
from rgz.cli.console import result, say, say_all
from rgz.cli.runs import load_run, run_argument
from rgz.config import DTYPES
from rgz.errors import RgzError
from rgz.messages import tr
from rgz.strict import need_file_name

_FORMATS = ("gguf", "transformers")


def build() -> Command:
    return Command(
        "export",
        callback=export,
        params=[
            run_argument(),
            Flag(
                ["-o", "--output"],
                metavar="PATH",
                help=tr("file .gguf, or the new folder for transformers"),
                shown_default="RUN/NAME.gguf, RUN/transformers",
            ),
            Flag(
                ["--format"],
                type=click.Choice(_FORMATS),
                default="gguf",
                shown_default="gguf",
                help=tr("gguf: one file for llama.cpp and ollama; transformers: a folder for Hugging Face's package"),
            ),
            Flag(
                ["--dtype"],
                type=click.Choice(DTYPES),
                default="float32",
                shown_default="float32",
                help=tr("of gguf: what the weights are written as; 16 bits take half the room"),
            ),
            Flag(["--overwrite"], is_flag=True, help=tr("of gguf: replace the file")),
        ],
        help=tr(
            "Only models trained with --tokenizer bpe, of the shape of Llama (presets pico to base) or GPT-2: other "
            "programs know no others. Tokenizer and template of dialogues go along. gguf needs a package: "
            "pip install 'rgz[gguf]'."
        ),
        examples=(
            "rgz train my.txt -o runs/my --tokenizer bpe",
            "rgz export runs/my && llama-server -m runs/my/my.gguf",
            "rgz export runs/my --format transformers -o my-model",
        ),
    )


def export(run: str, output: str | None, format: str, dtype: str, overwrite: bool) -> None:
    from rgz.export import export_gguf, export_transformers, need_new_folder

    def check(path: Path) -> None:
        """RgzError, before any work, for a name that cannot be meant and for what is there already."""
        if format == "transformers":
            need_new_folder(path)
        elif path.suffix.lower() != ".gguf":
            raise RgzError(tr("the name of the file must end in .gguf, got {path}", path=path))
        elif path.is_dir():
            raise RgzError(tr("{path} is a folder; choose another name with -o", path=path))
        elif os.path.lexists(path) and not overwrite:
            raise RgzError(
                tr("{path} is there already; replace it with --overwrite, or choose another with -o", path=path)
            )

    if format == "transformers" and dtype != "float32":
        raise RgzError(tr("--dtype is of --format gguf; the folder for transformers holds float32"))
    if format == "transformers" and overwrite:
        raise RgzError(tr("--overwrite is of --format gguf; remove the folder yourself, or choose another with -o"))
    path = None if output is None else need_file_name("--output", output)
    if path is not None:
        check(path)
    loaded = load_run(run)
    if path is None:
        path = loaded.run / (f"{loaded.run_name}.gguf" if format == "gguf" else "transformers")
        check(path)
    if format == "gguf":
        notices = export_gguf(
            loaded.model, loaded.tokenizer, path, dtype=dtype, name=loaded.run_name, chat=loaded.answers
        )
    else:
        notices = export_transformers(loaded.model, loaded.tokenizer, path, chat=loaded.answers)
    say_all(notices)
    shown = os.fspath(path)
    command = f"llama-server -m {shlex.quote(shown)}"
    if format == "transformers":
        command = f"AutoModelForCausalLM.from_pretrained({shown!r})"
    say(tr("load it: {command}", command=command))
    result(shown)
