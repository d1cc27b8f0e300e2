"""The run directory: what it holds, when it may be used, and reading it back."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rgz.config import TrainingArguments
from rgz.errors import RgzError, explained, reason_of
from rgz.files import atomic_writer, open_regular, parse_json, read_json, remove_tree, write_text_atomic
from rgz.messages import tr
from rgz.strict import is_count
from rgz.train.interfaces import PathLike, TokenizerLike
from rgz.train.lock import FolderLock

CONFIG = "config.json"
TOKENIZER = "tokenizer.json"
ARGUMENTS = "training_args.json"
METRICS = "metrics.jsonl"
METRICS_CSV = "metrics.csv"
TENSORBOARD = "tensorboard"
WEIGHTS = "model.safetensors"
CHECKPOINT_PREFIX = "checkpoint-"
RESUME_IN_PYTHON = "Trainer(...).train(resume_from_checkpoint=True)"
_DATA = ("data", "validation_data")
_FILES = (CONFIG, TOKENIZER, ARGUMENTS, METRICS, METRICS_CSV, WEIGHTS)


class RunDirectory:
    """A folder that holds one run: the files named above, and checkpoints."""

    def __init__(self, path: PathLike) -> None:
        self.path = Path(path)
        self._lock = FolderLock(self.path)

    def lock(self) -> str | None:
        """Keep other processes from writing here, if the folder is there; `start` does so for one that it makes.

        RgzError if another process does that; a sentence for the user where the file system knows no locks.
        """
        return self._lock.take() if self.path.is_dir() else None

    def unlock(self) -> None:
        self._lock.release()

    def holds_a_run(self) -> bool:
        return any((self.path / name).exists() for name in _FILES) or bool(self.checkpoints())

    def checkpoints(self) -> list[Path]:
        """The checkpoint folders, newest first, whole or not."""
        found = []
        if self.path.is_dir():
            for entry in self.path.iterdir():
                number = entry.name.removeprefix(CHECKPOINT_PREFIX)
                if entry.name.startswith(CHECKPOINT_PREFIX) and number.isdecimal() and entry.is_dir():
                    found.append((int(number), entry))
        return [entry for _, entry in sorted(found, reverse=True)]

    def refuse_if_unusable(self, *, overwrite: bool = False, resume: bool = False) -> None:
        """Raise before any work if this folder cannot be written, or holds a run that nobody said to replace.

        Leaves nothing behind: folders are made when training starts.
        """
        self._lock.check()
        if self.holds_a_run() and not (overwrite or resume):
            if not (self.path / ARGUMENTS).exists():  # a start that was killed, or a model from elsewhere
                raise RgzError(
                    tr(
                        "{path} holds files of a run, but none that could go on; throw them away with --overwrite "
                        "(overwrite=True), or choose another folder with -o (output_dir)",
                        path=self.path,
                    )
                )
            raise RgzError(
                tr(
                    "{path} already holds a run; go on with it: {command}, or throw it away with --overwrite "
                    "(overwrite=True), or choose another folder with -o (output_dir)",
                    path=self.path,
                    command=self.resume_command(),
                )
            )
        nearest = self.path
        while not nearest.exists() and nearest != nearest.parent:
            nearest = nearest.parent
        if not nearest.is_dir():
            raise RgzError(
                tr(
                    "{path} cannot be a run directory: {file} is a file; choose another folder with -o (output_dir)",
                    path=self.path,
                    file=nearest,
                )
            )
        try:
            # Only trying tells: permission bits say nothing to root, on read-only mounts and on Windows. A nameless
            # file, so that nothing stays even of a process that is killed here.
            tempfile.TemporaryFile(dir=nearest).close()
        except OSError as error:
            raise self._cannot_write(error) from error

    def _cannot_write(self, error: OSError) -> RgzError:
        reason = reason_of(error)
        return RgzError(
            tr(
                "cannot write to {path}: {reason}; make that possible, or choose another folder with -o (output_dir)",
                path=self.path,
                reason=reason,
            )
        )

    def start(
        self,
        model_config: Any,
        tokenizer: TokenizerLike | None,
        args: TrainingArguments,
        run_info: Mapping[str, Any],
        *,
        fresh: bool,
    ) -> str | None:
        """Make the folder, lock it and write what describes the run; a fresh start first clears an older run.

        Returns what `lock` does.
        """
        made, new = self._missing_folders(), False
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            notice = self.lock()
            if fresh:  # looked at again, now that nobody else begins a run here
                self.refuse_if_unusable(overwrite=args.overwrite)
            new = fresh and not self.holds_a_run()
            self.remove_leftovers()
            if fresh:
                self._clear()
            write_text_atomic(self.path / CONFIG, _pretty(model_config.to_dict()))
            if tokenizer is not None:
                tokenizer.save(self.path / TOKENIZER)
            arguments = {**args.to_dict(), "overwrite": False}
            write_text_atomic(self.path / ARGUMENTS, _pretty({**run_info, "arguments": arguments}))
        except BaseException as error:  # Ctrl-C too
            self._undo(_FILES if new else (), made)
            if isinstance(error, OSError):
                raise self._cannot_write(error) from error
            raise
        return notice

    def _missing_folders(self) -> list[Path]:
        """The run directory and those above it that are not there yet, innermost first."""
        return [folder for folder in (self.path, *self.path.parents) if not folder.exists()]

    def _undo(self, written: Iterable[str], made: list[Path]) -> None:
        """Take a start that failed back: what it wrote, and the folders it made."""
        for name in written:
            (self.path / name).unlink(missing_ok=True)
        for folder in made:
            with contextlib.suppress(OSError):  # never made, or somebody else's files are in it by now
                folder.rmdir()

    def _clear(self) -> None:
        (self.path / ARGUMENTS).unlink(missing_ok=True)  # the first to go: nobody resumes what is half thrown away
        for checkpoint in self.checkpoints():
            remove_tree(checkpoint)
        for name in _FILES:
            (self.path / name).unlink(missing_ok=True)
        if (self.path / TENSORBOARD).is_dir():
            remove_tree(self.path / TENSORBOARD)

    def remove_leftovers(self) -> None:
        """Folders and files aside of a process that was killed while it wrote."""
        for entry in self.path.iterdir():
            if entry.name.startswith("." + CHECKPOINT_PREFIX) and entry.is_dir():
                remove_tree(entry)
            elif entry.name.endswith(".tmp") and entry.name.startswith(tuple(f".{name}." for name in _FILES)):
                entry.unlink()

    def read_arguments(self) -> tuple[TrainingArguments, dict[str, Any]]:
        """The arguments of the run, and what else was noted beside them (the data's paths, ...)."""
        path = self.path / ARGUMENTS
        try:
            info = read_json(path)
            arguments = info.pop("arguments")
            if not (
                isinstance(arguments, dict)
                and all(map(_is_list_of_texts, (info.get(name, []) for name in _DATA)))
                and isinstance(info.get("source", ""), str)
                and (info.get("turns") is None or is_count(info["turns"]))
            ):
                raise ValueError(tr("it is not what training wrote"))
        except FileNotFoundError as error:
            raise RgzError(tr("{path} holds no run: {file} is missing", path=self.path, file=ARGUMENTS)) from error
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise RgzError(
                tr("{path} cannot be read: {reason}; put back what training wrote", path=path, reason=reason_of(error))
            ) from error
        with explained(about=path):
            return TrainingArguments.from_dict({**arguments, "output_dir": str(self.path)}), info

    def read_history(self, count: int | None = None) -> list[dict[str, Any]]:
        """The first `count` whole lines of metrics.jsonl (None: all)."""
        reports = []
        for number, line in enumerate(self._history_lines(count), 1):
            try:
                reports.append(parse_json(line))
                if not _is_report(reports[-1]):
                    raise ValueError(tr("it is not what training wrote"))
            except ValueError as error:
                raise no_report(self.path / METRICS, number, error) from error
        return reports

    def _history_lines(self, count: int | None) -> list[bytes]:
        try:
            with open_regular(self.path / METRICS) as file:
                lines = file.read().splitlines(keepends=True)
        except FileNotFoundError:
            return []
        except OSError as error:
            reason = reason_of(error)
            raise RgzError(tr("cannot read {path}: {reason}", path=self.path / METRICS, reason=reason)) from error
        # A killed process may leave half a line at the end.
        return [line for line in lines if line.endswith(b"\n")][:count]

    def cut_history(self, count: int) -> int:
        """Keep `count` lines (later ones will be written again); return how many there were of those."""
        lines = self._history_lines(count)
        with self._writing(METRICS), atomic_writer(self.path / METRICS) as file:
            file.writelines(lines)
        return len(lines)

    def append_history(self, line: str) -> None:
        """Add a report; an error shows here and not when the file is closed much later."""
        with self._writing(METRICS), open(self.path / METRICS, "ab") as file:
            file.write(line.encode() + b"\n")

    def sync_history(self) -> None:
        """Have the disk hold all of metrics.jsonl and metrics.csv, if there are such."""
        for name in (METRICS, METRICS_CSV):
            if (self.path / name).is_file():
                with self._writing(name), open(self.path / name, "rb+") as file:
                    os.fsync(file.fileno())

    @contextlib.contextmanager
    def _writing(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            path, reason, command = self.path / name, reason_of(error), self.resume_command()
            text = tr(
                "cannot write {path}: {reason}; make room, then: {command}", path=path, reason=reason, command=command
            )
            raise RgzError(text) from error

    def resume_command(self) -> str:
        """What goes on with this run: the command, where it was noted which files its text came from, or Python."""
        try:
            told = "data" in self.read_arguments()[1]
        except RgzError:  # which the command then says in full
            told = True
        return f"rgz resume {shlex.quote(str(self.path))}" if told else RESUME_IN_PYTHON


def no_report(path: Path, number: int, reason: object) -> RgzError:
    return RgzError(
        tr(
            "{path}:{number}: no report of a run ({reason}); restore the file, or delete it to go on without the "
            "reports so far",
            path=path,
            number=number,
            reason=reason,
        )
    )


def _is_list_of_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_report(value: object) -> bool:
    if not isinstance(value, dict) or not all(v is None or _is_number(v) for v in value.values()):
        return False
    return type(value.get("step")) is int and _is_number(value.get("epoch"))


def _is_number(value: object) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**63)


def _pretty(values: Mapping[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False, indent=2) + "\n"
