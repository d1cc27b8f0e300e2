"""Shared by all benchmarks: where data may come from, and the sgemm rate that this run's shares are of."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from findings import median_seconds


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--data", default=os.environ.get("RGZ_BENCH_DATA"), help="folder of real text (RGZ_BENCH_DATA)")


@pytest.fixture(scope="session")
def data_folder(request: pytest.FixtureRequest) -> Path:
    folder = request.config.getoption("--data")
    if not folder:
        pytest.skip("no text given: --data FOLDER or RGZ_BENCH_DATA")
    return Path(folder)


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, object]) -> None:
    """What the report says of the machine."""
    import rgz

    info = rgz.info()
    machine_info["rgz"] = {key: info[key] for key in ("cpu", "isa", "n_threads", "blas")}
    machine_info["rgz"]["version"] = rgz.__version__
    for rival in ("torch", "numpy", "scipy"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            machine_info["rgz"][rival] = importlib.metadata.version(rival)


@pytest.fixture(scope="session")
def needs() -> Callable[[str], None]:
    """needs("torch.compile") skips the benchmark where that rival is not installed."""

    def needs(rival: str) -> None:
        if rival.startswith("torch"):
            pytest.importorskip("torch", reason="the rival is in the bench extra: pip install 'rgz[bench]'")

    return needs


@pytest.fixture
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every instruction set that this machine can run, in turn: see pytest_generate_tests."""
    from rgz import _kernels

    before = _kernels.active_isa()
    _kernels.select_isa(request.param)
    yield request.param
    _kernels.select_isa(before)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "isa" in metafunc.fixturenames:
        from rgz import _kernels

        usable = [name for name, _, usable in _kernels.isas() if usable]
        metafunc.parametrize("isa", usable, indirect=True)


@pytest.fixture
def torch_threads(needs: Callable[[str], None]) -> Iterator[Callable[[int], None]]:
    """torch.set_num_threads, undone afterwards."""
    needs("torch")
    import torch

    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def copy_gigabytes() -> float:
    """GB/s, read and written, of NumPy's copy of 128 MiB on one thread, and of one such copy a thread at once if that
    is more: the ceiling of what only moves memory."""
    import rgz

    threads = rgz.info()["n_threads"]
    source = np.ones(2**25, np.float32)
    target = np.empty_like(source)
    parts = list(zip(np.array_split(target, threads), np.array_split(source, threads), strict=True))
    with ThreadPoolExecutor(threads) as team:
        together = median_seconds(lambda: list(team.map(lambda part: np.copyto(*part), parts)), rounds=7)
    alone = median_seconds(lambda: np.copyto(target, source), rounds=7)
    return 2 * source.nbytes / min(alone, together) / 1e9


@pytest.fixture(scope="session")
def sgemm_gflops() -> float:
    """The better of NumPy's and rgz's product of 2048 x 2048 matrices in this run, all threads, on cores that are
    awake: the ceiling of everything else here, so the fastest round counts."""
    import rgz

    a = np.random.default_rng(0).random((2048, 2048), dtype=np.float32)
    seconds = []
    for multiply in (np.matmul, rgz.ops.matmul):
        began = time.perf_counter()
        while time.perf_counter() < began + 1.0:
            start = time.perf_counter()
            multiply(a, a)
            seconds.append(time.perf_counter() - start)
    return 2 * 2048**3 / min(seconds) / 1e9
