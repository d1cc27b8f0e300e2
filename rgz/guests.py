"""Other OpenMP runtimes in this process, such as those that the wheels of torch and scikit-learn bring along.

Each has a team of its own, whose threads go on spinning for some milliseconds after every parallel region, in case
another follows. On the same cores that keeps our team waiting: twenty tokens between two matrix products of torch, in
4.6 ms alone, took 12. So before we compute they are asked to let go of their threads; they start others when they are
called next (30 us, and as long again for them).
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

from rgz import _kernels

_MAPS = Path("/proc/self/maps")
_RUNTIME = re.compile(r"(/.*/lib(?:g|i)?omp[-.\d][^/\n]*)$", re.MULTILINE)
_SOFT = 1  # omp_pause_soft: what the program has set is kept. Source: OpenMP 5.0, section 3.2.43

_modules = -1  # how many were loaded when runtimes were looked for
_pauses: list[Callable[[int], int]] = []


def pause_guests() -> None:
    """Have all OpenMP runtimes but ours let go of the threads that work for the calling one.

    A runtime that is in the middle of a parallel region, or older than OpenMP 5, is left alone. Only Linux tells which
    there are; they are looked for again when modules have been loaded.
    """
    global _modules, _pauses
    if _modules != len(sys.modules):
        _pauses = [pause for path in _runtimes() if (pause := _pause_of(path)) is not None]
        _modules = len(sys.modules)
    for pause in _pauses:
        pause(_SOFT)


def _runtimes() -> list[str]:
    try:
        return sorted(set(_RUNTIME.findall(os.fsdecode(_MAPS.read_bytes()))))  # any file may have any name
    except OSError:
        return []


def _pause_of(path: str) -> Callable[[int], int] | None:
    """The runtime's omp_pause_resource_all; None for the runtime that our kernels call."""
    try:
        ours, theirs = ctypes.CDLL(_kernels.__file__), ctypes.CDLL(path)
        pause: Callable[[int], int] = theirs.omp_pause_resource_all
        same = _address(ours.omp_get_max_threads) == _address(theirs.omp_get_max_threads)
    except (OSError, UnicodeError, AttributeError):  # gone since, older, or we were built without OpenMP
        return None
    return None if same else pause


def _address(function: object) -> int | None:
    return ctypes.cast(function, ctypes.c_void_p).value  # type: ignore[arg-type]
