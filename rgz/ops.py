"""The kernels as plain functions on NumPy arrays, for people who want the fast parts alone.

Arrays are float32 and C-contiguous (indices int32); anything else is an error that says what came, never a silent
copy. Results are new arrays. n_threads None: see rgz.threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from rgz import _kernels
from rgz.arrays import need_array, need_entries, need_float32, need_optional
from rgz.errors import RgzError
from rgz.memory import Floats, Ints, Reals, cast, widen
from rgz.messages import tr
from rgz.strict import is_count, is_finite, need_that, unknown_name
from rgz.threads import resolve_threads, single_threaded_blas

_LARGEST = float(np.finfo(np.float32).max)


def matmul(a: Floats, b: Floats, n_threads: int | None = None) -> Floats:
    """c (M, N) = a (M, K) b (K, N)."""
    need_float32(a=(a, 2), b=(b, 2))
    c = np.empty((a.shape[0], b.shape[1]), np.float32)
    if 0 in (*c.shape, a.shape[1]):
        c.fill(0.0)
        return c
    with single_threaded_blas():
        _kernels.matmul(c, a, b, resolve_threads(n_threads))
    return c


def linear(
    x: Floats,
    weight: Floats,
    bias: Floats | None = None,
    residual: Floats | None = None,
    n_threads: int | None = None,
) -> Floats:
    """y (N, O) = x (N, I) weight (O, I)^T + bias (O,) + residual (N, O)."""
    need_float32(x=(x, 2), weight=(weight, 2))
    need_entries(x=x, weight=weight)
    need_optional("bias", bias, 1)
    need_optional("residual", residual, 2)
    y = np.empty((x.shape[0], weight.shape[0]), np.float32)
    with single_threaded_blas():
        _kernels.linear_forward(y, x, weight, bias, residual, resolve_threads(n_threads))
    return y


def linear_backward(
    dy: Floats, x: Floats, weight: Floats, n_threads: int | None = None
) -> tuple[Floats, Floats, Floats]:
    """dx (N, I), dweight (O, I), dbias (O,) from dy (N, O)."""
    need_float32(dy=(dy, 2), x=(x, 2), weight=(weight, 2))
    need_entries(x=x, weight=weight)
    dx, dweight, dbias = np.empty_like(x), np.zeros_like(weight), np.zeros(weight.shape[0], np.float32)
    with single_threaded_blas():
        _kernels.linear_backward(dx, dweight, dbias, dy, x, weight, resolve_threads(n_threads))
    return dx, dweight, dbias


def _boundaries(cu_seqlens: Ints | None, rows: int) -> Ints:
    if cu_seqlens is None:
        return np.array([0, rows], np.int32)
    need_array("cu_seqlens", cu_seqlens, 1, np.int32)
    return cu_seqlens


def _attention_settings(
    q: Floats, cu_seqlens: Ints | None, causal: bool, scale: float | None, n_threads: int | None
) -> tuple[Ints, Floats, float, bool, int]:
    """What both attention kernels take last: boundaries, scratch, scale, causal, threads."""
    need_entries(q=q)
    need_that("causal", causal, isinstance(causal, bool | np.bool_), tr("true or false"))
    in_range = scale is None or (is_finite(scale) and abs(scale) <= _LARGEST)
    need_that("scale", scale, in_range, tr("a finite number"))
    threads, head_size = resolve_threads(n_threads), q.shape[2]
    scratch = np.empty(_kernels.attention_scratch(head_size, threads), np.float32)
    return _boundaries(cu_seqlens, len(q)), scratch, head_size**-0.5 if scale is None else scale, causal, threads


def flash_attention(
    q: Floats,
    k: Floats,
    v: Floats,
    cu_seqlens: Ints | None = None,
    causal: bool = True,
    scale: float | None = None,
    n_threads: int | None = None,
) -> tuple[Floats, Floats]:
    """Exact attention without the T x T matrix: out (N, H, D) and the logsumexp of the scores lse (N, H).

    q (N, H, D); k, v (N, Hkv, D), H a multiple of Hkv. cu_seqlens (S+1,): sequence s is rows cu_seqlens[s] ..
    cu_seqlens[s+1] - 1 and sees only itself; None is one sequence. scale None is 1 / sqrt(D). What a causal row does
    not see, later keys and values, has no part in it, be it NaN.
    Source: Dao 2023, "FlashAttention-2", arXiv:2307.08691.
    """
    need_float32(q=(q, 3), k=(k, 3), v=(v, 3))
    out, lse = np.empty_like(q), np.empty(q.shape[:2], np.float32)
    _kernels.attention_forward(out, lse, q, k, v, *_attention_settings(q, cu_seqlens, causal, scale, n_threads))
    return out, lse


def flash_attention_backward(
    dout: Floats,
    q: Floats,
    k: Floats,
    v: Floats,
    out: Floats,
    lse: Floats,
    cu_seqlens: Ints | None = None,
    causal: bool = True,
    scale: float | None = None,
    n_threads: int | None = None,
) -> tuple[Floats, Floats, Floats]:
    """dq, dk, dv of flash_attention, from what it took and returned; p is computed again from lse."""
    need_float32(dout=(dout, 3), q=(q, 3), k=(k, 3), v=(v, 3), out=(out, 3), lse=(lse, 2))
    dq, dk, dv = np.empty_like(q), np.empty_like(k), np.empty_like(v)
    settings = _attention_settings(q, cu_seqlens, causal, scale, n_threads)
    _kernels.attention_backward(dq, dk, dv, dout, q, k, v, out, lse, *settings)
    return dq, dk, dv


def layer_norm(x: Floats, weight: Floats, bias: Floats, eps: float = 1e-5, n_threads: int | None = None) -> Floats:
    """(x - mean) / sqrt(var + eps) * weight + bias over the columns of x (N, C); eps >= 0."""
    need_that("eps", eps, is_finite(eps) and eps >= 0, ">= 0")
    need_float32(x=(x, 2), weight=(weight, 1), bias=(bias, 1))
    y, mean, rstd = np.empty_like(x), np.empty(len(x), np.float32), np.empty(len(x), np.float32)
    _kernels.layernorm_forward(y, mean, rstd, x, weight, bias, eps, resolve_threads(n_threads))
    return y


def rms_norm(x: Floats, weight: Floats, eps: float = 1e-5, n_threads: int | None = None) -> Floats:
    """x / sqrt(mean(x^2) + eps) * weight over the columns of x (N, C); eps >= 0."""
    need_that("eps", eps, is_finite(eps) and eps >= 0, ">= 0")
    need_float32(x=(x, 2), weight=(weight, 1))
    y, rstd = np.empty_like(x), np.empty(len(x), np.float32)
    _kernels.rmsnorm_forward(y, rstd, x, weight, eps, resolve_threads(n_threads))
    return y


def _activation(forward: Callable[[Floats, Floats, int], None], x: Floats, n_threads: int | None) -> Floats:
    need_float32(x=(x, 2))
    y = np.empty_like(x)
    forward(y, x, resolve_threads(n_threads))
    return y


def relu(x: Floats, n_threads: int | None = None) -> Floats:
    """max(x, 0) of x (N, C)."""
    return _activation(_kernels.relu_forward, x, n_threads)


def gelu(x: Floats, approximate: str = "none", n_threads: int | None = None) -> Floats:
    """x Phi(x) of x (N, C); approximate="tanh" is GPT-2's. Hendrycks, Gimpel 2016, arXiv:1606.08415."""
    if approximate not in ("none", "tanh"):
        raise RgzError(tr("approximate must be 'none' or 'tanh', got '{value}'", value=approximate))
    forward = _kernels.gelu_tanh_forward if approximate == "tanh" else _kernels.gelu_forward
    return _activation(forward, x, n_threads)


