"""The feed-forward half of a block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rgz import _kernels
from rgz.memory import Arena, Floats, Parameter, Reals
from rgz.nn.layer import Layer, Pass
from rgz.nn.linear import Linear

_FORWARD = {
    "relu": _kernels.relu_forward,
    "gelu": _kernels.gelu_forward,
    "gelu_tanh": _kernels.gelu_tanh_forward,
    "swiglu": _kernels.swiglu_forward,
}
_BACKWARD = {
    "relu": _kernels.relu_backward,
    "gelu": _kernels.gelu_backward,
    "gelu_tanh": _kernels.gelu_tanh_backward,
    "swiglu": _kernels.swiglu_backward,
}


class MLP(Layer):
    """y (N, C) = down_proj(act(up_proj(x))) + residual; for swiglu gate and up lie side by side in one matrix.

    Only the input of the activation is kept for backward; its output is computed again there, which costs one pass
    over (N, F) instead of the memory of one in every layer.
    """

    def __init__(
        self, name: str, channels: int, hidden: int, act: str, bias: bool, std: float, residual_std: float
    ) -> None:
        self.hidden, self.act = hidden, act
        wide, up_name = (2 * hidden, "gate_up_proj") if act == "swiglu" else (hidden, "up_proj")
        self.up_proj = Linear(f"{name}.{up_name}", channels, wide, bias, std)
        self.down_proj = Linear(f"{name}.down_proj", hidden, channels, bias, residual_std)

    def parameters(self) -> Iterator[Parameter]:
        yield from self.up_proj.parameters()
        yield from self.down_proj.parameters()

    def bind(self, weights: Mapping[str, Reals], gradients: Mapping[str, Floats] | None) -> None:
        self.up_proj.bind(weights, gradients)
        self.down_proj.bind(weights, gradients)

    def plan(self, arena: Arena, rows: int, training: bool) -> None:
        self.up = arena.activation("up", rows, self.up_proj.n_out)
        self.activated = arena.scratch("activated", rows, self.hidden, phase="mlp")
        if training:
            self.d_activated = arena.scratch("d_activated", rows, self.hidden, phase="mlp")

    def forward(self, p: Pass, x: Reals, y: Reals, residual: Reals | None) -> None:
        if self.act == "swiglu":
            self.up_proj.forward(p, x, self.up)
            p.calls.swiglu_forward(self.activated, self.up, p.n_threads)
        else:
            self.up_proj.forward_activated(p, x, self.up, self.activated, self.act)
        self.down_proj.forward(p, self.activated, y, residual)

    def backward(self, p: Pass, dy: Reals, x: Reals, dx: Reals) -> None:
        """WRITES dx, ADDS to the parameters' gradients. The kept input of the activation becomes its gradient."""
        _FORWARD[self.act](self.activated, self.up, p.n_threads)
        self.down_proj.backward(p, dy, self.activated, self.d_activated)
        _BACKWARD[self.act](self.up, self.d_activated, self.up, p.n_threads)
        self.up_proj.backward(p, self.up, x, dx)
