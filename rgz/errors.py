"""The one exception that stands for a user's mistake, and the one warning of what is odd and no mistake."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import warnings
from collections.abc import Iterator

from rgz.messages import mark, tr

_LONGEST = 2000  # characters of a message, more than any of ours has by itself


class RgzError(ValueError):
    """Something the user can put right: one line that says what must hold, what came, and what to do.

    The command line prints `str(error)` and exits 1; anything else that is raised is a bug of ours.
    The text goes through `messages.tr` where it is raised, so it is already in the user's language.
    """

    def __init__(self, message: str) -> None:
        # A file name or a quoted value may hold a line break, or never end; the promise of one line is kept here, once.
        message = " ".join(message.split("\n")) if "\n" in message else message
        if len(message) > _LONGEST:
            message = f"{message[: _LONGEST // 2]} ... {message[-_LONGEST // 4 :]}"
        super().__init__(message)


@contextlib.contextmanager
def explained(*, about: object = "", remedy: str = "") -> Iterator[None]:
    """Complete the RgzErrors of the block: `about` before them, such as a file's name, `remedy` after them."""
    try:
        yield
    except RgzError as error:
        before = f"{about}{mark(': ')}" if about else ""
        after = f"{mark('; ')}{remedy}" if remedy else ""
        raise RgzError(f"{before}{error}{after}") from error


def reason_of(error: Exception) -> str:
    """What went wrong, to stand in a message that names the file: of an OSError only the system's reason.

    The commonest of those are in the user's language, others as the system says them.
    """
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    known = {
        errno.ENOENT: tr("No such file or directory"),
        errno.ENOSPC: tr("No space left on device"),
        errno.EACCES: tr("Permission denied"),
        errno.EISDIR: tr("Is a directory"),
        errno.ENOTDIR: tr("Not a directory"),
        errno.EROFS: tr("Read-only file system"),
        errno.EFBIG: tr("File too large"),
        errno.EEXIST: tr("File exists"),
        errno.EMFILE: tr("Too many open files"),
    }
    # A reason that rgz or Windows itself has worded says more than its number.
    if error.errno is None or error.strerror != os.strerror(error.errno):
        return error.strerror
    return known.get(error.errno, error.strerror)


class RgzWarning(UserWarning):
    """Something odd that stops nothing, in one sentence; the command line prints it as a notice."""


def warn(message: str) -> None:
    """Give an RgzWarning that names the line of the caller's code, however deep in rgz it arises."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] == "rgz":
        level, frame = level + 1, frame.f_back
    warnings.warn(message, RgzWarning, stacklevel=level)
