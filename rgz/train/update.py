"""One optimizer update from the parts of a batch, and what happens when it is not finite."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rgz.config import TrainingArguments
from rgz.errors import RgzError
from rgz.messages import tr
from rgz.train.best import all_finite
from rgz.train.interfaces import LossScaled, StepLike
from rgz.train.interrupt import InterruptRequest
from rgz.train.plan import TrainingPlan
from rgz.train.portions import portions
from rgz.train.state import TrainerState

MAX_SKIPPED_IN_A_ROW = 10


class TrainingDiverged(RgzError):
    """Loss or gradient stayed non-finite for so many updates that going on makes no sense."""


@dataclass(frozen=True)
class UpdateDone:
    """loss : mean over the targets of this update; finite : False where the update was skipped.

    overflowed : it was skipped because the loss scale of float16 was too large.

    epoch, batch : which, counted from 1.
    """

    loss: float
    finite: bool
    n_tokens: int
    n_sequences: int
    epoch: int
    batch: int
    overflowed: bool = False


class Updater:
    """Makes updates and advances the state.

    mid_update : True while weights and state may not belong together: nothing to make a checkpoint of.
    """

    def __init__(
        self, step: StepLike, plan: TrainingPlan, args: TrainingArguments, interrupt: InterruptRequest
    ) -> None:
        self._step, self._plan, self._args, self._interrupt = step, plan, args, interrupt
        self.mid_update = False
        self.last_loss = math.nan

    def run(self, state: TrainerState) -> UpdateDone:
        """Accumulate the parts of the epoch's next batch (a smaller one at its end), then update.

        Every target token of the update weighs the same, whichever part it came in. Where loss or gradient is not
        finite, weights stay as they are and the update is counted as skipped.
        """
        step, number = self._step, state.position
        batch = self._plan.batches.batch(state.epoch_index, number)
        loss_sum, n_targets, n_tokens = 0.0, batch.n_targets, len(batch.tokens)
        for part in portions(batch, self._plan.part_rows):
            self._interrupt.check()  # weights are untouched so far: the state is that of the last update
            loss_sum += step.accumulate(part)
        learning_rate = self._args.learning_rate * self._plan.schedule(state.step)
        self.mid_update = True
        grad_norm = math.nan
        if math.isfinite(loss_sum):
            grad_norm = step.update(learning_rate, n_targets)
        else:
            step.discard()
        finite, epoch = math.isfinite(grad_norm), state.epoch_index + 1
        scaled = step if isinstance(step, LossScaled) else None
        overflowed = scaled is not None and math.isfinite(loss_sum) and scaled.overflowed
        state.advance(n_tokens)
        state.count(loss_sum, n_targets, learning_rate, grad_norm if finite else None, overflowed)
        state.loss_scale = scaled.loss_scale if scaled is not None else None
        self.mid_update = False
        self.last_loss = loss_sum / n_targets
        return UpdateDone(self.last_loss, finite, n_tokens, batch.n_sequences, epoch, number + 1, overflowed)


def describe_skip(state: TrainerState, done: UpdateDone) -> str:
    """What was not finite, and which text was not learnt from."""
    if done.overflowed:
        return tr(
            "step {step}: float16 could not hold the gradients: the update was skipped ({count} so far), "
            "the loss scale is {scale:.9g} from here on",
            step=state.step,
            count=state.overflows,
            scale=state.loss_scale or 0.0,
        )
    return tr(
        "step {step}: {what} is not finite; the update was skipped ({count} so far): nothing learnt from batch "
        "{batch} of epoch {epoch}, {tokens} tokens",
        step=state.step,
        what=tr("the gradient") if math.isfinite(done.loss) else tr("the loss"),
        count=state.skipped_updates,
        batch=done.batch,
        epoch=done.epoch,
        tokens=done.n_tokens,
    )


def refuse_lost_weights(state: TrainerState, parameters: Mapping[str, np.ndarray], checkpoints: list[Path]) -> None:
    """Raise TrainingDiverged where a weight is no finite number: nobody could go on from them."""
    if not all_finite(parameters):
        raise TrainingDiverged(
            tr(
                "after step {step} the weights are no finite numbers, so they are not saved; lower the learning rate. "
                "Newest checkpoint: {checkpoint}",
                step=state.step,
                checkpoint=checkpoints[0] if checkpoints else tr("none"),
            )
        )


def refuse_to_go_on(state: TrainerState, checkpoints: list[Path]) -> None:
    """Raise TrainingDiverged after too many skipped updates in a row; `checkpoints`: newest first."""
    if state.skipped_in_a_row >= MAX_SKIPPED_IN_A_ROW:
        raise TrainingDiverged(
            tr(
                "loss or gradient was not finite {count} times in a row, stopped at step {step}; "
                "lower the learning rate. Newest checkpoint: {checkpoint}",
                count=state.skipped_in_a_row,
                step=state.step,
                checkpoint=checkpoints[0] if checkpoints else tr("none"),
            )
        )
