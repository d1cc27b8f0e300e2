"""The schedule of a run: which arguments reach it, by step or by epoch, and a plateau that survives interruption."""

import pytest
from train.fakes import InterruptAt, token_data
from train.test_resume import check_same

from rgz.config import TrainingArguments
from rgz.errors import RgzError
from rgz.schedules import Cosine, PerEpoch, Polynomial, ReduceLROnPlateau, get_schedule
from rgz.train import make_schedule

PLATEAU = {
    "lr_scheduler_type": "reduce_lr_on_plateau", "lr_scheduler_kwargs": {"patience": 1, "factor": 0.5},
    "learning_rate": 3.0, "num_train_epochs": 6, "eval_steps": 3, "logging_steps": 1, "save_steps": 4,
}  # fmt: skip


def worsening():
    """Validation text of another kind: learning the training text makes it worse from some point on."""
    return token_data(20, seed=9, longest=4)


def test_the_arguments_reach_the_schedule():
    args = TrainingArguments(warmup_steps=10, min_lr_ratio=0.1)
    assert make_schedule(args, 100) == Cosine(100, 0.1, 10)
    args = TrainingArguments(
        lr_scheduler_type="polynomial", lr_scheduler_kwargs={"power": 2, "lr_end": 1e-4}, lr_scheduler_interval="epoch",
        warmup_steps=2, learning_rate=1e-3,
    )  # fmt: skip
    assert make_schedule(args, 95, 10) == PerEpoch(Polynomial(10, 0.1, 2, 2.0), 10)
    args = TrainingArguments(lr_scheduler_type="ReduceLROnPlateau", metric_for_best_model="loss", warmup_steps=0.1)
    assert make_schedule(args, 100) == ReduceLROnPlateau("loss", floor=0.01, warmup=10)


def test_by_epoch_the_rate_moves_between_epochs_only(make_trainer):
    trainer = make_trainer(
        num_train_epochs=4, logging_steps=1, lr_scheduler_interval="epoch", warmup_steps=0, min_lr_ratio=0.0,
        lr_scheduler_type="linear",
    )  # fmt: skip
    rates = [report["learning_rate"] for report in trainer.train()]
    per_epoch = trainer.plan.updates_per_epoch
    assert rates == [0.5 * share for share in (1, 0.75, 0.5, 0.25) for _ in range(per_epoch)]


def test_a_plateau_halves_the_rate_when_the_validation_loss_stops_falling(make_trainer):
    history = make_trainer(val=worsening(), warmup_steps=0, **PLATEAU).train()
    best, bad, factor = None, 0, 1.0
    for report in history:
        assert report["learning_rate"] == 3.0 * factor
        if (value := report.get("val_loss")) is not None:
            improved = best is None or value < best * (1 - 1e-4)
            best, bad = (value, 0) if improved else (best, bad + 1)
            if bad > 1:
                factor, bad = max(factor / 2, 0.01), 0  # min_lr_ratio
    assert factor < 1


def test_a_run_on_a_plateau_stopped_at_every_step_equals_the_uninterrupted_one(make_trainer, tmp_path):
    whole = make_trainer(output_dir=str(tmp_path / "whole"), val=worsening(), **PLATEAU)
    whole_history = whole.train()
    last = whole.state.step
    assert whole_history[-1]["learning_rate"] < 1.0
    for step in range(1, last):
        trainer = make_trainer(val=worsening(), callbacks=[InterruptAt(step)], **PLATEAU)
        with pytest.raises(KeyboardInterrupt):
            trainer.train(resume_from_checkpoint=step > 1)
    trainer = make_trainer(val=worsening(), **PLATEAU)
    history = trainer.train(resume_from_checkpoint=True)
    check_same(trainer, history, whole, whole_history, last)
    assert trainer.plan.schedule.state_dict() == whole.plan.schedule.state_dict()


def test_the_same_trainer_once_more_begins_with_a_fresh_schedule(make_trainer):
    trainer = make_trainer(val=worsening(), output_dir=None, warmup_steps=0, **PLATEAU)
    assert trainer.train()[-1]["learning_rate"] < 3.0
    assert trainer.train()[0]["learning_rate"] == 3.0


@pytest.mark.parametrize("without", [{"validation_split": 0.0}, {"metric_for_best_model": "val_los"}])
def test_a_plateau_of_a_metric_nobody_reports_is_refused_before_anything_is_written(make_trainer, without):
    trainer = make_trainer(**{**PLATEAU, **without}, load_best_model_at_end=False)
    with pytest.raises(RgzError, match=r"there is no validation data|did you mean 'val_loss'"):
        trainer.train()
    assert not trainer.run.path.exists()


def test_an_argument_that_the_schedule_has_no_use_for_is_said(make_trainer):
    trainer = make_trainer(lr_scheduler_type="one_cycle", warmup_steps=7, num_train_epochs=1)
    trainer.train()
    assert "warmup_steps has no effect: the schedule one_cycle has none" in trainer.output()
    assert "min_lr_ratio" not in trainer.output()


def test_a_plateau_without_a_factor_is_no_state():
    schedule = get_schedule("reduce_lr_on_plateau", total_steps=10)
    with pytest.raises(ValueError, match="factor"):
        schedule.load_state_dict({"factor": None})
    schedule.load_state_dict({"best": None, "factor": 0.5})
    assert schedule(0) == 0.5
