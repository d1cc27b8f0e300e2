"""What a run ends with: skipped updates, the best weights, early stopping, callbacks that stop it."""

import contextlib
import csv

import numpy as np
import pytest
from train.fakes import FakeStep, token_data

from rgz.errors import RgzError
from rgz.safetensors import load_file
from rgz.train import Callback, EarlyStopping, TrainingDiverged

KEYS = [
    "step", "epoch", "loss", "perplexity", "learning_rate", "grad_norm", "tokens_per_second",
    "samples_per_second", "eta_seconds", "num_input_tokens_seen",
]  # fmt: skip


def test_a_non_finite_loss_skips_the_update_and_is_said_and_counted(make_trainer):
    class Poisoned(FakeStep):
        def __init__(self, *args):
            super().__init__(*args)
            self.poisoned = {4}

    trainer = make_trainer(step_factory=Poisoned, logging_steps=1, num_train_epochs=1, report_to=("jsonl", "csv"))
    history = trainer.train()
    assert [r["step"] for r in history] == list(range(1, 9))
    assert [r["skipped"] for r in history] == [r["skipped"] for r in trainer.run.read_history()] == [0] * 3 + [1] * 5
    rows = csv.DictReader((trainer.run.path / "metrics.csv").read_text().splitlines())
    assert [row["skipped"] for row in rows] == ["0"] * 3 + ["1"] * 5
    assert history[3]["grad_norm"] is None and trainer.state.skipped_updates == 1
    assert trainer.step.n_updates == 7
    skipped = (
        "step 4: the loss is not finite; the update was skipped (1 so far): nothing learnt from batch 4 of epoch 1,"
    )
    assert skipped in trainer.output()
    lines = (trainer.run.path / "metrics.jsonl").read_text()
    assert "NaN" not in lines and "Infinity" not in lines
    assert np.isfinite(trainer.model.table).all()


def test_ten_in_a_row_stop_the_run_and_leave_the_last_checkpoint(make_trainer):
    class Diverging(FakeStep):
        def __init__(self, *args):
            super().__init__(*args)
            self.poisoned = set(range(6, 1000))

    trainer = make_trainer(step_factory=Diverging, save_steps=5, num_train_epochs=10)
    with pytest.raises(TrainingDiverged, match=r"10 times in a row, stopped at step 15; .*checkpoint-5"):
        trainer.train()
    assert [path.name for path in trainer.run.checkpoints()][-1] == "checkpoint-5"
    saved = load_file(trainer.run.path / "checkpoint-5" / "model.safetensors")
    assert np.isfinite(saved["table"]).all()


class Exploding(FakeStep):
    """From the sixth update on the weights are infinite, though the gradient that did it was finite."""

    def update(self, learning_rate, n_targets):
        return super().update(np.inf if self.n_updates >= 5 else learning_rate, n_targets)


@pytest.mark.parametrize("strategy", ["steps", "best+steps", "epoch", "no"])
@pytest.mark.parametrize("metric", ["val_loss", "loss"])
@pytest.mark.parametrize("restore", [True, False])
@pytest.mark.filterwarnings("ignore:invalid value")
def test_weights_that_are_no_numbers_are_never_saved_and_end_the_run(make_trainer, strategy, metric, restore):
    trainer = make_trainer(
        step_factory=Exploding, save_strategy=strategy, save_steps=1, eval_steps=2, max_steps=6, save_total_limit=1,
        metric_for_best_model=metric, load_best_model_at_end=restore,
    )  # fmt: skip
    ends_well = strategy == "no" and restore  # the best weights are whole, and those that are written
    with contextlib.nullcontext() if ends_well else pytest.raises(TrainingDiverged, match="after step 6 the weights"):
        trainer.train()
    saved = [*trainer.run.path.rglob("*.safetensors")]
    assert all(np.isfinite(tensor).all() for path in saved for tensor in load_file(path).values())
    if strategy in ("steps", "best+steps"):
        assert (trainer.run.path / "checkpoint-5").is_dir()
    assert (trainer.run.path / "model.safetensors").exists() == restore
    assert not restore or trainer.best.step == 4


def test_the_best_weights_are_back_and_on_the_disk(make_trainer):
    """Validation text of another kind: learning the training text makes it worse from some point on."""
    trainer = make_trainer(val=token_data(30, seed=9, longest=4), num_train_epochs=30, learning_rate=3.0)
    history = trainer.train()
    curve = {r["step"]: r["val_loss"] for r in history if "val_loss" in r}
    best = min(curve, key=curve.get)
    assert best < max(curve) and trainer.best.step == best
    assert trainer.evaluate()["val_loss"] == curve[best]
    np.testing.assert_array_equal(load_file(trainer.run.path / "model.safetensors")["table"], trainer.model.table)


def test_without_load_best_the_final_weights_stay(make_trainer):
    trainer = make_trainer(
        val=token_data(30, seed=9, longest=4),
        num_train_epochs=30,
        learning_rate=3.0,
        load_best_model_at_end=False,
    )
    history = trainer.train()
    assert trainer.evaluate()["val_loss"] == history[-1]["val_loss"]


