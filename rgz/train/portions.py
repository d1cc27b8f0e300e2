"""A batch, cut into portions of whole sequences that are passed through the model one after the other.

Gradients are sums over tokens, so an update from portions is that from the whole batch but for rounding. Portions of
about ROWS rows need activations for that many only, and these stay nearer to the cores, while products still run at
their full speed: on the shapes of benches/test_step.py S is 2 % faster than with its 2,048 rows at once and M 2 %
slower, with half the memory of activations in both.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from rgz.memory import Ints
from rgz.train.interfaces import BatchLike

ROWS = 1024
_LARGEST_SHARE = ROWS + ROWS // 2


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


def most_rows(rows: int, longest: int) -> int:
    """Rows of the largest portion of any batch of up to `rows`, whose sequences have up to `longest`.

    A smaller batch may be cut into fewer portions, and these be larger.
    """
    if rows <= _LARGEST_SHARE:
        return rows
    share = min(-(-rows // 2), _LARGEST_SHARE)
    return min(rows, max(_LARGEST_SHARE, share + longest - 1))


def portions(batch: BatchLike) -> Iterator[Portion]:
    """The sequences of a batch in order, as many at a time as reach an even share of its rows; none of an empty one."""
    rows, count = len(batch.tokens), _count(len(batch.tokens))
    first, last = 0, len(batch.cu_seqlens) - 1
    while first < last:
        begin = int(batch.cu_seqlens[first])
        end = min(int(np.searchsorted(batch.cu_seqlens, begin - (-rows // count))), last)
        part = slice(begin, int(batch.cu_seqlens[end]))
        yield Portion(batch.tokens[part], batch.targets[part], batch.cu_seqlens[first : end + 1] - np.int32(begin))
        first = end


def _count(rows: int) -> int:
    """Of even portions: ROWS each, or up to half as many again."""
    return max(1, -(-rows // _LARGEST_SHARE))
