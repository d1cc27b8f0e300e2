"""What `train` and `sft` have in common: options, config file, run directory, the run itself."""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rgz.cli.command import Flag, given
from rgz.cli.console import result, say, say_all
from rgz.cli.flags import plain_value, read_config
from rgz.cli.memory import memory_for_text
from rgz.cli.progress import shown_progress
from rgz.config import ModelConfig, TrainingArguments
from rgz.errors import RgzError
from rgz.messages import tr
from rgz.schedules import schedule_type

if TYPE_CHECKING:
    from rgz.data import Dataset
    from rgz.generate import Model
    from rgz.text import Tokenizer
    from rgz.train import Trainer

_TRAINING = tuple(f.name for f in dataclasses.fields(TrainingArguments))
_MODEL = tuple(f.name for f in dataclasses.fields(ModelConfig))
_WORTH_ADVICE = 60  # seconds of training
RUNS = "runs"


def data_argument() -> click.Argument:
    return click.Argument(["data"], metavar="DATA...", nargs=-1, required=True)


def run_flags() -> list[Flag]:
    """The options of every command that trains, beside those made from the dataclasses."""
    return [
        Flag(
            ["-o", "--output-dir"],
            metavar="DIR",
            help=tr("run directory; none given: the next free one in runs/"),
        ),
        Flag(["--overwrite"], is_flag=True, help=tr("throw away the run that the directory holds")),
        Flag(
            ["--validation-data"],
            metavar="DATA",
            multiple=True,
            help=tr("text to validate on, instead of a share of DATA; may be repeated"),
        ),
        Flag(["--config"], metavar="FILE", help=tr("options from a TOML file; those given here win")),
        Flag(["--dry-run"], is_flag=True, help=tr("print the plan only: tokens, parameters, minutes, memory")),
    ]


@dataclass(frozen=True)
class Settings:
    """Options after command line, config file and the command's own defaults have been laid over one another.

    training, model : only what was given, by field name; others : preset, tokenizer, user_dict, validation_data.
    """

    training: dict[str, Any]
    model: dict[str, Any]
    others: dict[str, Any]

    @classmethod
    def read(cls, ctx: click.Context, defaults: Mapping[str, Any] | None = None) -> Settings:
        line = given(ctx)
        known = [name for p in ctx.command.params if isinstance(p, click.Option) for name in [p.name] if name]
        config = line.pop("config", None)
        file = read_config(config, [n for n in known if n not in ("config", "dry_run")]) if config else {}
        values = {**(defaults or {}), **file, **line}
        if isinstance(validation := values.get("validation_data"), str):
            values["validation_data"] = (validation,)
        for name in ("preset", "tokenizer", "user_dict", "source", "validation_data"):
            value = values.get(name)
            texts = value if name == "validation_data" and isinstance(value, list | tuple) else [value]
            if value is not None and not all(isinstance(text, str) for text in texts):
                raise RgzError(
                    tr("{name} must be {wanted}, got {value}", name=name, wanted=tr("a text"), value=repr(value))
                )
        training = {k: plain_value(TrainingArguments, k, v) for k, v in values.items() if k in _TRAINING}
        model = {k: plain_value(ModelConfig, k, v) for k, v in values.items() if k in _MODEL}
        return cls(training, model, {k: v for k, v in values.items() if k not in {*_TRAINING, *_MODEL}})

    def limit_length(self, positions: int) -> None:
        """Sequences no longer than the model reads, unless their length was given: then it is refused."""
        self.training.setdefault("max_length", min(TrainingArguments.max_length, positions))

    def arguments(self, name: str) -> TrainingArguments:
        """TrainingArguments with a run directory, called after `name` where none was given."""
        values = dict(self.training)
        if values.get("output_dir") is None:
            values["output_dir"] = free_directory(name)
        return TrainingArguments.from_dict(values)


def free_directory(name: str) -> str:
    """runs/<name>-<n> with the least n, from 1, that is not there yet."""
    name = re.sub(r"[^\w.-]+", "-", name).strip("-.") or "run"
    number = 1
    while os.path.lexists(os.path.join(RUNS, f"{name}-{number}")):
        number += 1
    return os.path.join(RUNS, f"{name}-{number}")


def run_name(data: Sequence[str]) -> str:
    return Path(os.path.abspath(data[0])).stem


