"""Schedules by name: ours, torch's and transformers', and their arguments under all of these names."""

import pytest

from rgz.errors import RgzError
from rgz.schedules import (
    SCHEDULES,
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


def test_schedules_are_found_by_their_names():
    common = {"total_steps": 100, "warmup_steps": 0.1, "min_lr_ratio": 0.01}
    assert get_schedule("constant", **common) == Constant()
    assert get_schedule("constant_with_warmup", **common) == ConstantWithWarmup(10)
    assert get_schedule("linear", **common) == Linear(100, 0.01, 10)
    assert get_schedule("cosine", **common) == Cosine(100, 0.01, 10)
    assert get_schedule("cosine_with_restarts", **common, cycles=3) == CosineWithRestarts(100, 0.01, 10, 3)
    assert get_schedule("polynomial", **common, power=2) == Polynomial(100, 0.01, 10, 2.0)
    assert get_schedule("exponential", **common) == Exponential(100, 0.01, 10)
    assert get_schedule("inverse_sqrt", **common) == InverseSqrt(0.01, 10)
    assert get_schedule("one_cycle", **common) == OneCycle(100)
    assert get_schedule("warmup_stable_decay", **common) == WarmupStableDecay(100, 0.01, 10, decay=20)
    assert get_schedule("reduce_lr_on_plateau", **common, monitor="loss") == ReduceLROnPlateau(
        "loss", floor=0.01, warmup=10
    )


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
    for name in set(SCHEDULES) - {"sequential"}:
        for steps in (1, 2, 7):
            schedule = get_schedule(name, total_steps=steps, warmup_steps=0.05, min_lr_ratio=0.01)
            assert all(0 < schedule(step) <= 1 for step in range(steps))


@pytest.mark.parametrize(
    ("name", "arguments", "same"),
    [
        ("CosineAnnealingLR", {"eta_min": 1e-4, "learning_rate": 1e-3}, Cosine(50, floor=0.1)),
        ("CosineAnnealingLR", {"T_max": 20}, Cosine(20)),
        ("cosine", {"num_cycles": 1.5}, Cosine(50, num_cycles=1.5)),
        (
            "CosineAnnealingWarmRestarts",
            {"T_0": 5, "T_mult": 2},
            CosineWithRestarts(50, first_cycle=5, cycle_factor=2),
        ),
        ("PolynomialLR", {"total_iters": 20}, Polynomial(20)),
        (
            "wsd",
            {"warmup_type": "cosine", "num_cycles": 1.5},
            WarmupStableDecay(50, warmup_type="cosine", num_cycles=1.5),
        ),
        ("cosine_with_min_lr", {"min_lr_rate": 0.2}, Cosine(50, floor=0.2)),
        ("PolynomialLR", {"power": 2.0}, Polynomial(50, power=2.0)),
        ("polynomial", {"lr_end": 1e-5, "learning_rate": 1e-3}, Polynomial(50, floor=0.01)),
        ("ExponentialLR", {"gamma": 0.9}, Exponential(50, gamma=0.9)),
        ("OneCycleLR", {"pct_start": 0.1}, OneCycle(50, pct_start=0.1)),
        ("ReduceLROnPlateau", {"min_lr": 1e-4, "learning_rate": 1e-3}, ReduceLROnPlateau(floor=0.1)),
        ("wsd", {"num_warmup_steps": 5, "num_decay_steps": 20}, WarmupStableDecay(50, warmup=5, decay=20)),
        ("warmup_stable_decay", {"num_stable_steps": 10}, WarmupStableDecay(50, decay=0.2, stable=10)),
        ("inverse_sqrt", {"num_warmup_steps": 0.1}, InverseSqrt(warmup=5)),
    ],
)
def test_names_and_arguments_of_torch_and_transformers(name, arguments, same):
    assert get_schedule(name, total_steps=50, **arguments) == same


def test_a_sequence_by_names_gives_each_part_the_steps_to_the_next_milestone():
    parts = [{"name": "constant"}, {"name": "linear"}, {"name": "cosine", "floor": 0.5, "warmup": 0.1}]
    got = get_schedule(
        "sequential", total_steps=100, min_lr_ratio=0.1, warmup_steps=0.05, schedules=parts, milestones=[0.1, 60]
    )
    assert got == Sequential((Constant(), Linear(50, 0.1), Cosine(40, 0.5, warmup=4)), (10, 60))


@pytest.mark.parametrize("milestones", [[5000], [10], [3, 11]])
def test_a_milestone_beyond_the_run_is_refused(milestones):
    """The part before it would be stretched over steps that never come, and fall too little."""
    parts = [{"name": "linear"}] * (len(milestones) + 1)
    reason = rf"milestones must be less than the 10 steps of the run, got {milestones[-1]}"
    with pytest.raises(RgzError, match=reason):
        get_schedule("sequential", total_steps=10, schedules=parts, milestones=milestones)
    by_epoch = {"interval": "epoch", "steps_per_epoch": 5, "total_steps": 50}
    with pytest.raises(RgzError, match=reason):
        get_schedule("sequential", schedules=parts, milestones=milestones, **by_epoch)


def test_a_share_as_milestone_fits_into_any_run():
    parts = [{"name": "linear"}, {"name": "constant"}]
    for steps in (1, 2, 10):
        assert get_schedule("sequential", total_steps=steps, schedules=parts, milestones=[0.97])(0) == 1.0


def test_any_schedule_can_be_counted_in_epochs():
    common = {"total_steps": 95, "interval": "epoch", "steps_per_epoch": 10, "min_lr_ratio": 0.01}
    assert get_schedule("cosine", warmup_steps=2, **common) == PerEpoch(Cosine(10, 0.01, 2), 10)
    for name in set(SCHEDULES) - {"sequential"}:
        schedule = get_schedule(name, warmup_steps=0.2, **common)
        values = [schedule(step) for step in range(95)]
        assert all(len(set(values[start : start + 10])) == 1 for start in range(0, 95, 10))
        by_step = get_schedule(name, total_steps=10, warmup_steps=0.2, min_lr_ratio=0.01)
        assert values[::10] == [by_step(epoch) for epoch in range(10)]


@pytest.mark.parametrize(
    ("name", "arguments", "reason"),
    [
        ("polynomial", {"lr_end": 1e-7}, "lr_end is a learning rate: give learning_rate too"),
        ("polynomial", {"lr_end": 1.0, "learning_rate": 1e-3}, "from 0 to 0.001, got 1.0"),
        ("polynomial", {"lr_end": "low", "learning_rate": 1e-3}, "got 'low'"),
        ("cosine_with_restarts", {"cycles": 2, "num_cycles": 3}, "cycles of the schedule is given twice"),
        ("cosine", {"num_cycles": 0.0}, "num_cycles must be > 0"),
        ("cosine_with_restarts", {"cycle_factor": 2}, "cycle_factor needs first_cycle"),
        ("cosine_with_restarts", {"cycles": 2, "T_0": 3}, "give either cycles, all as long, or first_cycle"),
        ("cosine_with_restarts", {"T_0": 0}, "first_cycle must be >= 1"),
        ("OneCycleLR", {"max_lr": 1e-3}, "max_lr is the learning_rate of the run: give that"),
        ("wsd", {"warmup_type": "steep"}, "warmup_type must be"),
        ("wsd", {"num_cycles": 1.0, "decay_type": "linear"}, "num_cycles is of a cosine; decay_type is linear"),
        ("cosine", {"interval": "epok"}, "unknown interval 'epok'; did you mean 'epoch'"),
        ("cosine", {"interval": "epoch", "steps_per_epoch": 0}, "steps_per_epoch must be >= 1, got 0"),
        ("cosine", {"steps_per_epoch": 1.5}, "steps_per_epoch must be >= 1, got 1.5"),
        ("sequential", {}, 'a sequence needs schedules: a list of {"name"'),
        ("sequential", {"schedules": [{"nmae": "linear"}]}, "a sequence needs schedules"),
        ("sequential", {"schedules": [{"name": "linaer"}]}, "did you mean 'linear'"),
        ("sequential", {"schedules": [{"name": "linear", "steps": 3}]}, "schedules must not hold steps"),
        ("sequential", {"schedules": [{"name": "linear"}], "milestones": 5}, "milestones must be a list of numbers"),
        ("sequential", {"schedules": [{"name": "linear"}], "milestones": [5]}, r"got \[5\] for 1 schedules"),
        ("sequential", {"schedules": [{"name": "reduce_lr_on_plateau"}]}, "watches a metric"),
        ("sequential", {"parts": []}, "unknown argument of the schedule 'parts'"),
        ("one_cycle", {"warmup": 5}, "unknown argument of the schedule 'warmup'"),
        ("linear", {"warmup": "long"}, "warmup must be an integer or a number, got 'long'"),
    ],
)
def test_impossible_arguments_are_refused(name, arguments, reason):
    with pytest.raises(RgzError, match=reason):
        get_schedule(name, total_steps=10, **arguments)
