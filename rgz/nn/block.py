"""One Pre-LN transformer block: x + attention(norm(x)), then the same with the MLP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rgz import _kernels
from rgz.memory import Arena, Floats, Parameter, Reals
from rgz.nn.attention import Attention
from rgz.nn.layer import Layer, Pass
from rgz.nn.mlp import MLP
from rgz.nn.norm import Norm

STREAMS = 2  # dropout draws of a block: one for each half


class Block(Layer):
    """y (N, C) from x (N, C). The outputs of the norms are not kept: backward computes them again from their input."""

    def __init__(self, attention_norm: Norm, attention: Attention, mlp_norm: Norm, mlp: MLP, dropout: float) -> None:
        self.attention_norm, self.attention, self.mlp_norm, self.mlp = (
            attention_norm,
            attention,
            mlp_norm,
            mlp,
        )
        self.dropout = dropout
        self.index = attention.index

    def _layers(self) -> tuple[Layer, ...]:
        return self.attention_norm, self.attention, self.mlp_norm, self.mlp

    def parameters(self) -> Iterator[Parameter]:
        for layer in self._layers():
            yield from layer.parameters()

    def bind(self, weights: Mapping[str, Reals], gradients: Mapping[str, Floats] | None) -> None:
        for layer in self._layers():
            layer.bind(weights, gradients)

    def plan(self, arena: Arena, rows: int, training: bool) -> None:
        channels = self.attention.channels
        self.middle = arena.activation("middle", rows, channels)
        self.normed = arena.scratch("normed", rows, channels)
        if training:
            self.d_normed = arena.scratch("d_normed", rows, channels)
            if self.dropout:
                self.masked = arena.scratch("masked", rows, channels)
        for layer in self._layers():
            layer.plan(arena, rows, training)

    def _half(self, p: Pass, norm: Norm, layer: Attention | MLP, stream: int, x: Reals, y: Reals) -> None:
        norm.forward(p, x, self.normed)
        if self.dropout and p.training:
            layer.forward(p, self.normed, self.masked, None)
            _kernels.dropout_forward(y, self.masked, x, self.dropout, p.dropout_seed, stream, p.n_threads)
        else:
            layer.forward(p, self.normed, y, x)

    def _half_backward(self, p: Pass, norm: Norm, layer: Attention | MLP, stream: int, x: Reals, d: Reals) -> None:
        """d, the gradient of this half's output, becomes that of its input x."""
        dy = d
        if self.dropout:
            dy = self.masked
            _kernels.dropout_backward(dy, d, self.dropout, p.dropout_seed, stream, p.n_threads)
        norm.forward(p, x, self.normed)
        layer.backward(p, dy, self.normed, self.d_normed)
        norm.backward(p, self.d_normed, x, d, accumulate=True)

    def forward(self, p: Pass, x: Reals, y: Reals) -> None:
        stream = p.dropout_stream + STREAMS * self.index
        self._half(p, self.attention_norm, self.attention, stream, x, self.middle)
        self._half(p, self.mlp_norm, self.mlp, stream + 1, self.middle, y)

    def backward(self, p: Pass, x: Reals, d: Reals) -> None:
        """d, the gradient of y, becomes that of x, in place; ADDS to the parameters' gradients."""
        stream = p.dropout_stream + STREAMS * self.index
        self._half_backward(p, self.mlp_norm, self.mlp, stream + 1, self.middle, d)
        self._half_backward(p, self.attention_norm, self.attention, stream, x, d)
