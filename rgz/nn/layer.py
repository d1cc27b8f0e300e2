"""What every layer is, and what a pass through the layers carries along."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rgz import _kernels
from rgz.memory import Arena, Floats, Ints, Parameter, Reals
from rgz.nn.cache import KVCache


@dataclass
class Pass:
    """One batch on its way: N rows of S sequences end to end.

    tokens, positions : (N,) ids, and each row's place in its own sequence.
    cu_seqlens : (S+1,) sequence s is rows cu_seqlens[s] .. cu_seqlens[s+1] - 1.
    training : dropout is drawn, and what backward needs is kept.
    dropout_seed, dropout_stream : key and first counter of this pass's random numbers.
    loss_scale : what all gradients are multiplied by, so that small ones are not lost in 16 bits.
    cache : keys and values of earlier tokens. With `decoding` each row is the next token of sequence `row`.
    calls : makes the calls of kernels in forward; one that also writes them down is for decoding.
    """

    tokens: Ints
    positions: Ints
    cu_seqlens: Ints
    n_threads: int
    training: bool
    dropout_seed: int = 0
    dropout_stream: int = 0
    loss_scale: float = 1.0
    cache: KVCache | None = None
    decoding: bool = False
    calls: _kernels.Calls = _kernels.NOW


class Layer:
    """Parameters by name, views bound from flat vectors, buffers planned from an arena; then forward, backward."""

    def parameters(self) -> Iterator[Parameter]:
        yield from ()

    def bind(self, weights: Mapping[str, Reals], gradients: Mapping[str, Floats] | None) -> None:
        """Take views of this layer's weights, and of its gradients (always float32) unless the model only answers."""

    def plan(self, arena: Arena, rows: int, training: bool) -> None:
        """Take the buffers that a pass over `rows` rows needs."""
