"""Writing files so that a reader, a full disk or a killed process never meets half of one; where caches belong, and
how they stay small."""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import hashlib
import json
import os
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

from rgz.messages import tr

_ABANDONED = 86_400.0  # seconds after which a file aside belongs to nobody any more


@contextlib.contextmanager
def atomic_writer(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Yield a binary file that takes `path`'s place, whole and on the disk, if the block ends well."""
    with atomic_path(path) as aside, open(aside, "wb") as file:
        yield file


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield where to write a file or make a folder that takes `path`'s place, whole, if the block ends well.

    It is written aside in the same folder (a rename across file systems is a copy), a file is fsynced, then it is
    renamed. Threads, and processes of the same number in other containers, may write the same path at once: the last
    one stays. A folder takes the place of nothing.
    """
    path = Path(path)
    aside = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        yield aside
        if not aside.is_dir():
            with open(aside, "rb+") as file:
                os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException:  # Ctrl-C too must not leave what is aside behind
        if os.path.lexists(aside):
            remove_tree(aside)
        raise
    fsync_folder(path.parent)


def write_text_atomic(path: str | os.PathLike[str], text: str) -> None:
    """Write JSON as UTF-8. A path that is no UTF-8 holds lone surrogates: those become JSON's own escapes."""
    with atomic_writer(path) as file:
        file.write(text.encode("utf-8", "backslashreplace"))


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text; ValueError for what is none, however deeply it is nested."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def open_regular(path: str | os.PathLike[str]) -> BufferedReader:
    """Open a file to read its bytes. OSError for a pipe or a device, which may never begin, or never end."""
    mode = os.stat(path).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # of a folder `open` has its own word
        raise OSError(errno.EINVAL, tr("it is no regular file"))
    return open(path, "rb")


def read_json(path: str | os.PathLike[str]) -> Any:
    """The value in a JSON file; errors are those of `parse_json` and OSError."""
    with open_regular(path) as file:
        return parse_json(file.read().decode("utf-8"))


def fsync_folder(path: str | os.PathLike[str]) -> None:
    """Put a rename on the disk; Windows can neither open a folder nor needs it."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_tree(path: Path) -> None:
    """Delete a folder with all that is in it, or a file. Of a link only itself: what it leads to is somebody else's."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def sha256_of(path: str | os.PathLike[str]) -> str:
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder() -> Path:
    """Return where private caches belong: XDG_CACHE_HOME/rgz, or what the platform uses instead."""
    if (xdg := os.environ.get("XDG_CACHE_HOME")) and os.path.isabs(xdg):
        return Path(xdg) / "rgz"
    if sys.platform == "win32" and (local := os.environ.get("LOCALAPPDATA")):
        return Path(local) / "rgz" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "rgz"
    return Path.home() / ".cache" / "rgz"


def private_cache_folder() -> Path | None:
    """The folder of `make_cache_folder`, None where there is none."""
    try:
        return make_cache_folder()
    except OSError:
        return None


def make_cache_folder() -> Path:
    """Create the cache folder, mode 0700, and return it; OSError where it cannot be had or is not ours alone."""
    try:
        folder = cache_folder()
    except RuntimeError as error:  # no home folder can be found
        raise OSError(errno.ENOENT, str(error), "~") from error
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.name == "posix":
            status = folder.lstat()
            if status.st_uid != os.geteuid() or folder.is_symlink():
                # what lies in it could have been put there by somebody else
                raise OSError(errno.EPERM, tr("it is a link, or belongs to somebody else"))
            if status.st_mode & 0o077:
                folder.chmod(0o700)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from error
    return folder


def drop_oldest(folder: Path, pattern: str, limit: int, keep: Path) -> int:
    """Remove the least recently used files named like `pattern` until they take at most `limit` bytes; return how many.

    What a killed process left of such a file while it wrote it aside is removed too.
    """
    files = []
    for entry in os.scandir(folder):
        with contextlib.suppress(OSError):  # somebody else may drop the same
            if fnmatch.fnmatch(entry.name, pattern):
                status = entry.stat()
                files.append((status.st_mtime_ns, status.st_size, entry.path))
            elif fnmatch.fnmatch(entry.name, f".{pattern}.*.tmp") and time.time() - entry.stat().st_mtime > _ABANDONED:
                os.unlink(entry)
    total = sum(size for _, size, _ in files)
    dropped = 0
    for _, size, path in sorted(files):
        if total > limit and path != str(keep):
            with contextlib.suppress(OSError):  # Windows keeps a file that is mapped
                os.unlink(path)
                total -= size
                dropped += 1
    return dropped
