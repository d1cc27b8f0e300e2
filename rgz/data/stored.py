"""Documents that stay in their file: read again whenever they are asked for, so that memory does not grow with them."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, compress
from pathlib import Path
from typing import BinaryIO, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from rgz.data.readers import Source, opened
from rgz.data.records import Document
from rgz.errors import RgzError
from rgz.messages import tr

# From a place in a file on, its documents and where each begins; what the user should know is appended to the notices.
Walk = Callable[[Source, int, list[str]], Iterator[tuple[int, Document]]]
T = TypeVar("T")


class _Lazy(Sequence[T]):
    """A sequence of which `_item` gives one: what slices and negative numbers mean is the same for all."""

    def _item(self, number: int) -> T:
        raise NotImplementedError

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        if isinstance(index, slice):
            return [self._item(number) for number in range(len(self))[index]]
        return self._item(range(len(self))[index])


class StoredDocuments(_Lazy[Document]):
    """The documents of one file, in order.

    source : the file as it was opened to be checked; places : (D,) where each document begins.
    A file that has changed since is an RgzError: what was counted and split is no longer what is there.
    """

    def __init__(self, path: Path, source: Source, walk: Walk, places: NDArray[np.int64]) -> None:
        self._path, self._walk, self._places = path, walk, places
        self._codec, self._start = source.codec, source.start
        self._state = _state(source.file)

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Document]:
        return self._from(self._start)

    def _item(self, number: int) -> Document:
        return next(self._from(int(self._places[number])))

    def _from(self, place: int) -> Iterator[Document]:
        with opened(self._path) as file:
            self._refuse_changed(file)
            try:
                for _, document in self._walk(Source(file, self._codec, self._start), place, []):
                    yield document
            except (RgzError, UnicodeDecodeError):  # where there was none before
                self._refuse_changed(file)
                raise
            self._refuse_changed(file)

    def _refuse_changed(self, file: BinaryIO) -> None:
        if _state(file) != self._state:
            raise RgzError(tr("{path} has changed since it was read; start again", path=self._path))


def _state(file: BinaryIO) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns


class Joined(_Lazy[T]):
    """Sequences one after another."""

    def __init__(self, parts: Sequence[Sequence[T]]) -> None:
        self._parts = parts
        self._ends = list(accumulate(map(len, parts)))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __iter__(self) -> Iterator[T]:
        for part in self._parts:
            yield from part

    def _item(self, number: int) -> T:
        part = bisect_right(self._ends, number)
        return self._parts[part][number - self._ends[part] + len(self._parts[part])]


class Chosen(_Lazy[T]):
    """Those of a sequence whose place in `mask`, (len,) bool, is True."""

    def __init__(self, whole: Sequence[T], mask: NDArray[np.bool_]) -> None:
        self._whole, self._mask = whole, mask
        self._places: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return int(np.count_nonzero(self._mask))

    def __iter__(self) -> Iterator[T]:
        return compress(self._whole, self._mask.tobytes())

    def _item(self, number: int) -> T:
        if self._places is None:
            self._places = np.flatnonzero(self._mask)
        return self._whole[int(self._places[number])]
