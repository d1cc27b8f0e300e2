"""Disks that are full, read-only or that lose bits: a clear sentence, and nothing lost."""

import errno
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from train.fakes import FakeModel
from train.runs import FLAGS, TEXT, contents, next_command

from rgz.errors import RgzError
from rgz.train import Callback, read_checkpoint

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="works on forked children")


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "my.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def refused(answer):
    """One line says what cannot be written and why; no traceback."""
    output = answer["output"]
    error = output.splitlines()[-1] if output else ""
    return answer["status"] == 1 and error.startswith("error: cannot write ") and "Traceback" not in output


def leftovers(run):
    return [name for name in os.listdir(run) if name.endswith((".tmp", ".old"))] if run.exists() else []


@forks
def test_a_disk_that_fills_up_at_any_moment_costs_one_save_at_most(forked, text, tmp_path):
    flags = [
        text, *FLAGS, "--max-steps", 4, "--save-steps", 2, "--eval-steps", 4, "--logging-steps", 1,
        "--save-total-limit", 1,
    ]  # fmt: skip
    whole = tmp_path / "whole"
    operations = forked(whole, "train", "-o", whole, *flags, full_from=10**9)["operations"]
    expected, refusals = contents(whole), 0
    for number in range(operations):
        run = tmp_path / f"run-{number}"
        answer = forked(run, "train", "-o", run, *flags, full_from=number)
        assert not leftovers(run)
        if answer["status"] != 0:
            assert refused(answer), answer["output"]
            refusals += 1
        answer = forked(run, *next_command(run, flags))
        assert answer["status"] == 0, answer["output"]
        assert contents(run) == expected, f"full from operation {number} of {operations} on"
    assert refusals > 20


@forks
@pytest.mark.parametrize(("what", "logging", "size"), [("checkpoint", 50, 60_000), ("metrics", 1, 35_000)])
def test_a_write_that_stops_in_the_middle_is_said_and_made_good(forked, text, tmp_path, what, logging, size):
    flags = [text, *FLAGS, "--max-steps", 200, "--save-steps", 100, "--eval-steps", 50, "--logging-steps", logging]
    whole, run = tmp_path / "whole", tmp_path / "run"
    assert forked(whole, "train", "-o", whole, *flags)["status"] == 0
    shutil.copytree(whole, run)
    shutil.rmtree(run / "checkpoint-200")
    answer = forked(run, "resume", run, file_size=size)
    assert refused(answer) and "File too large" in answer["output"], answer["output"]
    assert not leftovers(run)
    answer = forked(run, "resume", run)
    assert answer["status"] == 0, answer["output"]
    assert contents(run) == contents(whole)


def test_a_folder_that_became_read_only_is_refused_before_any_work_and_kept(make_trainer, monkeypatch):
    make_trainer(num_train_epochs=1).train()
    trainer = make_trainer(num_train_epochs=2, step_factory=None)
    before = contents(trainer.run.path)

    def read_only(dir):
        raise OSError(errno.EROFS, "Read-only file system", dir)

    monkeypatch.setattr(tempfile, "TemporaryFile", read_only)
    with pytest.raises(RgzError, match=r"cannot write to .*run: Read-only file system"):
        trainer.train(resume_from_checkpoint=True)
    assert contents(trainer.run.path) == before


@pytest.mark.parametrize(("strategy", "numbers"), [("steps", 3), ("no", 1)])
def test_a_disk_with_too_little_room_is_told_at_the_start(make_trainer, monkeypatch, strategy, numbers):
    """With checkpoints the weights twice and what the step keeps, one number a weight here; else the weights."""
    trainer = make_trainer(save_strategy=strategy)
    needed = numbers * sum(tensor.nbytes for tensor in trainer.model.parameters().values())
    for free, told in ((needed, 0), (needed - 1, 1)):
        monkeypatch.setattr(shutil, "disk_usage", lambda path, free=free: shutil._ntuple_diskusage(free, 0, free))
        trainer = make_trainer(save_strategy=strategy, overwrite=True)
        assert trainer.train()
        assert trainer.output().count("the model and a checkpoint take") == told
    if strategy == "steps":
        finished = make_trainer()
        finished.train(resume_from_checkpoint=True)
        assert "are done already" in finished.output() and "a checkpoint take" not in finished.output()


