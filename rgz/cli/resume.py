"""`rgz resume`: everything that a run needs stands in its directory, but the text, whose place does."""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from rgz.cli.command import Command, given
from rgz.cli.console import say
from rgz.cli.flags import plain_value, training_flags
from rgz.cli.runs import need_run_folder, run_argument
from rgz.cli.settings import make_trainer, read_texts, say_next
from rgz.config import TrainingArguments
from rgz.errors import RgzError
from rgz.messages import tr

# What may change without changing what is learnt.
CHANGEABLE = (
    "max_time", "logging_steps", "save_seconds", "save_total_limit", "save_best_limit", "n_threads", "report_to",
    "samples", "sample_prompt", "token_cache",
)  # fmt: skip


def build() -> Command:
    return Command(
        "resume",
        callback=click.pass_context(resume),
        params=[run_argument(), *training_flags(only=CHANGEABLE)],
        help=tr(
            "After Ctrl-C, a power cut or the end of --max-time. The result is the same, byte for byte, as "
            "if the run had never stopped."
        ),
        examples=("rgz resume runs/my-1",),
    )


def resume(ctx: click.Context, run: str, **_: Any) -> None:
    from rgz.generate import Model
    from rgz.models.folder import read_config
    from rgz.text import load_tokenizer
    from rgz.train import RunDirectory, newest_whole

    need_run_folder(run)
    directory = RunDirectory(run)
    directory.refuse_if_unusable(resume=True)
    args, info = directory.read_arguments()
    changes = {k: plain_value(TrainingArguments, k, v) for k, v in given(ctx).items() if k in CHANGEABLE}
    args = dataclasses.replace(args, **changes)
    if "data" not in info:
        raise RgzError(
            tr(
                "{path} does not say where its text is; go on with it from Python: {command}",
                path=run,
                command=directory.resume_command(),
            )
        )
    tokenizer = load_tokenizer(directory.path)
    texts = read_texts(info["data"], info.get("validation_data", ()), args.validation_split, args.seed)
    checkpoint, _notices = newest_whole(directory)  # the trainer looks again, and tells the notices
    if checkpoint is None and "source" in info:
        model = Model.from_pretrained(info["source"])
    else:
        model = Model(read_config(directory.path), seed=args.seed)
    trainer = make_trainer(model, tokenizer, texts, args, info)
    if checkpoint is not None:
        say(
            tr(
                "going on after step {step} of {total}",
                step=checkpoint.step,
                total=trainer.prepare().max_steps,
            )
        )
    trainer.train(resume_from_checkpoint=True)
    say_next(trainer)
