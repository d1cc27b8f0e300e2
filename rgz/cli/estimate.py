"""What a run will take, before it starts: minutes from a few timed passes, and peak memory."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from rgz.cli.console import megabytes, shape
from rgz.cli.layout import table
from rgz.cpu import memory_bytes, peak_bytes, resident_bytes
from rgz.data import Batch
from rgz.errors import RgzError
from rgz.messages import tr
from rgz.models.decoder import Decoder
from rgz.optim.adamw import moment_bytes
from rgz.train.plan import make_step
from rgz.train.portions import portions
from rgz.train.step import TrainStep

if TYPE_CHECKING:
    from rgz.cli.settings import Texts
    from rgz.config import ModelConfig, TrainingArguments
    from rgz.train import Trainer

_TIMED_FLOPS = 1e10  # a fraction of a second on any machine worth training on


def bytes_before_training(config: ModelConfig, args: TrainingArguments) -> int:
    """What weights, gradients, both moments and, where it computes in 16 bits, a copy of the weights in these take."""
    n, copy = config.num_parameters(), 0 if args.dtype == "float32" else 2
    return (4 + 4 + copy) * n + moment_bytes(args.optim_dtype, n, n)  # biases and norms apart: next to nothing


def refuse_too_large(config: ModelConfig, args: TrainingArguments) -> None:
    """Refuse, before it is made, a model of which already that does not fit in memory."""
    needed = bytes_before_training(config, args)
    _, available = memory_bytes()
    if available is not None and needed > available:
        both = tr("weights, gradients, both moments")
        in_half = tr("weights, their copy in 16 bits, gradients, both moments")
        raise RgzError(
            tr(
                "this model takes {needed} before its first step ({what}) and {available} are free; choose a smaller "
                "--preset, --hidden-size, --num-hidden-layers or --vocab-size",
                needed=megabytes(needed),
                what=both if args.dtype == "float32" else in_half,
                available=megabytes(available),
            )
        )


@dataclass(frozen=True)
class Estimate:
    """seconds : of training, evaluation included.

    peak_bytes : largest resident memory of the process while it trains. prepared_bytes : before that, while text was
        read and encoded; a dictionary and tokens that are in the cache folder by now are not made again by a later run.
    """

    seconds: float
    peak_bytes: float
    prepared_bytes: float = 0.0


def estimate(trainer: Trainer) -> Estimate:
    """Time passes over a part of the first batch, and add to the memory now what the run will take besides.

    The weights stay as they are, bit for bit: the update is timed with a learning rate of 0, on gradients and
    moments that are thrown away afterwards.
    """
    plan, args, model = trainer.prepare(), trainer.args, cast(Decoder, trainer.model)
    prepared = peak_bytes()
    if sys.stderr.isatty():
        import rich.progress  # noqa: F401 - part of what the run takes
    step = cast(TrainStep, make_step(model, args, plan.max_rows, plan.max_seqs))
    batch = _part(plan.batches.batch(0, 0), int(_TIMED_FLOPS / (6 * model.num_parameters())))
    rows = len(batch.tokens)
    a_pass = _seconds(lambda: step.accumulate(batch)) / rows
    forward = _seconds(lambda: step.evaluate(batch)) / rows
    update = _seconds(lambda: step.update(0.0, max(1, batch.n_targets)))
    now = resident_bytes()
    planned = step.planned_bytes
    largest = max(portions(batch, step.portion_tokens), key=lambda part: len(part.tokens))
    touched = model.planned_bytes(len(largest.tokens), largest.n_sequences, True, step.n_threads)
    best = model.weights.nbytes if args.load_best_model_at_end or "best" in args.save_strategy else 0
    peak = now + planned["activations"] - touched + best

    epochs = plan.max_steps / plan.updates_per_epoch
    seconds = epochs * (plan.train.n_tokens - plan.train.n_documents) * a_pass + plan.max_steps * update
    if plan.val is not None:
        seconds += plan.evaluations_left(0) * plan.val.n_tokens * forward
    if args.max_time is not None:
        seconds = min(seconds, float(args.max_time))
    return Estimate(seconds, peak, prepared)


def _part(batch: Batch, rows: int) -> Batch:
    """The first sequences of a batch, up to so many rows, at least one."""
    n = max(1, int(np.searchsorted(batch.cu_seqlens, rows, side="right")) - 1)
    end = int(batch.cu_seqlens[n])
    targets = batch.targets[:end]
    return Batch(batch.tokens[:end], targets, batch.cu_seqlens[: n + 1], int((targets >= 0).sum()), n)


def _seconds(work: Callable[[], object], rounds: int = 2) -> float:
    """The best of `rounds`, after a first time that touches the memory."""
    best = float("inf")
    for i in range(rounds + 1):
        began = time.perf_counter()
        work()
        seconds = time.perf_counter() - began
        best = min(best, seconds) if i or seconds > 1 else best
        if seconds > 1:  # slow enough to be told from the first touch
            break
    return best


def describe(trainer: Trainer, texts: Texts, expected: Estimate) -> list[str]:
    """The plan of a run, in lines."""
    plan, args = trainer.prepare(), trainer.args
    documents = f"{len(texts):,}"
    if texts.val is not None:
        documents = tr("{count} ({val} of them held out for validation)", count=documents, val=f"{len(texts.val):,}")
    pieces = tr(
        "{count} in batches of up to {rows} tokens",
        count=f"{_sequences(trainer):,}",
        rows=f"{plan.max_rows:,}",
    )
    tokens = tr(
        "{count} to learn from, {total} over {epochs} epochs",
        count=f"{plan.train.n_targets:,}",
        total=_rounded(plan.train.n_targets * plan.max_steps / plan.updates_per_epoch),
        epochs=f"{plan.max_steps / plan.updates_per_epoch:.3g}",
    )
    peak, prepared = megabytes(expected.peak_bytes), megabytes(expected.prepared_bytes)
    memory = tr("about {size} at peak", size=peak)
    if expected.prepared_bytes > expected.peak_bytes:
        memory = tr(
            "about {size} at peak of training; reading and encoding the text took {prepared}, of which caches may save "
            "the next run a part",
            size=peak,
            prepared=prepared,
        )
    rows = [
        (tr("documents"), documents),
        (tr("tokens"), tokens),
        (tr("sequences"), pieces),
        (tr("parameters"), shape(trainer.model.config)),
        (
            tr("updates"),
            tr("{count} ({each} an epoch)", count=f"{plan.max_steps:,}", each=f"{plan.updates_per_epoch:,}"),
        ),
        (
            tr("time"),
            tr(
                "about {time} ({threads} threads)",
                time=_duration(expected.seconds),
                threads=_threads(args.n_threads),
            ),
        ),
        (tr("memory"), memory),
        (tr("run directory"), str(args.output_dir)),
    ]
    return table(rows)


def _sequences(trainer: Trainer) -> int:
    batches = trainer.prepare().batches
    return sum(batches.batch(0, i).n_sequences for i in range(len(batches)))


def _rounded(count: float) -> str:
    return f"{count / 1e6:.1f} M" if count >= 1e6 else f"{count:,.0f}"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return tr("{count} s", count=max(1, round(seconds)))
    if seconds < 5400:
        return tr("{count} min", count=f"{seconds / 60:.1f}")
    return tr("{count} hours", count=f"{seconds / 3600:.1f}")


def _threads(n_threads: int | None) -> int:
    from rgz.threads import resolve_threads

    return resolve_threads(n_threads)
