"""Training on ids that are there already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rgz.config import TrainingArguments
from rgz.data import token_data
from rgz.train.callbacks import Callback
from rgz.train.interfaces import ModelLike, PathLike
from rgz.train.trainer import Trainer


def train_with_cached_tokens(
    model: ModelLike,
    tokens: Any,
    args: TrainingArguments | None = None,
    *,
    val_tokens: Any = None,
    tokenizer: Any = None,
    callbacks: Sequence[Callback] = (),
    resume_from_checkpoint: bool | PathLike | None = None,
) -> list[dict[str, Any]]:
    """Train `model` on token ids instead of text, and return the reports, as `Trainer.train` does.

    tokens, val_tokens : documents, each a sequence of ids (a list, a one-dimensional array), taken as they are: bos
        and eos stand in them if the model is to learn them. A flat sequence of ids is one document. Or TokenData.
        Without val_tokens a share of the documents is held out (args.validation_split).
    tokenizer : what made the ids; it is saved beside the model, and `rgz generate` needs it.
    RgzError for what is no id of the model, and for too few ids to train on.
    """
    val = None if val_tokens is None else token_data(val_tokens)
    trainer = Trainer(model, tokenizer, token_data(tokens), val, args, callbacks)
    return trainer.train(resume_from_checkpoint)
