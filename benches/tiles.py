"""How large the pieces should be that kernels work on: the constants of csrc/sizes.h, varied one at a time.

python -m benches.tiles [--rounds 7]

Compiles linear.c and attention.c anew for each value, for this CPU, checks the result against NumPy and prints the
rates, best of the rounds, each variant's turn in every round, the value that rgz has marked with *. Needs a compiler
that takes gcc's flags. A constant stays as it is until another value is clearly better here, on more than one machine.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

CSRC = Path(__file__).resolve().parents[1] / "csrc"
if sys.path and Path(sys.path[0]).resolve() == CSRC.parent:
    sys.path.append(sys.path.pop(0))  # as in setting.py: the rgz of the checkout may not be built

import rgz  # noqa: E402
from benches.awake import wake  # noqa: E402
from rgz import _kernels  # noqa: E402
from rgz.memory import aligned_zeros  # noqa: E402

PRODUCTS = [(2048, 256, 1024), (2048, 1024, 256), (1024, 512, 2048), (512, 768, 3072), (256, 768, 50257)]  # m, k, n
FEW_ROWS = [(1, 256, 9620), (1, 512, 1536), (1, 768, 50257), (4, 256, 9620)]
ATTENTION = [(16, 8, 128, 32), (8, 8, 512, 64), (1, 8, 4096, 64)]  # batch, heads, time, head size
CONSTANTS = {  # name: values, the first of which is that of csrc/sizes.h
    "RGZ_GEMM_DEPTH": (256, 128, 384, 512),
    "RGZ_GEMM_DEEPEST": (384, 256, 512),
    "RGZ_GEMM_PANELS": (16, 8, 24, 32),
    "RGZ_GEMM_STRIPS": (8, 4, 16),
    "RGZ_GEMM_PANELS_ACROSS": (24, 16, 32),
    "RGZ_GEMM_STRIPS_ACROSS": (16, 8, 24),
    "RGZ_TILES_EACH": (2, 1, 3, 4),
    "RGZ_WEIGHT_AHEAD": (2048, 0, 1024, 4096, 8192),
    "RGZ_ATTENTION_BLOCK": (96, 48, 144, 192),
    "RGZ_ATTENTION_GROUP": (3, 1, 2, 4),
}
GENERATOR = np.random.default_rng(0)
INTEGER, POINTER = ctypes.c_ssize_t, ctypes.c_void_p
Work = tuple[float, Callable[[ctypes.CDLL], None], Callable[[], None]]  # flops, a call, the check of its result


def build(folder: Path, isa: str, name: str, value: int) -> ctypes.CDLL:
    """The kernels with one constant set, as a library of their own."""
    library = folder / f"{name}_{value}.so"
    common = [
        "-O3",
        "-std=gnu11",
        "-fPIC",
        "-fopenmp",
        f"-I{CSRC}",
        f"-D{name}={value}",
        "-DRGZ_PRODUCT_SCRATCH=2097152",
    ]
    kernels = [
        "-ffp-contract=off", f"-DRGZ_ISA={isa}", f'-DRGZ_VEC_HEADER="simd/vec_{isa}.h"', "-DRGZ_STORAGE=0",
        "-DRGZ_STORAGE_NAME=f32",
    ]  # fmt: skip
    if platform.machine() in ("x86_64", "AMD64"):
        kernels.append("-march=native")
    compiler = shlex.split(os.environ.get("CC", "cc"))
    objects = []
    for flags, sources in ((kernels, ("kernels/linear.c", "kernels/attention.c")), ([], ("scratch.c", "sgemm.c"))):
        for source in sources:
            objects.append(str(folder / f"{name}_{value}_{Path(source).stem}.o"))
            subprocess.run([*compiler, *common, *flags, "-c", str(CSRC / source), "-o", objects[-1]], check=True)
    subprocess.run([*compiler, "-shared", "-fopenmp", *objects, "-o", str(library), "-lm"], check=True)
    return ctypes.CDLL(str(library))


def random(*shape: int) -> np.ndarray:
    array = aligned_zeros(int(np.prod(shape))).reshape(shape)
    array[:] = GENERATOR.standard_normal(shape, np.float32)
    return array


def pointer(array: np.ndarray) -> ctypes.c_void_p:
    return POINTER(array.ctypes.data)


def product(shape: tuple[int, ...], isa: str, threads: int) -> Work:
    """y (m, n) = x (m, k) weight (n, k)^T."""
    m, k, n = shape
    x, weight, y = random(m, k), random(n, k), random(m, n)
    expected = x[:2].astype(np.float64) @ weight.T.astype(np.float64)

    def run(library: ctypes.CDLL) -> None:
        kernel = library[f"linear_forward_f32_{isa}"]
        kernel.restype = None
        sizes = INTEGER(m), INTEGER(k), INTEGER(n)
        kernel(pointer(y), pointer(x), pointer(weight), None, None, *sizes, ctypes.c_int(threads))

    return 2 * m * k * n, run, lambda: np.testing.assert_allclose(y[:2], expected, atol=1e-3)


def weight_gradient(shape: tuple[int, ...], isa: str, threads: int) -> Work:
    """dweight (n, k) += dy (m, n)^T x (m, k), from 0: k runs across the rows of both."""
    m, k, n = shape
    x, dy, dweight = random(m, k), random(m, n), aligned_zeros(n * k).reshape(n, k)
    expected = dy[:, :2].astype(np.float64).T @ x.astype(np.float64)

    def run(library: ctypes.CDLL) -> None:
        kernel = library[f"linear_backward_f32_{isa}"]
        kernel.restype = None
        dweight[:2] = 0.0
        sizes = INTEGER(m), INTEGER(k), INTEGER(n)
        kernel(None, pointer(dweight), None, pointer(dy), pointer(x), None, *sizes, ctypes.c_int(threads))

    return 2 * m * k * n, run, lambda: np.testing.assert_allclose(dweight[:2], expected, atol=1e-3)


def attention(shape: tuple[int, ...], isa: str, threads: int) -> Work:
    """Causal attention, forward."""
    batch, heads, length, size = shape
    rows, width = batch * length, heads * size
    q, k, v, out = (random(rows, width) for _ in range(4))
    lse = random(rows, heads)
    ends = np.arange(0, rows + 1, length, dtype=np.int32)
    scratch = aligned_zeros(threads << 20)
    head = slice(0, size)
    scores = k[:length, head].astype(np.float64) @ q[length - 1, head] / size**0.5
    p = np.exp(scores - scores.max())
    expected = p / p.sum() @ v[:length, head]

    def run(library: ctypes.CDLL) -> None:
        kernel = library[f"attention_forward_f32_{isa}"]
        kernel.restype = None
        arrays = [pointer(array) for array in (out, lse, q, k, v, ends, scratch)]
        sizes = [INTEGER(n) for n in (batch, width, width, width, width, heads, heads, size)]
        kernel(*arrays, *sizes, ctypes.c_float(size**-0.5), ctypes.c_int(1), ctypes.c_int(threads))

    return (
        2 * batch * heads * length**2 * size,
        run,
        lambda: np.testing.assert_allclose(out[length - 1, head], expected, atol=1e-4),
    )


def best_seconds(
    libraries: dict[int, ctypes.CDLL], run: Callable[[ctypes.CDLL], None], check: Callable[[], None], rounds: int
) -> dict[int, float]:
    """The fastest call of each library, in turns."""
    for library in libraries.values():
        run(library)
        check()
    wake(lambda: [run(library) for library in libraries.values()])
    best = dict.fromkeys(libraries, float("inf"))
    for _ in range(rounds):
        for value, library in libraries.items():
            start = time.perf_counter()
            run(library)
            best[value] = min(best[value], time.perf_counter() - start)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    isa, threads = _kernels.active_isa(), rgz.info()["n_threads"]
    print(f"{rgz.info()['cpu']}, {isa}, {threads} threads; GFLOP/s, best of {rounds}")
    with tempfile.TemporaryDirectory() as folder:
        for name, values in CONSTANTS.items():
            libraries = {value: build(Path(folder), isa, name, value) for value in values}
            make = attention if "ATTENTION" in name else weight_gradient if "ACROSS" in name else product
            shapes = ATTENTION if "ATTENTION" in name else FEW_ROWS if name == "RGZ_WEIGHT_AHEAD" else PRODUCTS
            print(f"\n{name:24}" + "".join(f"{value:>8}{'*' if value == values[0] else ' '}" for value in values))
            for shape in shapes:
                flops, run, check = make(shape, isa, threads)
                best = best_seconds(libraries, run, check, rounds)
                rates = "".join(f"{flops / best[value] / 1e9:8.0f} " for value in values)
                print(f"  {' x '.join(map(str, shape)):22}{rates}")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
