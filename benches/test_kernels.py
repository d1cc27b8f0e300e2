"""Kernels beside NumPy or PyTorch in the same run: products, attention forward and backward.

pytest benches/test_kernels.py --benchmark-columns=median,rounds --benchmark-group-by=group
"""

import numpy as np
import pytest
from findings import ATTENTION, PRODUCTS, record

import rgz
from rgz import _kernels


def note(benchmark, finding, rival, flops, sgemm_gflops, **more):
    if benchmark.disabled:  # --benchmark-disable only checks
        return
    rate = flops / benchmark.stats.stats.median / 1e9
    benchmark.extra_info.update(flops=flops, gflops=rate, share_of_sgemm=rate / sgemm_gflops)
    record(benchmark, finding, rival, rate, share_of={"sgemm": sgemm_gflops}, **more)


@pytest.mark.parametrize("rival", ["rgz", "NumPy"])
@pytest.mark.parametrize("shape", PRODUCTS)
def test_matmul(benchmark, sgemm_gflops, shape, rival):
    m, k, n = shape
    random = np.random.default_rng(0)
    a, b = random.random((m, k), dtype=np.float32), random.random((k, n), dtype=np.float32)
    product = rgz.ops.matmul if rival == "rgz" else np.matmul
    np.testing.assert_allclose(product(a, b)[:3], a[:3].astype(np.float64) @ b, rtol=1e-4)
    benchmark.group = f"matmul {shape}"
    benchmark.pedantic(product, (a, b), rounds=20, warmup_rounds=2)
    variant = {"variant": _kernels.active_isa()} if rival == "rgz" else {}
    note(benchmark, f"matmul {shape}", rival, 2 * m * k * n, sgemm_gflops, **variant)


def attention_flops(shape):
    """Of both ways: 3.5 times the two products forward, half of each left out by causality."""
    batch, heads, time, size = shape
    return 7 * batch * heads * time * time * size


def build_attention(shape):
    batch, heads, time, size = shape
    random = np.random.default_rng(0)
    q, k, v, dout = (random.standard_normal((batch * time, heads, size), dtype=np.float32) for _ in range(4))
    boundaries = np.arange(0, batch * time + 1, time, dtype=np.int32)

    def run():
        out, lse = rgz.ops.flash_attention(q, k, v, boundaries)
        return out, rgz.ops.flash_attention_backward(dout, q, k, v, out, lse, boundaries)

    return run, (q, k, v, dout)


@pytest.mark.parametrize("shape", ATTENTION)
def test_attention(benchmark, sgemm_gflops, isa, shape):
    run, (q, k, v, _) = build_attention(shape)
    _, _, time, size = shape
    row = time - 1  # the last row of the first sequence sees all of it
    scores = np.einsum("hd,thd->ht", q[row].astype(np.float64), k[:time]) / size**0.5
    p = np.exp(scores - scores.max(1, keepdims=True))
    expected = np.einsum("ht,thd->hd", p / p.sum(1, keepdims=True), v[:time])
    np.testing.assert_allclose(run()[0][row], expected, atol=1e-5)
    benchmark.group = f"attention {shape}"
    benchmark.pedantic(run, rounds=5, warmup_rounds=1)
    note(benchmark, f"attention {shape}", "rgz", attention_flops(shape), sgemm_gflops, variant=isa)


@pytest.mark.parametrize("shape", ATTENTION)
def test_attention_torch(benchmark, sgemm_gflops, needs, shape):
    needs("torch")
    import torch

    run, arrays = build_attention(shape)
    batch, heads, time, size = shape
    q, k, v, dout = (
        torch.from_numpy(array).view(batch, time, heads, size).transpose(1, 2).contiguous() for array in arrays
    )
    for tensor in (q, k, v):
        tensor.requires_grad_()

    def rival():
        out = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return out, torch.autograd.grad(out, (q, k, v), dout)

    ours = run()[0].reshape(batch, time, heads, size).swapaxes(1, 2)
    np.testing.assert_allclose(rival()[0].detach().numpy(), ours, atol=1e-4)
    benchmark.group = f"attention {shape}"
    benchmark.pedantic(rival, rounds=5, warmup_rounds=1)
    note(benchmark, f"attention {shape}", "torch", attention_flops(shape), sgemm_gflops)
