"""Where private caches belong."""

import os
import stat

import pytest

from rgz.files import cache_folder, private_cache_folder

posix = pytest.mark.skipif(os.name == "nt", reason="modes and owners are POSIX's")


@posix
def test_an_existing_cache_folder_is_made_private(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "rgz").mkdir(mode=0o777)
    (tmp_path / "rgz").chmod(0o777)
    assert private_cache_folder() == tmp_path / "rgz"
    assert stat.S_IMODE((tmp_path / "rgz").stat().st_mode) == 0o700


@posix
def test_a_cache_folder_of_somebody_else_is_not_used(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert private_cache_folder() is None


@posix
def test_a_cache_folder_that_is_a_link_is_not_used(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "rgz").symlink_to(tmp_path / "elsewhere")
    assert private_cache_folder() is None


def test_a_relative_cache_home_is_ignored_as_the_xdg_standard_demands(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder().is_absolute()
