"""What a vocabulary is worth on given texts: how short they become, and what of them it has no entry for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from rgz.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Coverage:
    """Counts over all texts. A word is what the tokenizer looks up first: a word of jieba's, a character, for BPE a
    run across whose ends nothing merges. Its characters are written whole, or some of them in bytes.

    entries_used : different ids.
    byte_tokens : tokens that are not whole characters.
    words : written as one token (words_whole), as several (words_in_parts), with bytes (words_in_bytes).
    """

    documents: int
    characters: int
    tokens: int
    entries_used: int
    byte_tokens: int
    words_whole: int
    words_in_parts: int
    words_in_bytes: int
    characters_in_bytes: int

    @property
    def words(self) -> int:
        return self.words_whole + self.words_in_parts + self.words_in_bytes


def coverage(tokenizer: Tokenizer, texts: Iterable[str]) -> Coverage:
    """Encode all texts, and each different word of theirs once more by itself."""
    documents = characters = 0
    tokens: Counter[int] = Counter()
    words: Counter[str] = Counter()
    for text in texts:
        documents += 1
        characters += len(text)
        tokens.update(tokenizer.encode(text))
        words.update(tokenizer.pieces(text))
    in_characters = {i: _whole_characters(tokenizer.token_bytes(i)) for i in tokens}
    by_level: Counter[str] = Counter()
    characters_in_bytes = 0
    for word, count in words.items():
        ids = tokenizer.encode(word)
        lengths = [in_characters.setdefault(i, _whole_characters(tokenizer.token_bytes(i))) for i in ids]
        characters_in_bytes += count * (len(word) - sum(lengths))
        by_level["whole" if all(lengths) and len(ids) == 1 else "parts" if all(lengths) else "bytes"] += count
    return Coverage(
        documents=documents,
        characters=characters,
        tokens=tokens.total(),
        entries_used=len(tokens),
        byte_tokens=sum(count for i, count in tokens.items() if not in_characters[i]),
        words_whole=by_level["whole"],
        words_in_parts=by_level["parts"],
        words_in_bytes=by_level["bytes"],
        characters_in_bytes=characters_in_bytes,
    )


def _whole_characters(token: bytes) -> int:
    """How many characters a token is, 0 if a part of one is in it."""
    try:
        return len(token.decode("utf-8"))
    except UnicodeDecodeError:
        return 0
