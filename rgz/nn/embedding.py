"""Tokens to vectors, and the three ways to say where a token stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from rgz import _kernels
from rgz.memory import Floats, Parameter, Reals, cast, dtype_of
from rgz.nn.layer import Layer, Pass

TOKEN_WEIGHT = "model.embed_tokens.weight"
POSITION_WEIGHT = "model.embed_positions.weight"


def sinusoids(positions: int, channels: int) -> Floats:
    """(positions, channels): sin at even channels 2i, cos at odd ones, of position / 10000^(2i / channels).

    Source: Vaswani et al. 2017, "Attention is all you need", arXiv:1706.03762, section 3.5.
    """
    angles = np.arange(positions)[:, None] / 10000.0 ** (np.arange(0, channels, 2) / channels)
    table = np.empty((positions, channels), np.float32)
    table[:, 0::2] = np.sin(angles)
    table[:, 1::2] = np.cos(angles)[:, : channels // 2]
    return table


def rotations(positions: int, head_size: int, theta: float) -> tuple[Floats, Floats]:
    """Cosines and sines (positions, head_size / 2) for rotary embedding: Su et al. 2021, arXiv:2104.09864."""
    angles = np.arange(positions)[:, None] / theta ** (np.arange(0, head_size, 2) / head_size)
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


class Embedding(Layer):
    """x (N, C) = weight[tokens] + position_weight[positions]; positions learned, sinusoidal, or not added here."""

    def __init__(self, vocab: int, channels: int, position: str, max_positions: int, std: float) -> None:
        self.vocab, self.channels, self.max_positions, self.std = vocab, channels, max_positions, std
        self.learned = position == "learned"
        self.table = sinusoids(max_positions, channels) if position == "sinusoidal" else None

    def parameters(self) -> Iterator[Parameter]:
        yield Parameter(TOKEN_WEIGHT, (self.vocab, self.channels), std=self.std, decayed=True)
        if self.learned:
            yield Parameter(POSITION_WEIGHT, (self.max_positions, self.channels), std=self.std, decayed=True)

    def bind(self, weights: Mapping[str, Reals], gradients: Mapping[str, Floats] | None) -> None:
        self.weight = weights[TOKEN_WEIGHT]
        self.position_weight: Reals | None = weights[POSITION_WEIGHT] if self.learned else None
        if self.table is not None:
            self.position_weight = cast(self.table, dtype_of(self.weight))
        if gradients:
            self.dweight = gradients[TOKEN_WEIGHT]
        self.dposition = gradients[POSITION_WEIGHT] if gradients and self.learned else None

    def forward(self, p: Pass, x: Reals) -> None:
        p.calls.embedding_forward(x, p.tokens, self.weight, p.positions, self.position_weight, p.n_threads)

    def backward(self, p: Pass, dx: Reals) -> None:
        """ADDS to the gradients of the tables."""
        _kernels.embedding_backward(self.dweight, p.tokens, dx, p.n_threads)
        if self.dposition is not None:
            _kernels.embedding_backward(self.dposition, p.positions, dx, p.n_threads)
