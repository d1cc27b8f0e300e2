"""Optimizers over flat vectors."""

from rgz.optim.adamw import AdamW
from rgz.optim.loss_scale import LossScale

__all__ = ["AdamW", "LossScale"]
