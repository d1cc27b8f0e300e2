"""The output layer: logits for those who want them, the loss without ever holding them all for training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rgz import _kernels
from rgz.memory import Arena, Floats, Ints, Parameter, Reals
from rgz.nn.embedding import TOKEN_WEIGHT
from rgz.nn.layer import Layer, Pass

_SLICE_BYTES = 24 << 20  # of logits at a time: few enough to matter little, rows enough to keep sgemm's tiles full
_STRIP = 12  # rows: as high as a register tile of AVX-512
_SLICE_ROWS = 22 * _STRIP  # however large the vocabulary, unless that is more than half of all rows


class LMHead(Layer):
    """logits (N, V) = x (N, C) weight^T + bias; weight (V, C) is the token embedding's when tied."""

    def __init__(self, vocab: int, channels: int, tied: bool, bias: bool, std: float) -> None:
        self.vocab, self.channels, self.tied, self.has_bias, self.std = vocab, channels, tied, bias, std
        self.weight_name = TOKEN_WEIGHT if tied else "lm_head.weight"

    def parameters(self) -> Iterator[Parameter]:
        if not self.tied:
            yield Parameter("lm_head.weight", (self.vocab, self.channels), std=self.std, decayed=True)
        if self.has_bias:
            yield Parameter("lm_head.bias", (self.vocab,))

    def bind(self, weights: Mapping[str, Reals], gradients: Mapping[str, Floats] | None) -> None:
        self.weight = weights[self.weight_name]
        self.bias = weights["lm_head.bias"] if self.has_bias else None
        self.dweight = gradients[self.weight_name] if gradients else None
        self.dbias = gradients["lm_head.bias"] if gradients and self.has_bias else None

    def plan_loss(self, arena: Arena, rows: int) -> None:
        half = -(-rows // (2 * _STRIP)) * _STRIP
        at_once = min(rows, max(min(_SLICE_ROWS, half), _SLICE_BYTES // (4 * self.vocab) // 64 * 64))
        self.slice = arena.float_scratch("logits", at_once, self.vocab, phase="head")
        self.losses = arena.floats(rows)

    def forward(self, p: Pass, x: Reals, logits: Floats) -> None:
        p.calls.lm_logits(logits, x, self.weight, self.bias, p.n_threads)

    def loss(self, p: Pass, x: Reals, targets: Ints, dx: Reals | None) -> float:
        """Sum of the losses of all rows whose target is not negative. With dx: WRITES its gradient there and ADDS
        to the parameters' gradients, all of them times p.loss_scale."""
        if dx is None:
            _kernels.lm_loss(
                self.losses, None, None, None, x, self.weight, self.bias, targets, self.slice, 1.0, p.n_threads
            )
        else:
            _kernels.lm_loss(
                self.losses,
                dx,
                self.dweight,
                self.dbias,
                x,
                self.weight,
                self.bias,
                targets,
                self.slice,
                p.loss_scale,
                p.n_threads,
            )
        return float(self.losses.sum(dtype="float64"))
