"""`rgz bench`: what this machine can do, and one line to post."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

import rgz.ops as ops
from rgz import __version__, cpu
from rgz.cli.command import Command
from rgz.cli.console import counted, result, say
from rgz.cli.layout import table
from rgz.config import ModelConfig
from rgz.generate.model import Model
from rgz.messages import tr

_SECONDS = 1.5  # of each measurement
_SIDE = 1024  # of the square matrices
_BATCH, _LENGTH = 16, 128
# 4.7 M parameters in GPT-2's shape: the size at which one machine can be told from another in seconds.
_SHAPE: dict[str, Any] = {
    "vocab_size": 12_000,
    "hidden_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
    "max_position_embeddings": 256,
    "dropout": 0.0,
}


def build() -> Command:
    return Command(
        "bench",
        callback=bench,
        help=tr("Takes less than a minute. Close other programs first; the last line is the one to post."),
        examples=("rgz bench", "RGZ_NUM_THREADS=4 rgz bench"),
    )


def best_seconds(work: Callable[[], object]) -> float:
    """The fastest of the calls that fit into _SECONDS; the first, which touches the memory, is not timed."""
    work()
    best = float("inf")
    end = time.perf_counter() + _SECONDS
    rounds = 0
    while rounds < 2 or time.perf_counter() < end:
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
        rounds += 1
    return best


def bench() -> None:
    machine = cpu.info()
    n = int(machine["n_threads"])
    rows = [(tr("machine"), f"{machine['cpu']}, {machine['isa']}, BLAS: {machine['blas']}")]
    say(tr("measuring..."))
    with _show(rows, tr("sgemm"), "GFLOP/s") as note:
        peaks = sgemm_peaks(n)
        for name, value in peaks.items():
            note(name, f"{value:.1f}")
        peak = max(peaks.values())
    with _show(rows, tr("attention"), "GFLOP/s") as note:
        forward, backward = attention(n)
        note(tr("forward"), f"{forward:.1f}")
        note(tr("backward"), f"{backward:.1f}")
    model = Model(ModelConfig.preset("gpt2", **_SHAPE))
    with _show(rows, tr("training step"), "") as note:
        tokens, flops = training(model, n)
        note(
            "",
            f"{tokens:,.0f} tokens/s, {flops / 1e9:.1f} GFLOP/s, "
            + tr("{share} of the sgemm peak", share=f"{flops / 1e9 / peak:.0%}"),
        )
    with _show(rows, tr("generation"), "") as note:
        writing = generation(model, n)
        note("", f"{writing:,.0f} tokens/s")
    for line in table(rows):
        result(line)
    result("")
    result(
        line_to_post(
            machine,
            parameters=model.num_parameters(),
            peak=peak,
            tokens=tokens,
            share=flops / 1e9 / peak,
            writing=writing,
        )
    )


def line_to_post(
    machine: Mapping[str, Any], *, parameters: int, peak: float, tokens: float, share: float, writing: float
) -> str:
    """One line for others to read: what ran on what, always in this order and in English. peak: GFLOP/s of sgemm;
    tokens, writing: tokens a second of training and of generation; share: of the peak that training reaches."""
    name = " ".join(str(machine["cpu"]).replace("|", "/").split())
    return " | ".join(
        (
            f"rgz {__version__}",
            name,
            f"{machine['isa']}, {machine['n_threads']} threads",
            f"sgemm {peak:.0f} GFLOP/s",
            f"train {counted(parameters)}: {tokens:,.0f} tokens/s ({share:.0%} of sgemm)",
            f"generate {writing:,.0f} tokens/s",
        )
    )


@contextlib.contextmanager
def _show(rows: list[tuple[str, str]], title: str, unit: str) -> Iterator[Callable[[str, str], None]]:
    """Collect what one measurement notes into a row."""
    found: list[str] = []
    yield lambda name, value: found.append(f"{name} {value}".strip())
    rows.append((title, (", ".join(found) + f" {unit}").strip()))


def sgemm_peaks(n_threads: int) -> dict[str, float]:
    """GFLOP/s of square products: rgz's own team, and SciPy's BLAS by itself; on one thread and on all."""
    random = np.random.default_rng(0)
    a, b = (random.standard_normal((_SIDE, _SIDE), dtype=np.float32) for _ in range(2))
    flops = 2 * _SIDE**3 / 1e9
    peaks = {}
    for threads in sorted({1, n_threads}):
        product = functools.partial(ops.matmul, a, b, n_threads=threads)
        peaks[f"rgz x{threads}"] = flops / best_seconds(product)
    try:
        from scipy.linalg.blas import sgemm
    except ImportError:
        return peaks
    from threadpoolctl import threadpool_limits

    for threads in sorted({1, n_threads}):
        with threadpool_limits(threads):
            peaks[f"SciPy x{threads}"] = flops / best_seconds(lambda: sgemm(1.0, a.T, b.T))
    return peaks


def attention(n_threads: int) -> tuple[float, float]:
    """GFLOP/s of causal attention, 4 sequences of 512 tokens, 8 heads of 64: forward, backward."""
    random = np.random.default_rng(0)
    sequences, length, heads, size = 4, 512, 8, 64
    q, k, v, d_out = (random.standard_normal((sequences * length, heads, size), dtype=np.float32) for _ in range(4))
    boundaries = np.arange(0, sequences * length + 1, length, dtype=np.int32)
    out, lse = ops.flash_attention(q, k, v, boundaries, n_threads=n_threads)
    product = sequences * heads * length * (length + 1) * size / 1e9  # one product of the lower triangle
    forward = best_seconds(lambda: ops.flash_attention(q, k, v, boundaries, n_threads=n_threads))
    backward = best_seconds(
        lambda: ops.flash_attention_backward(d_out, q, k, v, out, lse, boundaries, n_threads=n_threads)
    )
    return 2 * product / forward, 5 * product / backward


def training(model: Model, n_threads: int) -> tuple[float, float]:
    """Tokens and useful floating-point operations a second of whole updates."""
    from rgz.train.step import TrainStep

    c = model.config
    ids = np.random.default_rng(0).integers(4, c.vocab_size, (_BATCH, _LENGTH), dtype=np.int32)
    step = TrainStep(model, n_threads=n_threads)
    rate = _BATCH * (_LENGTH - 1) / best_seconds(lambda: step(ids))
    # Kaplan et al. 2020, arXiv:2001.08361: 6 a weight of the products; causal attention's two, thrice each
    weights = 12 * c.num_hidden_layers * c.hidden_size**2 + c.vocab_size * c.hidden_size
    per_token = 6 * weights + 6 * c.num_hidden_layers * c.hidden_size * _LENGTH
    return rate, rate * per_token


def generation(model: Model, n_threads: int) -> float:
    """Tokens a second of one text, greedy, through the cache."""
    from rgz.generate.window import Window

    count = 100
    window = Window(model, [1] * 8, n_threads=n_threads)

    def write() -> None:
        for _ in range(count):
            window.push([int(window.logits[0].argmax())])

    return count / best_seconds(write)
