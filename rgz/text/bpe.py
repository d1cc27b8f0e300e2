"""Byte-level byte pair encoding: the vocabulary of GPT-2, Qwen and most that came after."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from rgz import _kernels
from rgz.errors import RgzError
from rgz.messages import tr
from rgz.strict import unknown_name
from rgz.text.batch import groups, need_progress, refuse_no_texts
from rgz.text.byte_level import (
    BYTE_CHARACTERS,
    NORMALIZERS,
    OWN_TOKENS,
    PATTERNS,
    AddedToken,
    check_given,
    check_pattern,
    check_post_processor,
    end_to_end,
    offsets_of,
    one_id,
    spells_itself,
    two_ids,
)
from rgz.text.tokenizer import (
    FIRST_BYTE_ID,
    FIRST_CHARACTER_ID,
    SPECIAL_TOKENS,
    Tokenizer,
    check_choice,
    room_for_entries,
)
from rgz.threads import resolve_threads

# Symbols of training: bytes in the order of their characters, as Hugging Face's trainer numbers them. Of pairs that
# are equally frequent the smaller numbers win, so the order decides which merges are learnt.
_TRAINING_ORDER = sorted(range(256), key=BYTE_CHARACTERS.__getitem__)
_ROLES = {  # whose id is taken: the first of these names that there is
    "eos": ("</s>", "<|endoftext|>", "<|end_of_text|>", "<|im_end|>", "<eos>"),
    "bos": ("<|bos|>", "<s>", "<|begin_of_text|>", "<bos>"),
    "pad": ("<|pad|>", "<pad>", "[PAD]"),
    "sep": ("<|sep|>", "<sep>", "[SEP]"),
}
_MOST_FREQUENT = (1 << 63) - 1
_BYTES_FOR_A_TEAM = 1 << 16  # fewer are encoded sooner than a second thread is woken


class BPETokenizer(Tokenizer):
    """Pieces of text in UTF-8 bytes, merged pair by pair in the order in which training learnt the merges.

    Saved as, and loaded from, the tokenizer.json of Hugging Face's tokenizers, which gives the same ids for any text
    that does not spell out a special token, nor a character newer than the Unicode of the Python that rgz was built
    with (`rgz info RUN` tells it).

    vocab : the id of every token, spelt in bytes; with those of `added_tokens` the ids are 0..vocab_size - 1.
    merges : pairs of tokens that become one, the first learnt first.
    pattern : "gpt2" or "qwen2": how a text is cut into the pieces across which nothing merges.
    normalizer : "NFC": texts are brought to this form first, and decoding gives that form back.

    Without an end-of-text token (</s>, <|endoftext|> ...), a token of each byte, or what a merge names: RgzError.
    Sources: Sennrich, Haddow, Birch 2016, arXiv:1508.07909; Radford et al. 2019.
    """

    type: ClassVar[str] = "bpe"

    def __init__(
        self,
        vocab: Mapping[bytes, int],
        merges: Sequence[tuple[bytes, bytes]],
        *,
        added_tokens: Sequence[AddedToken] = OWN_TOKENS,
        pattern: str = "qwen2",
        normalizer: str | None = None,
        post_processor: Mapping[str, Any] | None = None,
    ) -> None:
        check_pattern(pattern)
        if normalizer not in NORMALIZERS:
            raise unknown_name("normalizer", str(normalizer), ("NFC",))
        check_given(vocab, merges, added_tokens)
        check_post_processor(post_processor)
        self.vocab, self.merges, self.added_tokens = dict(vocab), list(merges), tuple(added_tokens)
        self.pattern, self.normalizer, self.post_processor = pattern, normalizer, post_processor
        self._bytes = self._spellings()
        self._special = frozenset(token.id for token in self.added_tokens if token.special)
        names = {token.content: token.id for token in self.added_tokens if token.special}
        roles = {role: names[n] for role, known in _ROLES.items() for n in reversed(known) if n in names}
        eos = roles.get("eos")
        if eos is None:
            raise RgzError(tr("there must be an end-of-text token, one of {names}", names=" ".join(_ROLES["eos"])))
        self.pad_id, self.bos_id, self.eos_id, self.sep_id = (roles.get(r, eos) for r in ("pad", "bos", "eos", "sep"))
        self.joins_prompts = "sep" in roles
        found = [token for token in self.added_tokens if not token.special]
        self._first_ids = {token.content: token.id for token in found if not token.normalized}
        self._normalized_ids = {self._normal(token.content): token.id for token in found if token.normalized}
        self._cut_first, self._cut_normalized = _any_of(self._first_ids), _any_of(self._normalized_ids)
        byte_ids = np.array([self.vocab[bytes([value])] for value in range(256)], np.int32)
        merge_table = self._merge_table()
        self._refuse_made_tokens(np.concatenate([byte_ids, merge_table.reshape(-1)]))
        self._encoder = _kernels.BPEEncoder(PATTERNS.index(pattern), byte_ids, merge_table)

    def _spellings(self) -> list[bytes]:
        """The bytes of every id, if the ids are 0, 1, 2 ... and the bytes are all there."""
        spellings = {number: spelling for spelling, number in self.vocab.items()}
        for token in self.added_tokens:
            content = token.content.encode()
            if spellings.setdefault(token.id, content) != content:
                raise one_id(token)
            if (other := self.vocab.get(content, token.id)) != token.id and spells_itself(content):
                raise two_ids(token, other)
        contents = [token.content for token in self.added_tokens]
        normalized = [self._normal(token.content) for token in self.added_tokens if token.normalized]
        if any(len({*names}) != len(names) for names in (contents, normalized)):
            raise RgzError(tr("an added token stands in it twice"))
        count = len(spellings)
        if len(set(self.vocab.values())) != len(self.vocab) or not all(0 <= i < count for i in spellings):
            raise RgzError(tr("the ids must be 0 to {last}, each once", last=count - 1))
        for value in range(256):
            if bytes([value]) not in self.vocab:
                raise RgzError(tr("there must be a token of every byte, that of {value} is missing", value=value))
        return [spellings[number] for number in range(count)]

    def _merge_table(self) -> NDArray[np.int32]:
        """(merges, 3): the ids of left, right and what they make."""
        table = np.empty((len(self.merges), 3), np.int32)
        for rank, (left, right) in enumerate(self.merges):
            for column, spelling in enumerate((left, right, left + right)):
                number = self.vocab.get(spelling)
                if number is None:
                    raise RgzError(tr("merge {number} must be of tokens and make one", number=rank))
                table[rank, column] = number
        return table

    def _refuse_made_tokens(self, made: NDArray[np.int32]) -> None:
        """Refuse added tokens that must not be among the ids that bytes and merges make.

        A special one would come from plain text. Another is cut out of a text before that; but where its bytes are
        spelt otherwise than its text, tokenizers know it as an entry of its own.
        """
        ids = np.array([token.id for token in self.added_tokens], np.int32)
        for number in np.flatnonzero(np.isin(ids, made)).tolist():
            token = self.added_tokens[number]
            if token.special:
                raise RgzError(
                    tr("the special token {name} must not be one that plain text is written with", name=token.content)
                )
            if not spells_itself(token.content.encode()):
                raise one_id(token)

    @property
    def special_ids(self) -> frozenset[int]:
        return self._special

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocab_size: int = 8000,
        min_frequency: int = 1,
        *,
        pattern: str = "qwen2",
        n_threads: int | None = None,
    ) -> Self:
        """Merge the most frequent pair of neighbouring tokens of `texts` again and again.

        vocab_size : the most ids, at least 260 (special tokens and bytes); else RgzError. There may be fewer.
        min_frequency : a pair that stands there less often is not merged.

        Of equally frequent pairs the one with the smaller left, then right token comes first, bytes in the order of
        their characters in a tokenizer.json: what Hugging Face's BpeTrainer does, so the merges are its merges,
        unless a piece is longer than 4,096 bytes: such a one is learnt from in parts. The texts may come in any order.
        """
        room = room_for_entries(vocab_size)
        check_pattern(pattern)
        check_choice(min_frequency)
        trainer = _kernels.BPETrainer(PATTERNS.index(pattern), resolve_threads(n_threads))
        n_bytes = 0
        for portion in groups(texts):
            data, offsets = end_to_end(portion)
            trainer.add(data, offsets)
            n_bytes += len(data)
        byte_symbols = np.empty(256, np.int32)
        byte_symbols[_TRAINING_ORDER] = np.arange(256)
        pairs = np.empty((min(room, n_bytes), 2), np.int32)  # a merge shortens the text
        pairs = pairs[: trainer.learn(pairs, byte_symbols, min(min_frequency, _MOST_FREQUENT))]
        spellings = [bytes([value]) for value in _TRAINING_ORDER]
        merges = []
        for left, right in pairs.tolist():
            merges.append((spellings[left], spellings[right]))
            spellings.append(spellings[left] + spellings[right])
        vocab = {name.encode(): i for i, name in enumerate(SPECIAL_TOKENS)}
        vocab |= {bytes([value]): FIRST_BYTE_ID + value for value in range(256)}
        vocab |= {spelling: FIRST_CHARACTER_ID + n for n, spelling in enumerate(spellings[256:])}
        return cls(vocab, merges, pattern=pattern)

    def pieces(self, text: str) -> list[str]:
        """Return the pieces across which nothing merges, tokens that are cut out of the text among them."""
        refuse_no_texts([text])
        parts = self._parts(str.__str__(text))
        return [piece for part, token in parts for piece in (self._cut(part) if token is None else [part])]

    def _cut(self, text: str) -> Iterator[str]:
        data, start = text.encode("utf-8", "surrogatepass"), 0
        for end in _kernels.piece_ends(data, PATTERNS.index(self.pattern)):
            yield data[start:end].decode("utf-8", "surrogatepass")
            start = end

    def _normal(self, text: str) -> str:
        return unicodedata.normalize("NFC", text) if self.normalizer == "NFC" else text

    def _parts(self, text: str) -> Iterator[tuple[str, int | None]]:
        """Yield what is to be merged, normalized, with None, and the tokens that are cut out of it with their ids."""
        for number, part in enumerate(self._cut_first.split(text) if self._cut_first else [text]):
            if number % 2:
                yield part, self._first_ids[part]
                continue
            part = self._normal(part)
            inner = self._cut_normalized.split(part) if self._cut_normalized else [part]
            for n, piece in enumerate(inner):
                if piece:
                    yield piece, self._normalized_ids[piece] if n % 2 else None

    def encode(self, text: str) -> list[int]:
        """Return the ids of plain text, never special ones. `decode` is the exact inverse, but for a normalizer."""
        refuse_no_texts([text])
        values: list[int] = self._encode([str.__str__(text)], resolve_threads())[0].tolist()
        return values

    def encode_stream(
        self,
        texts: Iterable[str],
        n_threads: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int64]]]:
        """Yield the ids of some texts after others, end to end: (ids, offsets).

        ids : (T,) int32. offsets : (texts + 1,) int64; text d of these is ids[offsets[d] : offsets[d + 1]].
        n_threads : the texts, and long texts at their lines, are shared out among so many; the ids stay the same.
        progress : is told how many texts and how many characters are done.

        Of `texts` no more is held at a time than some 260,000 characters, or one longer text.
        """
        need_progress(progress)
        threads = resolve_threads(n_threads)
        n_texts = n_characters = 0
        for portion in groups(texts):
            yield self._encode(portion, threads)
            n_texts, n_characters = n_texts + len(portion), n_characters + sum(map(len, portion))
            if progress:
                progress(n_texts, n_characters)

    def _encode(self, texts: list[str], n_threads: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        if not (self.normalizer or self._cut_first or self._cut_normalized):
            return self._encode_plain(texts, n_threads)
        parts = [list(self._parts(text)) for text in texts]
        ids, offsets = self._encode_plain([part for text in parts for part, token in text if token is None], n_threads)
        plain = iter(np.split(ids, offsets[1:-1]))
        found = [[next(plain) if token is None else np.array([token], np.int32) for _, token in text] for text in parts]
        counts = [sum(map(len, text)) for text in found]
        return np.concatenate([ids[:0], *chain.from_iterable(found)]), offsets_of(counts)

    def _encode_plain(self, texts: list[str], n_threads: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        data, offsets = end_to_end(texts)
        ids, lengths = np.empty(len(data), np.int32), np.empty(len(texts), np.int64)
        team = n_threads if len(data) >= _BYTES_FOR_A_TEAM else 1
        self._encoder.encode(ids, lengths, data, offsets, team)
        return ids[: lengths.sum()].copy(), offsets_of(lengths)

    def to_dict(self) -> dict[str, Any]:
        """The content of a Hugging Face tokenizer.json."""
        from rgz.text.huggingface import to_huggingface

        return to_huggingface(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        from rgz.text.huggingface import from_huggingface

        return cls(**from_huggingface(data))


def _any_of(names: Iterable[str]) -> re.Pattern[str] | None:
    longest_first = sorted(names, key=len, reverse=True)
    return re.compile(f"({'|'.join(map(re.escape, longest_first))})") if longest_first else None
