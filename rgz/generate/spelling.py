"""Which ids may come next, so that what a model writes is always whole characters."""

from __future__ import annotations

import functools
from collections.abc import Sequence

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
        beginning, self._going_on = _tokens_of_text(tokenizer)
        self._between = self._all_but([*beginning, tokenizer.eos_id])
        self._inside: dict[bytes, np.ndarray] = {}

    def forbidden(self, ids: Sequence[int]) -> np.ndarray:
        """Sorted ids that must not follow `ids`."""
        held = unfinished(b"".join(map(self._text_bytes, ids[-_LONGEST_UNFINISHED:])))
        if not held:
            return self._between
        if held not in self._inside:
            self._inside[held] = self._all_but([i for i, data in self._going_on if begins_text(held + data)])
        return self._inside[held]

    def _text_bytes(self, token: int) -> bytes:
        is_text = 0 <= token < self._tokenizer.vocab_size and token not in self._tokenizer.special_ids
        return self._tokenizer.token_bytes(token) if is_text else b"\0"  # nothing goes on across it

    def _all_but(self, allowed: Sequence[int]) -> np.ndarray:
        mask = np.ones(self._vocab_size, bool)
        mask[allowed] = False
        return np.flatnonzero(mask)


@functools.lru_cache(maxsize=2)  # walking through a vocabulary takes longer than a short answer
def _tokens_of_text(tokenizer: Tokenizer) -> tuple[list[int], list[tuple[int, bytes]]]:
    """The ids that may stand between characters, and with their bytes those that may go on with an unfinished one."""
    beginning, going_on = [], []
    for token in sorted(set(range(tokenizer.vocab_size)) - tokenizer.special_ids):
        data = tokenizer.token_bytes(token)
        if begins_text(data):
            beginning.append(token)
        elif data[0] & 0xC0 == 0x80:
            going_on.append((token, data))
    return beginning, going_on
