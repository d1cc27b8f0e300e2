"""Which checkpoints a run writes, and which it keeps."""

import json

import pytest
from train.fakes import FakeClock, InterruptAt, token_data

from rgz.config import TrainingArguments
from rgz.errors import RgzError
from rgz.train import Callback, read_checkpoint
from rgz.train.checkpoint import _sealed


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


def test_by_the_clock_alone(make_trainer):
    steps, *_ = run(make_trainer, save_strategy="seconds", save_steps=1, save_seconds=8, clock=FakeClock(1.0))
    assert 2 < len(steps) < 8 and steps[-1] == 16
    assert TrainingArguments().save_seconds == 300
    with pytest.raises(RgzError, match="save_seconds must be a time, like 5m, got None"):
        TrainingArguments(save_strategy="seconds", save_seconds=None)


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


def scripted(make_trainer, losses, **settings):
    """A run of 16 steps, evaluated each 2, whose validation losses are those given."""
    saves, values = Saves(), iter(losses)
    trainer = make_trainer(eval_steps=2, callbacks=[saves], **settings)
    trainer.evaluate = lambda: {"val_loss": next(values), "val_perplexity": 1.0}
    trainer.train()
    return saves.steps, sorted(int(path.name.split("-")[1]) for path in trainer.run.checkpoints())


@pytest.mark.parametrize(
    ("strategy", "limits", "saved", "kept"),
    [
        # steps               2    4    6    8    10   12   14   16: the best is 4, then come 10, 6, 14
        ("best", (1, None), [2, 4], [4]),
        ("best", (3, None), [2, 4, 6, 10], [4, 6, 10]),
        ("best+last", (2, None), [2, 4, 6, 10, 16], [4, 10, 16]),
        ("best+steps", (1, 2), [2, 4, 5, 10, 15, 16], [4, 15, 16]),
        ("best+steps", (2, 1), [2, 4, 5, 6, 10, 15, 16], [4, 10, 16]),
        ("best+epoch", (1, 1), [2, 4, 8, 16], [4, 16]),
        ("best+epoch", (1, None), [2, 4, 8, 16], [2, 4, 8, 16]),
    ],
)
def test_the_best_n_are_kept_beside_the_others(make_trainer, strategy, limits, saved, kept):
    losses = [3.0, 1.0, 2.0, 9.0, 1.5, 9.0, 2.5, 9.0]
    settings = {"save_strategy": strategy, "save_best_limit": limits[0], "save_total_limit": limits[1]}
    assert scripted(make_trainer, losses, save_steps=5, **settings) == (saved, kept)


def test_what_a_killed_process_did_not_drop_is_dropped_by_the_next(make_trainer):
    *_, trainer, _ = run(make_trainer, save_steps=5, save_total_limit=None)
    again = make_trainer(save_steps=5, save_total_limit=1)
    again.train(resume_from_checkpoint=True)
    assert [path.name for path in trainer.run.checkpoints()] == ["checkpoint-16"]


def test_going_back_keeps_the_newer_checkpoints_until_the_next_save(make_trainer):
    *_, trainer, _ = run(make_trainer, save_steps=5)
    [*_, oldest] = trainer.run.checkpoints()
    again = make_trainer(save_steps=5, callbacks=[InterruptAt(10, "on_train_begin")])
    with pytest.raises(KeyboardInterrupt):
        again.train(resume_from_checkpoint=oldest)
    assert [path.name for path in trainer.run.checkpoints()] == ["checkpoint-16", "checkpoint-15", "checkpoint-10"]


def test_the_best_needs_something_to_measure(make_trainer):
    with pytest.raises(RgzError, match="val_loss cannot be watched"):
        run(make_trainer, save_strategy="best", validation_split=0.0)


def test_a_checkpoint_tells_what_it_holds(make_trainer):
    *_, trainer, _ = run(make_trainer, save_steps=5)
    checkpoint = read_checkpoint(trainer.run.path / "checkpoint-10")
    assert checkpoint.step == 10 and checkpoint.state["n_updates"] == 10
    assert set(checkpoint.state["sha256_of_files"]) >= {"model.safetensors", "optimizer.safetensors", "config.json"}
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


def test_a_link_in_a_checkpoints_place_gives_way_and_what_it_leads_to_stays(make_trainer, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept").touch()
    trainer = make_trainer(save_steps=5, callbacks=[InterruptAt(7)])
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    link = trainer.run.path / "checkpoint-10"
    link.symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    make_trainer(save_steps=5).train(resume_from_checkpoint=True)
    assert (tmp_path / "elsewhere" / "kept").exists()
    assert not [path.name for path in trainer.run.path.iterdir() if path.name.endswith(".old") or path.is_symlink()]


@pytest.mark.parametrize("made", [lambda path: path.symlink_to("nowhere"), lambda path: path.touch()])
def test_what_is_no_folder_gives_a_checkpoint_its_place(make_trainer, made):
    trainer = make_trainer(save_steps=5)
    trainer.run.path.mkdir()
    made(trainer.run.path / "checkpoint-16")
    trainer.train()
    assert read_checkpoint(trainer.run.path / "checkpoint-16").step == 16
    assert not [path for path in trainer.run.path.iterdir() if path.name.endswith(".old") or path.is_symlink()]


def test_links_in_the_place_of_what_is_deleted_go_and_what_they_lead_to_stays(make_trainer, tmp_path):
    """Of checkpoints dropped for their age, of what a killed process left, and of all that --overwrite clears."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept").touch()

    def link(name):
        (trainer.run.path / name).symlink_to(tmp_path / "elsewhere", target_is_directory=True)

    trainer = make_trainer(save_steps=5, callbacks=[InterruptAt(7)])
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    for name in ("checkpoint-1", ".checkpoint-3.1.tmp"):
        link(name)
    make_trainer(save_steps=5, save_total_limit=1).train(resume_from_checkpoint=True)
    assert not [path for path in trainer.run.path.iterdir() if path.is_symlink()]
    for name in ("checkpoint-1", "tensorboard"):
        link(name)
    make_trainer(overwrite=True).train()
    assert not [path for path in trainer.run.path.iterdir() if path.is_symlink()]
    assert (tmp_path / "elsewhere" / "kept").exists()


@pytest.mark.parametrize("name", ["since_report", "since_evaluation"])
def test_a_sealed_state_without_a_sum_is_refused(make_trainer, name):
    *_, trainer, _ = run(make_trainer, save_steps=8)
    [newest, *_] = trainer.run.checkpoints()
    state = json.loads((newest / "state.json").read_text())
    del state["sha256"]
    state["trainer"][name]["loss_sum"] = None
    (newest / "state.json").write_text(_sealed(state))
    with pytest.raises(RgzError, match=r"state\.json"):
        make_trainer().train(resume_from_checkpoint=str(newest))


@pytest.mark.parametrize(
    "wrong", [*({"trainer": t} for t in (None, {}, {"step": None}, {"step": "5"}, [5])), {"arguments": None}]
)
def test_a_sealed_state_without_a_step_or_arguments_is_damaged(make_trainer, wrong):
    *_, trainer, _ = run(make_trainer, save_steps=8)
    [newest, *_] = trainer.run.checkpoints()
    state = json.loads((newest / "state.json").read_text())
    del state["sha256"]
    (newest / "state.json").write_text(_sealed(state | wrong))
    with pytest.raises(RgzError, match=r"is damaged: state\.json is not what was written"):
        read_checkpoint(newest)
