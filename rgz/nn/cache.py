"""Keys and values of the tokens that a model has already read."""

from __future__ import annotations

import numpy as np

from rgz.memory import STORAGE, Reals


class KVCache:
    """Memory of `batch` sequences of up to `capacity` tokens in every layer.

    dtype : of keys and values, a key of STORAGE.
    keys, values : (layers, batch, kv_heads, capacity, head_size); lengths (batch,) int32, tokens held so far;
    scores : (batch, heads, capacity), scratch of attention over them.
    """

    def __init__(
        self, layers: int, batch: int, heads: int, kv_heads: int, capacity: int, head_size: int, dtype: str = "float32"
    ) -> None:
        self.keys = np.zeros((layers, batch, kv_heads, capacity, head_size), STORAGE[dtype])
        self.values = np.zeros_like(self.keys)
        self.scores = np.empty((batch, heads, capacity), np.float32)
        self.lengths = np.zeros(batch, np.int32)
        self.capacity = capacity
        self.batch = batch

    def store(self, layer: int, keys: Reals, values: Reals, cu_seqlens: list[int]) -> None:
        """Keep whole prompts: keys, values (N, kv_heads, head_size), sequence b being its slice of cu_seqlens."""
        for b in range(self.batch):
            begin, end = cu_seqlens[b], cu_seqlens[b + 1]
            self.keys[layer, b, :, : end - begin] = keys[begin:end].swapaxes(0, 1)
            self.values[layer, b, :, : end - begin] = values[begin:end].swapaxes(0, 1)

    def append(self, layer: int, keys: Reals, values: Reals) -> None:
        """Keep one more token of each sequence, at the place that `lengths` already counts."""
        for b in range(self.batch):
            self.keys[layer, b, :, self.lengths[b] - 1] = keys[b]
            self.values[layer, b, :, self.lengths[b] - 1] = values[b]

    def reorder(self, beams: list[int]) -> None:
        """Sequence b goes on from what sequence beams[b] has read."""
        length = int(self.lengths.max())
        self.keys[:, :, :, :length] = self.keys[:, beams, :, :length]
        self.values[:, :, :, :length] = self.values[:, beams, :, :length]
        self.lengths[:] = self.lengths[beams]
