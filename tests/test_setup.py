"""setup.py on machines that are not at hand: what it would ask of the compilers of macOS, Windows and Android."""

import importlib.util
import platform
import sys
import sysconfig
from pathlib import Path

import pytest

pytest.importorskip("setuptools.command.build_ext", reason="comes with the extra 'dev'")
FILE = Path(__file__).parents[1] / "setup.py"


@pytest.fixture
def load(monkeypatch):
    """setup.py as it sees itself on a system: sys.platform, os.name, the machine's name."""

    def as_on(system: str, os_name: str, machine: str, **environment: str):
        monkeypatch.setattr(sys, "platform", system)
        monkeypatch.setattr(platform, "machine", lambda: machine)
        for name in ("ARCHFLAGS", "LIBOMP_PREFIX", "_PYTHON_HOST_PLATFORM"):
            monkeypatch.setenv(name, "")  # so that what setup.py sets is taken back
            monkeypatch.delenv(name)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        module = importlib.util.module_from_spec(importlib.util.spec_from_file_location("rgz_setup", FILE))
        module.__spec__.loader.exec_module(module)
        monkeypatch.setattr(module.os, "name", os_name)
        return module

    return as_on


@pytest.mark.parametrize("system", ["android", "linux"])  # sys.platform from Python 3.13 on, and before
def test_android_links_openmp_into_the_module_and_has_no_abi3(load, monkeypatch, system):
    monkeypatch.setattr(sys, "getandroidapilevel", lambda: 24, raising=False)
    setup = load(system, "posix", "aarch64")
    assert setup.openmp_flags() == [(["-fopenmp"], ["-fopenmp", "-static-openmp"])]
    assert not setup.ABI3
    assert setup.target_machine("linux-aarch64") in setup.ISAS["neon"][0]


def test_linux_has_abi3_and_the_systems_openmp(load, monkeypatch):
    monkeypatch.delattr(sys, "getandroidapilevel", raising=False)
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: {"Py_GIL_DISABLED": 0}.get(name))
    setup = load("linux", "posix", "x86_64")
    assert setup.ABI3
    assert setup.openmp_flags() == [(["-fopenmp"], ["-fopenmp"])]


def test_free_threaded_builds_have_no_abi3(load, monkeypatch):
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: {"Py_GIL_DISABLED": 1}.get(name))
    assert not load("linux", "posix", "x86_64").ABI3


@pytest.mark.parametrize("plat_name, machine, isa", [("win-amd64", "amd64", "avx2"), ("win-arm64", "arm64", "neon")])
def test_windows_is_built_for_the_platform_asked_for_not_the_machine_that_builds(load, plat_name, machine, isa):
    setup = load("win32", "nt", "AMD64")
    assert setup.target_machine(plat_name) == machine and machine in setup.ISAS[isa][0]
    assert setup.openmp_flags() == [(["/openmp"], [])]
    assert all(flag.startswith("/arch:") for _, _, flags in setup.ISAS.values() for flag in flags or ())


def test_macos_finds_libomp_where_it_is_said_to_be(load, tmp_path):
    (tmp_path / "include").mkdir()
    (tmp_path / "include/omp.h").touch()
    setup = load("darwin", "posix", "arm64", LIBOMP_PREFIX=str(tmp_path))
    compile_flags, link_flags = setup.openmp_flags()[0]
    assert compile_flags == ["-Xpreprocessor", "-fopenmp", f"-I{tmp_path}/include"]
    assert link_flags == [f"-L{tmp_path}/lib", "-lomp", f"-Wl,-rpath,{tmp_path}/lib"]


def test_macos_cross_compiles_for_the_architecture_of_archflags(load):
    setup = load("darwin", "posix", "arm64", ARCHFLAGS="-arch x86_64")
    assert setup.target_machine("macosx-11.0-arm64") == "x86_64"


def test_a_universal2_python_builds_for_its_own_machine_and_two_at_once_are_refused(load, monkeypatch):
    monkeypatch.setattr(sysconfig, "get_platform", lambda: "macosx-11.0-universal2")
    setup = load("darwin", "posix", "arm64")
    setup.one_architecture()
    assert setup.os.environ["ARCHFLAGS"] == "-arch arm64"
    assert setup.os.environ["_PYTHON_HOST_PLATFORM"] == "macosx-11.0-arm64"
    assert setup.target_machine("macosx-11.0-universal2") == "arm64"
    monkeypatch.setenv("ARCHFLAGS", "-arch arm64 -arch x86_64")
    with pytest.raises(RuntimeError, match="one architecture at a time"):
        setup.target_machine("macosx-11.0-universal2")
