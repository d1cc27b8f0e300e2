"""The wheels that the READMEs promise are those that [tool.cibuildwheel] selects and the workflow builds."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLATFORMS = ("linux", "macos", "windows", "android")
IDENTIFIER = re.compile(r"`(cp\d+t?-(?:manylinux|musllinux|macosx|win|android)_\w+)`")


@pytest.fixture(scope="module")
def selected() -> set[str]:
    pytest.importorskip("cibuildwheel", reason="comes with the extra 'dev'")
    found: set[str] = set()
    for platform in PLATFORMS:
        command = [sys.executable, "-m", "cibuildwheel", "--platform", platform, "--print-build-identifiers", "."]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
        assert listed, platform
        found |= set(listed)
    return found


@pytest.mark.parametrize("readme", ["README.md", "README.zh.md"])
def test_the_table_of_wheels_is_what_is_built(readme, selected):
    promised = IDENTIFIER.findall((ROOT / readme).read_text(encoding="utf-8"))
    assert len(promised) == len(set(promised)), "one row for each wheel"
    assert set(promised) == selected


def test_the_workflow_builds_every_architecture_of_every_platform():
    workflow = (ROOT / ".github/workflows/wheels.yml").read_text(encoding="utf-8")
    built = {
        (platform, arch)
        for platform, archs in re.findall(r'platform: (\w+), archs: "?([\w,]*\w)', workflow)
        for arch in archs.split(",")
    }
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["cibuildwheel"]
    wanted = {(platform, arch) for platform in PLATFORMS for arch in settings[platform]["archs"]}
    assert len(wanted) == 8 and built == wanted


def test_the_workflow_uses_the_version_that_the_table_was_checked_with():
    pins = {
        version
        for file in ("pyproject.toml", ".github/workflows/wheels.yml")
        for version in re.findall(r"cibuildwheel==([\d.]+)", (ROOT / file).read_text(encoding="utf-8"))
    }
    assert len(pins) == 1


def test_the_tests_of_a_wheel_find_all_they_read(tmp_path):
    """With nothing but what test-sources copies, away from the project."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["cibuildwheel"]
    for name in settings["test-sources"]:
        source, target = ROOT / name, tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    [command] = [command for command in settings["test-command"] if command.startswith("pytest ")]
    collected = subprocess.run(
        [sys.executable, "-P", "-m", *command.split(), "--collect-only"], cwd=tmp_path, capture_output=True, text=True
    )
    assert collected.returncode == 0, collected.stdout[-2000:]
