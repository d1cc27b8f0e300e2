"""Augmentation: variants of the training texts, so that a small corpus is not learnt by heart."""

from rgz.augment.augmenter import OPERATIONS, Augmenter, Variant, augmenter_of
from rgz.augment.batches import AugmentedBatches, VariedTexts, expand

__all__ = ["OPERATIONS", "AugmentedBatches", "Augmenter", "Variant", "VariedTexts", "augmenter_of", "expand"]