def swiglu(x: Floats, n_threads: int | None = None) -> Floats:
    """silu(gate) * up (N, F) of x = [gate | up] (N, 2F). Shazeer 2020, arXiv:2002.05202, eq. 6."""
    need_float32(x=(x, 2))
    y = np.empty((x.shape[0], x.shape[1] // 2), np.float32)
    _kernels.swiglu_forward(y, x, resolve_threads(n_threads))
    return y


def _lm_loss(
    x: Floats,
    weight: Floats,
    targets: Ints,
    bias: Floats | None,
    slice_rows: int,
    n_threads: int | None,
    gradients: tuple[Floats | None, Floats | None, Floats | None] = (None, None, None),
) -> Floats:
    need_float32(x=(x, 2), weight=(weight, 2))
    need_array("targets", targets, 1, np.int32)
    need_entries(x=x, weight=weight)
    need_optional("bias", bias, 1)
    need_that("slice_rows", slice_rows, is_count(slice_rows), tr("an integer >= 1"))
    losses = np.empty(len(x), np.float32)
    logits = np.empty((min(slice_rows, len(x)), len(weight)), np.float32)
    with single_threaded_blas():
        _kernels.lm_loss(losses, *gradients, x, weight, bias, targets, logits, 1.0, resolve_threads(n_threads))
    return losses


def cross_entropy(
    x: Floats,
    weight: Floats,
    targets: Ints,
    bias: Floats | None = None,
    slice_rows: int = 256,
    n_threads: int | None = None,
) -> Floats:
    """Losses (N,) of the output layer x (N, C) weight (V, C)^T + bias against targets (N,); a negative target is
    ignored (loss 0). Only slice_rows x V logits exist at a time."""
    return _lm_loss(x, weight, targets, bias, slice_rows, n_threads)


def cross_entropy_backward(
    x: Floats,
    weight: Floats,
    targets: Ints,
    bias: Floats | None = None,
    slice_rows: int = 256,
    n_threads: int | None = None,
) -> tuple[Floats, Floats, Floats, Floats | None]:
    """losses, dx, dweight, dbias (None without bias): the gradients are those of the sum of the losses."""
    need_float32(x=(x, 2), weight=(weight, 2))
    need_optional("bias", bias, 1)
    dx, dweight, dbias = np.empty_like(x), np.zeros_like(weight), None if bias is None else np.zeros_like(bias)
    losses = _lm_loss(x, weight, targets, bias, slice_rows, n_threads, (dx, dweight, dbias))
    return losses, dx, dweight, dbias


def to_half(x: Floats, dtype: str = "bfloat16", n_threads: int | None = None) -> Reals:
    """x rounded to nearest, halves to even: "bfloat16" in a uint16 array of its bits, or "float16". Any shape."""
    if dtype not in ("bfloat16", "float16"):
        raise unknown_name("dtype", dtype, ("bfloat16", "float16"))
    need_array("x", x, None)
    return cast(x, dtype, resolve_threads(n_threads))


def from_half(x: Reals, n_threads: int | None = None) -> Floats:
    """What to_half made (uint16: bfloat16, float16), in float32: exact. Any shape."""
    need_array("x", x, None, np.uint16, np.float16)
    return widen(x, resolve_threads(n_threads))


def adamw(
    weight: Floats,
    grad: Floats,
    m: Floats,
    v: Floats,
    step: int,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.95),
    eps: float = 1e-8,
    weight_decay: float = 0.1,
    grad_scale: float = 1.0,
    n_threads: int | None = None,
) -> None:
    """Update number `step` (from 1) of flat vectors, in place; grad is used up and zeroed. See rgz.AdamW.

    lr >= 0; betas: two, in [0, 1); eps > 0; weight_decay >= 0; grad, times grad_scale, is the gradient. All finite.
    """
    need_float32(weight=(weight, 1), grad=(grad, 1), m=(m, 1), v=(v, 1))
    is_pair = (isinstance(betas, Sequence) or getattr(betas, "ndim", 0) == 1) and len(betas) == 2
    proper_betas = is_pair and all(is_finite(beta) and 0 <= beta < 1 for beta in betas)
    for name, value, holds, wanted in (
        ("step", step, is_count(step), tr("an integer >= 1")),
        ("lr", lr, is_finite(lr) and lr >= 0, ">= 0"),
        ("betas", betas, proper_betas, tr("two numbers in [0, 1)")),
        ("eps", eps, is_finite(eps) and eps > 0, "> 0"),
        ("weight_decay", weight_decay, is_finite(weight_decay) and weight_decay >= 0, ">= 0"),
        ("grad_scale", grad_scale, is_finite(grad_scale), tr("a finite number")),
    ):
        need_that(name, value, holds, wanted)
    _kernels.adamw(
        weight,
        None,
        grad,
        m,
        v,
        len(weight),
        lr,
        *betas,
        eps,
        weight_decay,
        1.0 - betas[0] ** step,
        1.0 - betas[1] ** step,
        grad_scale,
        resolve_threads(n_threads),
    )


def grad_norm(grad: Floats, n_threads: int | None = None) -> float:
    """L2 norm of a flat vector, of numbers of any size; not finite only where one of them is not.

    Squares are summed in float32, 256 at a time, scaled where they would overflow or vanish; these sums in float64.
    """
    need_float32(grad=(grad, 1))
    scratch = np.empty(max(1, _kernels.squared_norm_scratch(len(grad))), np.float64)
    return float(np.sqrt(_kernels.squared_norm(scratch, grad, resolve_threads(n_threads))))
