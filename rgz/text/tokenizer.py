"""What all tokenizers share: the ids, exact decoding, the file.

Ids: 0 pad, 1 bos, 2 eos, 3 sep; 4..259 the 256 bytes; then characters, then words. Any text can be written in
bytes, so there is no unknown token, and the bytes of the tokens of a text, joined, are the bytes of the text:
decoding is the exact inverse of encoding. ASCII characters have no entries: their bytes are they.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Self

from rgz.errors import RgzError
from rgz.files import write_text_atomic
from rgz.messages import tr
from rgz.text.stream import TextStream, bytes_to_text

FORMAT = "rgz-tokenizer"
FILE_NAME = "tokenizer.json"
SPECIAL_TOKENS = ("<|pad|>", "<|bos|>", "</s>", "<|sep|>")
FIRST_BYTE_ID = len(SPECIAL_TOKENS)
FIRST_CHARACTER_ID = FIRST_BYTE_ID + 256
# Longer pieces get neither an entry nor a place in the cache: such runs of letters and digits do not recur.
LONGEST_WORD = 24
LONE_SURROGATE = re.compile("[\ud800-\udfff]")  # the one kind of character that a UTF-8 file cannot hold
_MOST_CACHED_WORDS = 1 << 18


class Tokenizer:
    """Text to ids and back, exactly. Use a subclass: `WordTokenizer`, `CharTokenizer`, `ByteTokenizer`.

    characters : the non-ASCII characters with an id of their own, in id order, each once.
    words : the pieces of two characters and more with an id of their own, in id order, each once.
    """

    type: ClassVar[str] = ""
    pad_id, bos_id, eos_id, sep_id = range(FIRST_BYTE_ID)

    def __init__(self, characters: str = "", words: Sequence[str] = ()) -> None:
        self.characters = characters
        self.words = tuple(words)
        pieces = (*characters, *self.words)
        self._bytes = [name.encode() for name in SPECIAL_TOKENS] + [bytes([value]) for value in range(256)]
        self._bytes += [piece.encode("utf-8", "surrogatepass") for piece in pieces]
        self._cache = _PieceIds({piece: FIRST_CHARACTER_ID + number for number, piece in enumerate(pieces)})
        if len(self._cache.entries) != len(pieces):
            raise RgzError(tr("a vocabulary must hold each character and word once, some stand in it twice"))

    @property
    def vocab_size(self) -> int:
        return len(self._bytes)

    @property
    def special_ids(self) -> frozenset[int]:
        return frozenset(range(FIRST_BYTE_ID))

    def __len__(self) -> int:
        return self.vocab_size

    def __repr__(self) -> str:
        return f"{type(self).__name__}(vocab_size={self.vocab_size}, fingerprint={self.fingerprint})"

    def pieces(self, text: str) -> Iterable[str]:
        """Return the pieces that `encode` looks up: here the characters."""
        return text

    def encode(self, text: str) -> list[int]:
        """Return the ids of plain text, never special ones. `decode` is the exact inverse."""
        return list(chain.from_iterable(map(self._cache.__getitem__, self.pieces(text))))

    def encode_batch(self, texts: Iterable[str]) -> list[list[int]]:
        return [self.encode(text) for text in texts]

    def decode(self, ids: Iterable[int], skip_special_tokens: bool = True) -> str:
        """Return the text of `ids`. Bytes that form no character, which only a model makes, become U+FFFD."""
        skipped = self.special_ids if skip_special_tokens else ()
        return bytes_to_text(b"".join([self.token_bytes(i) for i in ids if i not in skipped]))

    def token_bytes(self, token_id: int) -> bytes:
        """Return the UTF-8 bytes that this id stands for; of a special id, those of its name."""
        if not 0 <= token_id < len(self._bytes):
            raise RgzError(
                tr(
                    "token id {id} must be in 0..{last}; was this text encoded with another tokenizer?",
                    id=token_id,
                    last=len(self._bytes) - 1,
                )
            )
        return self._bytes[token_id]

    def stream(self, skip_special_tokens: bool = True) -> TextStream:
        """Return an object whose `push(id)` gives the characters that are complete, `flush()` the rest."""
        skipped = self.special_ids if skip_special_tokens else ()
        return TextStream(lambda i: b"" if i in skipped else self.token_bytes(i))

    def to_dict(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "version": 1,
            "type": self.type,
            "special_tokens": list(SPECIAL_TOKENS),
            "characters": self.characters,
            "words": list(self.words),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        return cls(data["characters"], data["words"])

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hex digits that change with any change of the vocabulary."""
        canonical = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write readable JSON (into a folder: as tokenizer.json), whole or not at all."""
        path = Path(path)
        path = path / FILE_NAME if path.is_dir() else path
        try:
            write_text_atomic(path, json.dumps(self.to_dict(), ensure_ascii=False, indent=1) + "\n")
        except OSError as error:
            raise RgzError(tr("cannot write {path}: {reason}", path=path, reason=error.strerror or error)) from error


class _PieceIds(dict[str, tuple[int, ...]]):
    """The ids of every piece met so far; a missing one is looked up by entry, then character, then byte."""

    def __init__(self, entries: dict[str, int]) -> None:
        super().__init__()
        self.entries = entries

    def __missing__(self, piece: str) -> tuple[int, ...]:
        entries = self.entries
        if piece in entries:
            ids = [entries[piece]]
        else:
            ids = []
            for character in piece:
                if character in entries:
                    ids.append(entries[character])
                else:
                    ids.extend(FIRST_BYTE_ID + byte for byte in character.encode("utf-8", "surrogatepass"))
        if len(piece) <= LONGEST_WORD:
            if len(self) >= _MOST_CACHED_WORDS:
                self.clear()
            self[piece] = tuple(ids)
        return tuple(ids)


def ranked(counts: Mapping[str, int], room: int, min_frequency: int) -> list[str]:
    """Return the `room` most frequent keys, the order of equals by text: the same on every machine."""
    frequent = [(-count, piece) for piece, count in counts.items() if count >= min_frequency]
    return [piece for _, piece in sorted(frequent)[: max(room, 0)]]


def has_character_entry(character: str) -> bool:
    """Tell whether a character may have an entry: ASCII has its bytes, no file can hold a lone surrogate."""
    return not character.isascii() and not LONE_SURROGATE.match(character)


def refuse_one_text(texts: Iterable[str]) -> None:
    """Refuse a single text where several are wanted: it would be walked through character by character."""
    if isinstance(texts, str):
        raise RgzError(tr("a tokenizer is trained on a list of texts, got one text; write [text]"))


def room_for_entries(vocab_size: int) -> int:
    """Return how many characters and words fit beside the special tokens and the bytes."""
    if vocab_size < FIRST_CHARACTER_ID:
        raise RgzError(
            tr(
                "vocab_size must be at least {least} (special tokens and bytes), got {size}",
                least=FIRST_CHARACTER_ID,
                size=vocab_size,
            )
        )
    return vocab_size - FIRST_CHARACTER_ID
