"""Learning-rate schedules: pure functions from the step to a multiplier of the learning rate.

`step` is the number of optimizer updates done before: 0 at the first, `steps - 1` at the last (or epochs, if
both are counted in them). Multipliers are in [0, 1].
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from rgz.errors import RgzError
from rgz.messages import tr
from rgz.strict import Strict, unknown_name


class Schedule(Protocol):
    def __call__(self, step: int, /) -> float: ...


def warmup_updates(warmup: int | float, steps: int | None) -> int:
    """Return `warmup` as a number of updates: a float below 1 is a share of `steps`, rounded up."""
    if isinstance(warmup, float) and 0 < warmup < 1:
        if steps is None:
            raise RgzError(tr("warmup {warmup} is a share of the steps: give their number too", warmup=warmup))
        return min(math.ceil(warmup * steps), steps - 1)
    if warmup < 0 or warmup != int(warmup):
        raise RgzError(
            tr("warmup must be a number of updates, or a share between 0 and 1, got {warmup}", warmup=warmup)
        )
    return int(warmup)


def _rise(step: int, warmup: int) -> float:
    """Rise linearly to 1 at step `warmup`, from 1 / (warmup + 1): an update with 0 would be wasted."""
    return (step + 1) / (warmup + 1)


@dataclass(frozen=True)
class Constant(Strict):
    """1 at every step."""

    def __call__(self, step: int) -> float:
        return 1.0


@dataclass(frozen=True)
class ConstantWithWarmup(Strict):
    """Rise linearly for `warmup` updates, then stay at 1."""

    warmup: int | float = 0

    def __post_init__(self) -> None:
        self.check_types()
        object.__setattr__(self, "warmup", warmup_updates(self.warmup, None))

    def __call__(self, step: int) -> float:
        return _rise(step, int(self.warmup)) if step < self.warmup else 1.0


@dataclass(frozen=True)
class _Decaying(Strict):
    """What the schedules with an end share: rise for `warmup` updates, then fall from 1 to `floor`."""

    steps: int
    floor: float = 0.0
    warmup: int | float = 0

    def __post_init__(self) -> None:
        self.check_types()
        if self.steps < 1:
            raise RgzError(tr("a schedule needs at least 1 step, got {steps}", steps=self.steps))
        if not 0 <= self.floor <= 1:
            raise RgzError(tr("the floor of a schedule must be in [0, 1], got {floor}", floor=self.floor))
        warmup = warmup_updates(self.warmup, self.steps)
        if warmup >= self.steps:
            raise RgzError(
                tr(
                    "warmup must be shorter than the {steps} steps, got {warmup}",
                    steps=self.steps,
                    warmup=warmup,
                )
            )
        object.__setattr__(self, "warmup", warmup)

    def __call__(self, step: int) -> float:
        if step < self.warmup:
            return _rise(step, int(self.warmup))
        return self.floor + (1 - self.floor) * self._fall(step - int(self.warmup), self.steps - int(self.warmup))

    def _fall(self, step: int, steps: int) -> float:
        """Return what is left, from 1 to 0, at `step` of `steps`."""
        raise NotImplementedError


@dataclass(frozen=True)
class Linear(_Decaying):
    """Fall in a straight line from 1 to `floor`, which step `steps` would have; stay there afterwards.

    steps, warmup : counted in optimizer updates, 0 <= warmup < steps (or a share of them); else RgzError.
    floor : in [0, 1].
    """

    def _fall(self, step: int, steps: int) -> float:
        return max(1 - step / steps, 0.0)


@dataclass(frozen=True)
class Cosine(_Decaying):
    """Fall along half a cosine from 1 to `floor`, which step `steps` would have; stay there afterwards.

    steps, warmup : counted in optimizer updates, 0 <= warmup < steps (or a share of them); else RgzError.
    floor : in [0, 1].
    Source: Loshchilov, Hutter 2017, "SGDR", arXiv:1608.03983, eq. 5 with one cycle; linear warmup added.
    """

    def _fall(self, step: int, steps: int) -> float:
        return _half_cosine(min(step / steps, 1.0))


@dataclass(frozen=True)
class CosineWithRestarts(_Decaying):
    """Fall along half a cosine from 1 to `floor` in each of `cycles` equal cycles, jumping back to 1 between.

    steps, warmup : counted in optimizer updates, 0 <= warmup < steps (or a share of them); else RgzError.
    floor : in [0, 1]; the step after a cycle's last would have it.
    cycles : 1 to one a step. A cycle has (steps - warmup) // cycles steps, as in the training guide of
        RustGPT-Chinese (cycles = its restarts + 1).
    restart_remainder : what the steps left over by that division get. False: the floor. True: the beginning
        of one more cycle, as the guide's formula has it; training then ends on its highest rates.
    Source: Loshchilov, Hutter 2017, "SGDR", arXiv:1608.03983, eq. 5; linear warmup added.
    """

    cycles: int = 1
    restart_remainder: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.cycles <= self.steps - self.warmup:
            raise RgzError(
                tr(
                    "cycles must be between 1 and the steps after warmup, {steps}, got {cycles}",
                    steps=self.steps - self.warmup,
                    cycles=self.cycles,
                )
            )

    def _fall(self, step: int, steps: int) -> float:
        cycle = steps // self.cycles
        if step >= self.cycles * cycle and not (self.restart_remainder and step < steps):
            return 0.0
        return _half_cosine(step % cycle / cycle)


def _half_cosine(progress: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * progress))


SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "constant": Constant,
    "constant_with_warmup": ConstantWithWarmup,
    "linear": Linear,
    "cosine": Cosine,
    "cosine_with_restarts": CosineWithRestarts,
}
# transformers' names of the same arguments
_ALIASES = {"num_cycles": "cycles", "min_lr_rate": "floor", "num_warmup_steps": "warmup"}


def get_schedule(
    name: str,
    *,
    total_steps: int,
    warmup_steps: int | float = 0,
    min_lr_ratio: float = 0.0,
    **kwargs: Any,
) -> Schedule:
    """Return the schedule called `name`: see SCHEDULES.

    total_steps : updates of the whole run. warmup_steps : updates, or as a float below 1 a share of them.
    min_lr_ratio : the multiplier at the end. kwargs : other fields of the schedule, under our names or those
    of transformers; they come before the three above. An unknown name is an RgzError that says the nearest.
    Schedules without a warmup or an end ("constant") make no use of these arguments, as in transformers.
    """
    if name not in SCHEDULES:
        raise unknown_name(tr("schedule"), name, SCHEDULES)
    schedule = SCHEDULES[name]
    fields = [field.name for field in dataclasses.fields(schedule)]  # type: ignore[arg-type]
    given = {"steps": total_steps, "floor": min_lr_ratio, "warmup": warmup_updates(warmup_steps, total_steps)}
    values = {key: value for key, value in given.items() if key in fields}
    for key, value in kwargs.items():
        field = _ALIASES.get(key, key)
        if field not in fields:
            raise unknown_name(tr("argument of the schedule"), key, fields)
        values[field] = value
    return schedule(**values)
