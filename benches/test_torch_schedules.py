"""The schedules that torch has too: the same values at every step, asked of torch itself."""

import pytest

from rgz.schedules import get_schedule

torch = pytest.importorskip("torch", reason="the rival is in the bench extra: pip install 'rgz[bench]'")
from torch.optim import lr_scheduler  # noqa: E402  (needs torch)

STEPS = 60
CASES = {
    "CosineAnnealingLR": ({"T_max": STEPS, "eta_min": 0.05}, {}),
    "CosineAnnealingWarmRestarts": ({"T_0": 7, "eta_min": 0.05}, {"T_0": 7}),
    "CosineAnnealingWarmRestarts longer": ({"T_0": 4, "T_mult": 3, "eta_min": 0.05}, {"T_0": 4, "T_mult": 3}),
    "ExponentialLR": ({"gamma": 0.93}, {"gamma": 0.93}),
    "PolynomialLR": ({"total_iters": STEPS, "power": 1.7}, {"power": 1.7}),
    "OneCycleLR": ({"max_lr": 1.0, "total_steps": STEPS, "cycle_momentum": False}, {}),
    "OneCycleLR linear": (
        {"max_lr": 1.0, "total_steps": STEPS, "cycle_momentum": False, "pct_start": 0.23, "anneal_strategy": "linear"},
        {"pct_start": 0.23, "anneal_strategy": "linear"},
    ),
    "OneCycleLR three": (
        {"max_lr": 1.0, "total_steps": STEPS, "cycle_momentum": False, "pct_start": 0.4, "three_phase": True},
        {"pct_start": 0.4, "three_phase": True},
    ),
    "ReduceLROnPlateau": (
        {"factor": 0.5, "patience": 2, "cooldown": 1, "min_lr": 0.05, "threshold": 0.01},
        {"factor": 0.5, "patience": 2, "cooldown": 1, "floor": 0.05, "threshold": 0.01},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_rates_are_those_of_torch(case):
    name = case.partition(" ")[0]
    theirs, ours = CASES[case]
    floor = theirs.get("eta_min", 0.0)
    schedule = get_schedule(name, total_steps=STEPS, min_lr_ratio=floor, **ours)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    rival = getattr(lr_scheduler, name)(optimizer, **theirs)
    metrics = [5 / (1 + step) ** 0.5 + (step * 7 % 5) / 10 for step in range(STEPS)]
    for step in range(STEPS - 1):  # the step after the last is an error to OneCycleLR
        assert schedule(step) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9, abs=1e-12), step
        optimizer.step()
        rival.step(metrics[step]) if schedule.watches else rival.step()
        schedule.observe(metrics[step])
