"""When a run saves, what a checkpoint of it holds, and how a run takes up from one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rgz.config import TrainingArguments
from rgz.errors import RgzError
from rgz.messages import tr
from rgz.safetensors import load_into
from rgz.train.callbacks import Callback
from rgz.train.checkpoint import (
    BEST,
    OPTIMIZER,
    STATE,
    Checkpoint,
    newest_whole,
    prune,
    read_checkpoint,
    save_checkpoint,
)
from rgz.train.interfaces import PathLike
from rgz.train.monitor import to_json
from rgz.train.plan import refuse_other_run
from rgz.train.rundir import WEIGHTS, RunDirectory
from rgz.train.state import TrainerState

if TYPE_CHECKING:
    from rgz.train.trainer import Trainer


class Saver:
    """The save strategy of a run (see TrainingArguments.save_strategy)."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._strategy = trainer.args.save_strategy
        self.last_step = 0  # the step that the newest checkpoint stands for; step 0 needs none

    @property
    def enabled(self) -> bool:
        return self._trainer.run is not None and self._strategy != "no"

    def due(self, improved: bool) -> bool:
        """Whether the strategy wants a checkpoint of this step; `improved`: it was the best yet."""
        args, state = self._trainer.args, self._trainer.state
        if not self.enabled or state.step == self.last_step:
            return False
        if state.skipped_in_a_row:  # perhaps the end of this run: the good checkpoints must stay
            return False
        if "best" in self._strategy and improved:
            return True
        if self._strategy == "steps" and args.save_steps and state.step % args.save_steps == 0:
            return True
        if self._strategy == "epoch" and state.at_epoch_end:
            return True
        if self._strategy == "best" or args.save_seconds is None:
            return False
        return self._trainer.timer.since_save() >= float(args.save_seconds)

    def due_at_end(self, interrupted: bool) -> bool:
        unsaved = self.enabled and self._trainer.state.step != self.last_step
        return unsaved and (interrupted or self._strategy != "best")

    def save(self) -> None:
        """Write a checkpoint of this moment and drop those that the strategy keeps no longer."""
        trainer = self._trainer
        state, best, run = trainer.state, trainer.best, trainer.run
        assert run is not None
        tensors = {WEIGHTS: trainer.model.parameters(), OPTIMIZER: trainer.step.state_tensors()}
        if best is not None and best.tensors and best.step != state.step:
            tensors[BEST] = best.tensors
        content = {
            "trainer": state.to_dict(),
            "n_updates": trainer.step.n_updates,
            "best": None if best is None else {"monitor": best.monitor, "value": best.value, "step": best.step},
            "callbacks": {name: callback.state_dict() for name, callback in _named(trainer.callbacks)},
            "identity": trainer.plan.identity,
            "arguments": trainer.args.to_dict(),
        }
        save_checkpoint(run, state.step, tensors, content, trainer.model.config.to_dict())
        self.last_step = state.step
        prune(run, state.step, self._keep(), self._protected())

    def _keep(self) -> int | None:
        fixed = {"last": 1, "best+last": 1, "best": 0}
        return fixed.get(self._strategy, self._trainer.args.save_total_limit)

    def _protected(self) -> list[int]:
        best = self._trainer.best
        return [best.step] if "best" in self._strategy and best is not None and best.step is not None else []

    def load(self, checkpoint: Checkpoint, in_place: bool) -> TrainerState:
        """Put a checkpoint's weights, optimizer, counters, best weights and callbacks back."""
        trainer, saved = self._trainer, checkpoint.state
        refuse_other_run(trainer.plan, saved["identity"])
        parameters = trainer.model.parameters()
        checkpoint.load_weights(parameters)
        optimizer = trainer.step.state_tensors()
        load_into(checkpoint.path / OPTIMIZER, optimizer)
        trainer.step.load_state(optimizer, saved["n_updates"])
        best = trainer.best
        if best is not None and saved["best"] and saved["best"]["monitor"] == best.monitor:
            best.value, best.step = saved["best"]["value"], saved["best"]["step"]
            if best.step is not None:
                best.take(checkpoint.load_best(parameters))
        for name, callback in _named(trainer.callbacks):
            if name in saved["callbacks"]:
                callback.load_state_dict(saved["callbacks"][name])
        state = TrainerState.from_dict(saved["trainer"])
        if in_place:
            self.last_step = state.step
        else:
            state.n_reports = 0  # the new run directory has a metrics.jsonl of its own
        return state


def _named(callbacks: list[Callback]) -> Iterator[tuple[str, Callback]]:
    """Each callback with a name that is the same in the resumed run: its class and its number among those."""
    seen: dict[str, int] = {}
    for callback in callbacks:
        kind = type(callback).__name__
        seen[kind] = seen.get(kind, -1) + 1
        yield f"{kind}.{seen[kind]}", callback


# What may change at any time: it has no part in what is learnt.
_NOT_LEARNT = (
    "output_dir", "overwrite", "max_time", "logging_steps", "save_strategy", "save_steps", "save_seconds",
    "save_total_limit", "n_threads", "report_to", "max_memory", "token_cache",
)  # fmt: skip


def changed_arguments(checkpoint: Checkpoint, args: TrainingArguments) -> str:
    """The arguments that differ from those of a checkpoint and bear on what is learnt: "learning_rate, seed"."""
    now = json.loads(to_json(args.to_dict()))
    saved = checkpoint.state.get("arguments", now)  # earlier versions did not note them
    names = [name for name, value in now.items() if name not in _NOT_LEARNT and saved.get(name) != value]
    return ", ".join(names)


def find_checkpoint(
    run: RunDirectory | None, resume: bool | PathLike | None
) -> tuple[Checkpoint | None, bool, list[str]]:
    """What `resume_from_checkpoint` stands for: the checkpoint, whether it belongs to `run`, and notices.

    True : the newest whole one of `run`; (None, True, ...) where the run was killed before its first.
    a path : a checkpoint folder, or a run directory whose newest whole one is meant.
    """
    if resume is None or resume is False:
        return None, False, []
    if resume is True:
        if run is None or not run.holds_a_run():
            where = tr("no output_dir") if run is None else run.path
            raise RgzError(tr("there is no run to resume in {path}", path=where))
        checkpoint, notices = newest_whole(run)
        if checkpoint is None:
            notices = [tr("{path} has no checkpoint yet; starting from its beginning", path=run.path)]
        return checkpoint, True, notices
    path = Path(resume)
    if (path / STATE).exists():
        checkpoint, notices = read_checkpoint(path), []
    else:
        checkpoint, notices = newest_whole(RunDirectory(path))
        if checkpoint is None:
            raise RgzError(tr("there is no checkpoint in {path}", path=path))
    in_place = run is not None and checkpoint.path.parent.resolve() == run.path.resolve()
    return checkpoint, in_place, notices