def test_early_stopping_ends_the_run(make_trainer):
    val = token_data(30, seed=9, longest=4)
    trainer = make_trainer(val=val, num_train_epochs=99, learning_rate=3.0, early_stopping_patience=2)
    history = trainer.train()
    curve = [r["val_loss"] for r in history if "val_loss" in r]
    assert len(curve) < 99 and min(curve) == curve[-3]
    assert trainer.evaluate()["val_loss"] == curve[-3]
    assert "early stopping: val_loss has not improved for 2 evaluations" in trainer.output()


def test_a_metric_nobody_reports_is_an_error_before_anything_is_written(make_trainer):
    trainer = make_trainer(callbacks=[EarlyStopping("val_los", patience=3)])
    with pytest.raises(RgzError, match="did you mean 'val_loss'"):
        trainer.train()
    assert not trainer.run.path.exists()
    trainer = make_trainer(early_stopping_patience=3, validation_split=0.0)
    with pytest.raises(RgzError, match="val_loss cannot be watched: there is no validation data"):
        trainer.train()


def test_early_stopping_begins_anew_with_each_run(make_trainer):
    stopping = EarlyStopping(patience=2)
    settings = {"val": token_data(30, seed=9, longest=4), "num_train_epochs": 99, "learning_rate": 3.0}
    first = make_trainer(output_dir=None, callbacks=[stopping], **settings)
    steps = first.train()[-1]["step"]
    assert stopping.stopped_step == steps
    again = make_trainer(output_dir=None, callbacks=[stopping], **settings)
    assert again.train()[-1]["step"] == steps
    assert first.train()[-1]["step"] > 0, "the same trainer once more"


@pytest.mark.parametrize("arguments", [{}, {"save_strategy": "best"}])
def test_a_misspelt_metric_is_an_error_before_anything_is_written(make_trainer, arguments):
    trainer = make_trainer(metric_for_best_model="val_los", **arguments)
    with pytest.raises(RgzError, match="unknown metric 'val_los'; did you mean 'val_loss'"):
        trainer.train()
    assert not trainer.run.path.exists()


@pytest.mark.parametrize("report_to", [(), ("jsonl",)])
def test_messages_come_whatever_the_reporters_and_report_lines_do_not(make_trainer, report_to):
    class Enough(Callback):
        def on_step_end(self, trainer, state):
            if state.step == 5:
                raise KeyboardInterrupt

    trainer = make_trainer(report_to=report_to, callbacks=[Enough()])
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert "go on with: Trainer(...).train(" in trainer.output() and "Loss" not in trainer.output()


def test_training_loss_can_be_watched_without_validation_data(make_trainer):
    trainer = make_trainer(
        early_stopping_patience=1, metric_for_best_model="loss", validation_split=0.0,
        early_stopping_min_delta=0.5, num_train_epochs=50,
    )  # fmt: skip
    assert trainer.train()[-1]["epoch"] < 50


def test_callbacks_are_called_in_order(make_trainer):
    events = []

    def note(name):
        return lambda self, trainer, state: events.append((name, state.step))

    hooks = {name: note(name) for name in dir(Callback) if name.startswith("on_")}
    Recorder = type("Recorder", (Callback,), hooks)
    make_trainer(callbacks=[Recorder()], num_train_epochs=1, batch_size=16, save_strategy="epoch").train()
    assert events == [
        ("on_train_begin", 0), ("on_epoch_begin", 0), ("on_step_end", 1), ("on_step_end", 2),
        ("on_epoch_end", 2), ("on_log", 2), ("on_evaluate", 2), ("on_save", 2), ("on_train_end", 2),
    ]  # fmt: skip


def test_a_callback_can_stop_the_run(make_trainer):
    class Enough(Callback):
        def on_step_end(self, trainer, state):
            if state.step == 5:
                trainer.stop("that will do")

    trainer = make_trainer(callbacks=[Enough()])
    assert trainer.train()[-1]["step"] == 5
    assert "that will do" in trainer.output()


def test_an_exception_reaches_the_callbacks_and_the_caller(make_trainer):
    seen = []

    class Failing(Callback):
        def on_step_end(self, trainer, state):
            if state.step == 10:
                raise MemoryError("no more")

        def on_exception(self, trainer, state):
            seen.append(type(trainer.exception))

        def on_train_end(self, trainer, state):
            seen.append("end")

    trainer = make_trainer(callbacks=[Failing()])
    with pytest.raises(MemoryError):
        trainer.train()
    assert seen == [MemoryError, "end"]
    # The evaluation at step 8 was the best one; its weights are back and saved.
    np.testing.assert_array_equal(load_file(trainer.run.path / "model.safetensors")["table"], trainer.model.table)
    assert trainer.best.step == 8 and trainer.state.step == 10