@dataclass(frozen=True)
class Texts:
    """Documents to learn from and to validate on; validation None where nothing could be held out."""

    train: Dataset
    val: Dataset | None

    def __len__(self) -> int:
        return len(self.train) + (len(self.val) if self.val is not None else 0)


def read_texts(data: Sequence[str], validation: Sequence[str], fraction: float, seed: int) -> Texts:
    """Load and split: the same documents for the same arguments, so that `resume` finds what `train` had."""
    from rgz.data import load_dataset

    with memory_for_text():
        dataset = load_dataset(list(data))
    say_all(dataset.take_notices())
    if validation:
        with memory_for_text():
            held_out = load_dataset(list(validation))
        say_all(held_out.take_notices())
        return Texts(dataset, held_out)
    train, val = dataset.split(fraction, seed=seed)
    say_all(train.take_notices())
    return Texts(train, val if len(val) else None)


def usual_turns(dataset: Dataset) -> int:
    """Most questions that at least a tenth of the dialogues have: what a model learns to follow."""
    turns = [sum(m["role"] == "user" for m in d) for d in dataset if not isinstance(d, str)]
    return sorted(turns)[-max(1, len(turns) // 10)] if turns else 1


def run_info(command: str, data: Sequence[str], validation: Sequence[str], **more: Any) -> dict[str, Any]:
    """What `rgz resume` needs beside the arguments: where the text is."""
    info = {"command": command, "data": [os.path.abspath(path) for path in data]}
    if validation:
        info["validation_data"] = [os.path.abspath(path) for path in validation]
    return {**info, **more}


def make_trainer(
    model: Model, tokenizer: Tokenizer, texts: Texts, args: TrainingArguments, info: Mapping[str, Any]
) -> Trainer:
    """A Trainer whose validation is that of `texts`, none other; its text is encoded."""
    from rgz.train import Trainer

    if texts.val is None:
        args = dataclasses.replace(args, validation_split=0.0)
    with shown_progress(tr("encoding"), len(texts.train)) as progress, memory_for_text(texts.train, texts.val):
        trainer = Trainer(model, tokenizer, texts.train, texts.val, args, run_info=info, progress=progress)
        trainer.prepare()
    return trainer


def train_or_plan(
    trainer: Trainer, texts: Texts, *, dry_run: bool, chosen: Sequence[str] = (), advice: Sequence[str] = ()
) -> None:
    """Print the plan; unless that was all that was wanted, train and say what to do next.

    chosen : the flags that were not given but chosen for this text. advice : lines about flags that were not, for
    a run that is worth a change.
    """
    from rgz.cli.estimate import describe, estimate

    assert trainer.run is not None
    if not dry_run:
        trainer.run.refuse_if_unusable(overwrite=trainer.args.overwrite)
    expected = estimate(trainer)
    plan = describe(trainer, texts, expected)
    if chosen:
        plan.append(tr("(chosen for this text: {flags})", flags=" ".join(chosen)))
    if expected.seconds >= _WORTH_ADVICE:
        plan += advice
    for line in plan:
        result(line) if dry_run else say(line)
    if dry_run:
        say_all(trainer.prepare().notices)
        return
    trainer.train()
    say_next(trainer)


def say_next(trainer: Trainer) -> None:
    """Where the run lies and what to do with it; its path alone is the result, for scripts."""
    assert trainer.run is not None
    path = shlex.quote(str(trainer.run.path))
    if not trainer.state.stop_reason:  # which has been said
        say(tr("done."))
    if trainer.args.mask_prompts:
        say(tr("Talk with it: {command}", command=f"rgz chat {path}"))
    else:
        say(tr("Let it write: {command}", command=f"rgz generate {path} --prompt …"))
        say(tr("Teach it to answer: {command}", command=f"rgz sft DATA --from {path}"))
    result(str(trainer.run.path))


def refuse_unusable(output_dir: str, overwrite: bool) -> None:
    """Refuse a run directory before minutes are spent on reading text."""
    from rgz.train import RunDirectory

    RunDirectory(output_dir).refuse_if_unusable(overwrite=overwrite)


def check_early(training: Mapping[str, Any]) -> TrainingArguments:
    """The arguments as given, so that a wrong value does not wait for the text to be read."""
    draft = TrainingArguments.from_dict(training)
    schedule_type(draft.lr_scheduler_type)  # refuses an unknown one
    return draft
