"""Where reports go besides the console: metrics.jsonl, metrics.csv, TensorBoard."""

from __future__ import annotations

import contextlib
import csv
import io
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rgz.errors import RgzError, reason_of
from rgz.files import atomic_writer, open_regular
from rgz.messages import tr
from rgz.train.callbacks import Callback
from rgz.train.monitor import to_json
from rgz.train.rundir import METRICS_CSV, TENSORBOARD, RunDirectory, no_report
from rgz.train.state import TrainerState

if TYPE_CHECKING:
    from rgz.train.trainer import Trainer


def file_reporters(names: tuple[str, ...], run: RunDirectory | None) -> list[Callback]:
    """The reporters of args.report_to that write into the run directory; none where there is no such."""
    kinds = {"jsonl": JsonlReporter, "csv": CsvReporter, "tensorboard": TensorBoardReporter}
    return [kind(run) for name, kind in kinds.items() if name in names and run is not None]


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RgzError(tr("cannot write {path}: {reason}", path=path, reason=reason_of(error))) from error


class JsonlReporter(Callback):
    """metrics.jsonl, one report a line."""

    def __init__(self, run: RunDirectory) -> None:
        self._run = run

    def on_train_begin(self, trainer: Trainer, state: TrainerState) -> None:
        state.n_reports = self._run.cut_history(state.n_reports)

    def on_log(self, trainer: Trainer, state: TrainerState) -> None:
        self._run.append_history(to_json(state.log_history[-1]))


class CsvReporter(Callback):
    """metrics.csv, one report a row; a cell is empty where a report has no such number.

    A report with a number that none had before adds a column: the file is then written anew.
    """

    def __init__(self, run: RunDirectory) -> None:
        self._path = run.path / METRICS_CSV
        self._columns: list[str] = []

    def on_train_begin(self, trainer: Trainer, state: TrainerState) -> None:
        """Keep the rows that belong to this state; later ones will be written again.

        By their steps: the file may have been added to the run later, or another one lost.
        """
        rows = self._read()
        before = [row for row in rows if int(row["step"]) < state.last_log_step]
        last = [row for row in rows if int(row["step"]) == state.last_log_step]
        if state.last_eval_step < state.last_log_step:  # then a second one is the evaluation at an end given up
            last = last[:1]
        self._rewrite(list(rows[0]) if rows else [], [*before, *last])

    def on_log(self, trainer: Trainer, state: TrainerState) -> None:
        report = state.log_history[-1]
        if new := [name for name in report if name not in self._columns]:
            self._rewrite([*self._columns, *new], self._read())
        with _writing(self._path), open(self._path, "ab") as file:
            file.write(_csv(self._columns, [report]).encode())

    def _read(self) -> list[dict[str, str]]:
        """The whole rows; RgzError for what training did not write, which must not be lost."""
        try:
            with open_regular(self._path) as file:
                lines = file.read().split(b"\n")
        except FileNotFoundError:
            return []
        except OSError as error:
            reason = reason_of(error)
            raise RgzError(tr("cannot read {path}: {reason}", path=self._path, reason=reason)) from error
        if lines == [b""]:
            return []
        rows: list[dict[str, str]] = []
        names: list[str] = []
        try:
            names = _header(lines)
            for line in lines[1:-1]:  # the last may be torn
                rows.append(_row(names, line))
        except (ValueError, csv.Error) as error:
            number = len(rows) + 2 if names else 1
            raise no_report(self._path, number, tr("it is not what training wrote")) from error
        return rows

    def _rewrite(self, columns: list[str], rows: list[dict[str, str]]) -> None:
        self._columns = columns
        with _writing(self._path), atomic_writer(self._path) as file:
            if columns:
                file.write((",".join(columns) + "\n" + _csv(columns, rows)).encode())


def _cells(line: bytes) -> list[str]:
    [cells] = csv.reader([line.decode("utf-8")], strict=True)
    return cells


def _header(lines: list[bytes]) -> list[str]:
    names = _cells(lines[0])
    if "step" not in names or len({*names}) < len(names) or len(lines) == 1:
        raise ValueError(names)
    return names


def _row(names: list[str], line: bytes) -> dict[str, str]:
    row = dict(zip(names, _cells(line), strict=True))
    for cell in filter(None, row.values()):
        float(cell)
    int(row["step"])
    return row


def _csv(columns: list[str], rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    csv.DictWriter(text, columns, restval="", lineterminator="\n").writerows(rows)
    return text.getvalue()


class TensorBoardReporter(Callback):
    """Event files in tensorboard/: train/... and val/... by step. Needs the extra `tensorboard`.

    A resumed run tells TensorBoard to forget the steps that it will do again.
    """

    def __init__(self, run: RunDirectory) -> None:
        try:
            self._events = import_module("tensorboard.compat.proto.event_pb2")
            self._summaries = import_module("tensorboard.compat.proto.summary_pb2")
            self._make = import_module("tensorboard.summary.writer.event_file_writer").EventFileWriter
        except ImportError as error:
            raise RgzError(
                tr("report_to tensorboard needs a package: {command}", command="pip install 'rgz[tensorboard]'")
            ) from error
        self._folder = run.path / TENSORBOARD
        self._writer: Any = None

    def on_train_begin(self, trainer: Trainer, state: TrainerState) -> None:
        if self._folder.is_symlink():
            raise RgzError(tr("{path} is a link, which could lead anywhere; remove it", path=self._folder))
        with _writing(self._folder):
            self._writer = self._make(str(self._folder))
        if state.step:
            start = self._events.SessionLog(status=self._events.SessionLog.START)
            self._writer.add_event(self._events.Event(step=state.step + 1, session_log=start))

    def on_log(self, trainer: Trainer, state: TrainerState) -> None:
        report = state.log_history[-1]
        values = [
            self._summaries.Summary.Value(tag=_tag(name), simple_value=value)
            for name, value in report.items()
            if name != "step" and value is not None
        ]
        summary = self._summaries.Summary(value=values)
        self._writer.add_event(self._events.Event(step=report["step"], wall_time=time.time(), summary=summary))
        with _writing(self._folder):
            self._writer.flush()

    def on_train_end(self, trainer: Trainer, state: TrainerState) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _tag(name: str) -> str:
    return f"val/{name.removeprefix('val_')}" if name.startswith("val_") else f"train/{name}"
