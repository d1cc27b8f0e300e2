"""What a run tells: what a report holds, its line, and a progress bar on a terminal."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import select
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TextIO

from rgz.cpu import resident_bytes
from rgz.messages import tr
from rgz.train.callbacks import Callback
from rgz.train.state import TrainerState, perplexity

if TYPE_CHECKING:
    from rgz.train.trainer import Trainer


def to_json(value: Any) -> str:
    """JSON with null for what JSON has no number for (NaN, infinity)."""
    return json.dumps(_finite(value), ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def build_report(
    state: TrainerState,
    speeds: tuple[float | None, float | None],
    eta_seconds: float | None,
    measured: Mapping[str, float],
) -> dict[str, Any]:
    """One object of metrics.jsonl; the loss is that since the previous report."""
    # An evaluation right after a report finds that window empty: then the loss since the previous evaluation.
    loss = (state.since_report if state.since_report.n_targets else state.since_evaluation).mean
    return {
        "step": state.step,
        "epoch": state.epoch,
        "loss": loss,
        "perplexity": None if loss is None else perplexity(loss),
        "learning_rate": state.learning_rate,
        "grad_norm": state.grad_norm,
        "tokens_per_second": speeds[0],
        "samples_per_second": speeds[1],
        "eta_seconds": eta_seconds,
        "num_input_tokens_seen": state.num_input_tokens_seen,
        "skipped": state.skipped_updates,
        **({} if state.loss_scale is None else {"loss_scale": state.loss_scale, "overflows": state.overflows}),
        **measured,
    }


def format_duration(seconds: float | None) -> str:
    """4s, 1m23s, 2h05m, 3d04h: two units are enough."""
    if seconds is None or not math.isfinite(seconds):
        return "--"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"


def _number(value: float | None, spec: str) -> str:
    return "--" if value is None else format(value, spec)


def _perplexity(value: float | None) -> str:
    return _number(value, ".2f" if value is None or value < 1e6 else ".2e")


def format_report(report: dict[str, Any], max_steps: int) -> str:
    """The guide's line: `[  1/500] Loss 4.1234 | PPL 61.77 | LR 0.001000 | Grad 1.2345 | Speed ... | ETA 1m23s`."""
    width = len(str(max_steps))
    parts = [f"[{report['step']:{width}d}/{max_steps}] Loss {_number(report['loss'], '.4f')}"]
    parts.append(f"PPL {_perplexity(report['perplexity'])}")
    if "val_loss" in report:
        parts.append(f"Val loss {_number(report['val_loss'], '.4f')}")
        parts.append(f"Val PPL {_perplexity(report['val_perplexity'])}")
    rate = report["learning_rate"]
    parts.append(f"LR {_number(rate, '.6f' if rate is None or rate == 0 or rate >= 1e-4 else '.2e')}")
    parts.append(f"Grad {_number(report['grad_norm'], '.4f')}")
    if "loss_scale" in report:
        parts.append(f"Scale {report['loss_scale']:.9g}")
    parts.append(f"Speed {_number(report['samples_per_second'], '.1f')} samples/s")
    parts.append(f"{_number(report['tokens_per_second'], ',.0f')} tokens/s")
    parts.append(f"ETA {format_duration(report['eta_seconds'])}")
    return " | ".join(parts)


_NOBODY_READS = (errno.EPIPE, errno.EIO)  # a pipe whose reader has ended; a terminal that was closed


class ConsoleReporter(Callback):
    """Reports as plain lines; on a terminal with a live progress bar under them.

    unheard : nobody reads them any more. Whatever else keeps a line from being written (a full disk under a log) costs
        that line only.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.unheard = False
        self._stream = stream
        self._bar: Any = None
        self._task: Any = None

    @property
    def _out(self) -> TextIO | None:
        """None where the program has no stderr, as under pythonw."""
        return self._stream or sys.stderr

    def say(self, text: str) -> None:
        with self._to_somebody():
            if self._bar is not None:
                # As it is: markup would eat "[  1/500]", wrapping would break the line in two.
                self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True, emoji=False)
            elif self._out is not None:
                print(text, file=self._out, flush=True)

    def announce(self, text: str) -> None:
        """Say it from a signal's handler: past Python's streams, since the signal may have come while one is written
        to, and only where there is room; else what the run says at its end must do.
        """
        try:
            descriptor = self._out.fileno() if self._out is not None else -1
        except OSError:  # a stream in memory
            self.say(text)
            return
        with self._to_somebody():
            if descriptor >= 0 and os.name == "posix" and select.select([], [descriptor], [], 0)[1]:
                os.write(descriptor, f"{text}\n".encode(errors="replace"))

    @contextlib.contextmanager
    def _to_somebody(self) -> Iterator[None]:
        """Write: what is not heard must not end what is worth saving."""
        try:
            yield
        except OSError as error:
            self.unheard = self.unheard or error.errno in _NOBODY_READS

    def on_train_begin(self, trainer: Trainer, state: TrainerState) -> None:
        stream = self._out
        if stream is None or not stream.isatty():
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self._bar = Progress(*columns, console=Console(file=stream), transient=True, refresh_per_second=4)
        self._task = self._bar.add_task(tr("training"), total=state.max_steps, completed=state.step, note="")
        self._bar.start()

    def on_step_end(self, trainer: Trainer, state: TrainerState) -> None:
        if self._bar is not None:
            eta = format_duration(trainer.eta_seconds())
            note = f"{trainer.updater.last_loss:.4f}  {resident_bytes() / 1e6:.0f} MB  ETA {eta}"
            self._bar.update(self._task, completed=state.step, note=note)

    def on_log(self, trainer: Trainer, state: TrainerState) -> None:
        self.say(format_report(state.log_history[-1], state.max_steps))

    def on_train_end(self, trainer: Trainer, state: TrainerState) -> None:
        if self._bar is not None:
            with self._to_somebody():
                self._bar.stop()
            self._bar = None
