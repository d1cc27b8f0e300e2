"""The affine map."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rgz import _kernels
from rgz.memory import Floats, Parameter, Reals
from rgz.nn.layer import Layer, Pass


class Linear(Layer):
    """y (N, n_out) = x (N, n_in) weight^T + bias + residual, weight (n_out, n_in)."""

    def __init__(self, name: str, n_in: int, n_out: int, bias: bool, std: float) -> None:
        self.name, self.n_in, self.n_out, self.has_bias, self.std = name, n_in, n_out, bias, std

    def parameters(self) -> Iterator[Parameter]:
        yield Parameter(f"{self.name}.weight", (self.n_out, self.n_in), std=self.std, decayed=True)
        if self.has_bias:
            yield Parameter(f"{self.name}.bias", (self.n_out,))

    def bind(self, weights: Mapping[str, Reals], gradients: Mapping[str, Floats] | None) -> None:
        self.weight = weights[f"{self.name}.weight"]
        self.bias = weights[f"{self.name}.bias"] if self.has_bias else None
        self.dweight = gradients[f"{self.name}.weight"] if gradients else None
        self.dbias = gradients[f"{self.name}.bias"] if gradients and self.has_bias else None

    def forward(self, p: Pass, x: Reals, y: Reals, residual: Reals | None = None) -> None:
        p.calls.linear_forward(y, x, self.weight, self.bias, residual, p.n_threads)

    def forward_activated(self, p: Pass, x: Reals, y: Reals, activated: Reals, activation: str) -> None:
        """WRITES y and activation(y) in one pass: relu, gelu, gelu_tanh."""
        p.calls.linear_activation_forward(activated, y, x, self.weight, self.bias, activation, p.n_threads)

    def backward(self, p: Pass, dy: Reals, x: Reals, dx: Reals) -> None:
        """WRITES dx, ADDS to the parameters' gradients."""
        _kernels.linear_backward(dx, self.dweight, self.dbias, dy, x, self.weight, p.n_threads)
