"""Vocabularies of single characters, and of bytes alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self

from rgz.text.batch import each_of
from rgz.text.tokenizer import (
    Tokenizer,
    check_choice,
    count_pieces,
    covering,
    has_character_entry,
    ranked,
    room_for_entries,
)


class CharTokenizer(Tokenizer):
    """One id a character; characters outside the vocabulary are written in bytes."""

    type: ClassVar[str] = "char"

    def __init__(self, characters: str = "") -> None:
        super().__init__(characters)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        return cls(data["characters"])

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocab_size: int = 8000,
        min_frequency: int = 1,
        character_coverage: float = 1.0,
        n_threads: int | None = None,
    ) -> Self:
        """Take the most frequent characters of `texts`, equals in code point order.

        vocab_size : the most ids, at least 260 (special tokens and bytes); else RgzError. There may be fewer.
        min_frequency : a character seen less often gets no id of its own.
        character_coverage : the share of all non-ASCII characters of the texts, in [0, 1], for which ids are given.
        """
        room = room_for_entries(vocab_size)
        check_choice(min_frequency, character_coverage)
        counts = count_pieces(texts, None, n_threads)
        candidates = {key: count for key, count in counts.items() if has_character_entry(key)}
        return cls("".join(ranked(covering(candidates, character_coverage), room, min_frequency)))


class ByteTokenizer(Tokenizer):
    """The 256 bytes of UTF-8 and the special tokens: 260 ids, nothing to train."""

    type: ClassVar[str] = "byte"

    def __init__(self) -> None:
        super().__init__()

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocab_size: int = 8000,
        min_frequency: int = 1,
        character_coverage: float = 1.0,
        n_threads: int | None = None,
    ) -> Self:
        """Return the one there is, whatever the texts; here so that the three kinds can be swapped."""
        each_of(texts)
        room_for_entries(vocab_size)
        check_choice(min_frequency, character_coverage)
        return cls()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        return cls()
