"""Augmented training data: another variant of every text in each epoch, or variants made before training.

On the fly, the texts of a batch are varied and encoded when the batch is asked for, from the documents themselves; the
first epoch shows the originals. A variant depends on (seed, epoch, number of the document) alone, so that a batch is a
pure function of (seed, epoch, index): a resumed run needs nothing but its place to go on with the same bits.

Everything that a run knows before it starts (batches an epoch, updates, memory) must hold for every variant. So the
originals are laid out once, in sequences that leave a ninth of max_length free, and that layout stays: a variant is cut
into as many sequences as its original, in proportion, and takes their places. One that would not fit, or would leave a
sequence without a token to learn, is drawn again, a few times; then the original stands in.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from rgz.augment.augmenter import Augmenter
from rgz.data import Batch, Batches, Dataset, Document, TokenData, encode_dataset
from rgz.data.batches import IGNORED
from rgz.messages import tr
from rgz.text import Tokenizer

_ATTEMPTS = 4
_GROWTH = (9, 8)  # a sequence may grow to 9/8 of its rows

Encoded = tuple[NDArray[np.integer], NDArray[np.uint8] | None]  # a document's ids, and which of them count


def expand(dataset: Dataset, augmenter: Augmenter, multiplier: int) -> Dataset:
    """Every document followed by up to `multiplier` variants of it, all different; a notice says how many there are."""
    documents: list[Document] = []
    for sample, document in enumerate(dataset):
        found = [document]
        for k in range(1, _ATTEMPTS * multiplier + 1):
            if len(found) > multiplier:
                break
            variant = augmenter.vary_document(document, k, sample)
            if variant not in found:
                found.append(variant)
        documents += found
    n = len(dataset)
    notice = tr("augmentation: {count} variants of {texts} texts", count=f"{len(documents) - n:,}", texts=f"{n:,}")
    return Dataset(documents, [*dataset.notices, notice])


class VariedTexts(Dataset):
    """Texts of which training is to see another variant in every epoch."""

    def __init__(self, documents: Sequence[Document] | Dataset, augmenter: Augmenter) -> None:
        super().__init__(documents)
        self.augmenter = augmenter


class AugmentedBatches:
    """Batches of which each epoch but the first is made of other variants of the texts.

    original : `texts` as `tokenizer` encodes them; mask_prompts as for `encode_dataset`.
    layout : makes the Batches (see there) of the originals for the sequence length that it is given.
    max_rows, max_seqs : the largest batch of any epoch, whatever the variants.
    """

    def __init__(
        self,
        texts: VariedTexts,
        original: TokenData,
        tokenizer: Tokenizer,
        mask_prompts: bool,
        max_length: int,
        layout: Callable[[TokenData, int], Batches],
    ) -> None:
        self._texts, self._original, self._tokenizer, self._mask_prompts = texts, original, tokenizer, mask_prompts
        self._offsets = original.offsets
        self._length = max(1, max_length * _GROWTH[1] // _GROWTH[0])
        # Where others have a token's id the layout has its position, which says what document stands where in a batch.
        positions = dataclasses.replace(original, ids=np.arange(original.n_tokens, dtype=np.int32))
        self._layout = layout(positions, self._length)
        self.max_rows = _grown(self._layout.max_rows)
        self.max_seqs = self._layout.max_seqs
        self._epoch = 0
        self._kept: dict[int, Encoded] = {}  # this epoch's variants of documents that fill several sequences

    def __len__(self) -> int:
        return len(self._layout)

    def batch(self, epoch: int, number: int) -> Batch:
        """Return batch `number`, from 0, of an epoch, from 0; IndexError beyond the last."""
        if epoch != self._epoch:
            self._epoch, self._kept = epoch, {}
        planned = self._layout.batch(epoch, number)
        tokens, targets = [], []
        for first, last in zip(planned.cu_seqlens, planned.cu_seqlens[1:], strict=False):
            position = int(planned.tokens[first])
            document = int(np.searchsorted(self._offsets, position, side="right")) - 1
            start = position - int(self._offsets[document])
            ids, mask = self._variant(document, epoch)
            begin, end = self._cuts(document, len(ids), start, start + int(last - first))
            tokens.append(ids[begin:end].astype(np.int32))
            target = ids[begin + 1 : end + 1].astype(np.int32)
            if mask is not None:
                target[mask[begin + 1 : end + 1] == 0] = IGNORED
            targets.append(target)
        target = np.concatenate(targets)
        cu_seqlens = np.cumsum([0, *map(len, tokens)]).astype(np.int32)
        return Batch(np.concatenate(tokens), target, cu_seqlens, int((target != IGNORED).sum()), len(tokens))

    def _variant(self, document: int, epoch: int) -> Encoded:
        if document not in self._kept:
            original = self._encoded_original(document)
            tried = (self._encode(document, epoch, attempt) for attempt in range(_ATTEMPTS if epoch else 0))
            encoded = next((one for one in tried if self._fits(document, original[1], *one)), original)
            if self._rows(document) <= self._length:
                return encoded
            self._kept[document] = encoded
        return self._kept[document]

    def _encoded_original(self, document: int) -> Encoded:
        begin, end = self._offsets[document : document + 2]
        mask = self._original.mask
        return self._original.ids[begin:end], None if mask is None else mask[begin:end]

    def _encode(self, document: int, epoch: int, attempt: int) -> Encoded:
        number = epoch * _ATTEMPTS + attempt
        text = self._texts.augmenter.vary_document(self._texts[document], number, document)
        data = encode_dataset(Dataset([text]), self._tokenizer, mask_prompts=self._mask_prompts)
        return data.ids, data.mask

    def _rows(self, document: int) -> int:
        return int(self._offsets[document + 1] - self._offsets[document]) - 1

    def _cuts(self, document: int, n_ids: int, start: int, end: int) -> tuple[int, int]:
        """Rows of a variant of `n_ids` that take the place of the rows start to end of its original."""
        rows = self._rows(document)
        return start * (n_ids - 1) // rows, end * (n_ids - 1) // rows

    def _fits(
        self, document: int, counted: NDArray[np.uint8] | None, ids: NDArray[np.integer], mask: NDArray[np.uint8] | None
    ) -> bool:
        """Whether every sequence of a variant has room, and something to learn where its original has."""
        rows = self._rows(document)
        for start in range(0, rows, self._length):
            end = min(start + self._length, rows)
            begin, stop = self._cuts(document, len(ids), start, end)
            if not 0 < stop - begin <= _grown(end - start):
                return False
            if counted is not None and mask is not None:
                learnt = mask[begin + 1 : stop + 1].any()
                if learnt != counted[start + 1 : end + 1].any():
                    return False
        return True


def _grown(rows: int) -> int:
    return rows * _GROWTH[0] // _GROWTH[1]
