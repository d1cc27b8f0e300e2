"""Which checkpoints a run writes, and which it keeps."""

import pytest
from train.fakes import FakeClock, token_data

from rgz.errors import RgzError
from rgz.train import Callback, read_checkpoint


class Saves(Callback):
    def __init__(self):
        self.steps = []

    def on_save(self, trainer, state):
        self.steps.append(state.step)


def run(make_trainer, **settings):
    saves = Saves()
    trainer = make_trainer(callbacks=[saves], **settings)
    history = trainer.train()
    kept = sorted(int(path.name.split("-")[1]) for path in trainer.run.checkpoints())
    return saves.steps, kept, trainer, history


def test_save_steps_and_the_end(make_trainer):
    assert run(make_trainer, save_steps=5)[:2] == ([5, 10, 15, 16], [10, 15, 16])


def test_keep_all_or_one(make_trainer):
    assert run(make_trainer, save_steps=5, save_total_limit=None)[1] == [5, 10, 15, 16]
    assert run(make_trainer, save_steps=5, save_total_limit=1, overwrite=True)[1] == [16]


def test_without_save_steps_the_clock_decides(make_trainer):
    """The clock ticks 1 s at each look; every 8 s there is a checkpoint, and one at the end."""
    steps, kept, *_ = run(make_trainer, save_seconds=8, clock=FakeClock(1.0))
    assert len(steps) > 2 and steps[-1] == 16 and kept == steps[-3:]


def test_each_epoch(make_trainer):
    assert run(make_trainer, save_strategy="epoch", num_train_epochs=3)[0] == [8, 16, 24]


def test_only_the_last(make_trainer):
    assert run(make_trainer, save_strategy="last")[:2] == ([16], [16])


def test_none_at_all(make_trainer):
    steps, kept, trainer, _ = run(make_trainer, save_strategy="no", save_seconds=1)
    assert steps == kept == [] and (trainer.run.path / "model.safetensors").exists()


@pytest.mark.parametrize("strategy", ["best", "best+last"])
def test_the_best(make_trainer, strategy):
    val = token_data(30, seed=9, longest=4)
    settings = {"val": val, "num_train_epochs": 20, "learning_rate": 3.0, "save_strategy": strategy}
    _, kept, _, history = run(make_trainer, **settings)
    curve = {r["step"]: r["val_loss"] for r in history if "val_loss" in r}
    best, last = min(curve, key=curve.get), max(curve)
    assert best < last
    assert kept == ([best] if strategy == "best" else [best, last])


def test_the_best_needs_something_to_measure(make_trainer):
    with pytest.raises(RgzError, match="val_loss cannot be watched"):
        run(make_trainer, save_strategy="best", validation_split=0.0)


def test_a_checkpoint_tells_what_it_holds(make_trainer):
    *_, trainer, _ = run(make_trainer, save_steps=5)
    checkpoint = read_checkpoint(trainer.run.path / "checkpoint-10")
    assert checkpoint.step == 10 and checkpoint.state["n_updates"] == 10
    assert set(checkpoint.state["sha256_of_files"]) >= {"model.safetensors", "optimizer.safetensors"}
    assert (checkpoint.path / "config.json").exists()


def test_a_checkpoint_of_the_best_step_needs_no_second_copy_of_its_weights(make_trainer):
    *_, trainer, _ = run(make_trainer, eval_steps=5, save_steps=5, save_total_limit=None)
    names = {path.name: (path / "best.safetensors").exists() for path in trainer.run.checkpoints()}
    assert trainer.best.step == 16  # it learns steadily here: each evaluation is the best yet
    assert names == {
        "checkpoint-5": False,
        "checkpoint-10": False,
        "checkpoint-15": False,
        "checkpoint-16": False,
    }
