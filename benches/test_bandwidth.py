"""Kernels that read and write more than they compute, in GB/s beside a large copy of the same run.

What works in place (AdamW) or reads from cache (embedding) may exceed the copy, which also has to fetch each line
that it overwrites.

pytest benches/test_bandwidth.py --benchmark-columns=median,rounds --benchmark-group-by=group
"""

import numpy as np
import pytest
from findings import record
from scipy import special

from rgz import _kernels, info, ops

ROWS, COLUMNS, VOCAB = 65536, 256, 8192
N = ROWS * COLUMNS  # 64 MiB of float32, beyond every cache


def layer_norm(random, threads):
    x, y = random.standard_normal((ROWS, COLUMNS), dtype=np.float32), np.empty((ROWS, COLUMNS), np.float32)
    weight, bias = random.random((2, COLUMNS), dtype=np.float32)
    mean, rstd = np.empty((2, ROWS), np.float32)

    def check():
        wide = x[-3:].astype(np.float64)
        expected = (wide - wide.mean(1, keepdims=True)) / wide.std(1, keepdims=True) * weight + bias
        np.testing.assert_allclose(y[-3:], expected, atol=1e-4)

    return lambda: _kernels.layernorm_forward(y, mean, rstd, x, weight, bias, 1e-5, threads), 2 * x.nbytes, check


def gelu(random, threads):
    x, y = random.standard_normal((ROWS, COLUMNS), dtype=np.float32), np.empty((ROWS, COLUMNS), np.float32)

    def check():
        np.testing.assert_allclose(y[-3:], x[-3:] * special.ndtr(x[-3:].astype(np.float64)), atol=1e-5)

    return lambda: _kernels.gelu_forward(y, x, threads), 2 * x.nbytes, check


def softmax_loss(random, threads):
    """A head of one channel: its product costs next to nothing, so what is timed is writing logits and reducing
    them. They stay in cache, which is the point of the slices, so this may exceed the copy."""
    rows, slice_rows = 2048, 256
    x, weight = random.standard_normal((rows, 1), dtype=np.float32), random.random((VOCAB, 1), dtype=np.float32)
    targets = random.integers(0, VOCAB, rows).astype(np.int32)
    losses, logits = np.empty(rows, np.float32), np.empty((slice_rows, VOCAB), np.float32)

    def check():
        wide = x[-3:].astype(np.float64) @ weight.T
        expected = special.logsumexp(wide, axis=1) - wide[np.arange(3), targets[-3:]]
        np.testing.assert_allclose(losses[-3:], expected, rtol=1e-5)

    def run():
        _kernels.lm_loss(losses, None, None, None, x, weight, None, targets, logits, 1.0, threads)

    return run, 2 * 4 * rows * VOCAB, check


def adamw(random, threads):
    weight, grad, m, v = (np.full(N, value, np.float32) for value in (1.0, 0.5, 0.0, 0.0))

    def run():
        ops.adamw(weight, grad, m, v, 1, lr=0.1, weight_decay=0.0, n_threads=threads)

    def check():  # the first update of Adam is lr against the gradient's sign, and the gradient is used up
        np.testing.assert_allclose(weight[[0, -1]], 0.9, rtol=1e-5)
        assert not grad.any()

    return run, 8 * weight.nbytes, check  # all four read and written


def adamw_int8(random, threads):
    weight, grad, m, v = (np.full(N, value, kind) for value, kind in ((1, "f4"), (0.5, "f4"), (0, "i1"), (0, "u1")))
    units = [np.zeros(_kernels.moment_blocks(N, N), np.float32) for _ in range(2)]

    def run():  # update number 1; see AdamWState.update
        numbers = (N, 0.1, 0.9, 0.95, 1e-8, 0.0, 0.1, 0.05, 1.0)
        _kernels.adamw_int8(weight, None, grad, m, v, *units, *numbers, 7, 1, threads)

    def check():
        np.testing.assert_allclose(weight[[0, -1]], 0.9, rtol=1e-5)
        assert not grad.any() and m[0] == 127 and v[0] == 255

    return run, 2 * (weight.nbytes + grad.nbytes + m.nbytes + v.nbytes), check


def dropout(random, threads):
    x, y = np.ones((ROWS, COLUMNS), np.float32), np.empty((ROWS, COLUMNS), np.float32)

    def check():
        assert abs((y == 0).mean() - 0.1) < 1e-3
        np.testing.assert_allclose(y[y != 0], 1 / 0.9, rtol=1e-6)

    return lambda: _kernels.dropout_forward(y, x, None, 0.1, 7, 1, threads), 2 * x.nbytes, check


def embedding(random, threads):
    table, out = random.random((VOCAB, COLUMNS), dtype=np.float32), np.empty((ROWS, COLUMNS), np.float32)
    tokens = random.integers(0, VOCAB, ROWS).astype(np.int32)

    def check():
        np.testing.assert_array_equal(out, table[tokens])

    return lambda: _kernels.embedding_forward(out, tokens, table, None, None, threads), 2 * out.nbytes, check


KERNELS = {
    kernel.__name__: kernel for kernel in (layer_norm, gelu, softmax_loss, adamw, adamw_int8, dropout, embedding)
}


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_bandwidth(benchmark, copy_gigabytes, isa, kernel):
    """_kernels rather than rgz.ops: into arrays that exist, as in training, so that no page is touched anew."""
    name = kernel.__name__
    run, moved, check = kernel(np.random.default_rng(0), info()["n_threads"])
    run()
    check()
    benchmark.group = name
    benchmark.pedantic(run, rounds=7, warmup_rounds=1)
    if benchmark.disabled:  # --benchmark-disable only checks
        return
    rate = moved / benchmark.stats.stats.median / 1e9
    benchmark.extra_info.update(
        bytes=moved, gigabytes_per_second=rate, copy_gigabytes_per_second=copy_gigabytes,
        share_of_copy=rate / copy_gigabytes,
    )  # fmt: skip
    record(benchmark, name, "rgz", rate, share_of={"copy": copy_gigabytes}, variant=isa)
