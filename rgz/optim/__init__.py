"""Optimizers over flat vectors."""

from rgz.optim.adamw import AdamW

__all__ = ["AdamW"]