def test_a_folder_that_becomes_read_only_in_the_middle_keeps_what_it_has(make_trainer, monkeypatch):
    def read_only(path, *args):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    class Remount(Callback):
        def on_step_end(self, trainer, state):
            if state.step == 7:
                for name in ("mkdir", "rename", "rmdir", "unlink"):
                    monkeypatch.setattr(os, name, read_only)

    trainer = make_trainer(save_steps=3, callbacks=[Remount()], eval_steps=100)
    with pytest.raises(RgzError, match=r"cannot write .*checkpoint-9: Read-only file system.* go on from checkpoint-6"):
        trainer.train()
    monkeypatch.undo()
    assert [path.name for path in trainer.run.checkpoints()] == ["checkpoint-6", "checkpoint-3"]
    assert make_trainer().train(resume_from_checkpoint=True)[-1]["step"] == 16


@pytest.fixture(scope="module")
def whole_checkpoint(tmp_path_factory):
    """A checkpoint folder and what it should say; weights, optimizer, best weights, config and state."""
    from train.fakes import FakeClock, FakeStep, FakeTokenizer, token_data

    from rgz.config import TrainingArguments
    from rgz.train import Trainer

    run = str(tmp_path_factory.mktemp("damage") / "run")
    args = TrainingArguments(run, batch_size=4, max_length=16, learning_rate=3.0, packing=False, report_to=())
    val = token_data(20, seed=9, longest=4)
    trainer = Trainer(FakeModel(), FakeTokenizer(), token_data(), val, args, step_factory=FakeStep, clock=FakeClock())
    trainer.train()
    checkpoint = read_checkpoint(trainer.run.checkpoints()[0])
    assert len(list(checkpoint.path.iterdir())) == 5
    return checkpoint


@given(data=st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bit_that_turns_and_any_byte_that_is_missing_is_noticed(whole_checkpoint, data):
    path = data.draw(st.sampled_from(sorted(whole_checkpoint.path.iterdir())))
    content = path.read_bytes()
    place = data.draw(st.integers(0, len(content) - 1))
    bit = data.draw(st.none() | st.integers(0, 7))
    turned = [] if bit is None else [content[place] ^ 1 << bit]
    rest = content[place + 1 :] if turned else b""
    try:
        path.write_bytes(content[:place] + bytes(turned) + rest)
        state = read_checkpoint(whole_checkpoint.path).state
    except RgzError as error:
        assert "is damaged" in str(error) and path.name in str(error)
    else:  # only JSON has two spellings of one thing, such as 1e-05 and 1E-05, or a last line with and without its end
        assert path.name == "state.json" and state == whole_checkpoint.state
    finally:
        path.write_bytes(content)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="asks /proc for the names of open files")
def test_everything_is_on_the_disk_before_it_gets_its_name_and_the_name_too(make_trainer, monkeypatch):
    synced, renamed = [], []
    fsync, rename, replace = os.fsync, os.rename, os.replace

    def note_sync(descriptor):
        fsync(descriptor)
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))

    def note_rename(old, new):
        renamed.append((str(old), str(new), list(synced)))
        (rename if os.path.isdir(old) else replace)(old, new)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "rename", note_rename)
    monkeypatch.setattr(os, "replace", note_rename)
    trainer = make_trainer(save_strategy="last")
    trainer.train()
    run = str(trainer.run.path)
    [(aside, _, before)] = [entry for entry in renamed if entry[1] == f"{run}/checkpoint-16"]
    for name in os.listdir(f"{run}/checkpoint-16"):
        [(temporary, _, earlier)] = [entry for entry in renamed if entry[1] == f"{aside}/{name}"]
        assert temporary in earlier, f"{name} was renamed before its bytes were on the disk"
    assert aside in before, "the folder was renamed before the names in it were on the disk"
    assert f"{run}/metrics.jsonl" in before, "it counts reports that the disk may not hold"
    assert run in synced[len(before) :], "the new name is not on the disk"
