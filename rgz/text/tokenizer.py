"""What all tokenizers share: the ids, exact decoding, the file.

Ids: 0 pad, 1 bos, 2 eos, 3 sep; 4..259 the 256 bytes; then characters, then words. Any text can be written in
bytes, so there is no unknown token, and the bytes of the tokens of a text, joined, are the bytes of the text:
decoding is the exact inverse of encoding. ASCII characters have no entries: their bytes are they.
"""

from __future__ import annotations

import hashlib
import json
import operator
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from rgz import _kernels
from rgz.errors import RgzError, reason_of
from rgz.files import write_text_atomic
from rgz.messages import tr
from rgz.strict import must_be, need_integer, need_path
from rgz.text.batch import batches, each_of, joined, need_progress, refuse_no_texts, room_for
from rgz.text.stream import LONE_SURROGATE, TextStream, bytes_to_text
from rgz.threads import resolve_threads

FORMAT = "rgz-tokenizer"
FILE_NAME = "tokenizer.json"
SPECIAL_TOKENS = ("<|pad|>", "<|bos|>", "</s>", "<|sep|>")
FIRST_BYTE_ID = len(SPECIAL_TOKENS)
FIRST_CHARACTER_ID = FIRST_BYTE_ID + 256
LONGEST_WORD = 24  # characters of an entry: longer runs of letters and digits do not recur

Progress = Callable[[int, int], None]  # is told how many texts and how many characters are done


