"""A vocabulary of words, then characters, then bytes: the default for Chinese."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import ClassVar, Self

from rgz.text.segment import segment
from rgz.text.tokenizer import (
    LONGEST_WORD,
    Tokenizer,
    has_character_entry,
    ranked,
    refuse_one_text,
    room_for_entries,
)


class WordTokenizer(Tokenizer):
    """One id a word as jieba cuts them (HMM off); unknown words are written in characters, those in bytes."""

    type: ClassVar[str] = "word"

    def pieces(self, text: str) -> Iterable[str]:
        return segment(text)

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int = 8000, min_frequency: int = 1) -> Self:
        """Take every character of `texts`, then as many words as there is room for, both by frequency.

        vocab_size : the most ids, at least 260 (special tokens and bytes); else RgzError. There may be fewer.
        min_frequency : a word seen less often gets no id of its own, a character only where room is left.

        Characters come first, so that what recurs in the training text needs no bytes while a rare word has an id.
        Equals are taken in code point order: the same texts, in any order, give the same vocabulary.
        """
        refuse_one_text(texts)
        room = room_for_entries(vocab_size)
        words: Counter[str] = Counter()
        for text in texts:
            words.update(segment(text))
        characters: Counter[str] = Counter()
        for word, count in words.items():
            for character in word:
                if has_character_entry(character):
                    characters[character] += count
        candidates = {word: count for word, count in words.items() if _may_be_entry(word)}
        frequent = ranked(characters, room, min_frequency)
        chosen = ranked(candidates, room - len(frequent), min_frequency)
        return cls("".join(ranked(characters, room - len(chosen), min_frequency=1)), chosen)


def _may_be_entry(word: str) -> bool:
    return 2 <= len(word) <= LONGEST_WORD
