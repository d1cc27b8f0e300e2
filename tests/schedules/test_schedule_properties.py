"""What holds for every schedule, whatever its settings: range, floor, warmup, continuity, purity."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rgz.schedules import (
    Constant,
    ConstantWithWarmup,
    Cosine,
    CosineWithRestarts,
    Exponential,
    InverseSqrt,
    Linear,
    OneCycle,
    PerEpoch,
    Polynomial,
    ReduceLROnPlateau,
    Sequential,
    WarmupStableDecay,
)

unit = st.floats(0, 1)


@st.composite
def falling(draw, kinds=(Linear, Cosine, CosineWithRestarts, Polynomial, Exponential, WarmupStableDecay)):
    """A schedule that ends on its floor."""
    kind = draw(st.sampled_from(kinds))
    values = {"steps": draw(st.integers(1, 3000)), "floor": draw(unit), "warmup": draw(st.floats(0, 0.99))}
    if kind is Polynomial:
        values["power"] = draw(st.floats(0.1, 8))
    if kind is CosineWithRestarts:
        left = values["steps"] - Cosine(**values).warmup
        values["cycles"] = draw(st.integers(1, min(left, 9)))
    if kind is Exponential:
        values["floor"] = max(values["floor"], 1e-6)
    if kind is WarmupStableDecay:
        values["decay"] = draw(st.floats(0, 0.99))
        values["decay_type"] = draw(st.sampled_from(["cosine", "linear", "1-sqrt"]))
    return kind(**values)


one_cycles = st.builds(
    OneCycle,
    steps=st.integers(1, 3000),
    pct_start=st.floats(0, 0.5),
    anneal_strategy=st.sampled_from(["cos", "linear"]),
    div_factor=st.floats(1, 1e3),
    final_div_factor=st.floats(1, 1e5),
    three_phase=st.booleans(),
)
endless = st.one_of(
    st.just(Constant()),
    st.builds(ConstantWithWarmup, st.integers(0, 500)),
    st.builds(InverseSqrt, floor=unit, warmup=st.integers(0, 500), timescale=st.none() | st.integers(1, 9999)),
    st.builds(Exponential, steps=st.just(1), floor=unit, gamma=st.floats(0.01, 1), decay_steps=st.floats(0.1, 99)),
    st.builds(ReduceLROnPlateau, warmup=st.integers(0, 500)),
    st.builds(
        CosineWithRestarts,
        steps=st.integers(501, 3000),
        floor=unit,
        warmup=st.integers(0, 500),
        first_cycle=st.integers(1, 900),
        cycle_factor=st.integers(1, 4),
    ),
    st.builds(
        Cosine, steps=st.integers(501, 3000), floor=unit, warmup=st.integers(0, 500), num_cycles=st.floats(0.1, 5)
    ),
)
simple = st.one_of(falling(), one_cycles, endless)


@st.composite
def sequences(draw):
    parts = draw(st.lists(simple.filter(lambda schedule: schedule.watches is None), min_size=1, max_size=4))
    spans = draw(st.lists(st.integers(1, 500), min_size=len(parts) - 1, max_size=len(parts) - 1))
    return Sequential(parts, [sum(spans[: i + 1]) for i in range(len(spans))])


composed = st.one_of(sequences(), st.builds(PerEpoch, simple, st.integers(1, 50)))
any_schedule = st.one_of(simple, composed)
steps = st.integers(0, 4000)


@given(any_schedule, steps)
def test_a_multiplier_is_between_0_and_1(schedule, step):
    assert 0 <= schedule(step) <= 1


@given(any_schedule, steps)
def test_a_schedule_is_a_pure_function_of_the_step(schedule, step):
    value = schedule(step)
    schedule(step + 7)
    assert (schedule(step), dataclasses.replace(schedule)(step)) == (value, value)
    assert schedule.state_dict() == {} or schedule.watches is not None or isinstance(schedule, PerEpoch)
    with pytest.raises(dataclasses.FrozenInstanceError):
        schedule.steps = 5


@given(falling(), steps)
def test_after_the_warmup_it_is_never_below_the_floor_and_ends_on_it(schedule, step):
    if step >= schedule.warmup:
        assert schedule.floor - 1e-12 <= schedule(step) <= 1
    assert schedule(max(step, schedule.steps)) == pytest.approx(schedule.floor, abs=1e-12)


@given(falling(kinds=(Linear, Cosine, Polynomial, Exponential, WarmupStableDecay)), steps)
def test_after_the_warmup_it_never_rises(schedule, step):
    if step >= schedule.warmup:
        assert schedule(step + 1) <= schedule(step) + 1e-12


@given(st.one_of(falling(), endless.filter(lambda s: hasattr(s, "warmup"))))
def test_the_warmup_is_a_line_from_above_0_to_1_at_its_end(schedule):
    warmup = schedule.warmup
    for step in (0, warmup // 2, max(warmup - 1, 0), warmup):
        assert schedule(step) == pytest.approx((step + 1) / (warmup + 1) if step < warmup else 1.0, rel=1e-12)
    assert schedule(0) > 0


@given(falling(kinds=(Linear, Cosine, CosineWithRestarts)), steps)
def test_between_restarts_it_moves_by_no_more_than_its_steepest_slope(schedule, step):
    cycle = schedule.steps - schedule.warmup
    if isinstance(schedule, CosineWithRestarts):
        cycle //= schedule.cycles
    change = schedule(step + 1) - schedule(step)
    if step < schedule.warmup:
        assert 0 < change <= 1 / (schedule.warmup + 1) + 1e-12
    elif (step + 1 - schedule.warmup) % cycle or isinstance(schedule, Linear):
        assert abs(change) <= 1.5708 / cycle + 1e-12  # pi / 2 is the cosine's steepest


@given(one_cycles, steps)
def test_one_cycle_rises_once_then_falls_to_its_last_value(schedule, step):
    last = 1 / (schedule.div_factor * schedule.final_div_factor)
    top = schedule.pct_start * schedule.steps - 1
    change = schedule(step + 1) - schedule(step)
    assert last * (1 - 1e-9) <= schedule(step)
    assert change >= -1e-12 if step + 1 <= top else change <= 1e-12 if step >= top else True
    assert schedule(schedule.steps - 1 + step) == pytest.approx(last)


@given(sequences())
def test_a_sequence_hands_over_at_its_milestones(schedule):
    for part, begin in zip(schedule.schedules, (0, *schedule.milestones), strict=True):
        assert schedule(begin) == part(0)
    for part, begin, end in zip(schedule.schedules, (0, *schedule.milestones), schedule.milestones, strict=False):
        assert schedule(end - 1) == part(end - 1 - begin)


@given(simple, st.integers(1, 50), steps)
def test_by_epoch_all_updates_of_an_epoch_have_the_value_of_its_number(schedule, steps_per_epoch, step):
    assert PerEpoch(schedule, steps_per_epoch)(step) == schedule(step // steps_per_epoch)
