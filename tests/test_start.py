"""What is chosen, and what is loaded, when rgz is imported."""

import importlib.util
import json
import os
import subprocess
import sys

import pytest

HAS_SCIPY = importlib.util.find_spec("scipy") is not None
HEAVY = ("scipy", "jieba", "rich", "matplotlib", "threadpoolctl")
SHOW = f"""
import json, sys, rgz
rgz.Model, rgz.Trainer, rgz.load_dataset
loaded = [name for name in {HEAVY} if name in sys.modules]
print(json.dumps({{"loaded": loaded, "blas": rgz.info()["blas"]}}))
"""


def child(**environment):
    return subprocess.run(
        [sys.executable, "-c", SHOW],
        capture_output=True, text=True, env={**os.environ, "RGZ_LANG": "en", **environment},
    )  # fmt: skip


def start(**environment):
    ended = child(**environment)
    return ended.stderr if ended.returncode else json.loads(ended.stdout)


def test_nothing_heavy_is_loaded_before_it_is_needed():
    started = start(RGZ_BLAS="rgz")
    assert started == {"loaded": [], "blas": "rgz's own (RGZ_BLAS=rgz)"}


@pytest.mark.skipif(not HAS_SCIPY, reason="SciPy is not installed")
def test_scipys_product_can_be_asked_for():
    started = start(RGZ_BLAS="scipy")
    assert "SciPy" in started["blas"] and started["loaded"][0] == "scipy"


@pytest.mark.parametrize("isa", ["generic", "avx2"])
def test_the_faster_product_is_chosen_by_instruction_set(isa):
    started = start(RGZ_ISA=isa, RGZ_BLAS="")
    if isinstance(started, str):
        assert isa in started and "cannot run here" in started  # a machine without it says so
    else:
        assert started["blas"].startswith("rgz's own") == (isa == "avx2" or not HAS_SCIPY)


@pytest.mark.parametrize("isa, told", [("generic", 1), ("avx2", 0)])
def test_without_scipy_rgz_multiplies_itself_and_says_so_once_where_that_may_be_slower(isa, told, tmp_path):
    (tmp_path / "scipy.py").write_text("raise ImportError('no SciPy on this machine')")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])  # "" is the current folder
    ended = child(RGZ_ISA=isa, RGZ_BLAS="", PYTHONPATH=path)
    if isa in ended.stderr and "cannot run here" in ended.stderr:
        pytest.skip(f"this machine has no {isa}")
    assert json.loads(ended.stdout)["blas"].startswith("rgz's own")
    assert ended.stderr.count(f"rgz multiplies matrices itself, which may be slower on {isa}") == told
    assert ended.stderr.count("no SciPy on this machine") == told


def test_an_unknown_choice_is_refused():
    assert "RGZ_BLAS must be rgz or scipy, got mkl" in start(RGZ_BLAS="mkl")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system tells no other peak than getrusage's")
def test_the_peak_is_that_of_this_process_not_of_its_parent():
    parent = (
        "import subprocess, sys; ballast = b'x' * 400_000_000; "
        "subprocess.run([sys.executable, '-c', 'from rgz.cpu import peak_bytes; print(peak_bytes())'], check=True)"
    )
    peak = float(subprocess.run([sys.executable, "-c", parent], capture_output=True, text=True, check=True).stdout)
    assert 5e6 < peak < 3e8
