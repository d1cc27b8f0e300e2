"""What rgz costs before it does anything: seconds to import, megabytes to download and to install.

pytest benches/test_start.py --benchmark-columns=median,rounds
"""

import importlib.metadata
import io
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from findings import record

import rgz

IMPORTS = {  # statement: the rival, and the findings it belongs to; what rgz has is loaded at its first use
    "import rgz": ("rgz", ["import"]),
    "import rgz; rgz.Model, rgz.Trainer, rgz.TrainStep, rgz.load_dataset": ("rgz", ["import ready"]),
    "import scipy.linalg": ("scipy.linalg", ["import", "import ready"]),
    "import torch": ("torch", ["import", "import ready"]),
}
PROGRAM = "import time; start = time.perf_counter(); {}; print(time.perf_counter() - start)"


def seconds_to(statement):
    """In a fresh process, without the interpreter's own start; -P: the installed package, not the folder we are in."""
    child = subprocess.run([sys.executable, "-P", "-c", PROGRAM.format(statement)], capture_output=True, text=True)
    assert not child.returncode, child.stderr
    return float(child.stdout)


@pytest.mark.parametrize("statement", IMPORTS)
def test_import(benchmark, needs, statement):
    rival, findings = IMPORTS[statement]
    needs(rival)
    seconds = []
    benchmark.group = "import"
    rounds = 5 if rival == "torch" else 15
    benchmark.pedantic(lambda: seconds.append(seconds_to(statement)), rounds=rounds, warmup_rounds=1)
    assert all(each > 0 for each in seconds)
    milliseconds = 1e3 * float(np.median(seconds[-rounds:]))
    benchmark.extra_info.update(statement=statement, milliseconds=milliseconds)
    for finding in findings:
        record(benchmark, finding, rival, milliseconds)


def files_of(name):
    """The files of an installed distribution that its wheel brought; of rgz also where it is installed editable."""
    if name == "rgz":
        files = Path(rgz.__file__).parent.rglob("*")
    else:
        distribution = importlib.metadata.distribution(name)
        files = (Path(str(distribution.locate_file(file))) for file in distribution.files or ())
    shipped = {".py", ".pyi", ".so", ".pyd", ".json", ".jsonl", ".typed"} if name == "rgz" else None
    return [
        path
        for path in files
        if path.is_file() and "__pycache__" not in path.parts and (shipped is None or path.suffix in shipped)
    ]


def with_dependencies(name, found=None):
    """Names of a distribution and of all that it needs here, extras aside."""
    from packaging.requirements import Requirement

    found = set() if found is None else found
    name = re.sub(r"[-_.]+", "-", name).lower()
    if name not in found:
        found.add(name)
        for line in importlib.metadata.requires(name) or ():
            need = Requirement(line)
            if need.marker is None or need.marker.evaluate({"extra": ""}):
                with_dependencies(need.name, found)
    return found


def megabytes(names):
    return sum(path.stat().st_size for name in names for path in files_of(name)) / 1e6


@pytest.mark.parametrize("rival", ["rgz", "torch"])
def test_installed_size(benchmark, needs, rival):
    needs(rival)
    names = with_dependencies(rival)
    assert {"rgz": "scipy", "torch": "sympy"}[rival] in names
    alone = benchmark.pedantic(megabytes, ([rival],), rounds=1)
    whole = megabytes(names)
    assert 0 < alone < whole
    benchmark.extra_info.update(installed_mb=alone, installed_mb_with_dependencies=whole, distributions=sorted(names))
    record(benchmark, "installed", rival, alone)
    record(benchmark, "installed whole", rival, whole)


def test_wheel_size(benchmark):
    """The package's files packed as a wheel packs them: deflated in a zip file."""
    folder = Path(rgz.__file__).parent

    def pack():
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as wheel:
            for path in files_of("rgz"):
                wheel.write(path, path.relative_to(folder.parent))
        return packed

    packed = benchmark.pedantic(pack, rounds=1)
    names = zipfile.ZipFile(packed).namelist()
    assert "rgz/__init__.py" in names and any(name.endswith((".so", ".pyd")) for name in names)
    size = packed.getbuffer().nbytes / 1e6
    benchmark.extra_info.update(wheel_mb=size)
    record(benchmark, "wheel", "rgz", size)
