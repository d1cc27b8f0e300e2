"""Words and how often they occur, from files of `word frequency tag` lines such as jieba's, or from pairs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from numbers import Integral
from typing import NamedTuple

from rgz.errors import RgzError, explained, reason_of, warn
from rgz.files import open_regular
from rgz.messages import tr
from rgz.strict import need_path
from rgz.text.stream import LONE_SURROGATE

# What jieba cuts with its dictionary; a word with any other character in it can never be found.
RUN = re.compile(r"[\u4E00-\u9FD5a-zA-Z0-9+#&._%\-]+")
LONGEST_ENTRY = 255  # characters of a word, from csrc/text/text.h
MOST_FREQUENT = 1 << 53  # what a double counts exactly


class Entry(NamedTuple):
    """How often a word was counted; 0: it is never to be a word."""

    word: str
    frequency: int


def read_user_dictionary(path: str | os.PathLike[str]) -> list[Entry]:
    """Read lines of `word frequency tag`, the tag optional and not used, in UTF-8; empty lines are passed over.

    Any other line is an RgzError with file and line. Words that hold characters at which text is always cut, such as
    a space or ·, can never be found; a warning tells how many there are.
    """
    entries = []
    for number, line in numbered_lines(need_path("user_dictionary", path)):
        if fields := line.lstrip("\ufeff").split():
            if len(fields) > 3 or len(fields) < 2 or not re.fullmatch("[0-9]{1,20}", fields[1]):
                raise malformed(path, number, line)
            with explained(about=tr("{path}, line {line}", path=path, line=number)):
                entries.append(checked_entry(fields[0], int(fields[1])))
    if lost := [entry.word for entry in entries if not RUN.fullmatch(entry.word)]:
        warn(
            tr(
                "{path}: words that can never be found, since text is cut at their signs: {count}; the first is {word}",
                path=path,
                count=len(lost),
                word=repr(lost[0]),
            )
        )
    return entries


def checked_entries(pairs: Iterable[tuple[str, int]]) -> tuple[Entry, ...]:
    """Return the entries that pairs of (word, frequency) are; RgzError for what is none."""
    listed = list(pairs) if isinstance(pairs, Iterable) else [pairs]
    for pair in listed:
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise RgzError(tr("a user's words must be pairs of (word, frequency), got {value}", value=ascii(pair)[:40]))
    return tuple(checked_entry(*pair) for pair in listed)


def checked_entry(word: str, frequency: int) -> Entry:
    """Return the entry; RgzError for a word or a frequency that no dictionary, or no tokenizer's file, can hold."""
    if not isinstance(word, str) or LONE_SURROGATE.search(word):
        raise RgzError(tr("a word must be a text without lone surrogates, got {word}", word=ascii(word)))
    if not 1 <= len(word) <= LONGEST_ENTRY:
        raise RgzError(
            tr("a word must have 1 to {longest} characters, got {length}", longest=LONGEST_ENTRY, length=len(word))
        )
    whole = isinstance(frequency, Integral) and not isinstance(frequency, bool)
    if not whole or not 0 <= frequency <= MOST_FREQUENT:
        got = ascii(frequency)[:40]
        raise RgzError(tr("the frequency of a word must be an integer in 0..2**53, got {frequency}", frequency=got))
    return Entry(word, int(frequency))


def numbered_lines(path: str | os.PathLike[str]) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file in UTF-8 without white space around them, numbered from 1; RgzError for another."""
    try:
        with open_regular(path) as file:
            for number, raw in enumerate(file, 1):
                try:
                    yield number, raw.strip().decode()
                except UnicodeDecodeError as error:
                    raise RgzError(
                        tr("{path}, line {line}: a dictionary must be in UTF-8", path=path, line=number)
                    ) from error
    except OSError as error:
        raise RgzError(tr("cannot read the dictionary {path}: {reason}", path=path, reason=reason_of(error))) from error


def malformed(path: str | os.PathLike[str], number: int, line: str) -> RgzError:
    return RgzError(
        tr(
            "{path}, line {line}: must be a word, how often it occurs and perhaps a tag, as in 云计算 5 n; got {text}",
            path=path,
            line=number,
            text=repr(line[:40]),
        )
    )
