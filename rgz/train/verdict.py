"""What the curves of a finished run say, in sentences."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

from rgz.messages import tr

_RISE = 0.05  # nats above its minimum before a validation curve counts as risen: 5 % in perplexity
_GAP = 1.0  # nats between training and validation loss that mean memorising: 2.7 times in perplexity
_LITTLE = 0.02  # share of the first loss; less than that learned in a whole run is nothing
SPIKE = 10.0  # times the running median of the gradient norm (the guide's warning level)
_ENOUGH = 5  # norms before a median means anything


class Spike(NamedTuple):
    """A gradient norm far above its running median: `times` as large."""

    step: int
    norm: float
    times: float


class Overfitting(NamedTuple):
    """The validation loss was best at best_step and is `last` now, while the training loss went on falling."""

    best_step: int
    best: float
    last: float


def verdicts(
    history: Sequence[dict[str, Any]], skipped_updates: int = 0, spikes: int = 0, worst: Spike | None = None
) -> list[str]:
    """One sentence for each thing worth knowing about a run; none for a run where all went well.

    skipped_updates : those that were not finite. spikes, worst : exploded gradients that somebody counted update by
    update; without them the reports are searched for one.
    """
    found = worst or _worst_reported(history)
    checks = (
        _skipped(skipped_updates),
        _exploded(max(spikes, 1), found) if found is not None else None,
        _nothing_learned(history),
        _overfitted(history) or _memorised(history),
    )
    return [sentence for sentence in checks if sentence]


def _skipped(count: int) -> str | None:
    if not count:
        return None
    return tr(
        "{count} updates were skipped because loss or gradient was not finite; "
        "if there are many, lower the learning rate",
        count=count,
    )


def _series(history: Sequence[dict[str, Any]], name: str) -> list[tuple[int, float]]:
    """(step, value) wherever the value is a number."""
    values = ((report["step"], report.get(name)) for report in history)
    return [(step, value) for step, value in values if value is not None and math.isfinite(value)]


def _worst_reported(history: Sequence[dict[str, Any]]) -> Spike | None:
    """The reported gradient norm that is farthest above the median of those before it, if far enough."""
    norms = _series(history, "grad_norm")
    spikes = []
    for i in range(_ENOUGH, len(norms)):
        median = statistics.median(norm for _, norm in norms[:i])
        step, norm = norms[i]
        if norm > SPIKE * median > 0:
            spikes.append(Spike(step, norm, norm / median))
    return max(spikes, key=lambda spike: spike.times, default=None)


def _exploded(count: int, worst: Spike) -> str:
    values = {"step": worst.step, "norm": f"{worst.norm:.3g}", "times": f"{worst.times:.0f}"}
    if count > 1:
        return tr(
            "the gradient exploded {count} times, worst at step {step}: norm {norm}, {times} times its median until "
            "then; lower the learning rate or lengthen the warmup",
            count=count,
            **values,
        )
    return tr(
        "the gradient exploded at step {step}: norm {norm}, {times} times its median until then; "
        "lower the learning rate or lengthen the warmup",
        **values,
    )


def _nothing_learned(history: Sequence[dict[str, Any]]) -> str | None:
    losses = _series(history, "loss")
    if len(losses) < 2:
        return None
    first, best = losses[0][1], min(loss for _, loss in losses[1:])
    if best > (1 - _LITTLE) * first:
        return tr(
            "nothing was learned: the training loss began at {first} and never got below {best}; "
            "try another learning rate or more steps",
            first=f"{first:.4f}",
            best=f"{best:.4f}",
        )
    return None


def find_overfitting(history: Sequence[dict[str, Any]]) -> Overfitting | None:
    """Whether the validation loss has risen from its minimum while the training loss went on falling."""
    curve, losses = _series(history, "val_loss"), _series(history, "loss")
    if not curve or not losses:
        return None
    best_step, best = min(curve, key=lambda point: point[1])
    before = [loss for step, loss in losses if step <= best_step]
    if curve[-1][1] > best + _RISE and before and losses[-1][1] < before[-1]:
        return Overfitting(best_step, best, curve[-1][1])
    return None


def _overfitted(history: Sequence[dict[str, Any]]) -> str | None:
    found = find_overfitting(history)
    if found is None:
        return None
    return tr(
        "overfitting: the validation loss was best at step {best_step} ({best}) and rose to {last} "
        "while the training loss went on falling; train less, or give more text or more dropout",
        best_step=found.best_step,
        best=f"{found.best:.4f}",
        last=f"{found.last:.4f}",
    )


def _memorised(history: Sequence[dict[str, Any]]) -> str | None:
    curve = _series(history, "val_loss")
    if not curve:
        return None
    last_step, last = curve[-1]
    train = [loss for step, loss in _series(history, "loss") if step <= last_step][-1:]
    if not train or last <= train[0] + _GAP:
        return None
    return tr(
        "memorised: perplexity is {train} on the training text but {val} on text held out from it; "
        "the model knows its corpus by heart more than the language",
        train=f"{math.exp(min(train[0], 700)):.2f}",
        val=f"{math.exp(min(last, 700)):.2f}",
    )
