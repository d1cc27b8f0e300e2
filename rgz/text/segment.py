"""Cut Chinese text into words: the very words of jieba 0.42.1, in C, on all cores.

The words of jieba's dictionary in a run of Han characters, letters and digits form a graph; the path with the largest
product of word frequencies wins. With `hmm`, a hidden Markov model joins what that leaves in single characters.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from rgz import _kernels
from rgz.messages import tr
from rgz.strict import need_that
from rgz.text.batch import Batch, batches, joined, refuse_no_texts, room_for
from rgz.text.dictionary import jieba_files, kept_folder, load
from rgz.text.user_words import checked_entries, read_user_dictionary
from rgz.threads import process_lock, resolve_threads


class Segmenter:
    """jieba's way of cutting with its dictionary, and with a user's words besides.

    user_dictionary : a file of lines `word frequency tag` in UTF-8, the tag optional and without effect; or pairs of
        (word, frequency). Frequency 0 keeps it from being a word. Each counts towards the total of all frequencies,
        as with jieba's `load_userdict`. A line of another form is an RgzError with file and line.
    The dictionary is loaded on first use; RgzError if jieba, whose data it is, is not installed.
    """

    def __init__(self, user_dictionary: str | os.PathLike[str] | Iterable[tuple[str, int]] | None = None) -> None:
        if isinstance(user_dictionary, str | os.PathLike):
            self.user_words = tuple(read_user_dictionary(user_dictionary))
        else:
            self.user_words = checked_entries(() if user_dictionary is None else user_dictionary)
        self._loaded: _kernels.TextDictionary | None = None

    @property
    def dictionary(self) -> _kernels.TextDictionary:
        """What the kernels of csrc/text cut with."""
        if self._loaded is None:
            with process_lock():
                self._loaded = self._loaded or load(jieba_files(), kept_folder(), self.user_words)
        return self._loaded

    def segment(self, text: str, hmm: bool = False) -> list[str]:
        """Return the words of `text`, whose concatenation is `text` again: `list(jieba.cut(text, HMM=hmm))`."""
        need_flag(hmm)
        try:
            return _kernels.text_segment(text, self.dictionary, hmm)
        except TypeError:
            refuse_no_texts([text])
            return _kernels.text_segment(str.__str__(text), self.dictionary, hmm)  # one of a subclass, like NumPy's

    def segment_batch(self, texts: Iterable[str], hmm: bool = False, n_threads: int | None = None) -> list[list[str]]:
        """Return the words of each text. The threads cut; the texts of the words are made by one of them."""
        words = []
        for batch, ends, offsets in self._cut(texts, hmm, n_threads):
            wide, bounds = ends.astype(np.int64), pairwise(offsets.tolist())
            words += [
                _kernels.text_pieces(text, characters, wide[first:last])
                for text, characters, (first, last) in zip(batch.texts, batch.characters(), bounds, strict=True)
            ]
        return words

    def word_ends(
        self, texts: Iterable[str], hmm: bool = False, n_threads: int | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Return where words end, without making them: (ends, offsets).

        ends : (words,) int32, counted in characters from the beginning of its text.
        offsets : (texts + 1,) int64; the words of text d are ends[offsets[d] : offsets[d + 1]].
        """
        parts, counts = [np.empty(0, np.int32)], [np.zeros(1, np.int64)]
        for _, ends, offsets in self._cut(texts, hmm, n_threads):
            parts.append(ends)
            counts.append(np.diff(offsets))
        return np.concatenate(parts), np.cumsum(np.concatenate(counts))

    def _cut(
        self, texts: Iterable[str], hmm: bool, n_threads: int | None
    ) -> Iterator[tuple[Batch, NDArray[np.int32], NDArray[np.int64]]]:
        """Yield some texts after others with what `word_ends` returns of them."""
        need_flag(hmm)
        dictionary, threads, ends = self.dictionary, resolve_threads(n_threads), np.empty(0, np.int32)
        for batch in batches(texts):
            parts = []
            for part in batch.parts(threads):
                ends = room_for(len(part.text), ends)
                found = _kernels.text_cut(
                    ends, part.counts, dictionary, part.text, part.spans, part.starts, hmm, part.scratch, part.n_threads
                )
                parts.append(ends[:found].copy())
            yield batch, joined(parts), batch.offsets()


def need_flag(hmm: bool) -> None:
    if hmm is not True and hmm is not False:
        need_that("hmm", hmm, isinstance(hmm, np.bool_), tr("true or false"))


_jieba = Segmenter()


def default_segmenter() -> Segmenter:
    """Return the one with jieba's words alone, which all of a process share."""
    return _jieba


def segment(text: str, hmm: bool = False) -> list[str]:
    """Return the words of `text`, whose concatenation is `text` again: `list(jieba.cut(text, HMM=hmm))`."""
    return _jieba.segment(text, hmm)
