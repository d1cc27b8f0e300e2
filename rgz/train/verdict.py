"""What the curves of a finished run say, in sentences."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

from rgz.messages import tr

_RISE = 0.05  # nats above its minimum before a validation curve counts as risen: 5 % in perplexity
_GAP = 1.0  # nats between training and validation loss that mean memorising: 2.7 times in perplexity
_LITTLE = 0.02  # share of the first loss; less than that learned in a whole run is nothing
_SPIKE = 10.0  # times the running median of the gradient norm (the guide's warning level)
_ENOUGH = 5  # norms before a median means anything


def verdicts(history: Sequence[dict[str, Any]], skipped_updates: int = 0) -> list[str]:
    """One sentence for each thing worth knowing about a run; none for a run where all went well."""
    sentences = []
    if skipped_updates:
        sentences.append(
            tr(
                "{count} updates were skipped because loss or gradient was not finite; "
                "if there are many, lower the learning rate",
                count=skipped_updates,
            )
        )
    checks = (_explosion, _nothing_learned, _overfitting)
    return sentences + [sentence for check in checks if (sentence := check(history))]


def _series(history: Sequence[dict[str, Any]], name: str) -> list[tuple[int, float]]:
    """(step, value) wherever the value is a number."""
    values = ((report["step"], report.get(name)) for report in history)
    return [(step, value) for step, value in values if value is not None and math.isfinite(value)]


def _explosion(history: Sequence[dict[str, Any]]) -> str | None:
    norms = _series(history, "grad_norm")
    for i in range(_ENOUGH, len(norms)):
        median = statistics.median(norm for _, norm in norms[:i])
        step, norm = norms[i]
        if norm > _SPIKE * median > 0:
            return tr(
                "the gradient exploded at step {step}: norm {norm}, {times} times its median until then; "
                "lower the learning rate or lengthen the warmup",
                step=step,
                norm=f"{norm:.3g}",
                times=f"{norm / median:.0f}",
            )
    return None


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


def _overfitting(history: Sequence[dict[str, Any]]) -> str | None:
    curve = _series(history, "val_loss")
    losses = _series(history, "loss")
    if not curve or not losses:
        return None
    best_step, best = min(curve, key=lambda point: point[1])
    last_step, last = curve[-1]
    before = [loss for step, loss in losses if step <= best_step]
    if last > best + _RISE and before and losses[-1][1] < before[-1]:
        return tr(
            "overfitting: the validation loss was best at step {best_step} ({best}) and rose to {last} "
            "while the training loss went on falling; train less, or give more text or more dropout",
            best_step=best_step,
            best=f"{best:.4f}",
            last=f"{last:.4f}",
        )
    train = [loss for step, loss in losses if step <= last_step][-1:]
    if train and last > train[0] + _GAP:
        return tr(
            "memorised: perplexity is {train} on the training text but {val} on text held out from it; "
            "the model knows its corpus by heart more than the language",
            train=f"{math.exp(min(train[0], 700)):.2f}",
            val=f"{math.exp(min(last, 700)):.2f}",
        )
    return None
