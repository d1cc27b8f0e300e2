"""Fitting a run into a memory budget: how large a batch at a time, and what to compute twice."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from rgz.config import TrainingArguments
from rgz.cpu import resident_bytes
from rgz.errors import RgzError
from rgz.messages import tr
from rgz.strict import parse_bytes
from rgz.threads import resolve_threads
from rgz.train.plan import TrainingPlan, lay_out
from rgz.train.portions import most_rows, rows_at_once

_SPARE = 1.03  # what the reports, the progress bar and the allocator take besides


def fit_plan(
    model: Any, tokenizer: Any, plan: TrainingPlan, args: TrainingArguments
) -> tuple[TrainingPlan, TrainingArguments]:
    """The same text in the batches that `fit_memory` chooses now that it is in memory too, and the arguments chosen."""
    args, sentence = fit_memory(model, args)
    return lay_out(plan.train, plan.val, plan.varied, tokenizer, args, (sentence, *plan.notices)), args


def fit_memory(model: Any, args: TrainingArguments) -> tuple[TrainingArguments, str]:
    """The arguments with which a run stays below args.max_memory, and a sentence that says what was chosen.

    Batches are halved, and as many more accumulated, so that an update sees the same tokens. As long as they are
    large enough to run at full speed that is tried before recomputing, which costs a third of the time.
    max_memory itself is then None: a resumed run goes on with what was chosen. RgzError where nothing fits.
    """
    assert args.max_memory is not None
    limit = parse_bytes("max_memory", args.max_memory)
    least = None
    for choice in _choices(args, rows_at_once(model.config.hidden_size)):
        needed = _peak(model, choice)
        least = needed if least is None else min(least, needed)
        if needed <= limit:
            return choice, _describe(args.max_memory, choice, needed)
    raise RgzError(
        tr(
            "max_memory={limit} is too little for this model: it takes at least {least:.0f} MB with the smallest "
            "batches and activations recomputed; allow more, or choose a smaller model or max_length",
            limit=args.max_memory,
            least=(least or 0) / 1e6,
        )
    )


def _choices(args: TrainingArguments, at_once: int) -> Iterator[TrainingArguments]:
    """What could be trained with, the fastest first."""
    sizes = [dataclasses.replace(args, max_memory=None)]
    while (smaller := _halved(sizes[-1])) is not None:
        sizes.append(smaller)
    large = [size for size in sizes if size is sizes[0] or size.batch_rows >= at_once]
    for some in (large, sizes[len(large) :]):
        yield from some
        if not args.gradient_checkpointing:
            yield from (dataclasses.replace(size, gradient_checkpointing=True) for size in some)


def _halved(args: TrainingArguments) -> TrainingArguments | None:
    """Batches half as large and twice as many an update; None where they cannot be halved."""
    name = "batch_size" if args.batch_tokens is None else "batch_tokens"
    half, odd = divmod(getattr(args, name), 2)
    if odd or (args.batch_tokens is not None and half < args.max_length):
        return None
    return dataclasses.replace(args, **{name: half}, gradient_accumulation_steps=2 * args.gradient_accumulation_steps)


def _peak(model: Any, args: TrainingArguments) -> float:
    """Bytes of the whole process: what it has now, gradients, both moments, the best weights, a copy of the weights in
    16 bits, and activations."""
    model.compute_in(args.dtype)
    flat, half = model.weights.nbytes, 0 if model.half is None else model.half.nbytes
    moments = flat // (1 if args.optim_dtype == "float32" else 2)
    copies = 1 + (args.load_best_model_at_end or "best" in args.save_strategy)
    model.recompute(len(model.blocks) if args.gradient_checkpointing else 0)
    rows = most_rows(args.batch_rows, args.max_length, rows_at_once(model.config.hidden_size))
    activations = model.planned_bytes(rows, rows, True, resolve_threads(args.n_threads))
    peak: float = _SPARE * (resident_bytes() + copies * flat + 2 * moments + half + activations)
    return peak


def _describe(limit: str, chosen: TrainingArguments, needed: float) -> str:
    return tr(
        "to stay below {limit} (about {needed:.0f} MB): {name} {batch} x gradient_accumulation_steps {times}, "
        "activations {kept}",
        limit=limit,
        needed=needed / 1e6,
        name="batch_size" if chosen.batch_tokens is None else "batch_tokens",
        batch=chosen.batch_tokens or chosen.batch_size,
        times=chosen.gradient_accumulation_steps,
        kept=tr("recomputed") if chosen.gradient_checkpointing else tr("kept"),
    )
