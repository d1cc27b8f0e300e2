"""THE table of kernel cases: each kernel's call, sizes, oracle and bound. Tests walk it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import bounds
import calls
import numpy as np
import oracles
from guarded import REALS, Call


@dataclass(frozen=True)
class Case:
    kernel: str
    make: Callable[..., Call]  # from a random generator and a size
    sizes: tuple[tuple[Any, ...], ...]
    large: tuple[tuple[Any, ...], ...]  # several tiles, blocks or chunks for threads to share
    oracle: Callable[..., dict[str, np.ndarray]]
    bound: Callable[..., dict[str, Any]]
    variant: str = ""
    blas: bool = False  # calls sgemm

    @property
    def name(self) -> str:
        return f"{self.kernel}-{self.variant}" if self.variant else self.kernel

    def allowed(self, arguments, want, storage="float32"):
        """How far each output may be from what is wanted, with the kernel's reals in this storage."""
        bound = self.bound(arguments | {"storage": storage}, want)
        return bounds.in_storage(bound, want, REALS[self.kernel], storage)


LANES = (1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65)  # around every lane count and block size
TABLE = tuple((3, n) for n in LANES) + tuple((n, 17) for n in LANES)
PRODUCTS = (
    tuple(size for n in LANES for size in ((5, n, 7), (6, 7, n), (n, 5, 6)))
    + tuple((rows, n, 3) for rows in (1, 2, 3, 4) for n in (1, 8, 33, 64))
    + ((13, 127, 9), (13, 128, 66), (70, 129, 65), (7, 257, 130))
)
WIDE = ((600, 40, 530), (3, 300, 400), (210, 600, 300))
SEQUENCES = (
    *(((n,), 2, 1, 8, causal) for n in LANES for causal in (True, False)),
    *(((1, 63, 95, 96, 97), 4, 2, head_size, True) for head_size in (16, 17, 20, 32, 64, 80, 128)),
    *(((97, 1, 193, 96), *heads, 20, causal) for heads in ((1, 1), (3, 3), (6, 2)) for causal in (True, False)),
)
MANY = (((200, 7, 193, 64, 97), 4, 2, 24, True), ((290, 300), 2, 1, 16, True), ((290,), 2, 2, 16, False))
LOSSES = tuple((5, 6, n, 2) for n in LANES) + tuple((n, 7, 9, 64) for n in LANES) + ((7, 65, 130, 3),)
WIDE_LOSSES = ((150, 33, 900, 64), (70, 140, 300, 100))
ROTATIONS = tuple((3, 2, 2 * n) for n in LANES) + tuple((n, 3, 6) for n in LANES)
VECTORS = tuple((n,) for n in (*LANES, 255, 257, 65535, 65537))
UPDATES = tuple((n, n_decayed) for n in LANES for n_decayed in sorted({0, n // 2, n}))
CACHES = tuple(((n, 1, 66), 4, 2, 17, 67) for n in LANES) + tuple(((5, 9), 3, 3, n, 9) for n in LANES)

APPENDS = tuple(((n, 2, 66), 2, 17, 67) for n in LANES) + tuple(((5, 9), 3, n, 9) for n in LANES)

CASES: list[Case] = []


def add(kernel, make, sizes, large, variant="", bound=None, blas=False, oracle=None, **forms):
    """One case of the kernel; `forms` are further arguments of `make`, such as whether there is a bias."""
    bound, oracle = bound or getattr(bounds, kernel), oracle or getattr(oracles, kernel)
    CASES.append(Case(kernel, partial(make, **forms), sizes, large, oracle, bound, variant, blas))


add("matmul", calls.matmul, PRODUCTS, WIDE, blas=True)
add("linear_forward", calls.linear_forward, PRODUCTS, WIDE, blas=True)
add("linear_forward", calls.linear_forward, PRODUCTS, WIDE, "no_bias", blas=True, bias=False)
add("linear_forward", calls.linear_forward, PRODUCTS, WIDE, "plain", blas=True, bias=False, residual=False)
add("lm_logits", calls.lm_logits, PRODUCTS, WIDE, blas=True)
add("lm_logits", calls.lm_logits, PRODUCTS, WIDE, "no_bias", blas=True, bias=False)
for activation in ("relu", "gelu", "gelu_tanh"):
    add("linear_activation_forward", calls.linear_activation_forward, PRODUCTS, WIDE, activation, blas=True,
        activation=activation)  # fmt: skip
add("linear_activation_forward", calls.linear_activation_forward, PRODUCTS, WIDE, "no_bias", blas=True, bias=False,
    activation="gelu")  # fmt: skip
add("linear_backward", calls.linear_backward, PRODUCTS, WIDE, blas=True)
add("lm_loss", calls.lm_loss, LOSSES, WIDE_LOSSES, blas=True)
add("lm_loss", calls.lm_loss, LOSSES, WIDE_LOSSES, "no_bias", blas=True, bias=False)
add("lm_loss", calls.lm_loss, LOSSES, WIDE_LOSSES, "scaled", blas=True, loss_scale=64.0)
add("lm_loss", calls.lm_loss, LOSSES, WIDE_LOSSES, "losses_only", blas=True, gradient=False)
for norm, center in (("layernorm", True), ("rmsnorm", False)):
    make, backward = calls.norm_forward, f"{norm}_backward"
    add(f"{norm}_forward", make, TABLE, ((300, 96),), center=center)
    for variant, accumulate in (("", False), ("accumulate", True)):
        add(backward, calls.norm_backward, TABLE, ((300, 96),), variant, bounds.norm_backward,
            center=center, accumulate=accumulate)  # fmt: skip
for activation in ("relu", "gelu", "gelu_tanh", "swiglu"):
    width = 2 if activation == "swiglu" else 1
    bound = bounds.exact if activation == "relu" else None
    add(f"{activation}_forward", calls.activation_forward, TABLE, ((9, 2047),), bound=bound, width=width)
    add(f"{activation}_backward", calls.activation_backward, TABLE, ((9, 2047),), bound=bound, width=width)
add("embedding_forward", calls.embedding_forward, TABLE, ((70, 129),))
add(
    "embedding_forward",
    calls.embedding_forward,
    TABLE,
    ((70, 129),),
    "tokens_only",
    bounds.exact,
    positions=False,
)
add("embedding_backward", calls.embedding_backward, TABLE, ((70, 257),))
add("rope", calls.rope, ROTATIONS, ((130, 3, 40),))
add("rope", calls.rope, ROTATIONS, ((130, 3, 40),), "inverse", inverse=True)
add("attention_forward", calls.attention_forward, SEQUENCES, MANY)
add("attention_backward", calls.attention_backward, SEQUENCES, MANY)
add("attention_decode", calls.attention_decode, CACHES, (((300, 200, 7), 6, 2, 40, 300),))
add("cache_append", calls.cache_append, APPENDS, (((300, 200, 7), 6, 40, 300),), bound=bounds.exact)
add("dropout_forward", calls.dropout_forward, TABLE, ((70, 129),))
add("dropout_forward", calls.dropout_forward, TABLE, ((70, 129),), "no_residual", residual=False)
add("dropout_backward", calls.dropout_backward, TABLE, ((70, 129),))
add("squared_norm", calls.squared_norm, VECTORS, ((10**6,),))
add("adamw", calls.adamw, UPDATES, ((50000, 12345), (4096 * 3, 4096)))
add("adamw", calls.adamw, UPDATES, ((50000, 12345),), "copy", oracle=oracles.adamw_with_copy, copy=True)
add("adamw_bf16", calls.adamw_bf16, UPDATES, ((50000, 12345), (4096 * 3, 4096)))
add("adamw_bf16", calls.adamw_bf16, UPDATES, ((50000, 12345),), "copy", oracle=oracles.adamw_bf16_with_copy, copy=True)
IN_BLOCKS = (*((n, part) for n in LANES for part in (n // 2, n)), (255, 0), (257, 256), (700, 300))
add("adamw_int8", calls.adamw_int8, IN_BLOCKS, ((50000, 12345), (4096 * 3, 4096)))
add(
    "adamw_int8", calls.adamw_int8, IN_BLOCKS, ((50000, 12345),), "copy", oracle=oracles.adamw_int8_with_copy, copy=True
)
add("cast_from_float", calls.cast_from_float, VECTORS, ((10**6,),))
add("cast_to_float", calls.cast_to_float, VECTORS, ((10**6,),))

ONE_EACH = list({case.kernel: case for case in reversed(CASES)}.values())  # the first of every kernel
