"""Fixtures shared by all tests."""

import importlib.util
import os
from collections.abc import Iterator

import numpy as np
import pytest

from rgz import _kernels

# Programs started by tests must find the installed package, not the source folder that they are started in.
os.environ["PYTHONSAFEPATH"] = "1"
# What is said is compared in English, wherever the tests are run; those of Chinese say so.
os.environ["RGZ_LANG"] = "en"

if importlib.util.find_spec("hypothesis"):  # where only the kernels are tested there is none
    from hypothesis import settings

    # How long an example takes depends on what else the machine does.
    settings.register_profile("any time", deadline=None)
    settings.load_profile("any time")

USABLE_ISAS = [name for name, _, usable in _kernels.isas() if usable]


@pytest.fixture(scope="session", autouse=True)
def own_cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests leave nothing in the caches of who runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


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
