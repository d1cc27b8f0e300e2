"""AdamW: its settings, and its state over one flat vector of parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rgz import _kernels
from rgz.config.training import OPTIM_DTYPES
from rgz.memory import STORAGE, Floats, ParameterLayout, Reals, aligned_zeros
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


_STREAMS = 1 << 63  # of random numbers: dropout draws from those below


class AdamWState:
    """Both moments, flat, and the update itself.

    dtype : of the moments; bfloat16 rounds them stochastically, with random numbers of (seed, update, element).
    """

    def __init__(self, settings: AdamW, layout: ParameterLayout, dtype: str = "float32", seed: int = 0) -> None:
        if dtype not in OPTIM_DTYPES:
            raise unknown_name("optim_dtype", dtype, OPTIM_DTYPES)
        self.settings, self.seed = settings, seed
        self.n_decayed = layout.n_decayed
        self.m: Reals = aligned_zeros(layout.total, STORAGE[dtype])
        self.v: Reals = aligned_zeros(layout.total, STORAGE[dtype])
        self._half = dtype == "bfloat16"

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
        if self._half:
            _kernels.adamw_bf16(
                weights, half, gradients, self.m, self.v, *numbers, self.seed, _STREAMS + step, n_threads
            )
        else:
            _kernels.adamw(weights, half, gradients, self.m, self.v, *numbers, n_threads)
