"""Warnings in words while a run goes on, and what the end makes of them."""

import json

import pytest
from train.fakes import FakeStep, InterruptAt, token_data

from rgz.config import TrainingArguments
from rgz.train.state import TrainerState
from rgz.train.verdict import Spike, verdicts
from rgz.train.watch import Watch


class Listener:
    """What a Watch needs of a trainer."""

    args = TrainingArguments(max_grad_norm=1.0)

    def __init__(self):
        self.said = []

    def say(self, text):
        self.said.append(text)


def watch_norms(watch, norms, first=1):
    trainer = Listener()
    for step, norm in enumerate(norms, first):
        watch.on_step_end(trainer, TrainerState(step=step, grad_norm=norm))
    return trainer.said


def test_a_norm_above_ten_times_the_running_median_is_told_at_once():
    said = watch_norms(Watch(), [2.0] * 10 + [None, 20.0, 20.1, 2.0])
    assert said == ["step 13: the gradient explodes: norm 20.1, 10 times its running median; it was clipped to 1"]


def test_too_few_norms_have_no_median():
    assert watch_norms(Watch(), [1.0] * 9 + [99.0]) == []


def test_the_median_runs_with_the_last_hundred_updates():
    assert watch_norms(Watch(), [100.0] * 50 + [1.0] * 100 + [11.0]) != []
    watch = Watch()
    watch_norms(watch, map(float, range(1, 301)))
    assert watch.state_dict()["norms"] == [float(norm) for norm in range(201, 301)]
    assert not any("step 151" in line for line in watch_norms(Watch(), [1.0] * 50 + [100.0] * 100 + [999.0]))


def test_all_are_counted_but_only_one_in_a_hundred_updates_is_told():
    watch = Watch()
    said = watch_norms(watch, [1.0] * 20 + [50.0, 1.0, 70.0, 1.0] + [1.0] * 100 + [60.0])
    assert [line.partition(":")[0] for line in said] == ["step 21", "step 125"]
    assert watch.spikes == 3 and watch.worst == Spike(23, 70.0, 70.0)


def test_a_watch_goes_on_from_its_state():
    norms = [1.0, 1.5] * 30 + [40.0] + [1.0] * 60 + [30.0] + [2.0] * 80
    whole, first, second = Watch(), Watch(), Watch()
    said = watch_norms(whole, norms)
    before = watch_norms(first, norms[:70])
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    second.on_train_begin(Listener(), TrainerState())
    assert before + watch_norms(second, norms[70:], first=71) == said
    assert second.state_dict() == whole.state_dict()
    second.on_train_begin(Listener(), TrainerState())
    assert second.spikes == 0 and second.worst is None


def test_the_end_counts_them_and_names_the_worst():
    history = [{"step": 1, "loss": 5.0}, {"step": 2, "loss": 3.0}]
    [sentence] = verdicts(history, spikes=3, worst=Spike(23, 70.0, 70.0))
    assert "the gradient exploded 3 times, worst at step 23: norm 70, 70 times its median" in sentence
    [sentence] = verdicts(history, spikes=1, worst=Spike(23, 70.0, 70.0))
    assert sentence.startswith("the gradient exploded at step 23")


class Exploding(FakeStep):
    """The gradient is a hundred times too large at update 17, which no report shows."""

    def update(self, learning_rate, n_targets):
        if self.n_updates == 16:
            self.gradient *= 100
            self.momentum[:] = 0
            learning_rate = 0.0
        return super().update(learning_rate, n_targets)


def test_an_explosion_between_two_reports_is_told_then_and_at_the_end(make_trainer):
    trainer = make_trainer(step_factory=Exploding, num_train_epochs=3, logging_steps=10, lr_scheduler_type="constant")
    trainer.train()
    assert "step 17: the gradient explodes: norm" in trainer.output()
    assert "the gradient exploded at step 17" in trainer.output().splitlines()[-1]


def test_overfitting_is_told_when_it_begins_and_once(make_trainer):
    trainer = make_trainer(val=token_data(30, seed=9, longest=4), num_train_epochs=30, learning_rate=3.0)
    history = trainer.train()
    told = [line for line in trainer.output().splitlines() if "overfitting begins" in line]
    assert len(told) == 1
    curve = {report["step"]: report["val_loss"] for report in history if "val_loss" in report}
    best = min(curve, key=curve.get)
    _first, second = [step for step, value in curve.items() if step > best and value > curve[best] + 0.05][:2]
    assert told[0].startswith(f"step {second}: ") and f"at step {best}, while the training loss falls" in told[0]


@pytest.mark.parametrize("best", [True, False])
def test_after_overfitting_it_is_said_whose_weights_are_kept(make_trainer, best):
    settings = {"num_train_epochs": 30, "learning_rate": 3.0, "load_best_model_at_end": best}
    trainer = make_trainer(val=token_data(30, seed=9, longest=4), **settings)
    curve = {report["step"]: report["val_loss"] for report in trainer.train() if "val_loss" in report}
    step = min(curve, key=curve.get)
    assert (f"the weights are those of step {step}: val_loss {curve[step]:.4f}" in trainer.output()) == best
    last = f"the weights are the last ones; load_best_model_at_end would keep those of step {step}"
    assert (f"{last}: val_loss {curve[step]:.4f}" in trainer.output()) != best


def test_what_was_watched_survives_an_interruption(make_trainer, tmp_path):
    settings = {"step_factory": Exploding, "num_train_epochs": 3, "lr_scheduler_type": "constant"}
    whole = make_trainer(output_dir=str(tmp_path / "whole"), **settings)
    whole.train()
    first = make_trainer(callbacks=[InterruptAt(20)], **settings)
    with pytest.raises(KeyboardInterrupt):
        first.train()
    second = make_trainer(**settings)
    second.train(resume_from_checkpoint=True)
    assert second.callbacks[0].state_dict() == whole.callbacks[0].state_dict()
    assert "the gradient exploded at step 17" in second.output().splitlines()[-1]


def test_a_gradient_that_is_not_finite_is_told_from_a_loss_that_is_not(make_trainer):
    class NaN(FakeStep):
        updates_tried = 0

        def update(self, learning_rate, n_targets):
            if self.updates_tried == 3:  # the first of the second epoch
                self.gradient[0, 0] = float("nan")
            self.updates_tried += 1
            return super().update(learning_rate, n_targets)

    trainer = make_trainer(step_factory=NaN, gradient_accumulation_steps=3, num_train_epochs=3)
    trainer.train()
    skipped = "the gradient is not finite; the update was skipped (1 so far): nothing learnt from batch 1 of epoch 2, "
    [line] = [line for line in trainer.output().splitlines() if skipped in line]
    assert line.startswith("step 4: ") and line.endswith("tokens")
