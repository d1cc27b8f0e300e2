"""`python -m benches.NAME` in a checkout whose extension is not built, beside an rgz that is installed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import rgz

BENCHES = Path(__file__).parent


@pytest.fixture
def checkout(tmp_path):
    """python(*arguments) in a folder with benches and an rgz that cannot be imported, as after `pip install .`."""
    for name in ("checkout", "installed", "checkout/rgz", "checkout/rustgpt-chinese"):
        (tmp_path / name).mkdir()
    shutil.copytree(BENCHES, tmp_path / "checkout/benches", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "checkout/rgz/__init__.py").write_text("raise ImportError('not built')\n")
    (tmp_path / "installed/rgz").symlink_to(Path(rgz.__file__).parent, target_is_directory=True)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    environment["PYTHONPATH"] = str(tmp_path / "installed")

    def python(*arguments):
        folder = tmp_path / "checkout"
        return subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True)

    assert "not built" in python("-c", "import rgz").stderr
    return python


@pytest.mark.parametrize("name", ["tiles", "guide", "recipe", "report"])
def test_programs_start(checkout, name):
    found = checkout("-m", f"benches.{name}", "--help")
    assert found.returncode == 0 and "usage: " in found.stdout, found.stderr


@pytest.mark.parametrize("name", ["guide", "recipe"])
def test_results_name_the_version_that_is_installed(checkout, name, tmp_path):
    """After the first run has taken its minutes."""
    program = (
        f"import sys; from benches import {name}, guide; guide.in_a_process = lambda *_: dict(seconds=[1.0])\n"
        f"sys.argv = ['x', '--data', '.', '--json', 'r.json', '--limit', '1', '--seeds', '0']; {name}.main()"
    )
    found = checkout("-c", program)
    assert f'"version": "{rgz.__version__}"' in (tmp_path / "checkout/r.json").read_text(), found.stderr
