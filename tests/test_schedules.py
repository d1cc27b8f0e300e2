"""Schedules: the values of the formulas they are named after, their ends, and what they refuse."""

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rgz.errors import RgzError
from rgz.schedules import (
    SCHEDULES,
    Constant,
    ConstantWithWarmup,
    Cosine,
    CosineWithRestarts,
    Linear,
    get_schedule,
)


@pytest.fixture(autouse=True)
def errors_in_english(monkeypatch):
    monkeypatch.setenv("RGZ_LANG", "en")


def guide_rate(epoch, epochs, restarts, highest):
    """The training guide's formula, item 2, as it stands there."""
    lowest = 0.01 * highest
    cycle = epochs // (restarts + 1)
    return lowest + (highest - lowest) / 2 * (1 + math.cos(math.pi * (epoch % cycle) / cycle))


@pytest.mark.parametrize(("epochs", "restarts"), [(500, 2), (500, 3), (90, 2), (7, 2), (10, 9), (5, 0)])
def test_cosine_with_restarts_has_a_setting_that_is_the_guides_formula(epochs, restarts):
    schedule = CosineWithRestarts(steps=epochs, cycles=restarts + 1, floor=0.01, restart_remainder=True)
    for epoch in range(epochs):
        assert 1e-3 * schedule(epoch) == pytest.approx(guide_rate(epoch, epochs, restarts, 1e-3), rel=1e-12)


def test_cosine_with_restarts_is_the_guides_formula_but_for_the_steps_left_over():
    schedule = CosineWithRestarts(steps=500, cycles=3, floor=0.01)  # 500 = 3 x 166 + 2
    for epoch in range(498):
        assert schedule(epoch) == pytest.approx(guide_rate(epoch, 500, 2, 1.0), rel=1e-12)
    assert [schedule(498), schedule(499), schedule(500), schedule(10_000)] == [0.01] * 4
    assert guide_rate(498, 500, 2, 1.0) == 1.0


def test_cosine_with_restarts_at_points_known_by_heart():
    schedule = CosineWithRestarts(steps=120, cycles=2, floor=0.1)
    for start in (0, 60):
        got = [schedule(start + step) for step in (0, 20, 30, 40)]
        assert got == pytest.approx([1.0, 0.1 + 0.9 * 0.75, 0.55, 0.1 + 0.9 * 0.25], rel=1e-12)


def test_cosine_at_points_known_by_heart():
    got = [Cosine(steps=60, floor=0.2)(step) for step in (0, 20, 30, 40, 60, 99)]
    assert got == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2, 0.2], rel=1e-12)


def test_linear_at_points_known_by_heart():
    assert [Linear(steps=10)(step) for step in (0, 5, 10, 11)] == [1.0, 0.5, 0.0, 0.0]
    assert Linear(steps=10, floor=0.5)(5) == 0.75


def test_constant_is_one():
    assert {Constant()(step) for step in range(5)} == {1.0}


WARMING = [
    ConstantWithWarmup(warmup=4),
    Linear(steps=20, warmup=4),
    Cosine(steps=20, warmup=4),
    CosineWithRestarts(steps=20, warmup=4, cycles=2),
]


@pytest.mark.parametrize("schedule", WARMING, ids=lambda s: type(s).__name__)
def test_warmup_rises_in_a_line_to_one_and_wastes_no_step(schedule):
    assert [schedule(step) for step in range(5)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0], rel=1e-12)


def test_after_warmup_a_schedule_falls_as_if_it_began_there():
    for kind in (Linear, Cosine):
        late, early = kind(steps=25, warmup=5, floor=0.1), kind(steps=20, floor=0.1)
        assert [late(step + 5) for step in range(30)] == [early(step) for step in range(30)]


