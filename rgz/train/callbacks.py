"""What can hook into a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rgz.train.state import TrainerState

if TYPE_CHECKING:
    from rgz.train.trainer import Trainer


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
