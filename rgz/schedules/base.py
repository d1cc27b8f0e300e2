"""What every schedule is and shares: its interface, amounts of steps, the warmup, counting in epochs."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rgz.errors import RgzError
from rgz.messages import tr
from rgz.strict import Strict


class Schedule(Strict):
    """Calling it with the number of updates done before gives the learning rate's multiplier, in [0, 1].

    All but ReduceLROnPlateau are pure functions of the step: they watch nothing and have no state.
    """

    def __call__(self, step: int) -> float:
        raise NotImplementedError

    @property
    def watches(self) -> str | None:
        """The metric that `observe` wants after each evaluation; None where the course is fixed."""
        return None

    def observe(self, value: float | None) -> None:
        """Take in the metric of an evaluation."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must hold to go on as if never interrupted; JSON values."""
        return {}

    def load_state_dict(self, values: Mapping[str, Any]) -> None:
        """Go on from a `state_dict`; from an empty one: begin anew."""


def as_updates(name: str, amount: int | float, steps: int | None) -> int:
    """`amount` as a number of updates: a float below 1 is a share of `steps`, rounded up."""
    if isinstance(amount, float) and 0 < amount < 1:
        if steps is None:
            raise RgzError(
                tr("{name} {amount} is a share of the steps: give their number too", name=name, amount=amount)
            )
        return math.ceil(amount * steps)
    if not math.isfinite(amount) or amount < 0 or amount != int(amount):
        raise RgzError(
            tr("{name} must be a number of updates, or a share between 0 and 1, got {amount}", name=name, amount=amount)
        )
    return int(amount)


def warmup_updates(warmup: int | float, steps: int | None) -> int:
    """Return `warmup` as a number of updates; a share of `steps` leaves at least one step after it."""
    updates = as_updates("warmup", warmup, steps)
    return min(updates, steps - 1) if steps is not None and 0 < warmup < 1 else updates


def check_floor(floor: float) -> None:
    if not 0 <= floor <= 1:
        raise RgzError(tr("the floor of a schedule must be in [0, 1], got {floor}", floor=floor))


def is_whole(value: object) -> bool:
    """Whether it is an integer, one of NumPy's too."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def check_steps_per_epoch(value: int) -> None:
    if not is_whole(value) or value < 1:
        name, got = "steps_per_epoch", repr(value)
        raise RgzError(tr("{name} must be {wanted}, got {value}", name=name, wanted=">= 1", value=got))


def rise(step: int, warmup: int) -> float:
    """Rise linearly to 1 at step `warmup`, from 1 / (warmup + 1): an update with 0 would be wasted."""
    return (step + 1) / (warmup + 1)


def half_cosine(progress: float) -> float:
    """Half a cosine, from 1 at progress 0 to 0 at progress 1."""
    return 0.5 * (1 + math.cos(math.pi * progress))


@dataclass(frozen=True)
class Decaying(Schedule):
    """What the schedules with an end share: rise for `warmup` updates, then fall from 1 to `floor`."""

    steps: int
    floor: float = 0.0
    warmup: int | float = 0

    def __post_init__(self) -> None:
        self.check_types()
        if self.steps < 1:
            raise RgzError(tr("a schedule needs at least 1 step, got {steps}", steps=self.steps))
        check_floor(self.floor)
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

    @property
    def steps_after_warmup(self) -> int:
        return self.steps - int(self.warmup)

    def __call__(self, step: int) -> float:
        if step < self.warmup:
            return rise(step, int(self.warmup))
        return self.floor + (1 - self.floor) * self._fall(step - int(self.warmup), self.steps_after_warmup)

    def _fall(self, step: int, steps: int) -> float:
        """Return what is left, from 1 to 0, at `step` of `steps`."""
        raise NotImplementedError


def need_schedule(name: str, value: object) -> None:
    if not isinstance(value, Schedule):
        wanted = tr("a schedule, such as rgz.schedules.Cosine(100)")
        raise RgzError(tr("{name} must be {wanted}, got {value}", name=name, wanted=wanted, value=repr(value)))


@dataclass(frozen=True)
class PerEpoch(Schedule):
    """Another schedule, its steps counted in epochs: the same multiplier for all updates of an epoch.

    steps_per_epoch : updates of an epoch, >= 1; else RgzError.
    """

    schedule: Schedule
    steps_per_epoch: int

    def __post_init__(self) -> None:
        need_schedule("schedule", self.schedule)
        check_steps_per_epoch(self.steps_per_epoch)

    def __call__(self, step: int) -> float:
        return self.schedule(step // self.steps_per_epoch)

    @property
    def watches(self) -> str | None:
        return self.schedule.watches

    def observe(self, value: float | None) -> None:
        self.schedule.observe(value)

    def state_dict(self) -> dict[str, Any]:
        return self.schedule.state_dict()

    def load_state_dict(self, values: Mapping[str, Any]) -> None:
        self.schedule.load_state_dict(values)
