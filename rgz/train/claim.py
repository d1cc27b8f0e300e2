"""What a Trainer has for itself while it trains: its model, and its run directory."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from rgz.errors import RgzError
from rgz.messages import tr
from rgz.threads import process_lock
from rgz.train.interfaces import ModelLike
from rgz.train.rundir import RunDirectory

_taken: set[int | str] = set()  # ids of models and paths, by the Trainers of this process


@contextlib.contextmanager
def claimed(model: ModelLike, run: RunDirectory | None) -> Iterator[None]:
    """Hold both for the block; RgzError if another Trainer, in another thread, trains that model or writes there."""
    mine: set[int | str] = {id(model)}
    if run is not None:
        mine.add(os.path.realpath(run.path))
    with process_lock():
        if id(model) in _taken:
            raise RgzError(tr("this model is being trained by another Trainer; give each Trainer a model of its own"))
        if mine & _taken:
            raise RgzError(
                tr(
                    "another Trainer of this process is writing to {path}; choose another output_dir",
                    path=run and run.path,
                )
            )
        _taken.update(mine)
    try:
        yield
    finally:
        _taken.difference_update(mine)
