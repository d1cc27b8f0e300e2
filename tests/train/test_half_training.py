"""Training in 16 bits: what an overflow is taken for, what is told of the scale, and that stopping changes nothing."""

import io
import json

import numpy as np
import pytest
from train.fakes import FakeStep, InterruptAt, token_data
from train.runs import without_times

import rgz
from rgz.errors import RgzError
from rgz.optim import LossScale
from rgz.train import EarlyStopping, Trainer, TrainingDiverged


class Overflowing(FakeStep):
    """Scales its loss; the first updates overflow, or give no number for another reason."""

    overflows, true_trouble = 0, False

    def __init__(self, *args):
        super().__init__(*args)
        self.loss_scale, self.overflowed = 65536.0, False

    def update(self, learning_rate, n_targets):
        self.overflowed = False
        if self.loss_scale <= 65536.0 / 2**self.overflows and not self.true_trouble:
            return super().update(learning_rate, n_targets)
        self.discard()
        if not self.true_trouble:
            self.overflowed, self.loss_scale = True, self.loss_scale / 2
        return float("nan")


def test_many_overflows_in_a_row_are_no_divergence_and_are_told(make_trainer):
    step = type("Step", (Overflowing,), {"overflows": 13})
    trainer = make_trainer(step_factory=step, logging_steps=1, num_train_epochs=3)
    history = trainer.train()
    assert trainer.state.overflows == 13 and trainer.state.skipped_updates == 0
    assert trainer.step.n_updates == trainer.state.step - 13
    assert [report["loss_scale"] for report in history[:3]] == [32768, 16384, 8192]
    assert history[-1]["overflows"] == 13 and history[-1]["loss_scale"] == 8
    assert "step 2: float16 could not hold the gradients: the update was skipped (2 so far)" in trainer.output()
    assert "the loss scale is 16384 from here on" in trainer.output() and "| Scale 8 |" in trainer.output()


@pytest.mark.parametrize("metric", ["loss_scale", "overflows"])
def test_what_is_logged_of_the_scale_can_be_watched_where_it_is_logged(make_trainer, metric):
    step = type("Step", (Overflowing,), {"overflows": 3})
    run = {"eval_steps": 2, "num_train_epochs": 2, "output_dir": None}
    stopping = EarlyStopping(metric, patience=3)
    trainer = make_trainer(
        step_factory=step, metric_for_best_model=metric, load_best_model_at_end=True, callbacks=[stopping], **run
    )
    trainer.train()
    # Of the values at steps 2, 4, 6, 8 the first is the best one: 2 overflows so far, the scale 16384; then 3, 8192.
    assert (stopping.stopped_step, trainer.best.step) == (8, 2)
    assert trainer.best.value == {"loss_scale": 16384, "overflows": 2}[metric]
    with pytest.raises(RgzError, match=f"unknown metric '{metric}'"):
        make_trainer(callbacks=[EarlyStopping(metric)], **run).train()


def test_trouble_that_no_scale_explains_still_ends_the_run(make_trainer):
    step = type("Step", (Overflowing,), {"true_trouble": True})
    trainer = make_trainer(step_factory=step, num_train_epochs=3)
    with pytest.raises(TrainingDiverged, match="not finite 10 times in a row"):
        trainer.train()
    assert trainer.state.overflows == 0


def new_trainer(folder, dtype, callbacks=(), **more):
    config = rgz.ModelConfig(vocab_size=12, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, dropout=0.1,
                             max_position_embeddings=16)  # fmt: skip
    arguments = rgz.TrainingArguments(
        output_dir=str(folder), max_steps=12, batch_size=4, max_length=16, dtype=dtype, logging_steps=1, eval_steps=3,
        gradient_accumulation_steps=2, packing=False, validation_split=0.2, learning_rate=0.01, **more,
    )  # fmt: skip
    return Trainer(rgz.Model(config), None, token_data(60), None, arguments, callbacks, stream=io.StringIO())


@pytest.mark.parametrize(
    ("dtype", "optim_dtype"),
    [("bfloat16", "float32"), ("float16", "float32"), ("bfloat16", "bfloat16"), ("float32", "int8")],
)
def test_stopping_and_going_on_equals_never_stopping(tmp_path, monkeypatch, dtype, optim_dtype):
    monkeypatch.setattr(LossScale, "MOST", 2.0**30)
    monkeypatch.setattr(LossScale, "START", 2.0**27)  # beyond float16 for every token: the run begins with overflows
    monkeypatch.setattr(LossScale, "PATIENCE", 4)
    whole = new_trainer(tmp_path / "whole", dtype, optim_dtype=optim_dtype)
    history = whole.train()
    with pytest.raises(KeyboardInterrupt):
        new_trainer(tmp_path / "parts", dtype, [InterruptAt(6)], optim_dtype=optim_dtype).train()
    resumed = new_trainer(tmp_path / "parts", dtype, optim_dtype=optim_dtype)
    assert [without_times(r) for r in resumed.train(True)] == [without_times(r) for r in history]
    for name in ("model.safetensors", "checkpoint-12/model.safetensors", "checkpoint-12/optimizer.safetensors"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    states = [json.loads((tmp_path / f"{run}/checkpoint-12/state.json").read_text()) for run in ("whole", "parts")]
    assert states[0]["step"] == states[1]["step"]
    if dtype == "float16":
        scales = [report["loss_scale"] for report in history]
        assert 0 < whole.state.overflows < 12 and len(set(scales)) >= 2
        assert states[0]["step"]["TrainStep"]["loss_scale"]["value"] == scales[-1]
    losses = [report["val_loss"] for report in history if "val_loss" in report]
    assert losses[-1] < losses[0]


def test_weights_are_saved_in_float32_and_the_best_ones_answer(tmp_path):
    trainer = new_trainer(tmp_path / "run", "bfloat16")
    trainer.train()
    again = rgz.Model.from_pretrained(tmp_path / "run")
    assert again.weights.tobytes() == trainer.model.weights.tobytes()
    trainer.model.compute_in("float32")
    ids = np.arange(10)[None] % 12
    np.testing.assert_array_equal(again(ids), trainer.model(ids))


def test_a_loss_scale_without_float16_is_refused():
    with pytest.raises(RgzError, match="loss_scale must be none, but with dtype=float16"):
        rgz.TrainingArguments(loss_scale=128.0)
    with pytest.raises(RgzError, match=r"loss_scale must be > 0, <= 2\*\*24"):
        rgz.TrainingArguments(dtype="float16", loss_scale=0.0)
