"""Texts as the kernels of csrc/text want them: end to end, in spans that threads take, a bounded number at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from rgz import _kernels
from rgz.errors import RgzError
from rgz.messages import tr
from rgz.strict import need_that

# Characters of a group of texts, unless one alone has more; of a span; that are worth waking a team for
_GROUP, _SPAN, _SMALL = 1 << 18, 4096, 8192
_A_TEXT = 16  # what a text counts besides its characters: many empty ones have their price too
_LONGEST = (1 << 31) - 1


@dataclass(frozen=True)
class Part:
    """Some spans, one after another.

    text : their characters; spans : (S + 1,) where each begins, from anywhere; counts : (S,) results of each, to be
    written; starts : (S,) where each begins in its document; scratch : for n_threads threads.
    """

    text: NDArray[np.uint32]
    spans: NDArray[np.int64]
    counts: NDArray[np.int64]
    starts: NDArray[np.int32]
    scratch: NDArray[np.uint8]
    n_threads: int


class Batch:
    """texts : whole texts; they become characters, and those spans."""

    def __init__(self, texts: list[str]) -> None:
        self.texts = texts
        self._documents = np.empty(len(texts) + 1, np.int64)
        self.n_characters = _kernels.text_offsets(texts, self._documents)
        self._text = np.empty(self.n_characters, np.uint32)
        _kernels.text_pack(texts, self._text, self._documents)
        most = len(texts) + self.n_characters // _SPAN
        spans, self._first = np.empty(most + 1, np.int64), np.empty(len(texts) + 1, np.int64)
        found = _kernels.text_spans(spans, self._first, self._text, self._documents, _SPAN)
        self._spans = spans[: found + 1]
        self._counts = np.zeros(found, np.int64)

    def parts(self, n_threads: int) -> Iterator[Part]:
        """Yield the spans, so many at a time that what is written about them stays small."""
        starts = self._spans[:-1] - np.repeat(self._documents[:-1], np.diff(self._first))
        n, low = len(self._counts), 0
        while low < n:
            high = int(np.searchsorted(self._spans, self._spans[low] + _GROUP, side="right")) - 1
            high = max(min(high, n), low + 1)
            spans = self._spans[low : high + 1]
            team = min(n_threads, high - low) if spans[-1] - spans[0] > _SMALL else 1
            longest = int(np.diff(spans).max())
            yield Part(
                text=self._text[spans[0] : spans[-1]],
                spans=spans,
                counts=self._counts[low:high],
                starts=starts[low:high].astype(np.int32),
                scratch=np.empty(_kernels.text_scratch(longest, team), np.uint8),
                n_threads=team,
            )
            low = high

    def characters(self) -> Iterator[NDArray[np.uint32]]:
        """Yield those of each text."""
        for begin, end in pairwise(self._documents.tolist()):
            yield self._text[begin:end]

    def offsets(self) -> NDArray[np.int64]:
        """Return where the results of each text begin among all; (texts + 1,). After all parts are done."""
        return np.concatenate(([0], np.cumsum(self._counts)))[self._first]


def each_of(texts: Iterable[str]) -> Iterator[str]:
    """Return the iterator of a collection. What is none is refused, and a single text, which would be walked through
    character by character."""
    if isinstance(texts, str | bytes):
        raise RgzError(tr("a list of texts is wanted, got one text; write [text]"))
    try:
        return iter(texts)
    except TypeError as error:
        raise RgzError(tr("a list of texts is wanted, got {value}", value=repr(texts)[:40])) from error


def groups(texts: Iterable[str]) -> Iterator[list[str]]:
    """Yield the texts in lists of at most some 260,000 characters, or one longer text: memory is bounded."""
    remaining = each_of(texts)
    waiting: list[str] = []
    size = 0
    while True:
        size, *stopped = _kernels.text_gather(waiting, remaining, size, _GROUP, _A_TEXT)
        if not stopped:
            break
        [text] = stopped  # too long for this group, or no str
        refuse_no_texts([text])
        text = str.__str__(text)  # such as NumPy's: the kernels take Python's own
        if len(text) > _LONGEST:
            raise RgzError(
                tr("one text must have fewer than 2**31 characters, got {count}: cut it at lines", count=len(text))
            )
        if waiting and size + len(text) + _A_TEXT > _GROUP:
            yield waiting
            waiting, size = [], 0
        waiting.append(text)
        size += len(text) + _A_TEXT
        del text, stopped
        if size > _GROUP:  # before another one comes: two long texts are never held together
            yield waiting
            waiting, size = [], 0
    if waiting:
        yield waiting


def refuse_no_texts(values: Iterable[str]) -> None:
    """Refuse what is no text by its kind."""
    for value in values:
        if not isinstance(value, str):
            raise RgzError(
                tr("texts must be str, got {kind}: {value}", kind=type(value).__name__, value=repr(value)[:40])
            )


def need_progress(progress: object) -> None:
    need_that("progress", progress, progress is None or callable(progress), tr("a function of two numbers"))


def batches(texts: Iterable[str]) -> Iterator[Batch]:
    """Yield the texts in batches, in their order; no more of them are held than those of one batch."""
    return map(Batch, groups(texts))


def room_for(count: int, room: NDArray[np.int32]) -> NDArray[np.int32]:
    """An array for the results of one portion after another, the same while it is large enough: new memory is slow."""
    return room if len(room) >= count else np.empty(count, np.int32)


def joined(parts: list[NDArray[np.int32]]) -> NDArray[np.int32]:
    """The parts of a batch as one array; nearly always there is one."""
    return parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, np.int32), *parts])
