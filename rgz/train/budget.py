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
from rgz.train.plan import TrainingPlan, plan_training

_SPARE = 1.03  # what the reports, the progress bar and the allocator take besides
_FULL_ROWS = 1024  # rows of a batch below which its products no longer run at full speed


def fit_plan(
    model: Any, tokenizer: Any, plan: TrainingPlan, args: TrainingArguments
) -> tuple[TrainingPlan, TrainingArguments]:
    """The plan, made again with the arguments that `fit_memory` chooses now that the text is in memory too."""
    args, sentence = fit_memory(model, args)
    # The texts are augmented and held out already.
    split = dataclasses.replace(args, augment=None, validation_split=0.0 if plan.val is None else args.validation_split)
    again = plan_training(plan.varied or plan.train, plan.val, tokenizer, split, model.config)
    return dataclasses.replace(again, notices=(sentence, *plan.notices)), args


def fit_memory(model: Any, args: TrainingArguments) -> tuple[TrainingArguments, str]:
    """The arguments with which a run stays below args.max_memory, and a sentence that says what was chosen.

    Batches are halved, and as many more accumulated, so that an update sees the same tokens. As long as they are
    large enough to run at full speed that is tried before recomputing, which costs a third of the time.
    max_memory itself is then None: a resumed run goes on with what was chosen. RgzError where nothing fits.
    """
    assert args.max_memory is not None
    limit = parse_bytes("max_memory", args.max_memory)
    least = None
    for batch_size, recompute in _choices(args):
        needed = _peak(model, args, batch_size, recompute)
        least = needed if least is None else min(least, needed)
        if needed <= limit:
            times = args.batch_size // batch_size
            chosen = dataclasses.replace(
                args,
                batch_size=batch_size,
                gradient_accumulation_steps=args.gradient_accumulation_steps * times,
                gradient_checkpointing=recompute,
                max_memory=None,
            )
            return chosen, _describe(args.max_memory, chosen, needed)
    raise RgzError(
        tr(
            "max_memory={limit} is too little for this model: it takes at least {least:.0f} MB with the smallest "
            "batches and activations recomputed; allow more, or choose a smaller model or max_length",
            limit=args.max_memory,
            least=(least or 0) / 1e6,
        )
    )


def _choices(args: TrainingArguments) -> Iterator[tuple[int, bool]]:
    """(batch_size, recompute), the fastest first."""
    sizes = [args.batch_size]
    while sizes[-1] % 2 == 0:
        sizes.append(sizes[-1] // 2)
    large = [size for size in sizes if size == sizes[0] or size * args.max_length >= _FULL_ROWS]
    for some in (large, sizes[len(large) :]):
        if not args.gradient_checkpointing:
            yield from ((size, False) for size in some)
        yield from ((size, True) for size in some)


def _peak(model: Any, args: TrainingArguments, batch_size: int, recompute: bool) -> float:
    """Bytes of the whole process: what it has now, gradients, both moments, the best weights, and activations."""
    flat = model.weights.nbytes
    copies = 3 + (args.load_best_model_at_end or "best" in args.save_strategy)
    model.recompute(len(model.blocks) if recompute else 0)
    rows = batch_size * args.max_length
    activations = model.planned_bytes(rows, rows, True, resolve_threads(args.n_threads))
    peak: float = _SPARE * (resident_bytes() + copies * flat + activations)
    return peak


def _describe(limit: str, chosen: TrainingArguments, needed: float) -> str:
    return tr(
        "to stay below {limit} (about {needed:.0f} MB): batch_size {batch} x gradient_accumulation_steps {times}, "
        "activations {kept}",
        limit=limit,
        needed=needed / 1e6,
        batch=chosen.batch_size,
        times=chosen.gradient_accumulation_steps,
        kept=tr("recomputed") if chosen.gradient_checkpointing else tr("kept"),
    )
