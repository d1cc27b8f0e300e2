"""What a checkpoint holds besides weights and counters: schedule, step, callbacks, the last evaluation."""

import dataclasses
import functools
import math

import numpy as np
import pytest
from train.fakes import FakeStep, InterruptAt
from train.test_resume import SETTINGS, untimed, validation

from rgz.train import Callback, EarlyStopping


class Falling:
    """A schedule that depends on how often it was asked: a state that the step alone does not tell."""

    watches = None

    def __init__(self):
        self.asked = 0

    def __call__(self, step):
        self.asked += 1
        return 1 / (1 + self.asked)

    def state_dict(self):
        return {"asked": self.asked}

    def load_state_dict(self, values):
        self.asked = values.get("asked", 0)


class Scaled(FakeStep):
    """Doubles a scale with each update, as a half-precision step would, and learns at a rate that depends on it."""

    scale = 1.0

    def update(self, learning_rate, n_targets):
        self.scale *= 2
        return super().update(learning_rate / math.log2(self.scale), n_targets)

    def state_dict(self):
        return {"scale": self.scale}

    def load_state_dict(self, values):
        self.scale = values["scale"]


def test_the_state_of_the_schedule_of_the_step_and_of_the_last_evaluation_come_back(make_trainer):
    def trainer(**more):
        made = make_trainer(val=validation(), step_factory=Scaled, **SETTINGS, **more)
        made.plan = dataclasses.replace(made.prepare(), schedule=Falling())
        return made

    whole = trainer(output_dir=None)
    expected = whole.train()
    stopped = trainer(callbacks=[InterruptAt(12)])
    with pytest.raises(KeyboardInterrupt):
        stopped.train()
    assert stopped.state.metrics["step"] == 10
    again = trainer()
    assert untimed(again.train(resume_from_checkpoint=True)) == untimed(expected)
    np.testing.assert_array_equal(again.model.table, whole.model.table)
    assert again.plan.schedule.asked == 24 and again.step.scale == 2.0**24
    seen = []
    late = trainer(overwrite=True, callbacks=[InterruptAt(12)])
    with pytest.raises(KeyboardInterrupt):
        late.train()
    last = trainer(callbacks=[Look(seen)])
    last.train(resume_from_checkpoint=True)
    assert untimed(seen[:1]) == untimed([late.state.metrics]), "the metrics of step 10, asked for at step 13"


class Look(Callback):
    def __init__(self, seen):
        self.seen = seen

    def on_step_end(self, trainer, state):
        self.seen.append(dict(state.metrics))


@pytest.mark.parametrize("event", ["on_step_end", "on_epoch_end", "on_log", "on_evaluate"])
def test_ctrl_c_in_one_callback_does_not_keep_the_step_from_the_others(make_trainer, event):
    """Early stopping and the best weights come after the callback that is interrupted, at a step that is the best."""

    def callbacks(*first):
        return [*first, EarlyStopping("val_loss", min_delta=0.001, patience=2, restore_best_weights=True), Count()]

    settings = {**SETTINGS, "eval_steps": 3, "logging_steps": 3, "val": validation()}
    whole = make_trainer(output_dir=None, callbacks=callbacks(), **settings)
    expected = untimed(whole.train())
    assert whole.best.step == 9 and whole.state.step < 24
    trainer = make_trainer(callbacks=callbacks(InterruptAt(8 if event == "on_epoch_end" else 9, event)), **settings)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    trainer = make_trainer(callbacks=callbacks(), **settings)
    assert untimed(trainer.train(resume_from_checkpoint=True)) == expected
    np.testing.assert_array_equal(trainer.model.table, whole.model.table)
    assert trainer.callbacks[-1].state_dict() == whole.callbacks[-1].state_dict()


class Count(Callback):
    def __init__(self):
        self.seen = {"on_step_end": 0, "on_epoch_end": 0, "on_log": 0, "on_evaluate": 0}
        for event in self.seen:
            setattr(self, event, functools.partial(self.count, event))

    def count(self, event, trainer, state):
        self.seen[event] += 1

    def state_dict(self):
        return dict(self.seen)

    def load_state_dict(self, values):
        self.seen.update(values)
