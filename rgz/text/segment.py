"""Cut Chinese text into words: the very words of jieba 0.42.1, in C, on all cores.

The words of jieba's dictionary in a run of Han characters, letters and digits form a graph; the path with the largest
product of word frequencies wins. With `hmm`, a hidden Markov model joins what that leaves in single characters.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rgz import _kernels
from rgz.text.batch import Batch, batches
from rgz.text.dictionary import checked_entry, jieba_files, load, read_user_dictionary
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
            self.user_words = tuple(checked_entry(word, frequency) for word, frequency in user_dictionary or ())
        self._loaded: _kernels.TextDictionary | None = None

    @property
    def dictionary(self) -> _kernels.TextDictionary:
        """What the kernels of csrc/text cut with."""
        if self._loaded is None:
            with process_lock():
                self._loaded = self._loaded or load(jieba_files(), private_cache_folder(), self.user_words)
        return self._loaded

    def segment(self, text: str, hmm: bool = False) -> list[str]:
        """Return the words of `text`, whose concatenation is `text` again: `list(jieba.cut(text, HMM=hmm))`."""
        return _kernels.text_segment(text, self.dictionary, hmm)

    def segment_batch(self, texts: Iterable[str], hmm: bool = False, n_threads: int | None = None) -> list[list[str]]:
        """Return the words of each text. The threads cut; the texts of the words are made by one of them."""
        words = []
        for batch in batches(texts):
            ends, offsets = self._cut(batch, hmm, resolve_threads(n_threads))
            wide = ends.astype(np.int64)
            words += [
                _kernels.text_pieces(text, wide[first:last])
                for text, first, last in zip(batch.texts, offsets, offsets[1:], strict=False)
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
        for batch in batches(texts):
            ends, offsets = self._cut(batch, hmm, resolve_threads(n_threads))
            parts.append(ends)
            counts.append(np.diff(offsets))
        return np.concatenate(parts), np.cumsum(np.concatenate(counts))

    def _cut(self, batch: Batch, hmm: bool, n_threads: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        parts, dictionary = [np.empty(0, np.int32)], self.dictionary
        for part in batch.parts(n_threads):
            ends = np.empty(len(part.text), np.int32)
            found = _kernels.text_cut(
                ends, part.counts, dictionary, part.text, part.spans, hmm, part.scratch, part.n_threads
            )
            ends[:found] += np.repeat(part.starts, part.counts)
            parts.append(ends[:found])
        return np.concatenate(parts), batch.offsets()


_jieba = Segmenter()


def default_segmenter() -> Segmenter:
    """Return the one with jieba's words alone, which all of a process share."""
    return _jieba


def segment(text: str, hmm: bool = False) -> list[str]:
    """Return the words of `text`, whose concatenation is `text` again: `list(jieba.cut(text, HMM=hmm))`."""
    return _jieba.segment(text, hmm)


def cache_folder() -> Path:
    """Return where private caches belong: XDG_CACHE_HOME/rgz, or what the platform uses instead."""
    if (xdg := os.environ.get("XDG_CACHE_HOME")) and os.path.isabs(xdg):
        return Path(xdg) / "rgz"
    if sys.platform == "win32" and (local := os.environ.get("LOCALAPPDATA")):
        return Path(local) / "rgz" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "rgz"
    return Path.home() / ".cache" / "rgz"


def private_cache_folder() -> Path | None:
    """Create the cache folder, mode 0700, and return it; None where it cannot be had or is not ours alone."""
    try:
        folder = cache_folder()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.name == "posix":
            status = folder.lstat()
            if status.st_uid != os.geteuid() or folder.is_symlink():
                return None  # what lies in it could have been put there by somebody else
            if status.st_mode & 0o077:
                folder.chmod(0o700)
        return folder if os.access(folder, os.W_OK | os.X_OK) else None
    except (OSError, RuntimeError):  # RuntimeError: no home folder can be found
        return None
