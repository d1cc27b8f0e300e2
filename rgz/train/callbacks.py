"""What can hook into a run: the base class, early stopping, and the keeper of the best weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from rgz.errors import RgzError
from rgz.messages import tr
from rgz.strict import unknown_name
from rgz.train.state import TrainerState

if TYPE_CHECKING:
    from rgz.train.trainer import Trainer

VALIDATION_METRICS = ("val_loss", "val_perplexity")
_HIGHER_IS_BETTER = ("tokens_per_second", "samples_per_second")


class Callback:
    """Hooks into a run; override what you need.

    `state.log_history[-1]` is the latest report, `state.metrics` the latest evaluation.
    `trainer.stop(reason)` ends the run after the current update. `on_train_end` comes once, however training
    ended; `on_exception` comes before it when that was an exception or Ctrl-C (`trainer.exception`).
    """

    def on_train_begin(self, trainer: Trainer, state: TrainerState) -> None:
        """Everything is loaded, nothing is written yet: the place to refuse."""

    def on_train_end(self, trainer: Trainer, state: TrainerState) -> None:
        """The best weights are back in the model."""

    def on_epoch_begin(self, trainer: Trainer, state: TrainerState) -> None: ...

    def on_epoch_end(self, trainer: Trainer, state: TrainerState) -> None: ...

    def on_step_end(self, trainer: Trainer, state: TrainerState) -> None:
        """After every update."""

    def on_evaluate(self, trainer: Trainer, state: TrainerState) -> None:
        """`state.metrics` is fresh; without validation data it has the training metrics only."""

    def on_log(self, trainer: Trainer, state: TrainerState) -> None: ...

    def on_save(self, trainer: Trainer, state: TrainerState) -> None: ...

    def on_exception(self, trainer: Trainer, state: TrainerState) -> None: ...

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must hold for this callback to go on as if never interrupted; JSON values."""
        return {}

    def load_state_dict(self, values: Mapping[str, Any]) -> None: ...


def is_better(value: float | None, than: float | None, mode: str, min_delta: float = 0.0) -> bool:
    """Whether `value` beats `than` by more than min_delta; nothing beats NaN's absence, NaN beats nothing."""
    if value is None or math.isnan(value):
        return False
    if than is None:
        return True
    return value > than + min_delta if mode == "max" else value < than - min_delta


def resolve_mode(monitor: str, mode: str) -> str:
    if mode not in ("auto", "min", "max"):
        raise unknown_name("mode", mode, ("auto", "min", "max"))
    return mode if mode != "auto" else ("max" if monitor in _HIGHER_IS_BETTER else "min")


def check_monitor(monitor: str, trainer: Trainer) -> None:
    """Refuse a metric that this run will never report."""
    if monitor in VALIDATION_METRICS and not trainer.has_validation:
        raise RgzError(
            tr(
                "{monitor} cannot be watched: there is no validation data; give some, "
                "or watch the training loss: metric_for_best_model='loss'",
                monitor=monitor,
            )
        )
    if monitor not in trainer.metric_names:
        raise unknown_name(tr("metric"), monitor, trainer.metric_names)


class EarlyStopping(Callback):
    """Stop once `monitor` has not improved for `patience` evaluations; arguments and meaning as in Keras.

    An evaluation improves iff its value < best - min_delta (mode "max": > best + min_delta); then wait = 0
    (where a `baseline` is given, only if that is beaten too), else wait += 1, and training stops when
    wait >= patience. Evaluations in the first `start_from_epoch` epochs do not count. With
    restore_best_weights the weights of the best *raw* value of the run (min_delta, baseline and start_from_epoch
    aside, unlike Keras) are put back however training ends. Every run counts anew, a resumed one goes on.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        if not isinstance(patience, int) or patience < 0:
            raise RgzError(tr("{name} must be {wanted}, got {value}", name="patience", wanted=">= 0", value=patience))
        self.monitor = monitor
        self.min_delta = abs(min_delta)
        self.patience = patience
        self.mode = resolve_mode(monitor, mode)
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self._resumed = False
        self._reset()

    def _reset(self) -> None:
        self.wait = 0
        self.best: float | None = None
        self.stopped_step: int | None = None

    def on_train_begin(self, trainer: Trainer, state: TrainerState) -> None:
        check_monitor(self.monitor, trainer)
        if not self._resumed:  # what is left from another run
            self._reset()
        self._resumed = False
        if self.best is not None and self._out_of_patience():  # a resumed run that had stopped already
            trainer.stop(self._reason())

    def on_evaluate(self, trainer: Trainer, state: TrainerState) -> None:
        if math.ceil(state.epoch) <= self.start_from_epoch:  # Keras counts epochs from 0
            return
        if self.update(state.metrics[self.monitor]):
            self.stopped_step = state.step
            trainer.stop(self._reason())

    def update(self, value: float | None) -> bool:
        """Take in one value; True when it is time to stop."""
        self.wait += 1
        if is_better(value, self.best, self.mode, self.min_delta):
            self.best = value
            if self.baseline is None or is_better(value, self.baseline, self.mode, self.min_delta):
                self.wait = 0
            return False
        return self._out_of_patience()

    def _out_of_patience(self) -> bool:
        return self.wait > 0 and self.wait >= self.patience

    def _reason(self) -> str:
        return tr(
            "early stopping: {monitor} has not improved for {wait} evaluations (best {best})",
            monitor=self.monitor,
            wait=self.wait,
            best=f"{self.best:.4f}" if self.best is not None else "-",
        )

    def state_dict(self) -> dict[str, Any]:
        return {
            "monitor": self.monitor,
            "wait": self.wait,
            "best": self.best,
            "stopped_step": self.stopped_step,
        }

    def load_state_dict(self, values: Mapping[str, Any]) -> None:
        if values.get("monitor") == self.monitor:  # a resumed run may watch something else: then count anew
            self.wait, self.best = values["wait"], values["best"]
            self.stopped_step = values["stopped_step"]
            self._resumed = True


class BestWeights:
    """A copy of the weights at the best value of `monitor` so far (a few bytes when there was none yet)."""

    def __init__(self, monitor: str, mode: str = "auto") -> None:
        self.monitor = monitor
        self.mode = resolve_mode(monitor, mode)
        self.value: float | None = None
        self.step: int | None = None
        self.tensors: dict[str, np.ndarray] = {}

    def offer(self, value: float | None, step: int, parameters: Mapping[str, np.ndarray]) -> bool:
        """Copy the weights if `value` is the best yet; the copy's memory is allocated once."""
        if not is_better(value, self.value, self.mode):
            return False
        self.value, self.step = value, step
        self.take(parameters)
        return True

    def take(self, parameters: Mapping[str, np.ndarray]) -> None:
        if not self.tensors:
            self.tensors = {name: np.array(array) for name, array in parameters.items()}
        for name, array in parameters.items():
            np.copyto(self.tensors[name], array)

    def restore(self, parameters: Mapping[str, np.ndarray]) -> bool:
        """Put the best weights back; False where no evaluation ever gave a number."""
        for name, array in self.tensors.items():
            np.copyto(parameters[name], array)
        return bool(self.tensors)
