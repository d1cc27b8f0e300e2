"""Where augmentation enters a run: between the texts and their encoding."""

from __future__ import annotations

from typing import Any

from rgz.augment import VariedTexts, augmenter_of, expand
from rgz.config import TrainingArguments
from rgz.data import Dataset, TokenData
from rgz.errors import RgzError
from rgz.messages import tr


def augment_training(train: Any, val: Any, args: TrainingArguments) -> tuple[Any, Any, list[str]]:
    """The training texts with their variants among them (multiplier), or as VariedTexts; validation; and notices.

    Validation is held out here, before there are variants: none of them may be in it, nor any of its texts varied.
    What is no list of texts is given back as it is, for `plan_training` to refuse; RgzError for TokenData.
    """
    assert isinstance(args.augment, dict)
    if isinstance(train, TokenData):
        raise RgzError(tr("augment needs texts, got ids that are encoded already; give a Dataset or a list of texts"))
    texts = isinstance(train, list) and all(isinstance(document, str | list) for document in train)
    if not (texts or isinstance(train, Dataset)) or not len(train):
        return train, val, []
    dataset, notices = Dataset(train), []
    if val is None and args.validation_split > 0:
        dataset, held_out = dataset.split(args.validation_split, args.seed)
        val, notices = held_out if len(held_out) else None, dataset.take_notices()
    augmenter = augmenter_of(args.augment, args.seed)
    notices += augmenter.notices
    if times := args.augment["multiplier"]:
        expanded = expand(dataset, augmenter, times)
        return expanded, val, notices + expanded.take_notices()
    notices.append(tr("augmentation: another variant of each text in every epoch"))
    return VariedTexts(dataset, augmenter), val, notices
