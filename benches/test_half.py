"""Products of half precision, as a layer needs them (y, dx and dweight), beside PyTorch's bfloat16 in the same run.

pytest benches/test_half.py --benchmark-columns=median,rounds --benchmark-group-by=group
"""

import numpy as np
import pytest
from awake import wake
from findings import LAYERS, record

import rgz
from rgz import _kernels
from rgz.memory import aligned_zeros

NUMPY = {"bfloat16": np.uint16, "float16": np.float16}


def aligned(shape, dtype):
    return aligned_zeros(int(np.prod(shape)), dtype).reshape(shape)


def operands(shape, dtype):
    """x (rows, in), weight (out, in), dy (rows, out) of few bits, exact in half: as float32, and as stored."""
    rows, n_in, n_out = shape
    random, wide, half = np.random.default_rng(0), [], []
    for size in ((rows, n_in), (n_out, n_in), (rows, n_out)):
        wide.append(random.integers(-8, 9, size).astype(np.float32) / 8)
        half.append(aligned(size, NUMPY[dtype]))
        bits = (wide[-1].view(np.uint32) >> 16).astype(np.uint16) if dtype == "bfloat16" else wide[-1]
        half[-1][...] = bits
    return wide, half


def check(results, wide):
    """The first rows of y, dx and dweight, float32, against float64."""
    x, weight, dy = (array.astype(np.float64) for array in wide)
    wanted = (x[:3] @ weight.T, dy[:3] @ weight, dy[:, :3].T @ x)
    for got, want in zip(results, wanted, strict=True):
        np.testing.assert_allclose(got[:3], want, rtol=2**-7, atol=2**-7 * np.abs(want).max())


def measure(benchmark, products):
    warmups = 0 if benchmark.disabled else wake(products)
    benchmark.pedantic(products, rounds=max(10, min(2 * warmups, 50)))


def note(benchmark, shape, dtype, rival, **more):
    if benchmark.disabled:  # --benchmark-disable only checks
        return
    flops = 6 * shape[0] * shape[1] * shape[2]
    rate = flops / benchmark.stats.stats.median / 1e9
    benchmark.extra_info.update(flops=flops, gflops=rate)
    record(benchmark, f"layer {dtype} {shape}", rival, rate, **more)


@pytest.mark.parametrize("dtype", NUMPY)
@pytest.mark.parametrize("shape", LAYERS)
def test_layer(benchmark, shape, dtype):
    wide, (x, weight, dy) = operands(shape, dtype)
    y, dx, dweight = aligned(dy.shape, dy.dtype), aligned(x.shape, x.dtype), aligned(weight.shape, np.float32)
    threads = rgz.info()["n_threads"]

    def products():
        _kernels.linear_forward(y, x, weight, None, None, threads)
        _kernels.linear_backward(dx, dweight, None, dy, x, weight, threads)

    products()
    stored = [a.astype(np.uint32) << 16 if dtype == "bfloat16" else a for a in (y, dx)]
    check([*(a.view(np.float32) if a.dtype == np.uint32 else a.astype(np.float32) for a in stored), dweight], wide)
    benchmark.group = f"layer {dtype} {shape}"
    measure(benchmark, products)
    note(benchmark, shape, dtype, "rgz", variant=_kernels.active_isa())


@pytest.mark.parametrize("shape", LAYERS)
def test_layer_torch(benchmark, needs, shape):
    needs("torch")
    import torch

    wide, _ = operands(shape, "bfloat16")
    x, weight, dy = (torch.from_numpy(array).bfloat16() for array in wide)
    y, dx, dweight = torch.empty_like(dy), torch.empty_like(x), torch.empty_like(weight)

    def products():
        torch.mm(x, weight.T, out=y)
        torch.mm(dy, weight, out=dx)
        torch.mm(dy.T, x, out=dweight)

    products()
    check([tensor.float().numpy() for tensor in (y, dx, dweight)], wide)
    benchmark.group = f"layer bfloat16 {shape}"
    measure(benchmark, products)
    note(benchmark, shape, "bfloat16", "torch")
