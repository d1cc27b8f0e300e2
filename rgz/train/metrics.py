"""Which value of a metric is better, and which metrics a run can watch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rgz.errors import RgzError
from rgz.messages import tr
from rgz.strict import unknown_name

if TYPE_CHECKING:
    from rgz.train.trainer import Trainer

VALIDATION_METRICS = ("val_loss", "val_perplexity")
_HIGHER_IS_BETTER = ("tokens_per_second", "samples_per_second", "loss_scale")


def is_better(value: float | None, than: float | None, mode: str, min_delta: float = 0.0) -> bool:
    """Whether `value` beats `than` by more than min_delta; nothing beats NaN's absence, NaN beats nothing."""
    if value is None or math.isnan(value):
        return False
    if than is None:
        return True
    return value > than + min_delta if mode == "max" else value < than - min_delta


def resolve_mode(monitor: str, mode: str) -> str:
    if mode not in ("auto", "min", "max"):
        raise unknown_name("mode", mode, ("auto", "min", "max"))
    return mode if mode != "auto" else ("max" if monitor in _HIGHER_IS_BETTER else "min")


def check_monitor(monitor: str, trainer: Trainer) -> None:
    """Refuse a metric that this run will never report."""
    if monitor in VALIDATION_METRICS and not trainer.has_validation:
        raise RgzError(
            tr(
                "{monitor} cannot be watched: there is no validation data; give some, "
                "or watch the training loss: metric_for_best_model='loss'",
                monitor=monitor,
            )
        )
    if monitor not in trainer.metric_names:
        raise unknown_name(tr("metric"), monitor, trainer.metric_names)
