"""Schedules by name, with the names and arguments that torch and transformers give them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from rgz.config import LR_INTERVALS
from rgz.errors import RgzError
from rgz.messages import tr
from rgz.schedules.base import PerEpoch, Schedule, as_updates, check_steps_per_epoch, warmup_updates
from rgz.schedules.decay import (
    Constant,
    ConstantWithWarmup,
    Cosine,
    CosineWithRestarts,
    Exponential,
    InverseSqrt,
    Linear,
    Polynomial,
)
from rgz.schedules.phases import OneCycle, Sequential, WarmupStableDecay, check_milestones
from rgz.schedules.plateau import ReduceLROnPlateau
from rgz.strict import unknown_name

SCHEDULES: dict[str, type[Schedule]] = {
    "constant": Constant,
    "constant_with_warmup": ConstantWithWarmup,
    "linear": Linear,
    "cosine": Cosine,
    "cosine_with_restarts": CosineWithRestarts,
    "polynomial": Polynomial,
    "inverse_sqrt": InverseSqrt,
    "exponential": Exponential,
    "one_cycle": OneCycle,
    "warmup_stable_decay": WarmupStableDecay,
    "reduce_lr_on_plateau": ReduceLROnPlateau,
    "sequential": Sequential,
}
# Other names of the same: torch's classes, and one of transformers.
_NAMES = {
    "CosineAnnealingLR": "cosine",
    "CosineAnnealingWarmRestarts": "cosine_with_restarts",
    "ExponentialLR": "exponential",
    "OneCycleLR": "one_cycle",
    "PolynomialLR": "polynomial",
    "ReduceLROnPlateau": "reduce_lr_on_plateau",
    "SequentialLR": "sequential",
    "cosine_with_min_lr": "cosine",
    "wsd": "warmup_stable_decay",
}
_ARGUMENTS = {
    "T_0": "first_cycle",
    "T_max": "steps",
    "T_mult": "cycle_factor",
    "total_iters": "steps",
    "num_cycles": "cycles",
    "min_lr_rate": "floor",
    "num_warmup_steps": "warmup",
    "num_decay_steps": "decay",
    "num_stable_steps": "stable",
}
_RESERVED = (
    "name", "steps", "total_steps", "warmup_steps", "min_lr_ratio", "interval", "steps_per_epoch", "learning_rate",
)  # fmt: skip
_RATES = ("lr_end", "min_lr", "eta_min")  # learning rates, where a floor is a share of the highest


def get_schedule(
    name: str,
    *,
    total_steps: int,
    warmup_steps: int | float = 0,
    min_lr_ratio: float = 0.0,
    interval: str = "step",
    steps_per_epoch: int = 1,
    learning_rate: float | None = None,
    monitor: str = "val_loss",
    **kwargs: Any,
) -> Schedule:
    """Return the schedule called `name`: see SCHEDULES.

    total_steps : updates of the whole run. warmup_steps : updates, or as a float below 1 a share of them.
    min_lr_ratio : the multiplier at the end. monitor : what reduce_lr_on_plateau watches.
    interval : "step", or "epoch": the schedule moves once every steps_per_epoch updates, and its steps and its
        warmup are counted in epochs.
    learning_rate : the highest; needed for kwargs that are learning rates (lr_end, min_lr, eta_min).
    kwargs : other fields of the schedule, under our names or those of torch and transformers; they come before the
        above. "sequential" takes milestones and, as `schedules`, a list of {"name": ..., and its arguments}.
    An unknown name is an RgzError that says the nearest. Schedules without a warmup or an end ("constant") make no
    use of these arguments, as in transformers.
    """
    kind = schedule_type(name)
    if interval not in LR_INTERVALS:
        raise unknown_name("interval", interval, LR_INTERVALS)
    check_steps_per_epoch(steps_per_epoch)
    if interval == "epoch":
        schedule = get_schedule(
            name,
            total_steps=math.ceil(total_steps / steps_per_epoch),
            warmup_steps=warmup_steps,
            min_lr_ratio=min_lr_ratio,
            learning_rate=learning_rate,
            monitor=monitor,
            **kwargs,
        )
        return PerEpoch(schedule, steps_per_epoch)
    values = _renamed(kind, kwargs, learning_rate)
    if kind is Sequential:
        return _sequence(values, total_steps=total_steps, min_lr_ratio=min_lr_ratio, learning_rate=learning_rate)
    usual = {"steps": total_steps, "floor": min_lr_ratio, "warmup": warmup_steps, "monitor": monitor}
    values = {key: value for key, value in usual.items() if key in argument_names(name)} | values
    if isinstance(values.get("warmup"), float):
        values["warmup"] = warmup_updates(values["warmup"], total_steps)
    return kind(**values)


def schedule_type(name: str) -> type[Schedule]:
    """The class of the schedule called `name`, in our words or torch's; RgzError with the nearest if unknown."""
    name = _NAMES.get(name, name)
    if name not in SCHEDULES:
        raise unknown_name(tr("schedule"), name, SCHEDULES)
    return SCHEDULES[name]


