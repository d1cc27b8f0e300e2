"""Schedules: the values of the formulas they are named after, their ends, and what they refuse."""

import math

import pytest

from rgz.errors import RgzError
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
    get_schedule,
)


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


# ---- what torch 2.13 gives for the same settings; benches/test_torch_schedules.py asks it anew


def test_polynomial_has_the_values_of_torch():
    want = [1.0, 0.765625, 0.5625, 0.390625, 0.25, 0.140625, 0.0625, 0.015625, 0.0, 0.0]
    assert [Polynomial(steps=8, power=2.0)(step) for step in range(10)] == pytest.approx(want, rel=1e-12)


def test_exponential_has_the_values_of_torch():
    want = [1.0, 0.9, 0.81, 0.729, 0.6561, 0.59049]
    assert [Exponential(steps=6, gamma=0.9)(step) for step in range(6)] == pytest.approx(want, rel=1e-12)


def test_one_cycle_has_the_values_of_torch():
    want = [
        0.04, 0.422341113735, 0.960261424723, 0.979746567821, 0.884475724769, 0.726087049298, 0.530582708088,
        0.330058028987, 0.1574325128, 0.0410455432063, 4e-06, 4e-06,
    ]  # fmt: skip
    assert [OneCycle(steps=11)(step) for step in range(12)] == pytest.approx(want, rel=1e-11)


def test_one_cycle_in_three_straight_phases_has_the_values_of_torch():
    want = [
        0.1, 0.491304347826, 0.882608695652, 0.726086956522, 0.334782608696, 0.0926666666667, 0.0743333333333, 0.056,
        0.0376666666667, 0.0193333333333, 0.001,
    ]  # fmt: skip
    settings = {"anneal_strategy": "linear", "three_phase": True, "div_factor": 10.0, "final_div_factor": 100.0}
    assert [OneCycle(steps=11, **settings)(step) for step in range(11)] == pytest.approx(want, rel=1e-11)


def test_a_sequence_has_the_values_of_torch():
    schedule = Sequential((Polynomial(steps=4), Exponential(steps=4, gamma=0.5)), (4,))
    assert [schedule(step) for step in range(8)] == [1.0, 0.75, 0.5, 0.25, 1.0, 0.5, 0.25, 0.125]


# ---- the formulas of transformers and of the guide


def test_the_guides_exponential_is_a_setting():
    schedule = PerEpoch(Exponential(steps=500, gamma=0.95, decay_steps=10), steps_per_epoch=7)
    for epoch in (0, 1, 9, 10, 250, 499):
        want = 0.95 ** (epoch / 10)
        assert [schedule(7 * epoch), schedule(7 * epoch + 6)] == pytest.approx([want, want], rel=1e-12)
    assert schedule(7 * 10) == pytest.approx(0.95)


def test_an_exponential_without_gamma_reaches_its_floor_at_the_end():
    got = [Exponential(steps=20, floor=0.01)(step) for step in (0, 5, 10, 20, 99)]
    assert got == pytest.approx([1.0, 10**-0.5, 0.1, 0.01, 0.01], rel=1e-12)


def test_an_exponential_does_not_fall_below_its_floor():
    assert Exponential(steps=99, gamma=0.5, floor=0.3)(1) == 0.5
    assert Exponential(steps=99, gamma=0.5, floor=0.3)(2) == 0.3


@pytest.mark.parametrize(("warmup", "timescale"), [(0, None), (100, None), (100, 400), (0, 50)])
def test_inverse_sqrt_is_the_formula_of_transformers(warmup, timescale):
    scale = timescale or warmup or 10_000
    schedule = InverseSqrt(warmup=warmup, timescale=timescale)
    for step in (warmup, warmup + 1, 317, 5000):
        assert schedule(step) == pytest.approx(1 / math.sqrt((step + scale - warmup) / scale), rel=1e-12)


def test_inverse_sqrt_with_warmup_is_that_of_the_transformer_paper():
    schedule = InverseSqrt(warmup=4000)
    assert schedule(4000) == 1.0 and schedule(16_000) == pytest.approx(0.5)


