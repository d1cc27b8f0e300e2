"""Learning-rate schedules: pure functions from the step to a multiplier of the learning rate.

`step` is the number of optimizer updates done before: 0 at the first, `steps - 1` at the last (or epochs, if
both are counted in them: see PerEpoch). Multipliers are in [0, 1].
"""

from rgz.schedules.base import PerEpoch, Schedule
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
from rgz.schedules.phases import OneCycle, Sequential, WarmupStableDecay
from rgz.schedules.plateau import ReduceLROnPlateau
from rgz.schedules.table import SCHEDULES, argument_names, get_schedule, refuse_reserved, schedule_type

__all__ = [
    "SCHEDULES",
    "Constant",
    "ConstantWithWarmup",
    "Cosine",
    "CosineWithRestarts",
    "Exponential",
    "InverseSqrt",
    "Linear",
    "OneCycle",
    "PerEpoch",
    "Polynomial",
    "ReduceLROnPlateau",
    "Schedule",
    "Sequential",
    "WarmupStableDecay",
    "argument_names",
    "get_schedule",
    "refuse_reserved",
    "schedule_type",
]
