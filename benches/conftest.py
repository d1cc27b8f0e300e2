"""Shared by all benchmarks: where data may come from, and the sgemm rate that this run's shares are of."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--data", default=os.environ.get("RGZ_BENCH_DATA"), help="folder of real text (RGZ_BENCH_DATA)")


@pytest.fixture(scope="session")
def data_folder(request: pytest.FixtureRequest) -> Path:
    folder = request.config.getoption("--data")
    if not folder:
        pytest.skip("no text given: --data FOLDER or RGZ_BENCH_DATA")
    return Path(folder)


@pytest.fixture(scope="session")
def sgemm_gflops() -> float:
    """The better of NumPy's and rgz's product of 2048 x 2048 matrices in this run, all threads: the ceiling of
    everything else here."""
    import rgz

    a = np.random.default_rng(0).random((2048, 2048), dtype=np.float32)
    rates = []
    for product in (np.matmul, rgz.ops.matmul):
        product(a, a)
        times = []
        for _ in range(7):
            start = time.perf_counter()
            product(a, a)
            times.append(time.perf_counter() - start)
        rates.append(2 * 2048**3 / float(np.median(times)) / 1e9)
    return max(rates)
