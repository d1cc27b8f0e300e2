"""What interrupts a run: Ctrl-C once and twice, a full disk, a kill; nothing half-written stays."""

import errno
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from train.fakes import FakeModel, FakeStep, InterruptAt

from rgz.errors import RgzError
from rgz.train import Callback, RunDirectory, newest_whole
from rgz.train.interrupt import catch_interrupt

fcntl = pytest.importorskip("fcntl") if os.name == "posix" else None

CHILD = """
import sys, time
sys.path.insert(0, sys.argv[1])
from train.fakes import FakeModel, FakeStep, FakeTokenizer, token_data
from rgz.config import TrainingArguments
from rgz.train import Trainer

class Slow(FakeStep):
    def accumulate(self, batch):
        time.sleep(0.01)
        return super().accumulate(batch)

args = TrainingArguments(output_dir=sys.argv[2], num_train_epochs=1000, batch_size=4, max_length=16)
Trainer(FakeModel(), FakeTokenizer(), token_data(), None, args, step_factory=Slow).train()
"""


def training(run):
    """With the streams that a shell gives it: PYTHONUNBUFFERED would hide what a signal may come in the middle of."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(Path(__file__).parents[1]), str(run)],
        stderr=subprocess.PIPE, text=True, env=environment | {"RGZ_LANG": "en"},
    )  # fmt: skip


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for children")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_real_ctrl_c_kill_or_closed_terminal_writes_a_checkpoint_and_prints_the_command(tmp_path, name):
    run = tmp_path / "run"
    child = training(run)
    line = child.stderr.readline()
    child.send_signal(getattr(signal, name))
    if name == "SIGHUP":  # the shell's, and the kernel's
        line += child.stderr.readline()
        child.send_signal(signal.SIGHUP)
    output = line + child.communicate(timeout=60)[1]
    assert "stopping after this step; press Ctrl-C again" in output
    assert "go on with: Trainer(...).train(" in output and "KeyboardInterrupt" in output
    checkpoint, notices = newest_whole(RunDirectory(run))
    assert checkpoint.step > 0 and not notices


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for children")
@pytest.mark.parametrize("pressed", [False, True])
def test_a_run_that_nobody_reads_any_more_writes_a_checkpoint_and_ends(tmp_path, pressed):
    """`| head` leaves after its lines; Ctrl-C ends `| tee` before the run can say anything."""
    run = tmp_path / "run"
    child = training(run)
    child.stderr.readline()
    child.stderr.close()
    if pressed:
        child.send_signal(signal.SIGINT)
    assert child.wait(timeout=60) == -signal.SIGINT  # as Python ends with an unhandled KeyboardInterrupt
    checkpoint, notices = newest_whole(RunDirectory(run))
    assert 0 < checkpoint.step < 1000 and not notices


@pytest.mark.skipif(not hasattr(fcntl, "F_SETPIPE_SZ"), reason="the size of a pipe is Linux's")
@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP"])
def test_a_signal_that_comes_while_nobody_takes_what_is_written_interrupts_all_the_same(tmp_path, name):
    """The run is in the middle of a write to its stderr, which is not reentrant."""
    run = tmp_path / "run"
    child = training(run)
    fcntl.fcntl(child.stderr, fcntl.F_SETPIPE_SZ, 4096)
    written = [-2, -1]
    while written[0] != written[1]:  # until the pipe is full
        time.sleep(0.5)
        written = [written[1], (run / "metrics.jsonl").stat().st_size if (run / "metrics.jsonl").exists() else 0]
    child.send_signal(getattr(signal, name))
    time.sleep(0.2)
    output = child.communicate(timeout=60)[1]
    assert child.returncode == -signal.SIGINT and "go on with" in output and "reentrant" not in output
    assert newest_whole(RunDirectory(run))[0].step > 0


class Failing(io.StringIO):
    """A log on a disk that is full."""

    def write(self, text):
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("stderr", [Failing(), None])  # None: under pythonw
def test_a_run_that_cannot_say_anything_trains(make_trainer, monkeypatch, stderr):
    expected = make_trainer(output_dir=None).train()
    monkeypatch.setattr(sys, "stderr", stderr)
    trainer = make_trainer()
    trainer._console._stream = None
    history = trainer.train()
    assert [report["loss"] for report in history] == [report["loss"] for report in expected]


def test_a_run_that_ignores_hangups_goes_on_ignoring_them():
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN) if hasattr(signal, "SIGHUP") else None
    with catch_interrupt(lambda: None):
        assert before is None or signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    if before is not None:
        signal.signal(signal.SIGHUP, before)


def test_a_second_ctrl_c_does_not_corrupt(make_trainer, monkeypatch):
    """The second one arrives while the checkpoint is being written: no half folder, the older one stays."""
    import rgz.train.checkpoint as module

    trainer = make_trainer(save_steps=3, callbacks=[InterruptAt(5)])
    real = module.save_file

    def pressed(path, tensors, metadata):
        if trainer.state.step == 5:
            raise KeyboardInterrupt
        return real(path, tensors, metadata)

    monkeypatch.setattr(module, "save_file", pressed)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    names = [name for name in os.listdir(trainer.run.path) if "checkpoint" in name]
    assert names == ["checkpoint-3"]
    assert newest_whole(trainer.run)[0].step == 3


def test_an_interrupt_in_the_middle_of_an_update_writes_no_checkpoint(make_trainer):
    class Torn(FakeStep):
        def update(self, learning_rate, n_targets):
            if self.n_updates == 4:
                self.model.table[0] = 7.0
                raise KeyboardInterrupt
            return super().update(learning_rate, n_targets)

    trainer = make_trainer(step_factory=Torn, save_steps=3)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert [path.name for path in trainer.run.checkpoints()] == ["checkpoint-3"]
    assert not (trainer.run.path / "model.safetensors").exists()
    assert "in the middle of an update" in trainer.output()


def test_a_full_disk_is_a_clear_error_and_the_older_checkpoint_stays(make_trainer, monkeypatch):
    import rgz.train.checkpoint as module

    trainer = make_trainer(save_steps=3)
    real = module.save_file

    def full(path, tensors, metadata):
        if trainer.state.step == 6:
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        return real(path, tensors, metadata)

    monkeypatch.setattr(module, "save_file", full)
    with pytest.raises(
        RgzError,
        match=r"cannot write .*checkpoint-6: No space left.*make room, then go on from checkpoint-3: Trainer",
    ):
        trainer.train()
    assert [name for name in os.listdir(trainer.run.path) if "checkpoint" in name] == ["checkpoint-3"]


def test_leftovers_of_a_killed_process_are_cleared(make_trainer):
    trainer = make_trainer(callbacks=[InterruptAt(5)])
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    half = trainer.run.path / ".checkpoint-6.4711.tmp"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    make_trainer(model=FakeModel()).train(resume_from_checkpoint=True)
    assert not half.exists()


def test_a_start_that_fails_leaves_no_folder_behind(make_trainer, tmp_path, monkeypatch):
    import rgz.train.rundir as module

    real = module.write_text_atomic

    def full(path, text):
        if path.name == "training_args.json":
            raise OSError(28, "No space left on device")
        real(path, text)

    monkeypatch.setattr(module, "write_text_atomic", full)
    with pytest.raises(RgzError, match=r"No space left on device; .*or choose another folder"):
        make_trainer(output_dir=str(tmp_path / "new" / "run")).train()
    assert not (tmp_path / "new").exists()
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mine.txt").write_text("text")
    with pytest.raises(RgzError, match="No space left"):
        make_trainer(output_dir=str(tmp_path / "there")).train()
    assert os.listdir(tmp_path / "there") == ["mine.txt"]


def test_a_full_disk_before_the_first_checkpoint_says_to_begin_again(make_trainer, monkeypatch):
    import rgz.train.checkpoint as module

    def full(path, tensors, metadata):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "save_file", full)
    with pytest.raises(RgzError, match="No space left on device; there is no earlier checkpoint: make room"):
        make_trainer(save_steps=3).train()


def test_the_second_ctrl_c_still_ends_the_run_properly(make_trainer, monkeypatch):
    import rgz.train.checkpoint as module

    def pressed(path, tensors, metadata):
        raise KeyboardInterrupt

    class Ends(Callback):
        def __init__(self):
            self.events = []

        def on_exception(self, trainer, state):
            self.events.append("exception")

        def on_train_end(self, trainer, state):
            self.events.append("end")

    ends = Ends()
    trainer = make_trainer(callbacks=[InterruptAt(5), ends], save_strategy="last")
    monkeypatch.setattr(module, "save_file", pressed)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert ends.events == ["exception", "end"]
    assert (
        "interrupted again: no checkpoint" in trainer.output() and "go on with: Trainer(...).train(" in trainer.output()
    )


@pytest.mark.parametrize(("strategy", "saved"), [("best", True), ("last", True), ("no", False)])
def test_a_time_limit_saves_what_it_promises(make_trainer, strategy, saved):
    trainer = make_trainer(max_time=1e-3, save_strategy=strategy, load_best_model_at_end=False, eval_steps=1000)
    trainer.train()
    assert trainer.state.step == 1
    assert bool(trainer.run.checkpoints()) == saved
    assert ("resume_from_checkpoint=True" in trainer.output()) == saved
    if not saved:
        assert "without checkpoints this run cannot go on" in trainer.output()
