"""Reports to metrics.csv and TensorBoard: whole, resumed without repetition, and thrown away with an old run."""

import contextlib
import csv
import os
import sys

import pytest

from rgz.config import TrainingArguments
from rgz.errors import RgzError
from rgz.train import Callback
from rgz.train.reporters import CsvReporter
from rgz.train.rundir import RunDirectory
from rgz.train.state import TrainerState

EVERY = {"logging_steps": 1, "eval_steps": 3, "save_steps": 4}


def rows(trainer):
    with open(trainer.run.path / "metrics.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def as_cells(history):
    names = list(dict.fromkeys(name for report in history for name in report))
    return [{name: "" if report.get(name) is None else str(report[name]) for name in names} for report in history]


def test_csv_holds_every_report_and_empty_cells_where_there_is_no_number(make_trainer):
    trainer = make_trainer(report_to="csv", **EVERY)
    history = trainer.train()
    assert rows(trainer) == as_cells(history)
    assert "val_loss" in rows(trainer)[0] and rows(trainer)[0]["val_loss"] == "" != rows(trainer)[2]["val_loss"]
    assert not (trainer.run.path / "metrics.jsonl").exists()


class KilledAt(Callback):
    """Ends a run without a last checkpoint, as a kill does."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, trainer, state):
        if state.step == self.step:
            raise MemoryError


@pytest.mark.parametrize("report_to", [("csv",), ("jsonl", "csv")])
def test_after_a_kill_no_row_is_there_twice(make_trainer, report_to):
    first = make_trainer(report_to=report_to, callbacks=[KilledAt(7)], **EVERY)
    with pytest.raises(MemoryError):
        first.train()
    assert len(rows(first)) == 6 and (first.run.path / "checkpoint-4").exists()
    second = make_trainer(report_to=report_to, **EVERY)
    second.train(resume_from_checkpoint=True)
    assert [int(row["step"]) for row in rows(second)] == list(range(1, 17))


def test_a_torn_row_is_dropped(make_trainer):
    first = make_trainer(report_to="csv", callbacks=[KilledAt(7)], **EVERY)
    with pytest.raises(MemoryError):
        first.train()
    path = first.run.path / "metrics.csv"
    path.write_text(path.read_text()[: path.read_text().index("\n3,") + 9])
    second = make_trainer(report_to="csv", **EVERY)
    second.train(resume_from_checkpoint=True)
    assert [int(row["step"]) for row in rows(second)] == [1, 2, *range(5, 17)]


@pytest.mark.parametrize("others", [("jsonl",), ()])
def test_csv_that_a_resumed_run_adds_has_no_row_twice(make_trainer, others):
    """It begins in the middle of the run: its rows are fewer than the reports that a checkpoint counts."""
    for report_to, killed, resume in ((others, 7, None), ((*others, "csv"), 11, True), ((*others, "csv"), 99, True)):
        trainer = make_trainer(report_to=report_to, callbacks=[KilledAt(killed)], **EVERY)
        with contextlib.suppress(MemoryError):
            trainer.train(resume)
    assert [int(row["step"]) for row in rows(trainer)] == list(range(5, 17))


def test_rows_stay_where_the_other_reports_were_deleted(make_trainer):
    first = make_trainer(report_to=("jsonl", "csv"), callbacks=[KilledAt(7)], **EVERY)
    with pytest.raises(MemoryError):
        first.train()
    (first.run.path / "metrics.jsonl").unlink()
    second = make_trainer(report_to=("jsonl", "csv"), **EVERY)
    second.train(resume_from_checkpoint=True)
    assert [int(row["step"]) for row in rows(second)] == list(range(1, 17))


def test_the_evaluation_at_an_end_given_up_is_made_again_at_its_step(make_trainer):
    """When its time is up a run evaluates after its last checkpoint: that row is not one of the run that goes on."""
    every = {**EVERY, "report_to": ("jsonl", "csv"), "eval_steps": 100}
    make_trainer(max_time=0.01, **every).train()
    second = make_trainer(**every)
    assert [row["step"] for row in rows(second)] == ["1", "1"]
    second.train(resume_from_checkpoint=True)
    assert [int(row["step"]) for row in rows(second)] == list(range(1, 17))
    assert rows(second) == as_cells(second.run.read_history())


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (b"\xff\xfe\x00x\n", 1), (b"\xff\xfe\x00x", 1), (b"a,b\n1,2,3,4\n", 1), (b"a,b\n", 1), (b"step,step\n1,1\n", 1),
        (b"\n", 1), (b"step,loss\n1,2,3\n", 2), (b"step,loss\n1,2.5\n2\n3,", 3), (b"step,loss\n1,x\n", 2),
        (b"step,loss\n,1.5\n", 2), (b"step,loss\r1,2\r2,3\n", 1), (b'step,loss\n1,"2\n', 2),
        (b"step,loss\n1,\xff\n", 2),
    ],
)  # fmt: skip
def test_csv_that_cannot_be_read_is_refused_and_left_as_it_is(make_trainer, damage, line):
    first = make_trainer(report_to="csv", callbacks=[KilledAt(7)], **EVERY)
    with pytest.raises(MemoryError):
        first.train()
    path = first.run.path / "metrics.csv"
    path.write_bytes(damage)
    with pytest.raises(RgzError, match=rf"metrics.csv:{line}: no report of a run .*restore the file, or delete it"):
        make_trainer(report_to="csv", **EVERY).train(resume_from_checkpoint=True)
    assert path.read_bytes() == damage


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such pipes")
def test_a_pipe_in_the_place_of_csv_is_refused(make_trainer):
    first = make_trainer(report_to="csv", callbacks=[KilledAt(7)], **EVERY)
    with pytest.raises(MemoryError):
        first.train()
    (first.run.path / "metrics.csv").unlink()
    os.mkfifo(first.run.path / "metrics.csv")
    with pytest.raises(RgzError, match=r"cannot read .*metrics\.csv: it is no regular file"):
        make_trainer(report_to="csv", **EVERY).train(resume_from_checkpoint=True)


def test_csv_of_a_spreadsheet_with_its_line_ends_is_read(make_trainer):
    first = make_trainer(report_to="csv", callbacks=[KilledAt(7)], **EVERY)
    with pytest.raises(MemoryError):
        first.train()
    path = first.run.path / "metrics.csv"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    second = make_trainer(report_to="csv", **EVERY)
    second.train(resume_from_checkpoint=True)
    assert [int(row["step"]) for row in rows(second)] == list(range(1, 17))


def test_a_new_number_makes_a_new_column(tmp_path):
    reporter, state = CsvReporter(RunDirectory(tmp_path)), TrainerState()
    reporter.on_train_begin(None, state)
    for report in ({"step": 1, "loss": 2.5}, {"step": 2, "loss_scale": 8.0}, {"step": 3, "loss": 1.5}):
        state.log_history.append(report)
        reporter.on_log(None, state)
    reporter.on_train_end(None, state)
    text = (tmp_path / "metrics.csv").read_text()
    assert text == "step,loss,loss_scale\n1,2.5,\n2,,8.0\n3,1.5,\n"


def test_an_unknown_reporter_is_refused_with_the_nearest():
    with pytest.raises(RgzError, match="did you mean 'tensorboard'"):
        TrainingArguments(report_to=("tensorbord",))


def test_without_its_package_tensorboard_is_refused_before_anything_is_written(make_trainer, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto.event_pb2", None)
    with pytest.raises(RgzError, match=r"report_to tensorboard needs a package: pip install 'rgz\[tensorboard\]'"):
        make_trainer(report_to="tensorboard")


def test_overwriting_a_run_throws_its_reports_away(make_trainer):
    make_trainer(report_to="csv", **EVERY).train()
    old = RunDirectory(make_trainer().run.path).path / "tensorboard"
    old.mkdir()
    (old / "events.out.tfevents.1").write_bytes(b"")
    make_trainer(report_to="jsonl", overwrite=True, **EVERY).train()
    assert not old.exists() and not (old.parent / "metrics.csv").exists()


def scalars(folder):
    """{tag: [(step, value), ...]} as TensorBoard itself reads the files."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), purge_orphaned_data=True).Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_tensorboard_reads_what_was_reported(make_trainer):
    trainer = make_trainer(report_to=("jsonl", "tensorboard"), **EVERY)
    history = trainer.train()
    found = scalars(trainer.run.path / "tensorboard")
    for tag, name in (("train/loss", "loss"), ("train/grad_norm", "grad_norm"), ("val/loss", "val_loss")):
        want = [(report["step"], report[name]) for report in history if report.get(name) is not None]
        assert [step for step, _ in found[tag]] == [step for step, _ in want]
        assert [value for _, value in found[tag]] == pytest.approx([value for _, value in want], rel=1e-6)


def test_after_a_kill_tensorboard_forgets_the_steps_that_are_done_again(make_trainer):
    first = make_trainer(report_to=("jsonl", "tensorboard"), callbacks=[KilledAt(7)], **EVERY)
    with pytest.raises(MemoryError):
        first.train()
    second = make_trainer(report_to=("jsonl", "tensorboard"), **EVERY)
    second.train(resume_from_checkpoint=True)
    assert [step for step, _ in scalars(second.run.path / "tensorboard")["train/loss"]] == list(range(1, 17))


def test_event_files_are_not_written_where_a_link_leads(make_trainer, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    trainer = make_trainer(callbacks=[KilledAt(7)], **EVERY)
    with pytest.raises(MemoryError):
        trainer.train()
    (trainer.run.path / "tensorboard").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    with pytest.raises(RgzError, match="tensorboard is a link, which could lead anywhere; remove it"):
        make_trainer(report_to="tensorboard", **EVERY).train(resume_from_checkpoint=True)
    assert not any((tmp_path / "elsewhere").iterdir())
