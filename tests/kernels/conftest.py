"""Fixtures of the kernels' tests: which product the kernels use, and one thread for every BLAS."""

from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_limits

from rgz import _kernels

try:
    from scipy.linalg import cython_blas

    SCIPY_SGEMM = cython_blas.__pyx_capi__["sgemm"]
except ImportError:
    SCIPY_SGEMM = None


@pytest.fixture(autouse=True, scope="module")
def one_blas_thread() -> Iterator[None]:
    """The kernels call the borrowed sgemm from inside their own team, and the oracles are small."""
    with threadpool_limits(limits=1, user_api="blas"):
        yield


@pytest.fixture(params=["scipy_sgemm", "own_sgemm"] if SCIPY_SGEMM else ["own_sgemm"])
def sgemm(request: pytest.FixtureRequest) -> Iterator[str]:
    """The borrowed sgemm, where SciPy is installed, and rgz's own."""
    _kernels.set_sgemm(SCIPY_SGEMM if request.param == "scipy_sgemm" else None)
    yield request.param
    _kernels.set_sgemm(SCIPY_SGEMM)
