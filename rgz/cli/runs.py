"""Opening a run, or one of its checkpoints."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rgz.cli.console import say, say_all
from rgz.errors import RgzError
from rgz.messages import tr

if TYPE_CHECKING:
    from rgz.config import TrainingArguments
    from rgz.generate import Model
    from rgz.text import Tokenizer


def run_argument() -> click.Argument:
    return click.Argument(["run"], metavar="RUN", required=True)


def need_run_folder(path: str) -> None:
    """RgzError where there is no such folder, or something else."""
    shown = path if path.strip() else f"'{path}'"
    if not os.path.exists(path):
        raise RgzError(tr("{path} does not exist; give the run directory that training wrote", path=shown))
    if not os.path.isdir(path):
        raise RgzError(tr("{path} is no folder; give the run directory that training wrote", path=shown))


@dataclass(frozen=True)
class LoadedRun:
    """folder : where the weights were; run : the run directory, the same or the one above.

    arguments : how it was trained, None where nothing tells (a model from elsewhere).
    info : what else its training noted, such as the questions of a usual dialogue ("turns").
    """

    folder: Path
    run: Path
    model: Model
    tokenizer: Tokenizer
    arguments: TrainingArguments | None
    info: dict[str, Any]

    @property
    def run_name(self) -> str:
        return self.run.resolve().name

    @property
    def answers(self) -> bool:
        """Whether it was taught to answer; None of our business, and assumed, where nothing tells."""
        return self.arguments is None or self.arguments.mask_prompts


def load_run(path: str, dtype: str | None = None) -> LoadedRun:
    """Model and tokenizer of a run directory (its newest checkpoint if it has not ended) or a checkpoint.

    dtype : of the weights, see Model.from_pretrained.
    """
    from rgz.generate import Model
    from rgz.models import check_vocabulary
    from rgz.text import load_tokenizer
    from rgz.train import RunDirectory, newest_whole

    folder = Path(path)
    need_run_folder(path)
    run = folder.parent if folder.resolve().name.startswith("checkpoint-") else folder
    directory = RunDirectory(run)
    if folder == run and not (folder / "model.safetensors").exists() and directory.checkpoints():
        checkpoint, notices = newest_whole(directory)
        say_all(notices)
        assert checkpoint is not None  # there is one, and none whole is an error
        folder = checkpoint.path
        say(tr("{run} has not ended; taking its newest checkpoint, {name}", run=run, name=folder.name))
    model, tokenizer = Model.from_pretrained(folder, dtype), load_tokenizer(run)
    check_vocabulary(model, tokenizer)
    arguments, info = directory.read_arguments() if (run / "training_args.json").exists() else (None, {})
    return LoadedRun(folder, run, model, tokenizer, arguments, info)


def say_if_untaught(loaded: LoadedRun) -> None:
    """A model that only continues texts answers a question with anything."""
    if not loaded.answers:
        say(
            tr(
                "this model has learnt to continue texts, not to answer; teach it: rgz sft DATA --from {run}",
                run=loaded.run,
            )
        )
