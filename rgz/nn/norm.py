"""LayerNorm and RMSNorm over the channels of each row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rgz import _kernels
from rgz.memory import Arena, Floats, Parameter, Reals
from rgz.nn.layer import Layer, Pass


class Norm(Layer):
    """kind "layernorm" (weight, bias) or "rmsnorm" (weight): y (N, C) from x (N, C)."""

    def __init__(self, name: str, kind: str, size: int, eps: float) -> None:
        self.name, self.size, self.eps = name, size, eps
        self.centered = kind == "layernorm"

    def parameters(self) -> Iterator[Parameter]:
        yield Parameter(f"{self.name}.weight", (self.size,), fill=1.0)
        if self.centered:
            yield Parameter(f"{self.name}.bias", (self.size,))

    def bind(self, weights: Mapping[str, Reals], gradients: Mapping[str, Floats] | None) -> None:
        self.weight = weights[f"{self.name}.weight"]
        if gradients:
            self.dweight = gradients[f"{self.name}.weight"]
        if self.centered:
            self.bias = weights[f"{self.name}.bias"]
            if gradients:
                self.dbias = gradients[f"{self.name}.bias"]

    def plan(self, arena: Arena, rows: int, training: bool) -> None:
        self.rstd = arena.statistic("rstd", rows)
        if self.centered:
            self.mean = arena.statistic("mean", rows)
        if training:
            self.partial = arena.float_scratch("norm_partial", _kernels.norm_scratch(rows, self.size))

    def forward(self, p: Pass, x: Reals, y: Reals) -> None:
        if self.centered:
            p.calls.layernorm_forward(y, self.mean, self.rstd, x, self.weight, self.bias, self.eps, p.n_threads)
        else:
            p.calls.rmsnorm_forward(y, self.rstd, x, self.weight, self.eps, p.n_threads)

    def backward(self, p: Pass, dy: Reals, x: Reals, dx: Reals, accumulate: bool) -> None:
        """WRITES dx, or ADDS to it with `accumulate`; ADDS to the parameters' gradients."""
        if self.centered:
            _kernels.layernorm_backward(
                dx,
                self.dweight,
                self.dbias,
                self.partial,
                dy,
                x,
                self.weight,
                self.mean,
                self.rstd,
                accumulate,
                p.n_threads,
            )
        else:
            _kernels.rmsnorm_backward(
                dx, self.dweight, self.partial, dy, x, self.weight, self.rstd, accumulate, p.n_threads
            )
