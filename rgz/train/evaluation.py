"""Loss on text that is not trained on."""

from __future__ import annotations

from collections.abc import Callable

from rgz.train.interfaces import BatchesLike, StepLike


def mean_loss(step: StepLike, batches: BatchesLike, between: Callable[[], None] = lambda: None) -> tuple[float, int]:
    """Mean loss a target token over all of `batches`, and the number of those tokens.

    between : called before each batch; may raise to give up.
    """
    loss_sum, n_targets = 0.0, 0
    for index in range(len(batches)):
        between()
        batch = batches.batch(0, index)
        loss_sum += step.evaluate(batch)
        n_targets += batch.n_targets
    return (loss_sum / n_targets if n_targets else float("nan")), n_targets
