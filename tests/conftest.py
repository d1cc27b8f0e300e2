"""Fixtures shared by all tests."""

from collections.abc import Iterator

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from rgz import _kernels

USABLE_ISAS = [name for name, _, usable in _kernels.isas() if usable]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240607)


@pytest.fixture(params=USABLE_ISAS)
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every instruction set that this machine can run, in turn."""
    before = _kernels.active_isa()
    _kernels.select_isa(request.param)
    yield request.param
    _kernels.select_isa(before)


@pytest.fixture(params=["scipy_sgemm", "own_sgemm"])
def sgemm(request: pytest.FixtureRequest) -> Iterator[str]:
    """The borrowed sgemm, held to one thread, and rgz's own."""
    from scipy.linalg import cython_blas

    capsule = cython_blas.__pyx_capi__["sgemm"]
    _kernels.set_sgemm(capsule if request.param == "scipy_sgemm" else None)
    with threadpool_limits(limits=1, user_api="blas"):
        yield request.param
    _kernels.set_sgemm(capsule)
