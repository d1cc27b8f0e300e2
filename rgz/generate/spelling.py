"""Which ids may come next, so that what a model writes is always whole characters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rgz.models.decoder import Decoder
from rgz.text.stream import bytes_that_may_follow, unfinished
from rgz.text.tokenizer import FIRST_BYTE_ID, FIRST_CHARACTER_ID, Tokenizer

_LONGEST_UNFINISHED = 3  # bytes, each a token


class Spelling:
    """Tells the ids that must not come next: special tokens other than eos, ids without text, and bytes that would
    spell no character. While a character is unfinished, everything but the bytes that go on with it."""

    def __init__(self, model: Decoder, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._vocab_size = model.config.vocab_size
        between = self._bytes_only(b"")
        between[FIRST_CHARACTER_ID : tokenizer.vocab_size] = False
        between[tokenizer.eos_id] = False
        self._between = np.flatnonzero(between)
        self._inside: dict[bytes, np.ndarray] = {}

    def forbidden(self, ids: Sequence[int]) -> np.ndarray:
        """Sorted ids that must not follow `ids`."""
        held = unfinished(b"".join(map(self._text_bytes, ids[-_LONGEST_UNFINISHED:])))
        if not held:
            return self._between
        if held not in self._inside:
            self._inside[held] = np.flatnonzero(self._bytes_only(held))
        return self._inside[held]

    def _text_bytes(self, token: int) -> bytes:
        is_text = FIRST_BYTE_ID <= token < self._tokenizer.vocab_size
        return self._tokenizer.token_bytes(token) if is_text else b"\0"  # nothing goes on across it

    def _bytes_only(self, held: bytes) -> np.ndarray:
        """A mask over the ids, False where they are bytes that may follow."""
        mask = np.ones(self._vocab_size, bool)
        mask[FIRST_BYTE_ID + np.frombuffer(bytes_that_may_follow(held), np.uint8).astype(int)] = False
        return mask
