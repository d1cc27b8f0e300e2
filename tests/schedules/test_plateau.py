"""reduce_lr_on_plateau: when it reduces, and that its state can be kept."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rgz.schedules import PerEpoch, ReduceLROnPlateau


def trace(schedule, values):
    """The multiplier before each evaluation."""
    multipliers = []
    for value in values:
        multipliers.append(schedule(10_000))
        schedule.observe(value)
    return multipliers


def test_the_course_is_that_of_torch():
    """Printed by torch 2.13 for the same values; benches/test_torch_schedules.py asks it anew."""
    values = [5, 4, 4.5, 4.2, 4.1, 3.9999, 3.9998, 4, 4, 4, 4, 4, 3, 3, 3, 3, 3, 3, 3, 3]
    want = [1.0] * 5 + [0.5] * 4 + [0.25] * 7 + [0.2] * 4
    assert trace(ReduceLROnPlateau(factor=0.5, patience=2, cooldown=1, floor=0.2), values) == want


@pytest.mark.parametrize(
    ("settings", "values", "want"),
    [
        ({"patience": 0}, [1, 1, 0.5, 0.6], [1, 1, 0.1, 0.1]),
        ({"patience": 0, "mode": "max"}, [1, 2, 2, 3], [1, 1, 1, 0.1]),
        ({"patience": 0, "threshold": 0.5, "threshold_mode": "abs"}, [4, 3.6, 3.4], [1, 1, 0.1]),
        ({"patience": 0, "threshold": 0.5}, [4, 3.4, 1.9], [1, 1, 0.1]),
        ({"patience": 1}, [math.nan, None, 3, 2], [1, 1, 0.1, 0.1]),
        ({"patience": 0, "floor": 0.05}, [1, 1, 1, 1], [1, 1, 0.1, 0.05]),
        ({"patience": 0, "cooldown": 2}, [1, 1, 1, 1, 1, 1, 1], [1, 1, 0.1, 0.1, 0.1, 0.01, 0.01]),
        ({"patience": 0, "eps": 0.95}, [1, 1, 1], [1, 1, 1]),
    ],
)
def test_what_counts_as_an_improvement_and_how_far_it_reduces(settings, values, want):
    assert trace(ReduceLROnPlateau(**settings), values) == pytest.approx(want)


def test_the_warmup_rises_to_what_is_left():
    schedule = ReduceLROnPlateau(patience=0, factor=0.5, warmup=3)
    schedule.observe(1.0)
    schedule.observe(1.0)
    assert [schedule(step) for step in range(5)] == [0.125, 0.25, 0.375, 0.5, 0.5]


values = st.lists(st.floats(0, 10) | st.just(math.nan), max_size=40)


@given(values, values, st.integers(0, 3), st.integers(0, 3))
def test_a_schedule_goes_on_from_its_state_as_if_never_interrupted(before, after, patience, cooldown):
    settings = {"patience": patience, "cooldown": cooldown, "factor": 0.5}
    whole, first, second = (ReduceLROnPlateau(**settings) for _ in range(3))
    want = trace(whole, before + after)
    got = trace(first, before)
    PerEpoch(second, 3).load_state_dict(json.loads(json.dumps(PerEpoch(first, 3).state_dict())))
    assert got + trace(second, after) == want
    second.load_state_dict({})
    assert trace(second, before) == got


@given(values)
def test_the_multiplier_never_rises_nor_leaves_its_bounds(values):
    got = trace(ReduceLROnPlateau(patience=1, factor=0.3, floor=0.01), values)
    assert got == sorted(got, reverse=True) and all(0.01 <= value <= 1 for value in got)
