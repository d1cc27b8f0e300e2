"""Schedules made of phases: one cycle, warmup-stable-decay, and any others one after the other."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rgz.errors import RgzError
from rgz.messages import tr
from rgz.schedules.base import Decaying, Schedule, as_updates, half_cosine, is_whole, need_schedule, rise

_LEFT: dict[str, Callable[[float], float]] = {  # what is left, from 1 at progress 0 to 0 at progress 1
    "cosine": half_cosine,
    "linear": lambda progress: 1 - progress,
    "1-sqrt": lambda progress: 1 - math.sqrt(progress),
}


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Rise from 1 / div_factor to 1 in the first `pct_start` of the steps, then fall to 1 / (div_factor x
    final_div_factor), which the last step has; names, defaults and values as torch's OneCycleLR.

    steps : updates, >= 1. pct_start : in [0, 1]. div_factor, final_div_factor : >= 1. anneal_strategy : "cos" or
    "linear". three_phase : fall as fast as it rose, then go on to the end. RgzError for anything else. The momentum
    is not cycled.
    Source: Smith, Topin 2018, "Super-Convergence", arXiv:1708.07120.
    """

    steps: int
    pct_start: float = 0.3
    anneal_strategy: str = "cos"
    div_factor: float = 25.0
    final_div_factor: float = 1e4
    three_phase: bool = False

    def __post_init__(self) -> None:
        self.check_types()
        self.need(self.steps >= 1, "steps", ">= 1")
        self.need(0 <= self.pct_start <= (0.5 if self.three_phase else 1), "pct_start", self._range)
        self.one_of("anneal_strategy", ("cos", "linear"))
        for name in ("div_factor", "final_div_factor"):
            self.need(1 <= getattr(self, name) < math.inf, name, ">= 1")

    @property
    def _range(self) -> str:
        return ">= 0, <= 0.5" if self.three_phase else ">= 0, <= 1"

    def _phases(self) -> list[tuple[float, float, float]]:
        """(last step, multiplier at its beginning, at its end) of each phase."""
        first, last = 1 / self.div_factor, 1 / (self.div_factor * self.final_div_factor)
        top = self.pct_start * self.steps - 1
        if self.three_phase:
            return [(top, first, 1.0), (2 * top, 1.0, first), (self.steps - 1, first, last)]
        return [(top, first, 1.0), (self.steps - 1, 1.0, last)]

    def __call__(self, step: int) -> float:
        step = min(step, self.steps - 1)
        phases = self._phases()
        part = next(i for i, (end, _, _) in enumerate(phases) if step <= end)
        begin = phases[part - 1][0] if part else 0.0
        end, start_value, end_value = phases[part]
        progress = (step - begin) / (end - begin) if end > begin else 1.0
        left = _LEFT["cosine" if self.anneal_strategy == "cos" else "linear"](progress)
        return float(end_value + (start_value - end_value) * left)


@dataclass(frozen=True)
class WarmupStableDecay(Decaying):
    """Rise for `warmup` updates, stay at 1, then fall to `floor` in the last `decay` updates.

    steps, warmup : counted in optimizer updates, 0 <= warmup < steps (or a share of them); else RgzError.
    decay : updates, or below 1 a share of the steps; a share is cut to what the warmup leaves.
    stable : updates at 1. None: what warmup and decay leave; else the floor follows after the decay.
    warmup_type, decay_type : "cosine", "linear" or "1-sqrt"; the rise is the fall's mirror image.
    num_cycles : waves of a cosine decay, see Cosine.
    Source: Hu et al. 2024, "MiniCPM", arXiv:2404.06395, section 4.2; "1-sqrt": Hägele et al. 2024, arXiv:2405.18392;
    names as transformers' get_wsd_schedule.
    """

    decay: int | float = 0.2
    stable: int | None = None
    warmup_type: str = "linear"
    decay_type: str = "cosine"
    num_cycles: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("warmup_type", "decay_type"):
            self.one_of(name, tuple(_LEFT))
        self.need(0 < self.num_cycles < math.inf, "num_cycles", "> 0")
        if self.num_cycles != 0.5 and self.decay_type != "cosine":
            raise RgzError(tr("num_cycles is of a cosine; decay_type is {kind}", kind=self.decay_type))
        left = self.steps_after_warmup
        decay = as_updates("decay", self.decay, self.steps)
        if 0 < self.decay < 1:
            decay = min(decay, left)
        stable = left - decay if self.stable is None else self.stable
        if stable < 0 or stable + decay > left:
            raise RgzError(
                tr(
                    "stable and decay must fit in the {steps} steps after warmup, got {stable} and {decay}",
                    steps=left,
                    stable=stable,
                    decay=decay,
                )
            )
        object.__setattr__(self, "decay", decay)
        object.__setattr__(self, "stable", stable)

    def __call__(self, step: int) -> float:
        if step < self.warmup and self.warmup_type != "linear":
            return float(_LEFT[self.warmup_type](1 - rise(step, int(self.warmup))))
        return super().__call__(step)

    def _fall(self, step: int, steps: int) -> float:
        assert self.stable is not None
        if step < self.stable:
            return 1.0
        if step >= self.stable + self.decay:  # whatever the cosine's waves, as in transformers
            return 0.0
        progress = (step - self.stable) / self.decay
        if self.decay_type == "cosine":
            progress *= 2 * self.num_cycles
        return float(_LEFT[self.decay_type](progress))


@dataclass(frozen=True)
class Sequential(Schedule):
    """One schedule after another: the next takes over at each milestone and counts its steps from there.

    schedules : at least one; none of them may watch a metric. milestones : one fewer than schedules, rising, > 0.
    RgzError otherwise. Source: torch's SequentialLR.
    """

    schedules: tuple[Schedule, ...]
    milestones: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("schedules", "milestones"):
            value = getattr(self, name)
            self.need(isinstance(value, list | tuple), name, tr("a list"))
            object.__setattr__(self, name, tuple(value))
        for schedule in self.schedules:
            need_schedule("schedules", schedule)
        self.need(all(map(is_whole, self.milestones)), "milestones", tr("a list of integers"))
        check_milestones(self.milestones, len(self.schedules))
        if any(schedule.watches for schedule in self.schedules):
            raise RgzError(tr("a schedule that watches a metric cannot be part of a sequence"))

    def __call__(self, step: int) -> float:
        part = bisect.bisect_right(self.milestones, step)
        return self.schedules[part](step - (self.milestones[part - 1] if part else 0))


def check_milestones(milestones: Sequence[int], n_schedules: int) -> None:
    rising = all(a < b for a, b in zip((0, *milestones), milestones, strict=False))
    if len(milestones) != n_schedules - 1 or not rising:
        raise RgzError(
            tr(
                "milestones must be rising and one fewer than schedules, got {milestones} for {count} schedules",
                milestones=list(milestones),
                count=n_schedules,
            )
        )
