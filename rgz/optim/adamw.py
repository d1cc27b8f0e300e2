"""AdamW: its settings, and its state over one flat vector of parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgz import _kernels
from rgz.config.training import OPTIM_DTYPES
from rgz.memory import Floats, ParameterLayout, Reals, aligned_zeros
from rgz.messages import tr
from rgz.strict import Strict, need_that, unknown_name


@dataclass(frozen=True)
class AdamW(Strict):
    """Adam with decoupled weight decay; norms' weights and all biases are not decayed.

    lr : learning rate, > 0; betas: two, in [0, 1); eps > 0; weight_decay >= 0; all finite, else RgzError.
    Source: Loshchilov, Hutter 2019, "Decoupled weight decay regularization", arXiv:1711.05101, algorithm 2.
    """

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    weight_decay: float = 0.1

    def __post_init__(self) -> None:
        self.check_types()
        for name, value, holds, wanted in (
            ("lr", self.lr, 0 < self.lr < math.inf, "> 0"),
            (
                "betas",
                self.betas,
                all(0 <= beta < 1 for beta in self.betas),
                tr("two numbers in [0, 1)"),
            ),
            ("eps", self.eps, 0 < self.eps < math.inf, "> 0"),
            ("weight_decay", self.weight_decay, 0 <= self.weight_decay < math.inf, ">= 0"),
        ):
            need_that(name, value, holds, wanted)


Moments = NDArray[Any]  # float32, bfloat16 in uint16, or 8 bits and float32 units
_SOME, _BF16_INFINITY = 1 << 20, 0x7F80
_STREAMS = 1 << 63  # of random numbers: dropout draws from those below


_KINDS: dict[str, tuple[type[np.generic], type[np.generic]]] = {  # of m, of v
    "float32": (np.float32, np.float32),
    "bfloat16": (np.uint16, np.uint16),
    "int8": (np.int8, np.uint8),
}

_UPDATES: dict[str, Callable[..., None]] = {
    "float32": _kernels.adamw,
    "bfloat16": _kernels.adamw_bf16,
    "int8": _kernels.adamw_int8,
}


def are_moments(tensors: Mapping[str, Moments]) -> bool:
    """Whether these are numbers that updates leave: all finite, no v below 0."""
    m, v = tensors["m"], tensors["v"]
    if m.dtype == np.uint16:  # bits of bfloat16, without a second copy of all of them
        sizes = (int((m[at : at + _SOME] & 0x7FFF).max()) for at in range(0, len(m), _SOME))
        return max(sizes) < _BF16_INFINITY and int(v.max()) < _BF16_INFINITY
    if m.dtype == np.int8:
        units = np.concatenate([tensors["m_units"], tensors["v_units"]])
        return bool(m.min() >= -127 and units.min() >= 0 and units.max() < np.inf)
    return bool(m.min() > -np.inf and m.max() < np.inf and v.min() >= 0 and v.max() < np.inf)


def moment_bytes(dtype: str, n: int, n_decayed: int) -> int:
    """What both moments of n parameters take, n_decayed of them decayed."""
    units = 2 * 4 * _kernels.moment_blocks(n, n_decayed) if dtype == "int8" else 0
    return n * sum(np.dtype(kind).itemsize for kind in _KINDS[dtype]) + units


class AdamWState:
    """Both moments, flat, and the update itself.

    dtype : of the moments. bfloat16 and int8 round them stochastically, with random numbers of (seed, update, element);
        int8 has a unit for every 256 elements, in which m counts as a square and v as a fourth power.
        Source: Dettmers et al. 2022, "8-bit optimizers via block-wise quantization", arXiv:2110.02861, section 2.1.
    tensors : all there is to remember, by name.
    """

    def __init__(self, settings: AdamW, layout: ParameterLayout, dtype: str = "float32", seed: int = 0) -> None:
        if dtype not in OPTIM_DTYPES:
            raise unknown_name("optim_dtype", dtype, OPTIM_DTYPES)
        self.settings, self.seed = settings, seed
        self.n_decayed = layout.n_decayed
        self.tensors: dict[str, Moments] = {
            name: aligned_zeros(layout.total, kind) for name, kind in zip("mv", _KINDS[dtype], strict=True)
        }
        if dtype == "int8":
            blocks = _kernels.moment_blocks(layout.total, layout.n_decayed)
            self.tensors |= {name: aligned_zeros(blocks) for name in ("m_units", "v_units")}
        self._dtype = dtype

    def update(
        self,
        weights: Floats,
        half: Reals | None,
        gradients: Floats,
        step: int,
        lr: float,
        grad_scale: float,
        n_threads: int,
    ) -> None:
        """Update number `step` (from 1): weights move, gradients (times grad_scale) are used up and zeroed.

        half : the decayed weights' copy in half precision, written in the same pass.
        """
        s = self.settings
        corrections = (1.0 - s.betas[0] ** step, 1.0 - s.betas[1] ** step)
        numbers = (self.n_decayed, lr, *s.betas, s.eps, s.weight_decay, *corrections, grad_scale)
        random = () if self._dtype == "float32" else (self.seed, _STREAMS + step)
        _UPDATES[self._dtype](weights, half, gradients, *self.tensors.values(), *numbers, *random, n_threads)
