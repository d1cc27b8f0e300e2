"""Which ids may come next, so that what a model writes is always whole characters."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rgz.models.decoder import Decoder
from rgz.text.stream import begins_text, unfinished
from rgz.text.tokenizer import Tokenizer

_LONGEST_UNFINISHED = 3  # bytes, each a token


class Spelling:
    """Tells the ids that must not come next: special tokens other than eos, ids without text, and tokens whose bytes
    would spell no character. While a character is unfinished, all but the tokens that go on with it."""

    def __init__(self, model: Decoder, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._vocab_size = model.config.vocab_size
        self._texts = _tokens_of_text(tokenizer)
        self._between = self._all_but(self._texts.beginning)
        self._inside: dict[bytes, np.ndarray] = {}

    def forbidden(self, ids: Sequence[int]) -> np.ndarray:
        """Sorted ids that must not follow `ids`."""
        if ids and ids[-1] in self._texts.whole:
            return self._between
        held = self.held(ids)
        if not held:
            return self._between
        if held not in self._inside:
            going_on = [i for i, data in self._texts.going_on if begins_text(held + data)]
            # bytes of a prompt that nothing makes a character are left as they are
            self._inside[held] = self._all_but(np.array(going_on, np.intp)) if going_on else self._between
        return self._inside[held]

    def held(self, ids: Sequence[int]) -> bytes:
        """The bytes of a character that `ids` end in the middle of."""
        return unfinished(b"".join(map(self._text_bytes, ids[-_LONGEST_UNFINISHED:])))

    def _text_bytes(self, token: int) -> bytes:
        is_text = 0 <= token < self._tokenizer.vocab_size and token not in self._tokenizer.special_ids
        return self._tokenizer.token_bytes(token) if is_text else b"\0"  # nothing goes on across it

    def _all_but(self, allowed: np.ndarray) -> np.ndarray:
        mask = np.ones(self._vocab_size, bool)
        mask[allowed] = False
        return np.flatnonzero(mask)


@dataclass(frozen=True)
class _Texts:
    """beginning : ids that may stand between characters, eos among them; whole : those of them after which no
    character is unfinished; going_on : ids, with their bytes, that may go on with an unfinished one."""

    beginning: np.ndarray
    whole: frozenset[int]
    going_on: list[tuple[int, bytes]]


@functools.lru_cache(maxsize=2)  # walking through a vocabulary takes longer than a short answer
def _tokens_of_text(tokenizer: Tokenizer) -> _Texts:
    beginning, whole, going_on = [tokenizer.eos_id], [], []
    for token in sorted(set(range(tokenizer.vocab_size)) - tokenizer.special_ids):
        data = tokenizer.token_bytes(token)
        if begins_text(data):
            beginning.append(token)
            if not unfinished(data):
                whole.append(token)
        elif data[0] & 0xC0 == 0x80:
            going_on.append((token, data))
    return _Texts(np.array(beginning, np.intp), frozenset(whole), going_on)