def test_polynomial_with_warmup_and_floor_is_the_formula_of_transformers():
    schedule = Polynomial(steps=110, warmup=10, floor=0.1, power=3.0)
    for step in (10, 11, 60, 109, 110):
        assert schedule(step) == pytest.approx(0.9 * (1 - (step - 10) / 100) ** 3 + 0.1, rel=1e-12)


@pytest.mark.parametrize(
    ("kind", "left"),
    [
        ("cosine", lambda p: 0.5 * (1 + math.cos(math.pi * p))),
        ("linear", lambda p: 1 - p),
        ("1-sqrt", lambda p: 1 - math.sqrt(p)),
    ],
)
def test_warmup_stable_decay_is_the_formula_of_transformers(kind, left):
    schedule = WarmupStableDecay(steps=100, warmup=10, decay=20, floor=0.1, decay_type=kind)
    assert {schedule(step) for step in range(10, 81)} == {1.0}
    for step in range(80, 101):
        assert schedule(step) == pytest.approx(0.1 + 0.9 * left((step - 80) / 20), rel=1e-12)
    assert schedule(5000) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("kind", "risen"),
    [
        ("cosine", lambda p: 0.5 * (1 - math.cos(math.pi * p))),
        ("linear", lambda p: p),
        ("1-sqrt", lambda p: 1 - math.sqrt(1 - p)),
    ],
)
def test_the_warmup_before_a_stable_phase_is_the_formula_of_transformers(kind, risen):
    schedule = WarmupStableDecay(steps=100, warmup=9, floor=0.1, warmup_type=kind)
    want = [risen((step + 1) / 10) for step in range(9)]  # one step ahead of theirs, which begins with 0
    assert [schedule(step) for step in range(10)] == pytest.approx([*want, 1.0], rel=1e-12)


def test_waves_of_a_cosine_are_those_of_transformers():
    """max(0, 0.5 (1 + cos(pi 2 num_cycles progress)))"""
    waves = Cosine(steps=40, num_cycles=1.5)
    assert [waves(step) for step in (0, 10, 20, 40)] == pytest.approx(
        [0.5 * (1 + math.cos(math.pi * 3 * p)) for p in (0, 0.25, 0.5, 1)], abs=1e-12
    )
    stable = WarmupStableDecay(steps=40, decay=20, num_cycles=1.0)
    assert [stable(step) for step in (20, 25, 30, 35)] == pytest.approx([1.0, 0.5, 0.0, 0.5], abs=1e-12)


def test_restarts_of_growing_cycles_are_those_of_torch():
    """CosineAnnealingWarmRestarts with T_0 4, T_mult 3: cycles from 0, 4 and 16, the last one cut short."""
    schedule = CosineWithRestarts(steps=30, floor=0.1, first_cycle=4, cycle_factor=3)
    for begin, length, end in ((0, 4, 4), (4, 12, 16), (16, 36, 30)):
        for step in range(begin, end):
            want = 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * (step - begin) / length))
            assert schedule(step) == pytest.approx(want, rel=1e-12)
    equal = CosineWithRestarts(steps=30, warmup=6, first_cycle=4)
    assert [step for step in range(6, 30) if equal(step) == 1.0] == [6, 10, 14, 18, 22, 26]


def test_warmup_stable_decay_can_end_early_on_its_floor():
    schedule = WarmupStableDecay(steps=100, stable=30, decay=10, floor=0.2, decay_type="linear")
    assert [schedule(step) for step in (29, 30, 35, 40, 99)] == pytest.approx([1.0, 1.0, 0.6, 0.2, 0.2])


@pytest.mark.parametrize("num_cycles", [0.25, 0.5, 1.0, 1.3])
def test_after_its_decay_it_is_on_its_floor_whatever_the_waves(num_cycles):
    """The last line of transformers' get_wsd_schedule: return min_lr_ratio."""
    schedule = WarmupStableDecay(steps=100, warmup=10, stable=60, decay=20, num_cycles=num_cycles, floor=0.1)
    assert [schedule(step) for step in (90, 95, 100, 5000)] == [0.1] * 4
    wave = 0.5 * (1 + math.cos(math.pi * 2 * num_cycles * 19 / 20))
    assert schedule(89) == pytest.approx(0.1 + 0.9 * wave, rel=1e-12)


