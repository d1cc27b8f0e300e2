"""Stopping and going on equals never stopping; what is damaged is passed over and said."""

import json
import os
import shutil

import numpy as np
import pytest
from train.fakes import InterruptAt, token_data
from train.runs import without_times

from rgz.errors import RgzError
from rgz.train import EarlyStopping, RunDirectory, newest_whole

# Ragged updates, several epochs, reports and evaluations that do not fall together, weights that get worse.
SETTINGS = {
    "num_train_epochs": 6, "gradient_accumulation_steps": 3, "logging_steps": 2, "eval_steps": 5,
    "save_steps": 3, "learning_rate": 3.0,
}  # fmt: skip


def validation():
    return token_data(20, seed=9, longest=4)


def untimed(history):
    return [without_times(report) for report in history]


@pytest.fixture
def uninterrupted(make_trainer, tmp_path):
    trainer = make_trainer(output_dir=str(tmp_path / "whole"), val=validation(), **SETTINGS)
    history = trainer.train()
    assert trainer.state.step == 24 and trainer.best.step < 24
    return trainer, history


def check_same(trainer, history, whole, whole_history, last=24):
    np.testing.assert_array_equal(trainer.model.table, whole.model.table)
    np.testing.assert_array_equal(trainer.step.momentum, whole.step.momentum)
    assert untimed(history) == untimed(whole_history)
    assert untimed(trainer.run.read_history()) == untimed(whole_history)
    for name in (
        "model.safetensors",
        f"checkpoint-{last}/model.safetensors",
        f"checkpoint-{last}/optimizer.safetensors",
    ):
        assert (trainer.run.path / name).read_bytes() == (whole.run.path / name).read_bytes()


@pytest.mark.parametrize("event", ["on_step_end", "on_evaluate", "on_log", "on_epoch_end", "on_save"])
@pytest.mark.parametrize("step", [1, 4, 5, 12, 15, 20])
def test_ctrl_c_and_resume_equal_the_uninterrupted_run(make_trainer, uninterrupted, step, event):
    trainer = make_trainer(val=validation(), callbacks=[InterruptAt(step, event)], **SETTINGS)
    try:
        trainer.train()
        assert event != "on_step_end", "the callback must have fired"
    except KeyboardInterrupt:
        assert trainer.state.step == step
        assert f"interrupted at step {step}; go on with: Trainer(...).train(" in trainer.output()
        assert (trainer.run.path / f"checkpoint-{step}").is_dir()
    trainer = make_trainer(val=validation(), **SETTINGS)
    history = trainer.train(resume_from_checkpoint=True)
    check_same(trainer, history, *uninterrupted)


def test_a_run_stopped_at_every_step_equals_the_uninterrupted_one(make_trainer, uninterrupted):
    for step in range(1, 24):
        trainer = make_trainer(val=validation(), callbacks=[InterruptAt(step)], **SETTINGS)
        with pytest.raises(KeyboardInterrupt):
            trainer.train(resume_from_checkpoint=step > 1)
    trainer = make_trainer(val=validation(), **SETTINGS)
    check_same(trainer, trainer.train(resume_from_checkpoint=True), *uninterrupted)


def test_going_back_to_an_older_checkpoint_equals_the_uninterrupted_run(make_trainer, uninterrupted, tmp_path):
    """As after kill -9: later reports and checkpoints exist already, and must not count twice."""
    whole, _ = uninterrupted
    run = RunDirectory(tmp_path / "run")
    shutil.copytree(whole.run.path, run.path)
    oldest = run.checkpoints()[-1]
    trainer = make_trainer(val=validation(), **SETTINGS)
    history = trainer.train(resume_from_checkpoint=oldest)
    check_same(trainer, history, *uninterrupted)


def test_a_finished_run_has_nothing_left_to_do(make_trainer, uninterrupted):
    whole, whole_history = uninterrupted
    trainer = make_trainer(output_dir=str(whole.run.path), val=validation(), **SETTINGS)
    history = trainer.train(resume_from_checkpoint=True)
    assert "all 24 steps of this run are done already" in trainer.output()
    check_same(trainer, history, whole, whole_history)


def test_the_best_weights_survive_a_resume(make_trainer, uninterrupted):
    """Interrupted after the best evaluation: its weights are not the model's any more, only the copy's."""
    whole, _ = uninterrupted
    trainer = make_trainer(val=validation(), callbacks=[InterruptAt(22)], **SETTINGS)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    best = trainer.best.tensors["table"].copy()
    np.testing.assert_array_equal(trainer.model.table, best)
    trainer = make_trainer(val=validation(), **SETTINGS)
    trainer.train(resume_from_checkpoint=True)
    np.testing.assert_array_equal(trainer.model.table, whole.model.table)
    assert trainer.best.step == whole.best.step and trainer.best.value == whole.best.value


def test_early_stopping_goes_on_counting_after_a_resume(make_trainer):
    def stopping():
        return EarlyStopping("val_loss", min_delta=0.001, patience=2, restore_best_weights=True)

    whole = make_trainer(output_dir=None, val=validation(), callbacks=[stopping()], **SETTINGS)
    expected = untimed(whole.train())
    assert whole.state.step < 24
    last = whole.state.step - 1
    trainer = make_trainer(val=validation(), callbacks=[stopping(), InterruptAt(last)], **SETTINGS)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert trainer.callbacks[1].wait == 1
    trainer = make_trainer(val=validation(), callbacks=[stopping()], **SETTINGS)
    assert untimed(trainer.train(resume_from_checkpoint=True)) == expected
    np.testing.assert_array_equal(trainer.model.table, whole.model.table)
    again = make_trainer(val=validation(), callbacks=[stopping()], **SETTINGS)
    assert untimed(again.train(resume_from_checkpoint=True)) == expected, "it had stopped: no step more"


