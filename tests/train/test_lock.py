"""A run directory belongs to one process at a time, and to nobody once that one is gone."""

import errno
import os
import shutil
import signal
import subprocess
import sys

import pytest

from rgz.errors import RgzError
from rgz.train import Callback, RunDirectory

BUSY = "another (process|Trainer of this process) is writing to .*run"
HOLD = "import sys; from rgz.train import RunDirectory; RunDirectory(sys.argv[1]).lock(); print('held', flush=True); "


class At(Callback):
    """Does something at the first call of a hook."""

    def __init__(self, hook, work):
        self.calls = 0

        def once(trainer, state):
            self.calls += 1
            if self.calls == 1:
                work()

        setattr(self, hook, once)


def trains(trainer, resume=None):
    with pytest.raises(RgzError, match=BUSY):
        trainer.train(resume_from_checkpoint=resume)


def test_a_second_trainer_is_refused_as_long_as_the_first_one_runs(make_trainer):
    def intrude():
        trains(make_trainer(), resume=True)
        trains(make_trainer(overwrite=True))

    expected = make_trainer(output_dir=None).train()
    at = At("on_step_end", intrude)
    history = make_trainer(callbacks=[at]).train()
    assert at.calls > 1 and [report["loss"] for report in history] == [report["loss"] for report in expected]
    assert make_trainer(num_train_epochs=3, overwrite=True).train()  # free again


def test_a_run_that_another_process_began_in_the_same_new_folder_is_not_thrown_away(make_trainer, tmp_path):
    """It was written between this one's look, which finds no folder, and its first file."""
    other = make_trainer(output_dir=str(tmp_path / "other"))
    history = other.train()
    at = At("on_train_begin", lambda: shutil.copytree(other.run.path, tmp_path / "run"))
    with pytest.raises(RgzError, match="already holds a run"):
        make_trainer(callbacks=[at]).train()
    run = RunDirectory(tmp_path / "run")
    assert run.read_history() == history and run.checkpoints()


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_a_killed_process_holds_nothing(make_trainer, tmp_path):
    run = RunDirectory(tmp_path / "run")
    run.path.mkdir()
    command = [sys.executable, "-c", HOLD + "sys.stdin.read()", str(run.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        trains(make_trainer())
        assert os.listdir(run.path) == []
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert make_trainer().train()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_that_outlives_a_run_does_not_hold_its_directory(make_trainer):
    """Neither while its parent lives nor afterwards, and what it ends does not free the directory early."""
    children = []

    def fork():
        reading, writing = os.pipe()
        if (child := os.fork()) == 0:
            os.close(writing)
            os.read(reading, 1)  # until the parent lets go
            os._exit(0)
        os.close(reading)
        children.append((child, writing))
        if os.fork() == 0:  # another that ends at once
            os._exit(0)
        os.wait()
        trains(make_trainer())

    at = At("on_step_end", fork)
    assert make_trainer(callbacks=[at]).train() and at.calls > 1
    [(child, writing)] = children
    assert os.waitpid(child, os.WNOHANG) == (0, 0)
    assert make_trainer(overwrite=True).train()
    os.close(writing)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_closes_its_parents_locks(tmp_path):
    """So the directory is free where the parent was killed, and the child's own locks work."""
    (tmp_path / "run").mkdir()
    run = RunDirectory(tmp_path / "run")
    run.lock()
    held = run._lock._descriptor
    if (child := os.fork()) == 0:
        try:
            os.fstat(held)
        except OSError:
            os._exit(0 if run._lock._descriptor is None else 2)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    with pytest.raises(RgzError, match="another process is writing"):
        RunDirectory(tmp_path / "run").lock()
    run.unlock()
    RunDirectory(tmp_path / "run").lock()


def test_a_failed_run_holds_nothing(make_trainer):
    def fail():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        make_trainer(callbacks=[At("on_step_end", fail)]).train()
    assert make_trainer(overwrite=True).train()


def test_a_file_system_without_locks_is_told_once_and_trained_on(make_trainer, monkeypatch):
    def refuse(folder):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("rgz.train.lock._locked", refuse)
    trainer = make_trainer()
    assert trainer.train() and make_trainer(num_train_epochs=3).train(resume_from_checkpoint=True)
    assert trainer.output().count("cannot be locked (No locks available): see to it that no second process") == 1
