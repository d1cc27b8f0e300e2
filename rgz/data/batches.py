"""Which pieces of which documents make a batch, in which order: a pure function of (seed, epoch).

A document of n ids has n - 1 targets. It is cut into pieces of at most `max_length` rows; a piece of L rows
is L + 1 ids, the inputs all but the last and the targets all but the first, so that neighbouring pieces
share one id and every target occurs exactly once an epoch. Pieces stand end to end in a batch; nothing is
padded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rgz.data.encode import TokenData
from rgz.errors import RgzError
from rgz.messages import tr

IGNORED = -100  # the target of a row that does not count, as in torch

Indices = NDArray[np.int64]


@dataclass(eq=False)
class Batch:
    """N rows of S sequences end to end.

    tokens : (N,) int32. targets : (N,) int32, the next token, or -100 where it does not count.
    cu_seqlens : (S + 1,) int32; sequence s is rows cu_seqlens[s] to cu_seqlens[s + 1].
    n_targets : targets that count, at least 1.
    """

    tokens: NDArray[np.int32]
    targets: NDArray[np.int32]
    cu_seqlens: NDArray[np.int32]
    n_targets: int
    n_sequences: int


class Batches:
    """The batches of `data`, epoch by epoch, and each of them by number.

    batch_size : sequences a batch; with `packing`, whole pieces up to batch_size * max_length rows.
    batch_tokens : rows a batch, instead of batch_size: filled with whole pieces as with `packing`, which then makes
        no difference. At least as many as the longest piece has; else RgzError.
    accumulation : how many times as large the batches are made, for updates that go through the model in parts.
    max_length : the most rows of a sequence; longer documents are cut, see above.
    group_by_length : batches of pieces of like length, the batches in random order; with `packing` as many as
        fit into the rows. Without it, packing deals out short and long pieces so that all batches are alike.
    shuffle : False: the documents in their order, every epoch the same (evaluation).
    max_rows, max_seqs : the largest batch of any epoch: what memory has to be planned for.

    Pieces without a target that counts are left out: nothing can be learnt from them. The number of batches,
    `len()`, is the same in every epoch. RgzError if nothing is left to learn from.
    """

    def __init__(
        self,
        data: TokenData,
        batch_size: int,
        max_length: int,
        packing: bool = True,
        group_by_length: bool = False,
        seed: int = 0,
        shuffle: bool = True,
        batch_tokens: int | None = None,
        accumulation: int = 1,
    ) -> None:
        counts = {"batch_size": batch_size, "max_length": max_length, "batch_tokens": batch_tokens}
        for name, value in {**counts, "accumulation": accumulation}.items():
            if value is not None and value < 1:
                raise RgzError(tr("{name} must be at least 1, got {value}", name=name, value=value))
        self.data = data
        self.seed = seed
        self._starts, self._rows = _pieces(data, max_length)
        n = len(self._rows)
        if not n:
            raise RgzError(tr("the data holds no token to learn from; give more text"))
        self._shuffle, self._by_length = shuffle, shuffle and group_by_length
        self._deal_to = 0  # how many batches the pieces are dealt out to, 0 if they are not dealt out
        longest_first = np.sort(self._rows)[::-1]
        capacity = batch_tokens or batch_size * max_length
        if longest_first[0] > capacity:
            raise _batch_too_small(capacity, int(longest_first[0]))
        batch_size, capacity = batch_size * accumulation, capacity * accumulation
        packing = packing or batch_tokens is not None
        if packing and shuffle and not group_by_length:
            self._deal_to = _fewest_even_batches(longest_first, capacity)
            self._bounds = np.empty(0, np.int64)  # other ones in every epoch
            self.max_rows = int(longest_first[:: self._deal_to].sum())
            self.max_seqs = len(longest_first[:: self._deal_to])
        elif packing or not shuffle or group_by_length:
            rows = longest_first if self._by_length else self._rows
            self._bounds = _filled(rows, capacity) if packing else _every(batch_size, n)
            self.max_rows = int(np.add.reduceat(rows, self._bounds[:-1]).max())
            self.max_seqs = int(np.diff(self._bounds).max())
        else:
            self._bounds = _every(batch_size, n)
            self.max_rows = int(longest_first[:batch_size].sum())
            self.max_seqs = min(batch_size, n)
        self._plan: tuple[int, Indices, Indices] | None = None

    def __len__(self) -> int:
        return self._deal_to or len(self._bounds) - 1

    @property
    def n_targets(self) -> int:
        """Targets that count in an epoch."""
        return self.data.n_targets

    def epoch(self, epoch: int) -> Iterator[Batch]:
        for number in range(len(self)):
            yield self.batch(epoch, number)

    def batch(self, epoch: int, number: int) -> Batch:
        """Return batch `number`, from 0, of an epoch, from 0; IndexError beyond the last."""
        if not 0 <= number < len(self):
            raise IndexError(f"an epoch has batches 0..{len(self) - 1}, asked for {number}")
        order, bounds = self._planned(epoch)
        pieces = order[bounds[number] : bounds[number + 1]]
        starts, rows = self._starts[pieces], self._rows[pieces]
        cu_seqlens = np.zeros(len(pieces) + 1, np.int32)
        np.cumsum(rows, out=cu_seqlens[1:])
        index = np.arange(cu_seqlens[-1]) + np.repeat(starts - cu_seqlens[:-1], rows)
        tokens = self.data.ids[index].astype(np.int32)
        index += 1
        targets = self.data.ids[index].astype(np.int32)
        n_targets = len(targets)
        if self.data.mask is not None:
            counts = self.data.mask[index]
            targets[counts == 0] = IGNORED
            n_targets = int(np.count_nonzero(counts))
        return Batch(tokens, targets, cu_seqlens, n_targets, len(pieces))

    def _planned(self, epoch: int) -> tuple[Indices, Indices]:
        """Return the pieces of an epoch in order and where each batch begins; the latest epoch's is kept."""
        if self._plan is None or self._plan[0] != epoch:
            self._plan = (epoch, *self._make_plan(epoch))
        return self._plan[1:]

    def _make_plan(self, epoch: int) -> tuple[Indices, Indices]:
        n = len(self._rows)
        if not self._shuffle:
            return np.arange(n), self._bounds
        # Raw generator output, sorted: unlike Generator.permutation, NumPy promises it never to change.
        random = np.random.PCG64(np.random.SeedSequence([self.seed & 0xFFFFFFFFFFFFFFFF, epoch])).random_raw
        order = np.argsort(random(n), kind="stable")
        if not self._deal_to and not self._by_length:
            return order, self._bounds
        order = order[np.argsort(-self._rows[order], kind="stable")]  # longest first, equals at random
        if self._deal_to:
            return _dealt(order, random(-(-n // self._deal_to) * self._deal_to), self._deal_to)
        batches = np.argsort(random(len(self)), kind="stable")
        sizes = np.diff(self._bounds)[batches]
        first = np.repeat(self._bounds[batches] - _running_sum(sizes)[:-1], sizes)
        return order[np.arange(n) + first], _running_sum(sizes)


def require_one_sequence(data: TokenData, max_length: int) -> None:
    """Refuse training text that does not even fill one sequence: a slip, and nothing to learn from."""
    if data.n_targets < max_length:
        raise RgzError(
            tr(
                "the text is too short for one sequence: {count} tokens, max_length is {length}; "
                "give more text or a smaller max_length",
                count=data.n_targets,
                length=max_length,
            )
        )


def _batch_too_small(batch_tokens: int, longest: int) -> RgzError:
    return RgzError(
        tr(
            "batch_tokens must be at least {longest}, the longest sequence of this text, got {value}; "
            "allow more, or choose a smaller max_length",
            longest=longest,
            value=batch_tokens,
        )
    )


def _pieces(data: TokenData, max_length: int) -> tuple[Indices, Indices]:
    """Return where in `ids` each piece begins and how many rows it has; not those where nothing counts."""
    targets = np.maximum(np.diff(data.offsets) - 1, 0)
    per_document = -(-targets // max_length)
    document = np.repeat(np.arange(len(targets)), per_document)
    done = (np.arange(len(document)) - np.repeat(_running_sum(per_document)[:-1], per_document)) * max_length
    starts = data.offsets[document] + done
    rows = np.minimum(targets[document] - done, max_length)
    if data.mask is not None:
        kept = _any_within(data.mask, starts + 1, starts + rows + 1)
        starts, rows = starts[kept], rows[kept]
    return starts, rows


def _any_within(mask: NDArray[np.uint8], begins: Indices, ends: Indices) -> NDArray[np.bool_]:
    """Tell of each mask[begin:end], none of them empty, whether there is a 1."""
    edges = np.stack((begins, ends), axis=1).reshape(-1)
    if len(edges) and edges[-1] == len(mask):
        edges = edges[:-1]
    return np.maximum.reduceat(mask, edges)[::2] > 0 if len(edges) else np.empty(0, np.bool_)


def _fewest_even_batches(longest_first: Indices, capacity: int) -> int:
    """Return the least n for which no batch can overflow when each run of n pieces of like length is dealt
    to n.

    At worst a batch gets the longest of every run; that sum falls as n grows.
    """
    low, high = max(-(-int(longest_first.sum()) // capacity), 1), len(longest_first)
    while low < high:
        middle = (low + high) // 2
        if longest_first[::middle].sum() <= capacity:
            high = middle
        else:
            low = middle + 1
    return low


def _dealt(order: Indices, random: NDArray[np.uint64], n: int) -> tuple[Indices, Indices]:
    """Deal each run of n pieces of `order` to n batches, one each, at random; the last run may fall short."""
    table = np.full(len(random), -1)
    table[: len(order)] = order
    table = np.take_along_axis(table.reshape(-1, n), np.argsort(random.reshape(-1, n), axis=1), axis=1).T
    return table[table >= 0], _running_sum(np.count_nonzero(table >= 0, axis=1))


def _filled(rows: Indices, capacity: int) -> Indices:
    """Return where batches begin that take whole pieces, in order, up to `capacity` rows; and the end."""
    ends = np.cumsum(rows)
    bounds = [0]
    done = 0
    while bounds[-1] < len(rows):
        bounds.append(int(np.searchsorted(ends, done + capacity, side="right")))
        done = int(ends[bounds[-1] - 1])
    return np.array(bounds)


def _every(batch_size: int, n: int) -> Indices:
    return np.minimum(np.arange(-(-n // batch_size) + 1) * batch_size, n)


def _running_sum(values: NDArray[np.integer]) -> Indices:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(values, dtype=np.int64)])
