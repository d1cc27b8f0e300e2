"""A batch, cut into portions of whole sequences that are passed through the model one after the other.

Gradients are sums over tokens, so an update from portions is that from the whole batch but for rounding. Portions need
activations for their own rows only, and these stay nearer to the cores, while products still run at their full speed.
On the shapes of benches/test_step.py S is 2 % faster with portions of 1,024 rows than with its 2,048 at once. The wider
a model, the longer the sums in its products and the fewer rows keep them busy: M and L lose 1 to 2 % with portions of
512 rows against 1,024, and save a fifth and an eighth of the memory of the whole process.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from rgz.memory import Ints
from rgz.train.interfaces import BatchLike

_ROWS, _WIDE_ROWS, _WIDE = 1024, 512, 512


def usual_portion(hidden_size: int) -> int:
    """The most rows of a portion for a model this wide: a batch of a quarter more than the best size is not cut."""
    best = _WIDE_ROWS if hidden_size >= _WIDE else _ROWS
    return best + best // 4


class Portion(NamedTuple):
    """tokens, targets (N,); cu_seqlens (S + 1,), see rgz.data.batches.Batch."""

    tokens: Ints
    targets: Ints
    cu_seqlens: Ints

    @property
    def n_targets(self) -> int:
        return int(np.count_nonzero(self.targets >= 0))

    @property
    def n_sequences(self) -> int:
        return len(self.cu_seqlens) - 1


def most_rows(rows: int, longest: int, most: int) -> int:
    """Rows of the largest portion of any batch of up to `rows`, whose sequences have up to `longest`."""
    return min(rows, max(most, longest))


def portions(batch: BatchLike, most: int) -> Iterator[Portion]:
    """The sequences of a batch in order, in even portions of up to `most` rows; none of an empty batch.

    A sequence of more rows is a portion by itself.
    """
    ends = batch.cu_seqlens
    last, left = len(ends) - 1, _fewest(ends, most)
    first = 0
    while first < last:
        begin = int(ends[first])
        share = -(-(int(ends[last]) - begin) // max(left, 1))
        end = min(int(np.searchsorted(ends, begin + share)), _last_that_fits(ends, first, most))
        part = slice(begin, int(ends[end]))
        yield Portion(batch.tokens[part], batch.targets[part], ends[first : end + 1] - np.int32(begin))
        first, left = end, left - 1


def _last_that_fits(ends: Ints, first: int, most: int) -> int:
    """Where a portion ends that begins with sequence `first` and takes as many as fit, at least one."""
    return max(int(np.searchsorted(ends, int(ends[first]) + most, side="right")) - 1, first + 1)


def _fewest(ends: Ints, most: int) -> int:
    """How many portions there are if each is filled up."""
    count = first = 0
    while first < len(ends) - 1:
        count, first = count + 1, _last_that_fits(ends, first, most)
    return count
