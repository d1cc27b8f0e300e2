"""Schedules that stay, or that fall along one formula after their warmup."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rgz.errors import RgzError
from rgz.messages import tr
from rgz.schedules.base import Decaying, Schedule, check_floor, half_cosine, rise, warmup_updates

_USUAL_TIMESCALE = 10_000  # that of transformers where there is no warmup to take it from


@dataclass(frozen=True)
class Constant(Schedule):
    """1 at every step."""

    def __call__(self, step: int) -> float:
        return 1.0


@dataclass(frozen=True)
class ConstantWithWarmup(Schedule):
    """Rise linearly for `warmup` updates, then stay at 1."""

    warmup: int | float = 0

    def __post_init__(self) -> None:
        self.check_types()
        object.__setattr__(self, "warmup", warmup_updates(self.warmup, None))

    def __call__(self, step: int) -> float:
        return rise(step, int(self.warmup)) if step < self.warmup else 1.0


@dataclass(frozen=True)
class Linear(Decaying):
    """Fall in a straight line from 1 to `floor`, which step `steps` would have; stay there afterwards.

    steps, warmup : counted in optimizer updates, 0 <= warmup < steps (or a share of them); else RgzError.
    floor : in [0, 1].
    """

    def _fall(self, step: int, steps: int) -> float:
        return max(1 - step / steps, 0.0)


@dataclass(frozen=True)
class Polynomial(Decaying):
    """Fall from 1 to `floor` as (1 - progress) ^ power: 1 is a line, 2 falls fast at first, 0.5 at the end.

    steps, floor, warmup : as in Linear. power : > 0; else RgzError.
    Source: transformers' get_polynomial_decay_schedule_with_warmup (its lr_end is floor x learning rate); torch's
    PolynomialLR with floor 0.
    """

    power: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.need(0 < self.power < math.inf, "power", "> 0")

    def _fall(self, step: int, steps: int) -> float:
        return float(max(1 - step / steps, 0.0) ** self.power)


@dataclass(frozen=True)
class Cosine(Decaying):
    """Fall along half a cosine from 1 to `floor`, which step `steps` would have; stay there afterwards, where torch's
    CosineAnnealingLR rises again.

    steps, warmup : counted in optimizer updates, 0 <= warmup < steps (or a share of them); else RgzError.
    floor : in [0, 1].
    num_cycles : waves of the cosine, > 0: half a one falls to the floor, a whole one rises again; as in transformers'
        get_cosine_schedule_with_warmup.
    Source: Loshchilov, Hutter 2017, "SGDR", arXiv:1608.03983, eq. 5 with one cycle; linear warmup added.
    """

    num_cycles: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self.need(0 < self.num_cycles < math.inf, "num_cycles", "> 0")

    def _fall(self, step: int, steps: int) -> float:
        return half_cosine(2 * self.num_cycles * min(step / steps, 1.0))


@dataclass(frozen=True)
class CosineWithRestarts(Decaying):
    """Fall along half a cosine from 1 to `floor` in each of `cycles` equal cycles, jumping back to 1 between.

    steps, warmup : counted in optimizer updates, 0 <= warmup < steps (or a share of them); else RgzError.
    floor : in [0, 1]; the step after a cycle's last would have it.
    cycles : 1 to one a step. A cycle has (steps - warmup) // cycles steps, as in the training guide of
        RustGPT-Chinese (cycles = its restarts + 1).
    restart_remainder : what the steps left over by that division get. False: the floor. True: the beginning
        of one more cycle, as the guide's formula has it; training then ends on its highest rates.
    first_cycle, cycle_factor : instead of `cycles`: the steps of the first one, >= 1, and how many times longer each
        is than the one before, >= 1; the last one may be cut short. Torch's CosineAnnealingWarmRestarts calls them
        T_0 and T_mult.
    Source: Loshchilov, Hutter 2017, "SGDR", arXiv:1608.03983, eq. 5; linear warmup added.
    """

    cycles: int = 1
    restart_remainder: bool = False
    first_cycle: int | None = None
    cycle_factor: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.need(self.first_cycle is None or self.first_cycle >= 1, "first_cycle", ">= 1")
        self.need(self.cycle_factor >= 1, "cycle_factor", ">= 1")
        if self.first_cycle is None and self.cycle_factor > 1:
            raise RgzError(tr("cycle_factor needs first_cycle, the steps that the first cycle has"))
        if self.first_cycle is not None and (self.cycles > 1 or self.restart_remainder):
            raise RgzError(tr("give either cycles, all as long, or first_cycle and cycle_factor"))
        if not 1 <= self.cycles <= self.steps_after_warmup:
            raise RgzError(
                tr(
                    "cycles must be between 1 and the steps after warmup, {steps}, got {cycles}",
                    steps=self.steps_after_warmup,
                    cycles=self.cycles,
                )
            )

    def _fall(self, step: int, steps: int) -> float:
        if self.first_cycle is not None:
            return half_cosine(self._place(step, self.first_cycle))
        cycle = steps // self.cycles
        if step >= self.cycles * cycle and not (self.restart_remainder and step < steps):
            return 0.0
        return half_cosine(step % cycle / cycle)

    def _place(self, step: int, cycle: int) -> float:
        """How much of its cycle is over at `step`, in [0, 1)."""
        while self.cycle_factor > 1 and step >= cycle:
            step -= cycle
            cycle *= self.cycle_factor
        return step % cycle / cycle


@dataclass(frozen=True)
class Exponential(Decaying):
    """Shrink by the same factor in equal times: gamma ^ (step / decay_steps), never below `floor`.

    steps, warmup : counted in optimizer updates, 0 <= warmup < steps (or a share of them); else RgzError.
    gamma : in (0, 1]. None: the one that reaches `floor`, which then must be above 0, at step `steps`.
    decay_steps : > 0; torch's ExponentialLR has 1. The training guide's 0.95^(epoch/10) is gamma 0.95 with
        decay_steps 10, counted in epochs.
    """

    gamma: float | None = None
    decay_steps: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.need(self.gamma is None or 0 < self.gamma <= 1, "gamma", "> 0, <= 1")
        self.need(0 < self.decay_steps < math.inf, "decay_steps", "> 0")
        if self.gamma is None and self.floor == 0:
            raise RgzError(tr("an exponential never reaches 0: give gamma, or a floor (min_lr_ratio) above 0"))

    def __call__(self, step: int) -> float:
        if step < self.warmup:
            return rise(step, int(self.warmup))
        step -= int(self.warmup)
        if self.gamma is None:
            return float(self.floor ** min(step / self.steps_after_warmup, 1.0))
        return float(max(self.gamma ** (step / self.decay_steps), self.floor))


@dataclass(frozen=True)
class InverseSqrt(Schedule):
    """Rise linearly for `warmup` updates, then fall as 1 / sqrt(step), never below `floor`; it has no end.

    timescale : after the warmup the multiplier is 1 / sqrt(1 + updates since then / timescale); > 0, else RgzError.
        None: the warmup, or 10,000 where there is none.
    floor : in [0, 1].
    Source: Vaswani et al. 2017, arXiv:1706.03762, eq. 3; timescale as in transformers' get_inverse_sqrt_schedule.
    """

    floor: float = 0.0
    warmup: int | float = 0
    timescale: int | None = None

    def __post_init__(self) -> None:
        self.check_types()
        check_floor(self.floor)
        object.__setattr__(self, "warmup", warmup_updates(self.warmup, None))
        if self.timescale is None:
            object.__setattr__(self, "timescale", int(self.warmup) or _USUAL_TIMESCALE)
        self.need((self.timescale or 0) > 0, "timescale", "> 0")

    def __call__(self, step: int) -> float:
        if step < self.warmup:
            return rise(step, int(self.warmup))
        assert self.timescale is not None
        return max(1 / math.sqrt(1 + (step - int(self.warmup)) / self.timescale), self.floor)