class Tokenizer:
    """Text to ids and back, exactly. Use a subclass: `WordTokenizer`, `CharTokenizer`, `ByteTokenizer`.

    One of your own overrides `encode_stream`: `encode`, `encode_batch` and the encoding of a dataset rest on it.

    characters : the non-ASCII characters with an id of their own, in id order, each once.
    words : the pieces of two characters and more with an id of their own, in id order, each once.
    """

    type: ClassVar[str] = ""
    joins_prompts: bool = False  # whether of a dialogue all between two answers is encoded at once: see rgz.text.chat
    pad_id, bos_id, eos_id, sep_id = range(FIRST_BYTE_ID)

    def __init__(self, characters: str = "", words: Sequence[str] = ()) -> None:
        if not isinstance(characters, str):
            raise must_be("characters", tr("a text"), characters)
        self.characters = characters
        self.words = tuple(each_of(words))
        refuse_no_texts(self.words)
        if not all(map(has_character_entry, characters)):
            raise RgzError(tr('"characters" must be one text of non-ASCII characters'))
        if not all(map(has_word_entry, self.words)):
            raise RgzError(tr('"words" must be a list of texts of 2 to {longest} characters', longest=LONGEST_WORD))
        pieces = (*characters, *self.words)
        self._bytes = [name.encode() for name in SPECIAL_TOKENS] + [bytes([value]) for value in range(256)]
        self._bytes += [piece.encode("utf-8", "surrogatepass") for piece in pieces]
        if len(set(pieces)) != len(pieces):
            raise RgzError(tr("a vocabulary must hold each character and word once, some stand in it twice"))
        self._vocabulary = _vocabulary(pieces)

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
        refuse_no_texts([text])
        return str.__str__(text)

    @property
    def _dictionary(self) -> _kernels.TextDictionary | None:
        """What cuts a text into `pieces`; None: every character is one."""
        return None

    def encode(self, text: str) -> list[int]:
        """Return the ids of plain text, never special ones. `decode` is the exact inverse."""
        return [i for ids, _ in self.encode_stream([text]) for i in ids.tolist()]

    def encode_batch(
        self, texts: Iterable[str], n_threads: int | None = None, progress: Progress | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Return the ids of all texts end to end: (ids, offsets).

        ids : (T,) int32, as `encode` gives them.
        offsets : (texts + 1,) int64; text d is ids[offsets[d] : offsets[d + 1]].
        n_threads : as everywhere; the ids are the same for any number. progress : see `encode_stream`.
        """
        parts, counts = [np.empty(0, np.int32)], [np.zeros(1, np.int64)]
        for ids, offsets in self.encode_stream(texts, n_threads, progress):
            parts.append(ids)
            counts.append(np.diff(offsets))
        return np.concatenate(parts), np.cumsum(np.concatenate(counts))

    def encode_stream(
        self, texts: Iterable[str], n_threads: int | None = None, progress: Progress | None = None
    ) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int64]]]:
        """Yield the ids of some texts after others, each time as `encode_batch` would return them.

        Of `texts` no more is held at a time than some 260,000 characters, or one longer text: a corpus of any size
        goes through as much memory. progress(texts, characters) is called after each of these portions.
        """
        need_progress(progress)
        n_texts = n_characters = 0
        threads, ids = resolve_threads(n_threads), np.empty(0, np.int32)
        for batch in batches(texts):
            parts = []
            for part in batch.parts(threads):
                ids = room_for(4 * len(part.text), ids)
                found = _kernels.text_encode(
                    ids, part.counts, self._dictionary, self._vocabulary, part.text, part.spans, part.scratch,
                    part.n_threads,
                )  # fmt: skip
                parts.append(ids[:found].copy())
            yield joined(parts), batch.offsets()
            if progress:
                n_texts, n_characters = n_texts + len(batch.texts), n_characters + batch.n_characters
                progress(n_texts, n_characters)

    def decode(self, ids: Iterable[int], skip_special_tokens: bool = True) -> str:
        """Return the text of `ids`. Bytes that form no character, which only a model makes, become U+FFFD."""
        skipped = self.special_ids if skip_special_tokens else ()
        try:
            ids = iter(ids)
        except TypeError as error:
            raise RgzError(tr("a list of token ids is wanted, got {value}", value=repr(ids)[:40])) from error
        return bytes_to_text(b"".join([self.token_bytes(i) for i in map(checked_id, ids) if i not in skipped]))

    def token_bytes(self, token_id: int) -> bytes:
        """Return the UTF-8 bytes that this id stands for; of a special id, those of its name."""
        number = checked_id(token_id)
        if not 0 <= number < len(self._bytes):
            raise RgzError(
                tr(
                    "token id {id} must be in 0..{last}; was this text encoded with another tokenizer?",
                    id=number,
                    last=len(self._bytes) - 1,
                )
            )
        return self._bytes[number]

    def stream(self, skip_special_tokens: bool = True, held: bytes = b"") -> TextStream:
        """Return an object whose `push(id)` gives the characters that are complete, `flush()` the rest.

        held : bytes of a character that ids before these have begun.
        """
        skipped = self.special_ids if skip_special_tokens else ()
        return TextStream(lambda i: b"" if checked_id(i) in skipped else self.token_bytes(i), held)

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
        path = need_path("path", path)
        path = path / FILE_NAME if path.is_dir() else path
        try:
            write_text_atomic(path, json.dumps(self.to_dict(), ensure_ascii=False, indent=1) + "\n")
        except OSError as error:
            raise RgzError(tr("cannot write {path}: {reason}", path=path, reason=reason_of(error))) from error


def checked_id(value: Any) -> int:
    """Return the id as Python's own integer, whatever kind of integer it is; RgzError for anything else."""
    try:
        return operator.index(value)
    except TypeError as error:
        raise RgzError(tr("a token id must be an integer, got {value}", value=repr(value)[:40])) from error


def _vocabulary(pieces: Sequence[str]) -> _kernels.TextVocabulary:
    """Return the table in which `csrc/text` looks pieces up."""
    characters = np.frombuffer("".join(pieces).encode("utf-32-le", "surrogatepass"), "<u4").astype(np.uint32)
    offsets = np.cumsum(np.fromiter(map(len, ("", *pieces)), np.int64, len(pieces) + 1))
    slots = np.empty(1 << (2 * len(pieces) + 1).bit_length(), np.int32)
    return _kernels.TextVocabulary(characters, offsets, slots, FIRST_CHARACTER_ID, FIRST_BYTE_ID)


def count_pieces(
    texts: Iterable[str], dictionary: _kernels.TextDictionary | None, n_threads: int | None = None
) -> dict[str, int]:
    """Return how often each word of all texts occurs, or each character if there is no dictionary.

    A word of more than LONGEST_WORD characters is counted as its characters.
    """
    threads = resolve_threads(n_threads)
    counter = _kernels.TextCounter(threads)
    for batch in batches(texts):
        for part in batch.parts(threads):
            counter.add(dictionary, part.text, part.spans, LONGEST_WORD, part.scratch, part.n_threads)
    n_pieces, n_characters = counter.sizes()
    characters = np.empty(n_characters, np.uint32)
    offsets, counts = np.empty(n_pieces + 1, np.int64), np.empty(n_pieces, np.int64)
    counter.items(characters, offsets, counts)
    text = characters.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")
    pieces = _kernels.text_pieces(text, characters, offsets[1:])
    return dict(zip(pieces, counts.tolist(), strict=True))


def ranked(counts: Mapping[str, int], room: int, min_frequency: int) -> list[str]:
    """Return the `room` most frequent keys, the order of equals by text: the same on every machine."""
    frequent = [(-count, piece) for piece, count in counts.items() if count >= min_frequency]
    return [piece for _, piece in sorted(frequent)[: max(room, 0)]]


def covering(counts: Mapping[str, int], share: float) -> dict[str, int]:
    """Return the fewest keys, the most frequent ones, that make up `share` of all counts."""
    wanted = share * sum(counts.values())
    covered: dict[str, int] = {}
    reached = 0
    for key in ranked(counts, len(counts), min_frequency=1):
        if reached >= wanted:
            break
        covered[key] = counts[key]
        reached += counts[key]
    return covered


def has_character_entry(character: str) -> bool:
    """Tell whether a character may have an entry: ASCII has its bytes, no file can hold a lone surrogate."""
    return not character.isascii() and not LONE_SURROGATE.match(character)


def has_word_entry(word: str) -> bool:
    """Tell whether a text of several characters may have an entry."""
    return 2 <= len(word) <= LONGEST_WORD and not LONE_SURROGATE.search(word)


def check_choice(min_frequency: int, character_coverage: float = 1.0) -> None:
    """Refuse values by which nothing can be chosen for a vocabulary, before the texts are read."""
    need_integer("min_frequency", min_frequency, 0)
    if not isinstance(character_coverage, Real) or not 0.0 <= character_coverage <= 1.0:
        raise RgzError(tr("character_coverage must be in [0, 1], got {share}", share=repr(character_coverage)))


def room_for_entries(vocab_size: int) -> int:
    """Return how many characters and words fit beside the special tokens and the bytes."""
    if not isinstance(vocab_size, Integral) or vocab_size < FIRST_CHARACTER_ID:
        raise RgzError(
            tr(
                "vocab_size must be an integer of at least {least} (special tokens and bytes), got {size}",
                least=FIRST_CHARACTER_ID,
                size=ascii(vocab_size),
            )
        )
    return int(vocab_size) - FIRST_CHARACTER_ID