@pytest.mark.parametrize(
    ("warmup", "steps", "updates"),
    [(0.05, 1000, 50), (0.05, 90, 5), (0.5, 1, 0), (0.99, 2, 1), (3, 10, 3), (0.0, 9, 0)],
)
def test_warmup_is_a_count_or_a_share_rounded_up(warmup, steps, updates):
    assert Cosine(steps=steps, warmup=warmup).warmup == updates
    assert get_schedule("cosine", total_steps=steps, warmup_steps=warmup) == Cosine(steps=steps, warmup=updates)


schedules = st.builds(
    lambda kind, steps, floor, share: kind(steps=steps, floor=floor, warmup=share),
    st.sampled_from([Linear, Cosine, CosineWithRestarts]),
    st.integers(1, 3000),
    st.floats(0, 1),
    st.floats(0, 0.99),
)


@given(schedules, st.integers(0, 4000))
def test_multipliers_are_between_floor_and_one_after_warmup_and_never_rise(schedule, step):
    value = schedule(step)
    assert 0 < value <= 1 or (value == 0 == schedule.floor)
    if step >= schedule.warmup:
        assert schedule.floor - 1e-12 <= value <= 1
        assert schedule(step + 1) <= value + 1e-12
    assert schedule(max(step, schedule.steps)) == pytest.approx(schedule.floor)


@given(schedules, st.integers(0, 100))
def test_a_schedule_is_a_pure_function_of_the_step(schedule, step):
    later = schedule(step + 7)
    assert (schedule(step + 7), dataclasses.replace(schedule)(step + 7)) == (later, later)
    with pytest.raises(dataclasses.FrozenInstanceError):
        schedule.steps = 5


# ---- by name


def test_schedules_are_found_by_their_names():
    common = {"total_steps": 100, "warmup_steps": 0.1, "min_lr_ratio": 0.01}
    assert get_schedule("constant", **common) == Constant()
    assert get_schedule("constant_with_warmup", **common) == ConstantWithWarmup(10)
    assert get_schedule("linear", **common) == Linear(100, 0.01, 10)
    assert get_schedule("cosine", **common) == Cosine(100, 0.01, 10)
    assert get_schedule("cosine_with_restarts", **common, cycles=3) == CosineWithRestarts(100, 0.01, 10, 3)


def test_names_of_transformers_are_understood_in_the_arguments():
    got = get_schedule("cosine_with_restarts", total_steps=50, num_cycles=2, min_lr_rate=0.2)
    assert got == CosineWithRestarts(50, floor=0.2, cycles=2)


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(RgzError, match="unknown schedule 'cosin'; did you mean 'cosine'"):
        get_schedule("cosin", total_steps=10)
    with pytest.raises(RgzError, match="'cylces'; did you mean 'cycles'"):
        get_schedule("cosine_with_restarts", total_steps=10, cylces=3)
    with pytest.raises(RgzError, match="'cycles'"):
        get_schedule("linear", total_steps=10, cycles=3)


def test_every_name_of_the_table_works_with_the_arguments_that_training_gives():
    for name in SCHEDULES:
        schedule = get_schedule(name, total_steps=1, warmup_steps=0.05, min_lr_ratio=0.01)
        assert schedule(0) == 1.0


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Cosine(steps=0), "at least 1 step, got 0"),
        (lambda: Cosine(steps=10, warmup=10), "shorter than the 10 steps, got 10"),
        (lambda: Linear(steps=10, warmup=-1), "got -1"),
        (lambda: Linear(steps=10, warmup=2.5), "got 2.5"),
        (lambda: Cosine(steps=10, floor=1.1), r"in \[0, 1\], got 1.1"),
        (lambda: Cosine(steps=10, floor=float("nan")), "got nan"),
        (lambda: CosineWithRestarts(steps=10, cycles=0), "cycles must be between 1 and"),
        (lambda: CosineWithRestarts(steps=10, warmup=5, cycles=6), "5, got 6"),
        (lambda: ConstantWithWarmup(0.1), "share of the steps"),
    ],
)
def test_impossible_settings_are_refused(make, reason):
    with pytest.raises(RgzError, match=reason):
        make()