def test_a_run_in_many_short_sittings_equals_the_uninterrupted_one(make_trainer, uninterrupted):
    """--max-time, again and again."""
    sittings = 0
    while True:
        trainer = make_trainer(val=validation(), max_time=2.0, **SETTINGS)
        history = trainer.train(resume_from_checkpoint=sittings > 0)
        sittings += 1
        if trainer.state.step == 24:
            break
        assert "go on with: Trainer(...).train(" in trainer.output()
    assert sittings > 4
    check_same(trainer, history, *uninterrupted)


def test_a_damaged_checkpoint_is_passed_over_and_said(make_trainer, uninterrupted, tmp_path):
    whole, _ = uninterrupted
    damages = {
        "truncated": lambda path: os.truncate(path / "optimizer.safetensors", 100),
        "a bit turned": lambda path: flip(path / "model.safetensors"),
        "state cut": lambda path: os.truncate(path / "state.json", 50),
        "state edited": lambda path: edit(path / "state.json"),
        "a file gone": lambda path: (path / "model.safetensors").unlink(),
        "empty": lambda path: [file.unlink() for file in path.iterdir()],
    }
    for name, damage in damages.items():
        run = RunDirectory(tmp_path / name)
        shutil.copytree(whole.run.path, run.path)
        newest, second, *_ = run.checkpoints()
        damage(newest)
        checkpoint, notices = newest_whole(run)
        assert checkpoint.path == second
        assert len(notices) == 2 and "checkpoint-24" in notices[0] and str(second) in notices[1]
        trainer = make_trainer(output_dir=str(run.path), val=validation(), **SETTINGS)
        check_same(trainer, trainer.train(resume_from_checkpoint=True), *uninterrupted)
        assert "damaged" in trainer.output()


def flip(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def edit(path):
    state = json.loads(path.read_text())
    state["trainer"]["step"] += 1
    path.write_text(json.dumps(state))


def test_no_whole_checkpoint_is_an_error_not_a_fresh_start(make_trainer, uninterrupted):
    whole, _ = uninterrupted
    for path in whole.run.checkpoints():
        flip(path / "model.safetensors")
    trainer = make_trainer(output_dir=str(whole.run.path), val=validation(), **SETTINGS)
    with pytest.raises(RgzError, match=r"no checkpoint of .* is whole .*--overwrite"):
        trainer.train(resume_from_checkpoint=True)


def test_a_run_killed_before_its_first_checkpoint_begins_anew(make_trainer, uninterrupted, tmp_path):
    whole, _ = uninterrupted
    run = RunDirectory(tmp_path / "run")
    shutil.copytree(whole.run.path, run.path)
    for path in run.checkpoints():
        shutil.rmtree(path)
    trainer = make_trainer(val=validation(), **SETTINGS)
    check_same(trainer, trainer.train(resume_from_checkpoint=True), *uninterrupted)
    assert "has no checkpoint yet; starting from its beginning" in trainer.output()


def test_nothing_to_resume_is_an_error(make_trainer):
    with pytest.raises(RgzError, match="there is no run to resume in"):
        make_trainer().train(resume_from_checkpoint=True)


@pytest.mark.parametrize(
    "change, message",
    [({"batch_size": 5}, "batch_size is 5, but this run began with 4"), ({"seed": 3}, "seed is 3, but")],
)
def test_other_batches_are_refused(make_trainer, uninterrupted, change, message):
    whole, _ = uninterrupted
    trainer = make_trainer(output_dir=str(whole.run.path), val=validation(), **{**SETTINGS, **change})
    with pytest.raises(RgzError, match=message):
        trainer.train(resume_from_checkpoint=True)


def test_changed_arguments_are_named_once(make_trainer):
    make_trainer(num_train_epochs=1).train()
    changes = {"num_train_epochs": 2, "learning_rate": 0.25, "logging_steps": 1, "save_seconds": 9}
    trainer = make_trainer(**changes)
    trainer.train(resume_from_checkpoint=True)
    said = "this run began with other values of: num_train_epochs, learning_rate; the new ones hold from here on"
    assert trainer.output().count(said) == 1
    trainer = make_trainer(**changes)
    trainer.train(resume_from_checkpoint=True)
    assert "other values" not in trainer.output()


def test_a_changed_text_is_refused(make_trainer, uninterrupted):
    whole, _ = uninterrupted
    other = token_data(seed=77)
    trainer = make_trainer(output_dir=str(whole.run.path), train=other, val=validation(), **SETTINGS)
    with pytest.raises(RgzError, match="the text is not what this run began with"):
        trainer.train(resume_from_checkpoint=True)


def test_another_folder_can_go_on_from_a_checkpoint(make_trainer, uninterrupted, tmp_path):
    whole, whole_history = uninterrupted
    trainer = make_trainer(output_dir=str(tmp_path / "other"), val=validation(), **SETTINGS)
    history = trainer.train(resume_from_checkpoint=whole.run.checkpoints()[-1])
    first = history[0]["step"]
    assert untimed(history) == [report for report in untimed(whole_history) if report["step"] >= first]
    np.testing.assert_array_equal(trainer.model.table, whole.model.table)
