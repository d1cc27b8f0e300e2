"""Where private caches belong, and what is no file to read."""

import os
import stat
from pathlib import Path

import pytest

import rgz
from rgz.augment.synonyms import load_table
from rgz.cli.flags import read_config
from rgz.errors import RgzError
from rgz.files import (
    cache_folder,
    drop_oldest,
    make_cache_folder,
    open_regular,
    private_cache_folder,
    read_json,
    sha256_of,
)
from rgz.text.user_words import read_user_dictionary

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
    monkeypatch.setenv("RGZ_LANG", "en")
    with pytest.raises(OSError, match="it is a link, or belongs to somebody else") as caught:
        make_cache_folder()
    assert caught.value.filename == str(tmp_path / "rgz")


def test_a_relative_cache_home_is_ignored_as_the_xdg_standard_demands(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder().is_absolute()


def test_files_aside_of_killed_processes_are_removed_in_time(tmp_path):
    names = (".a.trie.1-ff.tmp", ".b.trie.2-ff.tmp", ".a.1.tmp", "a.trie.1.tmp")
    for name in names:
        (tmp_path / name).touch()
        if name != ".b.trie.2-ff.tmp":
            os.utime(tmp_path / name, (1, 1))
    assert drop_oldest(tmp_path, "*.trie", 10, keep=tmp_path / "x") == 0
    assert {path.name for path in tmp_path.iterdir()} == set(names[1:])


def test_the_least_recently_used_of_its_own_files_go_until_the_rest_fits(tmp_path):
    for age, name in enumerate(("words-b.trie", "words-a.trie", "words-c.trie", "words-d.trie", "other.trie")):
        (tmp_path / name).write_bytes(b"x" * 100)
        os.utime(tmp_path / name, (age, age))
    assert drop_oldest(tmp_path, "words-*.trie", 250, keep=tmp_path / "words-a.trie") == 2
    assert {path.name for path in tmp_path.iterdir()} == {"words-a.trie", "words-d.trie", "other.trie"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes and devices in the file system are of POSIX")
def test_what_may_never_end_is_refused_where_a_file_is_wanted(tmp_path):
    """A pipe would be waited for, /dev/zero read until memory is full."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        for read in (open_regular, read_json, sha256_of):
            with pytest.raises(OSError, match="no regular file"):
                read(path)
        with pytest.raises(RgzError, match=r"cannot read .*: it is no regular file"):
            rgz.text.load_tokenizer(path)
        folder = tmp_path / f"model of {Path(path).name}"
        folder.mkdir()
        (folder / "config.json").symlink_to(path)
        with pytest.raises(RgzError, match="it is no regular file"):
            rgz.Model.from_pretrained(folder)
        texts = tmp_path / f"texts of {Path(path).name}"
        texts.mkdir()
        (texts / "a.txt").symlink_to(path)
        with pytest.raises(RgzError, match=r"a\.txt: it is no regular file"):
            rgz.load_dataset(texts)
        for read in (read_user_dictionary, load_table, lambda path: read_config(str(path), [])):
            with pytest.raises(RgzError, match=r"a\.txt: it is no regular file"):
                read(texts / "a.txt")
