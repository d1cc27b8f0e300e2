"""A vocabulary of words, then characters, then bytes: the default for Chinese."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

from rgz import _kernels
from rgz.text.segment import Segmenter, default_segmenter
from rgz.text.tokenizer import (
    LONGEST_WORD,
    Tokenizer,
    check_choice,
    count_pieces,
    covering,
    has_character_entry,
    ranked,
    room_for_entries,
)
from rgz.text.user_words import checked_entries


class WordTokenizer(Tokenizer):
    """One id a word as jieba cuts them (HMM off); unknown words are written in characters, those in bytes."""

    type: ClassVar[str] = "word"

    def __init__(
        self, characters: str = "", words: Sequence[str] = (), user_words: Iterable[tuple[str, int]] = ()
    ) -> None:
        """user_words : what the dictionary has beside jieba's words, (word, frequency); see `Segmenter`."""
        super().__init__(characters, words)
        user_words = checked_entries(user_words)
        self.segmenter = Segmenter(user_words) if user_words else default_segmenter()

    def pieces(self, text: str) -> Iterable[str]:
        return self.segmenter.segment(text)

    @property
    def _dictionary(self) -> _kernels.TextDictionary:
        return self.segmenter.dictionary

    def to_dict(self) -> dict[str, Any]:
        user_words = [list(entry) for entry in self.segmenter.user_words]
        return super().to_dict() | ({"user_words": user_words} if user_words else {})

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        return cls(data["characters"], data["words"], map(tuple, data.get("user_words", ())))

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocab_size: int = 8000,
        min_frequency: int = 1,
        character_coverage: float = 1.0,
        user_dictionary: str | os.PathLike[str] | Iterable[tuple[str, int]] | None = None,
        n_threads: int | None = None,
    ) -> Self:
        """Take every character of `texts`, then as many words as there is room for, both by frequency.

        vocab_size : the most ids, at least 260 (special tokens and bytes); else RgzError. There may be fewer.
        min_frequency : a word seen less often gets no id of its own, a character only where room is left.
        character_coverage : the share of all non-ASCII characters of the texts, in [0, 1], that shall have ids of
            their own; the rarest of the others are written in bytes and leave their room to words.
        user_dictionary : words to cut with beside jieba's, as `Segmenter` takes them; kept in the tokenizer's file.

        Characters come first, so that what recurs in the training text needs no bytes while a rare word has an id.
        Equals are taken in code point order: the same texts, in any order, with any number of threads, give the same
        vocabulary.
        """
        room = room_for_entries(vocab_size)
        check_choice(min_frequency, character_coverage)
        segmenter = default_segmenter() if user_dictionary is None else Segmenter(user_dictionary)
        words = count_pieces(texts, segmenter.dictionary, n_threads)
        characters: Counter[str] = Counter()
        for word, count in words.items():
            for character in word:
                characters[character] += count
        characters = Counter({c: n for c, n in characters.items() if has_character_entry(c)})
        candidates = {word: count for word, count in words.items() if 2 <= len(word) <= LONGEST_WORD}
        covered = covering(characters, character_coverage)
        frequent = ranked(covered, room, min_frequency)
        chosen = ranked(candidates, room - len(frequent), min_frequency)
        return cls("".join(ranked(covered, room - len(chosen), min_frequency=1)), chosen, segmenter.user_words)