def test_a_share_of_decay_is_cut_to_what_the_warmup_leaves():
    assert WarmupStableDecay(steps=100, decay=0.2) == WarmupStableDecay(steps=100, decay=20, stable=80)
    assert WarmupStableDecay(steps=10, warmup=5, decay=0.9).decay == 5


WARMING = [
    ConstantWithWarmup(warmup=4),
    Linear(steps=20, warmup=4),
    Cosine(steps=20, warmup=4),
    CosineWithRestarts(steps=20, warmup=4, cycles=2),
    Polynomial(steps=20, warmup=4),
    Exponential(steps=20, warmup=4, floor=0.5),
    InverseSqrt(warmup=4),
    WarmupStableDecay(steps=20, warmup=4),
    ReduceLROnPlateau(warmup=4),
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
        (lambda: Linear(steps=10, warmup=float("nan")), "got nan"),
        (lambda: Polynomial(steps=10, power=0.0), "power must be > 0, got 0.0"),
        (lambda: Exponential(steps=10), "never reaches 0: give gamma"),
        (lambda: Exponential(steps=10, gamma=1.5), "gamma must be > 0, <= 1, got 1.5"),
        (lambda: Exponential(steps=10, gamma=0.9, decay_steps=0.0), "decay_steps must be > 0"),
        (lambda: InverseSqrt(timescale=0), "timescale must be > 0"),
        (lambda: InverseSqrt(warmup=0.1), "share of the steps"),
        (lambda: OneCycle(steps=0), "steps must be >= 1"),
        (lambda: OneCycle(steps=9, pct_start=1.1), "pct_start must be >= 0, <= 1, got 1.1"),
        (lambda: OneCycle(steps=9, pct_start=0.6, three_phase=True), "pct_start must be >= 0, <= 0.5, got 0.6"),
        (lambda: OneCycle(steps=9, div_factor=0.5), "div_factor must be >= 1"),
        (lambda: OneCycle(steps=9, anneal_strategy="cosine"), r"must be cos \| linear, got 'cosine'"),
        (lambda: WarmupStableDecay(steps=9, warmup=5, decay=5), "fit in the 4 steps after warmup, got -1 and 5"),
        (lambda: WarmupStableDecay(steps=9, stable=5, decay=5), "got 5 and 5"),
        (lambda: WarmupStableDecay(steps=9, decay=-1), "decay must be a number of updates"),
        (lambda: WarmupStableDecay(steps=9, decay_type="sqrt"), "decay_type must be"),
        (lambda: Sequential((Constant(),), (3,)), r"got \[3\] for 1 schedules"),
        (lambda: Sequential((Constant(), Constant(), Constant()), (5, 5)), "milestones must be rising"),
        (lambda: Sequential((Constant(), ReduceLROnPlateau()), (5,)), "watches a metric"),
        (lambda: ReduceLROnPlateau(factor=1.0), "factor must be > 0, < 1"),
        (lambda: ReduceLROnPlateau(patience=-1), "patience must be >= 0"),
        (lambda: ReduceLROnPlateau(mode="auto"), "mode must be"),
        (lambda: PerEpoch(Constant(), 0), "steps_per_epoch must be >= 1"),
        (lambda: PerEpoch(Constant(), True), "steps_per_epoch must be >= 1, got True"),
        (lambda: PerEpoch("cosine", 3), "schedule must be a schedule, such as rgz.schedules.Cosine.*, got 'cosine'"),
        (lambda: Sequential(("a",)), "schedules must be a schedule, .*, got 'a'"),
        (lambda: Sequential(5), "schedules must be a list, got 5"),
        (lambda: Sequential((Constant(), Constant()), (2.5,)), r"milestones must be a list of integers, got \(2.5,\)"),
    ],
)
def test_impossible_settings_are_refused(make, reason):
    with pytest.raises(RgzError, match=reason):
        make()
