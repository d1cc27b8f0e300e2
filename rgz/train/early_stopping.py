"""Ending a run that improves no more."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rgz.errors import RgzError
from rgz.messages import tr
from rgz.strict import check_like
from rgz.train.callbacks import Callback
from rgz.train.metrics import check_monitor, is_better, resolve_mode
from rgz.train.state import TrainerState

if TYPE_CHECKING:
    from rgz.train.trainer import Trainer


class EarlyStopping(Callback):
    """Stop once `monitor` has not improved for `patience` evaluations; arguments and meaning as in Keras.

    An evaluation improves iff its value < best - min_delta (mode "max": > best + min_delta); then wait = 0
    (where a `baseline` is given, only if that is beaten too), else wait += 1, and training stops when
    wait >= patience. Evaluations in the first `start_from_epoch` epochs do not count. With
    restore_best_weights the weights of the best *raw* value of the run (min_delta, baseline and start_from_epoch
    aside, unlike Keras) are put back however training ends. Every run counts anew, a resumed one goes on.

    monitor : any metric that the run reports; one that it does not is refused before the first update.
    verbose : 0 says only that it stops, 1 also each evaluation that did not improve.
    best, best_epoch : the value that the next one must beat, and the epochs done when it came, parts included.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        for name, count in (("patience", patience), ("verbose", verbose), ("start_from_epoch", start_from_epoch)):
            if not isinstance(count, int) or count < 0 or (isinstance(count, bool) and name != "verbose"):
                raise RgzError(tr("{name} must be {wanted}, got {value}", name=name, wanted=">= 0", value=repr(count)))
        for name, number in (("min_delta", min_delta), ("baseline", 0.0 if baseline is None else baseline)):
            if not isinstance(number, int | float) or isinstance(number, bool) or not math.isfinite(number):
                wanted = tr("a finite number")
                raise RgzError(tr("{name} must be {wanted}, got {value}", name=name, wanted=wanted, value=repr(number)))
        if not isinstance(restore_best_weights, bool):
            name, got = "restore_best_weights", repr(restore_best_weights)
            raise RgzError(tr("{name} must be {wanted}, got {value}", name=name, wanted=tr("true or false"), value=got))
        self.monitor = monitor
        self.min_delta = abs(min_delta)
        self.patience = patience
        self.verbose = verbose
        self.mode = resolve_mode(monitor, mode)
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self._resumed = False
        self._reset()

    def _reset(self) -> None:
        self.wait = 0
        self.best: float | None = None
        self.best_epoch: float | None = None
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
        if self.update(state.metrics[self.monitor], state.epoch):
            self.stopped_step = state.step
            trainer.stop(self._reason())
        elif self.verbose and self.wait:
            trainer.say(
                tr(
                    "{monitor} has not improved for {wait} of {patience} evaluations ({best})",
                    monitor=self.monitor,
                    wait=self.wait,
                    patience=self.patience,
                    best=self._best(),
                )
            )

    def update(self, value: float | None, epoch: float | None = None) -> bool:
        """Take in one value, measured after `epoch` epochs; True when it is time to stop."""
        self.wait += 1
        if is_better(value, self.best, self.mode, self.min_delta):
            self.best, self.best_epoch = value, epoch
            if self.baseline is None or is_better(value, self.baseline, self.mode, self.min_delta):
                self.wait = 0
            return False
        return self._out_of_patience()

    def _out_of_patience(self) -> bool:
        return self.wait > 0 and self.wait >= self.patience

    def _reason(self) -> str:
        return tr(
            "early stopping: {monitor} has not improved for {wait} evaluations ({best})",
            monitor=self.monitor,
            wait=self.wait,
            best=self._best(),
        )

    def _best(self) -> str:
        if self.best is None or self.best_epoch is None:
            return tr("there was no number yet")
        if self.min_delta:
            return tr(
                "by more than {delta} over {best} after {epochs} epochs",
                delta=f"{self.min_delta:g}",
                best=f"{self.best:.4f}",
                epochs=f"{self.best_epoch:.4g}",
            )
        return tr("best {best} after {epochs} epochs", best=f"{self.best:.4f}", epochs=f"{self.best_epoch:.4g}")

    def state_dict(self) -> dict[str, Any]:
        names = ("monitor", "wait", "best", "best_epoch", "stopped_step")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, values: Mapping[str, Any]) -> None:
        values = check_like(self.state_dict(), values)
        if values["monitor"] == self.monitor:  # a resumed run may watch something else: then count anew
            self.wait, self.best, self.best_epoch = values["wait"], values["best"], values["best_epoch"]
            self.stopped_step = values["stopped_step"]
            self._resumed = True
