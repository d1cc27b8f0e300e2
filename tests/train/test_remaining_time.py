"""The ETA of each report against the time that the rest of the run then really took, on a clock that is made up."""

import numpy as np
import pytest
from train.fakes import FakeClock, FakeStep, token_data

from rgz.train import Callback
from rgz.train.timer import Timer


class MadeUpTimes(FakeStep):
    """An update takes `seconds(step)`, the first one ten times that, a batch of an evaluation `evaluation`."""

    clock = None
    evaluation = 0.0

    def __init__(self, *args):
        super().__init__(*args)
        self.updates_tried = 0

    @staticmethod
    def seconds(step):
        return 1.0

    def update(self, learning_rate, n_targets):
        self.clock.now += self.seconds(self.updates_tried) * (1 if self.updates_tried else 10)
        self.updates_tried += 1
        return super().update(learning_rate, n_targets)

    def evaluate(self, batch):
        self.clock.now += self.evaluation
        return super().evaluate(batch)


class Noting(Callback):
    def __init__(self, clock, sampling=0.0, saving=0.0):
        self.clock, self.sampling, self.saving, self.seen, self.saved = clock, sampling, saving, [], []

    def on_save(self, trainer, state):
        self.clock.now += self.saving
        self.saved.append(state.step)

    def on_log(self, trainer, state):
        self.seen.append((state.step, self.clock.now, state.log_history[-1]["eta_seconds"]))

    def on_evaluate(self, trainer, state):
        self.clock.now += self.sampling  # as a sample of text does


def noisy(spread, seed=0):
    factors = np.exp(np.random.default_rng(seed).normal(0, spread, 10_000))
    return lambda step: float(factors[step])


RUNS = {
    "even": {},
    "noise": {"seconds": noisy(0.3)},
    "wild noise, a report every 20 steps": {"seconds": noisy(0.8, 1), "logging_steps": 20},
    "a report every step": {"seconds": noisy(0.05), "logging_steps": 1},
    "evaluations as long as an epoch": {"seconds": noisy(0.2, 2), "evaluation": 0.9, "documents": 40},
    "long evaluations, the first of them late": {
        "seconds": noisy(0.1, 3), "evaluation": 1 / 3, "documents": 480, "eval_steps": 100,
    },
    "samples after evaluations": {"seconds": noisy(0.1, 4), "sampling": 8.0, "eval_steps": 20},
    "a machine that is shared from the start": {"seconds": lambda step: 2.0 if step % 7 == 3 else 0.7},
}  # fmt: skip


@pytest.mark.parametrize("name", RUNS)
def test_the_remaining_time_is_right_within_a_fifth_from_the_tenth_report_on(make_trainer, name):
    run = dict(RUNS[name])
    clock = FakeClock(tick=0.0)
    made_up = {"clock": clock, "evaluation": run.pop("evaluation", 0.05)}
    step = type("Step", (MadeUpTimes,), {**made_up, "seconds": staticmethod(run.pop("seconds", lambda step: 1.0))})
    noting = Noting(clock, run.pop("sampling", 0.0))
    trainer = make_trainer(
        output_dir=None, train=token_data(160), val=token_data(run.pop("documents", 16), seed=5), callbacks=[noting],
        step_factory=step, clock=clock, max_steps=400, **{"logging_steps": 5, **run},
    )  # fmt: skip
    trainer.train()
    end = clock.now
    judged = [(step, eta, end - now) for step, now, eta in noting.seen[9:] if step <= 390]
    assert len(judged) >= 10
    for step, eta, truth in judged:
        assert eta == pytest.approx(truth, rel=0.2), f"at step {step}"
    assert noting.seen[-1][2] == 0.0


SAVES = {
    "steps": {"save_steps": 25},
    "steps, and one more at the end": {"save_steps": 30, "eval_steps": 50},
    "epochs": {"save_strategy": "epoch"},
    "epochs or the best": {"save_strategy": "best+epoch"},
    "a clock": {"save_strategy": "seconds", "save_seconds": 40},
    "every update": {"save_strategy": "seconds", "save_seconds": 0, "max_steps": 60},
    "steps or a clock": {"save_steps": 100, "save_seconds": 25},
    "one at the end": {"save_strategy": "last", "save_seconds": 30},
}  # fmt: skip


@pytest.mark.parametrize("name", SAVES)
def test_long_checkpoints_are_counted_once_one_was_seen(make_trainer, name):
    """Fifteen seconds each, updates of one: averaged over the updates that were, they would come too late and stay."""
    clock = FakeClock(tick=0.0)
    step = type("Step", (MadeUpTimes,), {"clock": clock, "evaluation": 0.05})
    noting = Noting(clock, saving=15.0)
    trainer = make_trainer(
        train=token_data(160), val=token_data(16, seed=5), callbacks=[noting], step_factory=step, clock=clock,
        **{"logging_steps": 1, "max_steps": 200, **SAVES[name]},
    )  # fmt: skip
    trainer.train()
    judged = [(step, eta, clock.now - now) for step, now, eta in noting.seen[9:] if step > noting.saved[0]]
    assert len(noting.saved) >= 2 and len(judged) >= 50
    for step, eta, truth in judged:
        assert eta == pytest.approx(truth, rel=0.2), f"at step {step}"


def test_the_pace_follows_a_machine_that_becomes_slower():
    """Two hundred steps after it became half as fast the remaining time is right within a fifth again."""
    now = [0.0]
    timer = Timer(lambda: now[0])
    for step in range(2000):
        now[0] += 1.0 if step < 1000 else 2.0
        timer.step_done(1, 1)
        if step == 999:
            assert timer.eta(100, 0) == pytest.approx(100.0)
        if step == 1350:
            assert timer.eta(100, 0) == pytest.approx(200.0, rel=0.2)
    assert timer.eta(100, 0) == pytest.approx(200.0, rel=0.01)


def test_speed_does_not_count_what_follows_an_evaluation(make_trainer):
    clock = FakeClock(tick=0.0)
    step = type("Step", (MadeUpTimes,), {"clock": clock})
    trainer = make_trainer(
        output_dir=None, callbacks=[Noting(clock, sampling=100.0)], step_factory=step, clock=clock, logging_steps=1,
        eval_steps=4,
    )  # fmt: skip
    history = trainer.train()
    assert [report["samples_per_second"] for report in history[1:]] == [4.0] * (len(history) - 1)
