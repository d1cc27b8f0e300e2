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


def rows_at_once(hidden_size: int) -> int:
    """Rows that a portion should have, or up to a quarter more, for a model this wide."""
    return _WIDE_ROWS if hidden_size >= _WIDE else _ROWS


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


def most_rows(rows: int, longest: int, at_once: int) -> int:
    """Rows of the largest portion of any batch of up to `rows`, whose sequences have up to `longest`.

    A smaller batch may be cut into fewer portions, and these be larger.
    """
    most = _most(at_once)
    if rows <= most:
        return rows
    share = min(-(-rows // 2), most)
    return min(rows, max(most, share + longest - 1))


def portions(batch: BatchLike, at_once: int) -> Iterator[Portion]:
    """The sequences of a batch in order, as many at a time as reach an even share of its rows; none of an empty one.

    at_once : see rows_at_once.
    """
    rows = len(batch.tokens)
    count = max(1, -(-rows // _most(at_once)))
    first, last = 0, len(batch.cu_seqlens) - 1
    while first < last:
        begin = int(batch.cu_seqlens[first])
        end = min(int(np.searchsorted(batch.cu_seqlens, begin - (-rows // count))), last)
        part = slice(begin, int(batch.cu_seqlens[end]))
        yield Portion(batch.tokens[part], batch.targets[part], batch.cu_seqlens[first : end + 1] - np.int32(begin))
        first = end


def _most(at_once: int) -> int:
    """Rows of a batch that is not cut."""
    return at_once + at_once // 4
