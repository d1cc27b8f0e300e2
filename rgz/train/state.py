"""Where a run stands: everything the loop counts, and nothing that the clock measures."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

from rgz.strict import check_like


@dataclass
class LossWindow:
    """Sums since some moment; the mean weighs every target token the same."""

    loss_sum: float = 0.0
    n_targets: int = 0

    def add(self, loss_sum: float, n_targets: int) -> None:
        self.loss_sum += loss_sum
        self.n_targets += n_targets

    @property
    def mean(self) -> float | None:
        return self.loss_sum / self.n_targets if self.n_targets else None

    def clear(self) -> None:
        self.loss_sum, self.n_targets = 0.0, 0


@dataclass
class TrainerState:
    """The position of a run. A checkpoint holds all of it but `stop_reason` and `log_history`, of which it
    holds the length.

    step : updates tried, those skipped for a non-finite gradient included.
    overflows : of them those skipped because float16 could not hold the gradients at the loss scale of that moment;
        the scale is halved then, and they are not among skipped_updates.
    loss_scale : None without one.
    epoch_index, position : finished epochs, and batches done in the epoch that has begun.
    since_report, since_evaluation : training loss since then.
    n_reports : lines of metrics.jsonl that belong to this state; a resumed run cuts the file back to them.
    """

    step: int = 0
    max_steps: int = 0
    epoch_index: int = 0
    position: int = 0
    batches_per_epoch: int = 0
    num_input_tokens_seen: int = 0
    skipped_updates: int = 0
    skipped_in_a_row: int = 0
    overflows: int = 0
    last_log_step: int = 0
    last_eval_step: int = 0
    n_reports: int = 0
    learning_rate: float | None = None
    grad_norm: float | None = None
    loss_scale: float | None = None
    since_report: LossWindow = field(default_factory=LossWindow)
    since_evaluation: LossWindow = field(default_factory=LossWindow)
    metrics: dict[str, Any] = field(default_factory=dict)
    log_history: list[dict[str, Any]] = field(default_factory=list)
    stop_reason: str = ""

    @property
    def epoch(self) -> float:
        """Epochs done, fractions included."""
        return self.epoch_index + (self.position / self.batches_per_epoch if self.position else 0.0)

    @property
    def at_epoch_end(self) -> bool:
        return self.step > 0 and self.position == 0

    def advance(self, n_tokens: int) -> None:
        """Count one update, of one batch."""
        self.step += 1
        self.num_input_tokens_seen += n_tokens
        self.position += 1
        if self.position >= self.batches_per_epoch:
            self.epoch_index, self.position = self.epoch_index + 1, 0

    def count(
        self,
        loss_sum: float,
        n_targets: int,
        learning_rate: float,
        grad_norm: float | None,
        overflowed: bool = False,
    ) -> None:
        """Note what the update gave; grad_norm None where it was skipped for not being finite."""
        self.learning_rate, self.grad_norm = learning_rate, grad_norm
        if overflowed:
            self.overflows += 1
            return
        if grad_norm is None:
            self.skipped_updates += 1
            self.skipped_in_a_row += 1
            return
        self.skipped_in_a_row = 0
        self.since_report.add(loss_sum, n_targets)
        self.since_evaluation.add(loss_sum, n_targets)

    def to_dict(self) -> dict[str, Any]:
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        for name in ("log_history", "stop_reason"):
            del values[name]
        for name in ("since_report", "since_evaluation"):
            values[name] = dataclasses.asdict(values[name])
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainerState:
        """The inverse of `to_dict`; ValueError for what that never gives."""
        values = dict(check_like(cls().to_dict(), values))
        for name in ("since_report", "since_evaluation"):
            if values[name]["loss_sum"] is None:  # a number from the beginning
                raise ValueError(name)
            values[name] = LossWindow(**values[name])
        return cls(**values)


def perplexity(loss: float) -> float:
    """exp(loss); infinite where that overflows."""
    return math.inf if loss >= 700 else math.exp(loss)