def refuse_reserved(where: str, arguments: Mapping[str, Any]) -> None:
    """Raise for an argument that whoever runs the schedule sets itself."""
    for name in _RESERVED:
        if name in arguments:
            raise RgzError(tr("{where} must not hold {name}: the run itself sets it", where=where, name=name))


def argument_names(name: str) -> list[str]:
    """The fields that the schedule called `name` takes."""
    return [field.name for field in dataclasses.fields(schedule_type(name)) if field.init]  # type: ignore[arg-type]


def _renamed(kind: type[Schedule], kwargs: Mapping[str, Any], learning_rate: float | None) -> dict[str, Any]:
    """`kwargs` under the names of the fields of `kind`; RgzError for what is none of them."""
    fields = [field.name for field in dataclasses.fields(kind) if field.init]  # type: ignore[arg-type]
    values = {}
    for key, value in kwargs.items():
        if key == "max_lr":
            raise RgzError(tr("{name} is the learning_rate of the run: give that", name=key))
        field = key if key in fields else "floor" if key in _RATES else _ARGUMENTS.get(key, key)
        if field not in fields:
            raise unknown_name(tr("argument of the schedule"), key, fields)
        if field in values:
            raise RgzError(tr("{name} of the schedule is given twice, once as {other}", name=field, other=key))
        if key in _RATES:
            value = _share(key, value, learning_rate)
        values[field] = value
    return values


def _share(key: str, value: Any, learning_rate: float | None) -> float:
    """A learning rate as a share of the highest one."""
    if learning_rate is None:
        raise RgzError(tr("{name} is a learning rate: give learning_rate too, or floor instead", name=key))
    if not isinstance(value, int | float) or not 0 <= value <= learning_rate:
        raise RgzError(
            tr(
                "{name} must be a learning rate from 0 to {highest:g}, got {value}",
                name=key,
                highest=learning_rate,
                value=repr(value),
            )
        )
    return value / learning_rate


def _sequence(values: dict[str, Any], *, total_steps: int, **usual: Any) -> Sequential:
    """The parts built from their names; each has as many steps as there are to the next milestone."""
    specs, marks = values.get("schedules"), values.get("milestones", [])
    if not (isinstance(specs, list | tuple) and all(isinstance(spec, Mapping) and "name" in spec for spec in specs)):
        raise RgzError(
            tr(
                "a sequence needs schedules: a list of {example}, got {value}",
                example='{"name": "linear", "floor": 0.1}',
                value=repr(specs),
            )
        )
    if not (isinstance(marks, list | tuple) and all(isinstance(mark, int | float) for mark in marks)):
        raise RgzError(tr("milestones must be a list of numbers, got {value}", value=repr(marks)))
    milestones = [as_updates("milestones", mark, total_steps) for mark in marks]
    check_milestones(milestones, len(specs))
    for mark, milestone in zip(marks, milestones, strict=True):  # a share is never beyond the end
        if milestone == mark and milestone >= total_steps:
            raise RgzError(
                tr(
                    "milestones must be less than the {steps} steps of the run, got {milestone}: the schedule after it "
                    "would never begin",
                    steps=total_steps,
                    milestone=milestone,
                )
            )
    parts = []
    for spec, begin, end in zip(specs, [0, *milestones], [*milestones, total_steps], strict=True):
        arguments = {key: value for key, value in spec.items() if key != "name"}
        refuse_reserved("schedules", arguments)
        parts.append(get_schedule(spec["name"], total_steps=max(end - begin, 1), **usual, **arguments))
    return Sequential(tuple(parts), tuple(milestones))
