"""When a run saves, what a checkpoint of it holds, and how a run takes up from one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rgz.config import TrainingArguments
from rgz.errors import RgzError
from rgz.messages import tr
from rgz.safetensors import load_into
from rgz.strict import check_like
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
from rgz.train.interfaces import PathLike, Stateful
from rgz.train.monitor import to_json
from rgz.train.plan import refuse_other_run
from rgz.train.rundir import WEIGHTS, RunDirectory
from rgz.train.state import TrainerState
from rgz.train.update import refuse_lost_weights

if TYPE_CHECKING:
    from rgz.train.trainer import Trainer


class Saver:
    """The save strategy of a run (see TrainingArguments.save_strategy)."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._parts = trainer.args.save_strategy.split("+")
        self.last_step = 0  # the step that the newest checkpoint stands for; step 0 needs none

    @property
    def enabled(self) -> bool:
        return self._trainer.run is not None and self._parts != ["no"]

    def due(self, among_best: bool) -> bool:
        """Whether the strategy wants a checkpoint of this step; `among_best`: it was just found to be that."""
        args, state = self._trainer.args, self._trainer.state
        if not self.enabled or state.step == self.last_step:
            return False
        if state.skipped_in_a_row:  # perhaps the end of this run: the good checkpoints must stay
            return False
        if "best" in self._parts and among_best:
            return True
        if "steps" in self._parts and args.save_steps and state.step % args.save_steps == 0:
            return True
        if "epoch" in self._parts and state.at_epoch_end:
            return True
        if self._parts == ["best"] or args.save_seconds is None:
            return False
        return self._trainer.timer.since_save() >= float(args.save_seconds)

    def due_at_end(self, interrupted: bool) -> bool:
        unsaved = self.enabled and self._trainer.state.step != self.last_step
        return unsaved and (interrupted or self._parts != ["best"])

    def checkpoints_left(self, seconds: float) -> float:
        """About how many are still to come, the one of this step included, in a run of so many seconds besides them."""
        args, state, plan, timer = self._trainer.args, self._trainer.state, self._trainer.plan, self._trainer.timer
        if not self.enabled or state.max_steps == self.last_step:
            return 0.0
        if self._parts == ["best"]:  # as often as until now
            return plan.evaluations_left(state.step) * timer.saves / max(timer.evaluations, 1)
        every = (
            args.save_steps if "steps" in self._parts else plan.updates_per_epoch if "epoch" in self._parts else None
        )
        done = state.step if state.step == self.last_step else state.step - 1
        scheduled = state.max_steps // every - done // every if every else 0
        by_clock = 0.0
        if args.save_seconds is not None:
            by_clock = (timer.since_save() + seconds) // max(float(args.save_seconds), 1e-9)
        at_end = not every or state.max_steps % every > 0
        return min(state.max_steps - done, max(scheduled, by_clock) + at_end)

    def save(self) -> None:
        """Write a checkpoint of this moment and drop those that the strategy keeps no longer.

        TrainingDiverged where the weights are no finite numbers: the older checkpoints stay.
        """
        trainer = self._trainer
        state, best, run = trainer.state, trainer.best, trainer.run
        assert run is not None
        refuse_lost_weights(state, trainer.model.parameters(), run.checkpoints())
        run.sync_history()  # the reports that the checkpoint counts
        tensors = {WEIGHTS: trainer.model.parameters(), OPTIMIZER: trainer.step.state_tensors()}
        if best is not None and best.tensors and best.step != state.step:
            tensors[BEST] = best.tensors
        content = {
            "trainer": state.to_dict(),
            "n_updates": trainer.step.n_updates,
            "best": None if best is None else {"monitor": best.monitor, "ranked": best.ranked},
            "schedule": _state_of(trainer.plan.schedule),
            "step": _state_of(trainer.step),
            "callbacks": {name: callback.state_dict() for name, callback in _named(trainer.callbacks)},
            "identity": trainer.plan.identity,
            "arguments": trainer.args.to_dict(),
        }
        save_checkpoint(run, state.step, tensors, content, trainer.model.config.to_dict())
        self.last_step = state.step
        prune(run, state.step, self._keep(), self._protected())

    def too_little_room(self) -> str | None:
        """A sentence where the disk has less than the model and one checkpoint take: better now than hours later."""
        run, step = self._trainer.run, self._trainer.step
        assert run is not None
        if self._trainer.state.step >= self._trainer.state.max_steps:
            return None
        model = sum(tensor.nbytes for tensor in self._trainer.model.parameters().values())
        state = sum(tensor.nbytes for tensor in step.state_tensors().values())
        needed = model + (model + state if self.enabled else 0)
        try:
            free = shutil.disk_usage(run.path).free
        except OSError:  # then writing will tell
            return None
        if free >= needed:
            return None
        return tr(
            "the disk of {path} has {free} MB left; the model and a checkpoint take {needed}: make room in time",
            path=run.path,
            free=f"{free / 1e6:,.0f}",
            needed=f"{needed / 1e6:,.0f}",
        )

    def _keep(self) -> int | None:
        if "last" in self._parts:
            return 1
        return 0 if self._parts == ["best"] else self._trainer.args.save_total_limit

    def _protected(self) -> list[int]:
        best = self._trainer.best
        return best.steps if "best" in self._parts and best is not None else []

    def tidy(self) -> None:
        """Drop what a process that was killed after its last save did not come to drop."""
        run, step = self._trainer.run, self.last_step
        if run is not None and step:
            prune(run, step, self._keep(), self._protected(), future=False)

    def load(self, checkpoint: Checkpoint, in_place: bool) -> TrainerState:
        """Put a checkpoint's weights, optimizer, counters, best weights and callbacks back."""
        try:
            return self._load(checkpoint, in_place)
        except RgzError:
            raise
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:  # not what rgz writes
            reason = tr("{file} is not what was written", file=STATE)
            raise RgzError(tr("{path} is damaged: {reason}", path=checkpoint.path, reason=reason)) from error

    def _load(self, checkpoint: Checkpoint, in_place: bool) -> TrainerState:
        trainer, saved = self._trainer, checkpoint.state
        if not isinstance(saved["arguments"], dict):
            raise TypeError("arguments")
        refuse_other_run(trainer.plan, saved["identity"])
        parameters = trainer.model.parameters()
        checkpoint.load_weights(parameters)
        optimizer = trainer.step.state_tensors()
        load_into(checkpoint.path / OPTIMIZER, optimizer)
        counted = check_like({"n_updates": 0}, {"n_updates": saved["n_updates"]})
        trainer.step.load_state(optimizer, counted["n_updates"])
        best = trainer.best
        if best is not None and saved["best"] and saved["best"]["monitor"] == best.monitor:
            best.ranked = [(float(value), int(step)) for value, step in saved["best"]["ranked"]][: best.keep]
            if best.ranked:
                best.take(checkpoint.load_best(parameters))
        _give_back(trainer.plan.schedule, saved["schedule"])
        _give_back(trainer.step, saved["step"])
        for name, callback in _named(trainer.callbacks):
            if name in saved["callbacks"]:
                callback.load_state_dict(saved["callbacks"][name])
        state = TrainerState.from_dict(saved["trainer"])
        if state.position > len(trainer.plan.batches):
            raise ValueError(f"position {state.position}")
        if in_place:
            self.last_step = state.step
        else:
            state.n_reports = 0  # the new run directory has a metrics.jsonl of its own
        return state


def _state_of(thing: object) -> dict[str, Any]:
    """Its state under the name of its class, so that another kind in the resumed run begins anew."""
    return {type(thing).__name__: thing.state_dict()} if isinstance(thing, Stateful) else {}


def _give_back(thing: object, saved: dict[str, Any]) -> None:
    if isinstance(thing, Stateful) and type(thing).__name__ in saved:
        thing.load_state_dict(saved[type(thing).__name__])


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
    "save_total_limit", "save_best_limit", "n_threads", "report_to", "samples", "sample_prompt", "max_memory",
    "token_cache", "gradient_checkpointing",
)  # fmt: skip


def changed_arguments(checkpoint: Checkpoint, args: TrainingArguments) -> str:
    """The arguments that differ from those of a checkpoint and bear on what is learnt: "learning_rate, seed"."""
    now = json.loads(to_json(args.to_dict()))
    saved = checkpoint.state["arguments"]
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
