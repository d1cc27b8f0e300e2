"""One process at a time in a run directory.

The lock is the operating system's, so it ends with the process that holds it, also by SIGKILL or a power cut, and
leaves no file behind: on POSIX it is taken on the folder itself (flock), on Windows on a file that the system deletes
with its last handle. It is advisory: reading a run that is being written needs no lock.
"""

from __future__ import annotations

import os
import sys
import weakref
from pathlib import Path

from rgz.errors import RgzError, reason_of
from rgz.messages import tr


class FolderLock:
    """Held from `take` to `release`, for this process alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor: int | None = None
        self._unlockable = False

    def take(self) -> str | None:
        """Hold the lock; RgzError if another process, or another Trainer of this one, does.

        The folder must be there. Where it is on a file system without locks nothing is held: returns a sentence that
        says so, the first time.
        """
        if self._descriptor is not None or self._unlockable:
            return None
        try:
            self._descriptor = _locked(self._folder)
            _held.add(self)
        except BlockingIOError as error:
            raise RgzError(
                tr(
                    "another process is writing to {path} right now; wait until it is done or stop it (Ctrl-C), "
                    "or choose another folder with -o (output_dir)",
                    path=self._folder,
                )
            ) from error
        except OSError as error:
            self._unlockable = True
            return tr(
                "{path} cannot be locked ({reason}): see to it that no second process trains in it",
                path=self._folder,
                reason=reason_of(error),
            )
        return None

    def check(self) -> None:
        """RgzError if another process holds the lock of this folder."""
        if self._descriptor is None and self._folder.is_dir():
            self.take()
            self.release()

    def release(self) -> None:
        if self._descriptor is not None:
            _held.discard(self)
            _unlock(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None

    def _after_fork_in_child(self) -> None:
        """The lock is the parent's: let go of it without unlocking it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


_held: weakref.WeakSet[FolderLock] = weakref.WeakSet()


def _leave_locks_to_the_parent() -> None:
    for lock in list(_held):
        lock._after_fork_in_child()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_locks_to_the_parent)


if sys.platform == "win32":
    import msvcrt

    def _locked(folder: Path) -> int:
        """A handle that holds the lock; BlockingIOError where another one does."""
        flags = os.O_RDWR | os.O_CREAT | os.O_TEMPORARY | os.O_NOINHERIT
        try:
            descriptor = os.open(folder / ".lock", flags)
        except PermissionError as error:  # also of a file that its holder is deleting
            raise BlockingIOError from error
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            os.close(descriptor)
            raise BlockingIOError from error
        return descriptor

    def _unlock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _locked(folder: Path) -> int:
        """A descriptor that holds the lock; BlockingIOError where another one does."""
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def _unlock(descriptor: int) -> None:
        """Closing would do it only once no child has the descriptor any more."""
        fcntl.flock(descriptor, fcntl.LOCK_UN)
