"""Checkpoints: written aside, fsynced, renamed; found again only if every byte is what was written.

    checkpoint-<step>/model.safetensors, optimizer.safetensors, [best.safetensors], config.json
    checkpoint-<step>/state.json      counters, callbacks, SHA-256 of each other file, and of itself

A folder under its final name is always complete: the rename is the last thing that happens.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rgz.errors import RgzError, reason_of
from rgz.files import fsync_folder, read_json, remove_tree, sha256_of, write_text_atomic
from rgz.messages import mark, tr
from rgz.safetensors import load_into, save_file
from rgz.train.interfaces import PathLike
from rgz.train.monitor import to_json
from rgz.train.rundir import CHECKPOINT_PREFIX, CONFIG, WEIGHTS, RunDirectory

STATE = "state.json"
OPTIMIZER = "optimizer.safetensors"
BEST = "best.safetensors"
FORMAT = 3


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint folder whose checksums were found right, and the contents of its state.json."""

    path: Path
    state: dict[str, Any]

    @property
    def step(self) -> int:
        return int(self.state["trainer"]["step"])

    def load_weights(self, parameters: Mapping[str, np.ndarray]) -> None:
        load_into(self.path / WEIGHTS, parameters)

    def load_best(self, parameters: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The best weights so far; where this checkpoint is itself the best they are its own."""
        path = self.path / BEST
        tensors = {name: np.empty_like(array) for name, array in parameters.items()}
        load_into(path if BEST in self.state["sha256_of_files"] else self.path / WEIGHTS, tensors)
        return tensors


def save_checkpoint(
    run: RunDirectory,
    step: int,
    tensors: Mapping[str, Mapping[str, np.ndarray]],
    state: Mapping[str, Any],
    config: Mapping[str, Any],
) -> Path:
    """Write checkpoint-<step> and return its path; `tensors` maps file names to their arrays.

    On any failure nothing is left under the final name, older checkpoints are as they were, and the RgzError
    names the newest of them.
    """
    final = run.path / f"{CHECKPOINT_PREFIX}{step}"
    aside = run.path / f".{CHECKPOINT_PREFIX}{step}.{os.getpid()}.tmp"
    try:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        try:
            sums = {name: save_file(aside / name, arrays, {"format": "pt"}) for name, arrays in tensors.items()}
            write_text_atomic(aside / CONFIG, json.dumps(config, ensure_ascii=False, indent=2) + "\n")
            sums[CONFIG] = sha256_of(aside / CONFIG)
            write_text_atomic(aside / STATE, _sealed({"format": FORMAT, **state, "sha256_of_files": sums}))
            _put_in_place(aside, final)
        except BaseException:  # Ctrl-C too: the half-written folder goes away
            shutil.rmtree(aside, ignore_errors=True)
            raise
    except OSError as error:
        raise _cannot_save(run, final, error) from error
    return final


def _cannot_save(run: RunDirectory, path: Path, error: OSError) -> RgzError:
    reason = reason_of(error)
    if older := run.checkpoints():
        text = tr(
            "cannot write {path}: {reason}; make room, then go on from {left}: {command}",
            path=path,
            reason=reason,
            left=older[0].name,
            command=run.resume_command(),
        )
    else:
        text = tr(
            "cannot write {path}: {reason}; there is no earlier checkpoint: make room, then begin again",
            path=path,
            reason=reason,
        )
    return RgzError(text)


def _put_in_place(aside: Path, final: Path) -> None:
    if os.path.lexists(final):  # damaged, or of a future that was given up by resuming from an older checkpoint
        old = final.with_name(f".{final.name}.{os.getpid()}.old")
        os.rename(final, old)
        os.rename(aside, final)
        remove_tree(old)
    else:
        os.rename(aside, final)
    fsync_folder(final.parent)


def _sealed(state: dict[str, Any]) -> str:
    text = to_json(state)
    return json.dumps({**json.loads(text), "sha256": _digest(json.loads(text))}, ensure_ascii=False, indent=1) + "\n"


def _digest(state: Mapping[str, Any]) -> str:
    text = json.dumps(state, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()


def read_checkpoint(path: PathLike) -> Checkpoint:
    """Check every byte of the checkpoint at `path` and return it; RgzError says what is wrong with it."""
    path = Path(path)

    def broken(reason: str) -> RgzError:
        return RgzError(tr("{path} is damaged: {reason}", path=path, reason=reason))

    try:
        state = read_json(path / STATE)
        seal = state.pop("sha256")
    except OSError as error:
        raise broken(f"{STATE}{mark(': ')}{reason_of(error)}") from error
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise broken(tr("{file} is not what was written", file=STATE)) from error
    if seal != _digest(state):
        raise broken(tr("{file} is not what was written", file=STATE))
    if state.get("format") != FORMAT:
        raise RgzError(
            tr(
                "{path} has format {format}, this version of rgz reads {known}",
                path=path,
                format=state.get("format"),
                known=FORMAT,
            )
        )
    sums, trainer, arguments = state.get("sha256_of_files"), state.get("trainer"), state.get("arguments")
    if not (isinstance(trainer, dict) and type(trainer.get("step")) is int and isinstance(arguments, dict)):
        raise broken(tr("{file} is not what was written", file=STATE))
    if not isinstance(sums, dict) or not {WEIGHTS, OPTIMIZER, CONFIG} <= sums.keys() <= {
        WEIGHTS,
        OPTIMIZER,
        CONFIG,
        BEST,
    }:
        raise broken(tr("{file} is not what was written", file=STATE))  # no other name is ever opened
    for name, expected in sums.items():
        try:
            found = sha256_of(path / name)
        except OSError as error:
            raise broken(f"{name}{mark(': ')}{reason_of(error)}") from error
        if found != expected:
            raise broken(tr("{file} is not what was written", file=name))
    return Checkpoint(path, state)


def newest_whole(run: RunDirectory) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint of a run without damage, and a sentence for each newer one passed over.

    None where the run has no checkpoint yet; RgzError where it has some but none is whole.
    """
    damage: list[str] = []
    for path in run.checkpoints():
        try:
            checkpoint = read_checkpoint(path)
        except RgzError as error:
            damage.append(str(error))
            continue
        if damage:
            damage.append(tr("going on from {path}, the newest whole checkpoint", path=path))
        return checkpoint, damage
    if damage:
        first = damage[0]
        raise RgzError(
            tr(
                "no checkpoint of {path} is whole ({first}); start again with --overwrite (overwrite=True)",
                path=run.path,
                first=first,
            )
        )
    return None, []


def prune(
    run: RunDirectory, current: int, keep: int | None, protected: Iterable[int] = (), *, future: bool = True
) -> None:
    """Delete checkpoints beyond the `keep` newest, the protected steps besides, and (future) any after `current`.

    Those belong to a future that was given up by resuming from an older checkpoint.
    """
    guarded = {current, *protected}
    kept = 0
    for path in run.checkpoints():
        step = int(path.name.removeprefix(CHECKPOINT_PREFIX))
        if step > current and not future:
            continue
        if step <= current and (keep is None or kept < keep):
            kept += 1
        elif step not in guarded:
            doomed = path.with_name(f".{path.name}.{os.getpid()}.old")  # never half a checkpoint under its name
            try:
                os.rename(path, doomed)
                remove_tree(doomed)
            except OSError as error:
                raise _cannot_save(run, path, error) from error
