"""A vocabulary of words, then characters, then bytes: the default for Chinese."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import ClassVar, Self

from rgz import _kernels
from rgz.text.segment import default_segmenter, segment
from rgz.text.tokenizer import (
    LONGEST_WORD,
    Tokenizer,
    count_pieces,
    covering,
    has_character_entry,
    ranked,
    room_for_entries,
)


class WordTokenizer(Tokenizer):
    """One id a word as jieba cuts them (HMM off); unknown words are written in characters, those in bytes."""

    type: ClassVar[str] = "word"

    def pieces(self, text: str) -> Iterable[str]:
        return segment(text)

    @property
    def _dictionary(self) -> _kernels.TextDictionary:
        return default_segmenter().dictionary

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocab_size: int = 8000,
        min_frequency: int = 1,
        character_coverage: float = 1.0,
        n_threads: int | None = None,
    ) -> Self:
        """Take every character of `texts`, then as many words as there is room for, both by frequency.

        vocab_size : the most ids, at least 260 (special tokens and bytes); else RgzError. There may be fewer.
        min_frequency : a word seen less often gets no id of its own, a character only where room is left.
        character_coverage : the share of all non-ASCII characters of the texts, in [0, 1], that shall have ids of
            their own; the rarest of the others are written in bytes and leave their room to words.

        Characters come first, so that what recurs in the training text needs no bytes while a rare word has an id.
        Equals are taken in code point order: the same texts, in any order, with any number of threads, give the same
        vocabulary.
        """
        room = room_for_entries(vocab_size)
        words = count_pieces(texts, default_segmenter().dictionary, n_threads)
        characters: Counter[str] = Counter()
        for word, count in words.items():
            for character in word:
                characters[character] += count
        characters = Counter({c: n for c, n in characters.items() if has_character_entry(c)})
        candidates = {word: count for word, count in words.items() if 2 <= len(word) <= LONGEST_WORD}
        covered = covering(characters, character_coverage)
        frequent = ranked(covered, room, min_frequency)
        chosen = ranked(candidates, room - len(frequent), min_frequency)
        return cls("".join(ranked(covered, room - len(chosen), min_frequency=1)), chosen)
