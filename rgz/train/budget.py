"""Fitting a run into a memory budget: how many tokens at a time, and what to compute twice."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

from rgz.config import TrainingArguments
from rgz.cpu import peak_bytes, resident_bytes
from rgz.errors import RgzError
from rgz.messages import mark, tr
from rgz.optim.adamw import moment_bytes
from rgz.strict import parse_bytes
from rgz.threads import resolve_threads
from rgz.train.checkpoint import Checkpoint
from rgz.train.portions import most_rows, usual_portion

_SPARE = 1.05  # what evaluations, the reports, the progress bar and the allocator take besides
# What is done once a portion, such as packing the weights, costs as much as so many rows: on wide models portions of
# 512 are 1 to 2 % slower than those of 1,024 (see portions.py). Recomputing costs a third.
_FIXED_ROWS, _RECOMPUTED = 20, 4 / 3


def fit_memory(model: Any, args: TrainingArguments, max_rows: int) -> tuple[TrainingArguments, str]:
    """The arguments with which a run stays below args.max_memory, and a sentence that says what was chosen.

    max_rows : of the largest batch. Batches, and so the samples of each update, stay what they are: only the portions
    in which they pass through the model become smaller, unless args.portion_tokens says how large they are, and
    activations are recomputed where that is faster than smaller portions or nothing else fits.
    max_memory itself is then None: a resumed run goes on with what was chosen. RgzError where nothing fits.
    """
    assert args.max_memory is not None
    limit = parse_bytes("max_memory", args.max_memory)
    sizes = [args.portion_tokens] if args.portion_tokens else list(_sizes(model, args.max_length, max_rows))
    least = None
    for size, recomputed in _fastest_first(sizes, args.gradient_checkpointing):
        choice = dataclasses.replace(args, max_memory=None, portion_tokens=size, gradient_checkpointing=recomputed)
        needed = _peak(model, choice, max_rows)
        least = needed if least is None else min(least, needed)
        if needed <= limit:
            return choice, _describe(args.max_memory, choice, needed) + _already_taken(limit)
    raise RgzError(
        tr(
            "max_memory={limit} is too little for this model: it takes at least {least:.0f} MB with {rows} tokens at a "
            "time and activations recomputed; allow more, or choose a smaller model or max_length",
            limit=args.max_memory,
            least=(least or 0) / 1e6,
            rows=f"{sizes[-1]:,}",
        )
    )


def go_on_with(checkpoint: Checkpoint, args: TrainingArguments) -> TrainingArguments:
    """The arguments of a resumed run, whose portions were chosen when it began: others would round otherwise."""
    saved = checkpoint.state["arguments"]
    if args.max_memory is None or args.portion_tokens is not None or not isinstance(saved, dict):
        return args
    return dataclasses.replace(args, portion_tokens=saved.get("portion_tokens"))


def _sizes(model: Any, longest: int, max_rows: int) -> Iterator[int]:
    """Portions from the usual one down to that of a single sequence."""
    yield (usual := usual_portion(model.config.hidden_size))
    size = min(usual, max_rows)
    while size > longest:
        size = max(size // 2, longest)
        yield size


def _fastest_first(sizes: list[int], always_recompute: bool) -> list[tuple[int, bool]]:
    """Each size with activations kept and with activations recomputed."""
    kinds = (True,) if always_recompute else (False, True)

    def cost(choice: tuple[int, bool]) -> float:
        return (1 + _FIXED_ROWS / choice[0]) * (_RECOMPUTED if choice[1] else 1)

    return sorted(itertools.product(sizes, kinds), key=cost)


def _peak(model: Any, args: TrainingArguments, max_rows: int) -> float:
    """Bytes of the whole process: what it has now, gradients, both moments, the best weights, a copy of the weights in
    16 bits, and activations."""
    assert args.portion_tokens is not None
    model.compute_in(args.dtype)
    flat, half = model.weights.nbytes, 0 if model.half is None else model.half.nbytes
    moments = moment_bytes(args.optim_dtype, model.layout.total, model.layout.n_decayed)
    copies = 1 + (args.load_best_model_at_end or "best" in args.save_strategy)
    model.recompute(len(model.blocks) if args.gradient_checkpointing else 0)
    rows = most_rows(max_rows, args.max_length, args.portion_tokens)
    activations = model.planned_bytes(rows, rows, True, resolve_threads(args.n_threads))
    peak: float = _SPARE * (resident_bytes() + copies * flat + moments + half + activations)
    return peak


def _already_taken(limit: float) -> str:
    """A second half of the sentence where preparing the run took more than it may take, which nothing changes now."""
    if (taken := peak_bytes()) <= limit:
        return ""
    return mark("; ") + tr(
        "but reading and encoding the text has taken {taken:.0f} MB before: the next run finds the dictionary and the "
        "tokens in the cache",
        taken=taken / 1e6,
    )


def _describe(limit: str, chosen: TrainingArguments, needed: float) -> str:
    return tr(
        "to stay below {limit} (about {needed:.0f} MB): portions of up to {rows} tokens, activations {kept}; "
        "an update sees the same batches as without a limit",
        limit=limit,
        needed=needed / 1e6,
        rows=f"{chosen.portion_tokens:,}",
        kept=tr("recomputed") if chosen.gradient_checkpointing else tr("kept"),
    )
