"""The one schedule that looks at how training goes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rgz.schedules.base import Schedule, check_floor, rise, warmup_updates
from rgz.strict import check_like


@dataclass
class Progress:
    """best : value so far; bad, cooldown : evaluations; factor : the product of the reductions."""

    best: float | None = None
    bad: int = 0
    cooldown: int = 0
    factor: float = 1.0


@dataclass(frozen=True)
class ReduceLROnPlateau(Schedule):
    """Multiply by `factor` whenever `monitor` has not improved for more than `patience` evaluations.

    An evaluation improves iff its value beats the best one by `threshold`: relative to it ("rel") or absolute ("abs");
    mode "min" or "max" says what is better. After a reduction `cooldown` evaluations do not count as bad. Never
    below `floor`; a reduction of the multiplier by no more than `eps` is not made. Before all that, `warmup` updates
    rise linearly. NaN improves nothing. Names, defaults and meaning as torch's ReduceLROnPlateau (its min_lr is
    floor x learning rate). Its state goes into checkpoints.
    """

    monitor: str = "val_loss"
    mode: str = "min"
    factor: float = 0.1
    patience: int = 10
    threshold: float = 1e-4
    threshold_mode: str = "rel"
    cooldown: int = 0
    floor: float = 0.0
    warmup: int | float = 0
    eps: float = 1e-8
    progress: Progress = field(default_factory=Progress, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.check_types()
        self.one_of("mode", ("min", "max"))
        self.one_of("threshold_mode", ("rel", "abs"))
        self.need(0 < self.factor < 1, "factor", "> 0, < 1")
        for name in ("patience", "cooldown", "threshold", "eps"):
            self.need(0 <= getattr(self, name) < math.inf, name, ">= 0")
        check_floor(self.floor)
        object.__setattr__(self, "warmup", warmup_updates(self.warmup, None))

    def __call__(self, step: int) -> float:
        return self.progress.factor * (rise(step, int(self.warmup)) if step < self.warmup else 1.0)

    @property
    def watches(self) -> str | None:
        return self.monitor

    def observe(self, value: float | None) -> None:
        now = self.progress
        if self._improves(value):
            now.best, now.bad = value, 0
        else:
            now.bad += 1
        if now.cooldown > 0:
            now.cooldown -= 1
            now.bad = 0
        if now.bad > self.patience:
            reduced = max(now.factor * self.factor, self.floor)
            if now.factor - reduced > self.eps:
                now.factor = reduced
            now.cooldown, now.bad = self.cooldown, 0

    def _improves(self, value: float | None) -> bool:
        if value is None or math.isnan(value):
            return False
        best = self.progress.best
        if best is None:
            return True
        margin = self.threshold * (best if self.threshold_mode == "rel" else 1.0)
        return value < best - margin if self.mode == "min" else value > best + margin

    def state_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self.progress)

    def load_state_dict(self, values: Mapping[str, Any]) -> None:
        fresh = dataclasses.asdict(Progress())
        checked = check_like(fresh, {**fresh, **values})
        if checked["factor"] is None:  # a number from the beginning
            raise ValueError("factor")
        for name, value in checked.items():
            setattr(self.progress, name, value)
