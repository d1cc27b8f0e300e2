"""Reading on and on through a window of fixed length."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rgz.memory import Floats
from rgz.models.decoder import Decoder, check_tokens
from rgz.threads import resolve_threads, single_threaded_blas


class Window:
    """What a model has read of each of `batch` sequences, and its logits for what comes next.

    sequences : all ids of each sequence; logits : (batch, V).
    When the model's positions are full, the older half of the window is forgotten and the rest read again: the cost
    of that is shared by the many tokens until the next time, and it is right for every kind of position.
    """

    def __init__(self, model: Decoder, prompt: Sequence[int], batch: int = 1, n_threads: int | None = None) -> None:
        self.model = model
        self._asked_threads = n_threads
        self.sequences = [list(prompt) for _ in range(batch)]
        self._capacity = model.config.max_position_embeddings
        self._cache = model.new_cache(batch, self._capacity)
        self.logits = self._read(self._capacity)

    def _read(self, limit: int) -> Floats:
        vocab = self.model.config.vocab_size
        tails = [check_tokens(np.array(ids[-limit:]), vocab) for ids in self.sequences]
        with single_threaded_blas():
            return self.model.read(tails, self._cache, resolve_threads(self._asked_threads))

    def push(self, tokens: Sequence[int]) -> None:
        """Read one more token of each sequence."""
        for ids, token in zip(self.sequences, tokens, strict=True):
            ids.append(token)
        if self._cache.dtype != self.model.dtype:  # somebody has the model compute in another since
            self._cache = self.model.new_cache(len(self.sequences), self._capacity)
            self.logits = self._read(self._capacity)
            return
        if self._cache.lengths.max() == self._capacity:
            self.logits = self._read(max(1, self._capacity // 2))
            return
        with single_threaded_blas():
            self.model.advance(
                np.array(tokens, np.int32), self._cache, self.logits, resolve_threads(self._asked_threads)
            )

    def reorder(self, beams: list[int]) -> None:
        """Sequence b goes on from sequence beams[b]."""
        self.sequences = [list(self.sequences[b]) for b in beams]
        self._cache.reorder(beams)
