"""Warnings in words while a run goes on, where a curve says that something goes wrong."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rgz.messages import tr
from rgz.strict import check_like
from rgz.train.callbacks import Callback
from rgz.train.state import TrainerState
from rgz.train.verdict import SPIKE, Spike, find_overfitting

if TYPE_CHECKING:
    from rgz.train.trainer import Trainer

_WINDOW = 100  # updates whose median is the usual norm
_ENOUGH = 10  # norms before a median means anything
_QUIET = 100  # updates between two warnings of exploding gradients
_TWICE = 2  # evaluations in a row that a validation loss must have risen: one may be chance


class Watch(Callback):
    """Looks at the gradient norm of every update, not of the reported ones only, and at each validation loss.

    spikes : how many norms were above SPIKE times their running median; worst : the one farthest above.
    """

    def __init__(self) -> None:
        self._resumed = False
        self._reset()

    def _reset(self) -> None:
        self.spikes = 0
        self.worst: Spike | None = None
        self._norms: list[float] = []
        self._quiet_until = 0
        self._risen = 0  # evaluations in a row that look like overfitting
        self._overfitting_since: int | None = None  # the best step that was told of

    def on_train_begin(self, trainer: Trainer, state: TrainerState) -> None:
        if not self._resumed:  # what is left from another run
            self._reset()
        self._resumed = False

    def on_step_end(self, trainer: Trainer, state: TrainerState) -> None:
        norm = state.grad_norm
        if norm is None:  # a skipped update, which is told of elsewhere
            return
        if len(self._norms) >= _ENOUGH and norm > SPIKE * (median := statistics.median(self._norms)) > 0:
            self._spiked(trainer, Spike(state.step, norm, norm / median))
        self._norms = [*self._norms[1 - _WINDOW :], norm]

    def _spiked(self, trainer: Trainer, spike: Spike) -> None:
        self.spikes += 1
        if self.worst is None or spike.times > self.worst.times:
            self.worst = spike
        if spike.step >= self._quiet_until:
            self._quiet_until = spike.step + _QUIET
            trainer.say(
                tr(
                    "step {step}: the gradient explodes: norm {norm}, {times} times its running median; it was clipped "
                    "to {clip:g}",
                    step=spike.step,
                    norm=f"{spike.norm:.3g}",
                    times=f"{spike.times:.0f}",
                    clip=trainer.args.max_grad_norm,
                )
            )

    def on_evaluate(self, trainer: Trainer, state: TrainerState) -> None:
        found = find_overfitting(state.log_history)
        self._risen = 0 if found is None else self._risen + 1
        if found is None or self._risen < _TWICE or found.best_step == self._overfitting_since:
            return
        self._overfitting_since = found.best_step
        trainer.say(
            tr(
                "step {step}: overfitting begins: the validation loss rose to {last} from {best} at step {best_step}, "
                "while the training loss falls",
                step=state.step,
                last=f"{found.last:.4f}",
                best=f"{found.best:.4f}",
                best_step=found.best_step,
            )
        )

    def state_dict(self) -> dict[str, Any]:
        return {
            "spikes": self.spikes,
            "worst": None if self.worst is None else list(self.worst),
            "norms": self._norms,
            "quiet_until": self._quiet_until,
            "risen": self._risen,
            "overfitting_since": self._overfitting_since,
        }

    def load_state_dict(self, values: Mapping[str, Any]) -> None:
        values = dict(values)
        worst = values.pop("worst")
        check_like({name: value for name, value in self.state_dict().items() if name != "worst"}, values)
        self.spikes, self._norms = values["spikes"], [float(norm) for norm in values["norms"]]
        self.worst = None if worst is None else Spike(int(worst[0]), float(worst[1]), float(worst[2]))
        self._quiet_until = values["quiet_until"]
        self._risen, self._overfitting_since = values["risen"], values["overfitting_since"]
        self._resumed = True
