"""jieba's dictionary and hidden Markov model, as the one block of memory that csrc/text cuts with.

jieba itself is not imported: that prints to stderr, warns on Python 3.12 and later, and keeps a marshal file in the
shared temp folder, where anybody may replace it. Its files are data. The block built from them is kept in a folder of
the user's own, and read from there as long as those files are the same.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from math import log
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rgz import _kernels
from rgz.errors import RgzError, reason_of, warn
from rgz.files import atomic_writer, drop_oldest, make_cache_folder, parse_json
from rgz.messages import tr
from rgz.text.user_words import LONGEST_ENTRY, MOST_FREQUENT, RUN, Entry, malformed, numbered_lines

_HAN_FIRST, _HAN_LIMIT = 0x4E00, 0x9FD6
_STATES = "BEMS"  # begin, end, middle, single
_IMPOSSIBLE = -3.14e100  # jieba's logarithm of zero
# From csrc/text/text.h: what the values of a trie's nodes begin with
_SPLIT_WORD, _FIRST_WORD, _MOST_VALUES = 1, 2, 65534
_LIMIT = 64_000_000  # bytes of all kept dictionaries: eight like jieba's, of as many environments

Block = NDArray[np.uint8]


class JiebaFiles(NamedTuple):
    words: Path
    start: Path
    transitions: Path
    emissions: Path


def jieba_files() -> JiebaFiles:
    """Find the data of the installed jieba; RgzError if there is none."""
    spec = importlib.util.find_spec("jieba")
    folder = Path(spec.origin).parent if spec and spec.origin else Path("jieba")
    model = folder / "finalseg"
    files = JiebaFiles(folder / "dict.txt", *(model / f"prob_{name}.py" for name in ("start", "trans", "emit")))
    if not spec or not all(path.is_file() for path in files):
        raise RgzError(tr("splitting text into words needs jieba, which is not installed: pip install jieba"))
    return files


def load(files: JiebaFiles, folder: Path | None, user: Sequence[Entry] = ()) -> _kernels.TextDictionary:
    """Return the dictionary with jieba's words and the user's; `folder`, if any, keeps it for the next time.

    There is one file for each installed jieba, and one more for the user's words of last time. Those that were used
    longest ago are removed when all take more than 64 MB, such as those of environments that are gone.
    """
    made_from = files, [(p.stat().st_size, p.stat().st_mtime_ns) for p in files], sys.byteorder, list(user)
    key = hashlib.sha256(repr(made_from).encode("utf-8", "surrogatepass")).digest()
    name = hashlib.sha256(repr(files).encode("utf-8", "surrogatepass")).hexdigest()[:16]
    path = folder / f"words-{name}{'-user' if user else ''}.trie" if folder else None
    dictionary = _kept(path, key) if path else None
    if dictionary is None:
        block = build(files, user, key)
        dictionary = _kernels.TextDictionary(block)
        if path:
            _keep(path, block)
    return dictionary


def kept_folder() -> Path | None:
    """The folder for `load`; where none can be had, that is told once."""
    try:
        return make_cache_folder()
    except OSError as error:
        _tell_unkept(error.filename, reason_of(error))
        return None


@functools.cache
def _tell_unkept(folder: str, reason: str) -> None:
    warn(
        tr(
            "jieba's dictionary cannot be kept in {folder} ({reason}): each start of rgz builds it anew, which takes "
            "a second or two; put that right, or name another folder in XDG_CACHE_HOME",
            folder=folder,
            reason=reason,
        )
    )


def _keep(path: Path, block: Block) -> None:
    try:
        with atomic_writer(path) as file:
            file.write(block.data)
        drop_oldest(path.parent, "words-*.trie", _LIMIT, keep=path)
    except OSError as error:
        _tell_unkept(str(path.parent), reason_of(error))


def _kept(path: Path, key: bytes) -> _kernels.TextDictionary | None:
    """Read the file; None if there is none, it was made from something else, or it is damaged (and written anew).

    Its checksum needs every byte at once, so mapping would save nothing, and whoever shortened a mapped file would
    kill every process that cuts with it.
    """
    if not path.is_file():  # reading a pipe would wait for ever
        return None
    try:
        dictionary = _kernels.TextDictionary(np.fromfile(path, np.uint8))
    except (OSError, ValueError):
        return None
    if dictionary.key != key:
        return None
    with suppress(OSError):
        os.utime(path)  # the least recently used is the first to go
    return dictionary


def build(files: JiebaFiles, user: Sequence[Entry] = (), key: bytes = bytes(32)) -> Block:
    """Return a block for `_kernels.TextDictionary`. Every line counts towards the total, the last one of a word
    holds, as in jieba."""
    frequencies: dict[str, int] = {}
    total = 0
    for word, frequency in [*_jieba_words(files.words), *user]:
        frequencies[word] = frequency
        total += frequency
    never = {entry.word for entry in user if entry.frequency == 0}
    words = [w for w, f in frequencies.items() if (f or w in never) and len(w) <= LONGEST_ENTRY and RUN.fullmatch(w)]
    if total == 0 or not words:
        raise RgzError(tr("{path} holds no words; install jieba anew", path=files.words))
    ranks = {f: _FIRST_WORD + n for n, f in enumerate(sorted(set(frequencies.values()) - {0}, reverse=True))}
    if len(ranks) > _MOST_VALUES:
        raise RgzError(tr("a dictionary must have at most {most} different frequencies", most=_MOST_VALUES))
    log_total = log(total)
    values = np.array([1.0] * _FIRST_WORD + [log(f) - log_total for f in ranks])
    ranks[0] = _SPLIT_WORD
    codes, offsets, code, order = _encoded(words, [frequencies[word] for word in words])
    value = np.array([ranks[frequencies[words[k]]] for k in order], np.uint16)
    n_codes = int(code.max()) + 1
    n_units = 3 * len(words) + 2 * n_codes
    while True:
        block = np.zeros(_kernels.dictionary_bytes(n_units, len(values)), np.uint8)
        scratch = np.empty(_kernels.dictionary_build_scratch(len(codes) + 1, n_codes, n_units), np.uint8)
        used = _kernels.dictionary_build(
            block, n_units, np.frombuffer(key, np.uint8), codes, offsets, value, values, code, n_codes, -log_total,
            *_model(files), scratch,
        )  # fmt: skip
        if used:
            return block[:used].copy()
        n_units *= 2


def _encoded(
    words: list[str], frequencies: list[int]
) -> tuple[NDArray[np.uint16], NDArray[np.int64], NDArray[np.uint16], list[int]]:
    """Return the codes of all words in ascending order, where each begins, the code of every character, and the order.

    The most frequent characters get the first codes, from 2 on: what is looked up most lies together.
    """
    characters = np.frombuffer("".join(words).encode("utf-16-le"), "<u2")
    lengths = np.fromiter(map(len, words), np.int64, len(words))
    weight = np.bincount(characters, np.repeat(np.array(frequencies, float) + 1, lengths), _HAN_LIMIT)
    ranked = np.argsort(-weight, kind="stable")[: np.count_nonzero(weight)]
    code = np.zeros(_HAN_LIMIT, np.uint16)
    code[ranked] = np.arange(2, 2 + len(ranked))
    keys = "".join(map(chr, code[characters])).__getitem__
    ends = np.cumsum(lengths).tolist()
    coded = [keys(slice(end - length, end)) for end, length in zip(ends, lengths.tolist(), strict=True)]
    order = sorted(range(len(words)), key=coded.__getitem__)
    offsets = np.concatenate(([0], np.cumsum(lengths[order])))
    in_order = np.frombuffer("".join([coded[k] for k in order]).encode("utf-16-le"), "<u2").astype(np.uint16)
    return in_order, offsets, code, order


def _jieba_words(path: Path) -> Iterator[tuple[str, int]]:
    for number, line in numbered_lines(path):
        fields = line.split(" ")
        try:
            word, frequency = fields[0], int(fields[1])
        except (IndexError, ValueError) as error:
            raise malformed(path, number, line) from error
        if not 0 <= frequency <= MOST_FREQUENT or not word:
            raise malformed(path, number, line)
        yield word, frequency


def _model(files: JiebaFiles) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return log probabilities: start (4,), transitions (4, 4) from row to column, emissions (characters, 4)."""
    emit = np.full((_HAN_LIMIT - _HAN_FIRST, 4), _IMPOSSIBLE)
    with _table(files.start) as table:
        start = np.array([table[state] for state in _STATES], float)
    with _table(files.transitions) as table:
        transitions = np.array([[table[a].get(b, _IMPOSSIBLE) for b in _STATES] for a in _STATES], float)
    with _table(files.emissions) as table:
        for column, state in enumerate(_STATES):
            for character, value in table[state].items():
                if _HAN_FIRST <= ord(character) < _HAN_LIMIT:
                    emit[ord(character) - _HAN_FIRST, column] = value
    return start, transitions, emit


@contextmanager
def _table(path: Path) -> Iterator[Any]:
    """Yield the table of a Python file that is nothing else, `P={'B': {'一': -3.65, ...`: read, and never run."""
    try:
        yield parse_json(path.read_text(encoding="utf-8").split("P=", 1)[1].replace("'", '"'))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise RgzError(tr("{path} is damaged; install jieba anew", path=path)) from error
