"""Keys and values of the tokens that a model has already read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rgz import _kernels
from rgz.memory import STORAGE, Floats, Ints, Reals


@dataclass(frozen=True)
class Recorded:
    """The pass that reads one more token of each sequence, to be made again in one call.

    tokens, positions : (batch,), what it reads; logits : (batch, V), what it writes.
    binding, n_threads : which weights it reads, and how many threads it is for.
    """

    calls: _kernels.Recording
    tokens: Ints
    positions: Ints
    logits: Floats
    binding: object
    n_threads: int

    def fits(self, logits: Floats, binding: object, n_threads: int) -> bool:
        return self.logits is logits and self.binding is binding and self.n_threads == n_threads


class KVCache:
    """Memory of `batch` sequences of up to `capacity` tokens in every layer.

    dtype : of keys and values, a key of STORAGE.
    keys, values : (layers, batch, kv_heads, capacity, head_size); lengths (batch,) int32, tokens held so far;
    scores : (batch, heads, capacity), scratch of attention over them.
    recorded : how the model reads one more token into it, once it has.
    """

    def __init__(
        self, layers: int, batch: int, heads: int, kv_heads: int, capacity: int, head_size: int, dtype: str = "float32"
    ) -> None:
        self.keys = np.zeros((layers, batch, kv_heads, capacity, head_size), STORAGE[dtype])
        self.values = np.zeros_like(self.keys)
        self.scores = np.empty((batch, heads, capacity), np.float32)
        self.lengths = np.zeros(batch, np.int32)
        self.dtype, self.capacity = dtype, capacity
        self.batch = batch
        self.recorded: Recorded | None = None

    def store(self, layer: int, keys: Reals, values: Reals, cu_seqlens: list[int]) -> None:
        """Keep whole prompts: keys, values (N, kv_heads, head_size), sequence b being its slice of cu_seqlens."""
        for b in range(self.batch):
            begin, end = cu_seqlens[b], cu_seqlens[b + 1]
            self.keys[layer, b, :, : end - begin] = keys[begin:end].swapaxes(0, 1)
            self.values[layer, b, :, : end - begin] = values[begin:end].swapaxes(0, 1)

    def reorder(self, beams: list[int]) -> None:
        """Sequence b goes on from what sequence beams[b] has read."""
        length = int(self.lengths.max())
        self.keys[:, :, :, :length] = self.keys[:, beams, :, :length]
        self.values[:, :, :, :length] = self.values[:, beams, :, :length]
        self.lengths[:] = self.lengths[beams]
