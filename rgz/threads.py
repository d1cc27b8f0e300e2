"""How many threads the kernels' one team has, and keeping BLAS out of its way."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import threading
import warnings
from collections.abc import Iterator
from numbers import Integral
from typing import Any

from rgz import _kernels, cores
from rgz import cpu as _  # noqa: F401 - it chooses the instruction set and the product
from rgz.errors import RgzError
from rgz.guests import pause_guests
from rgz.messages import mark, tr

_MOST = 1024
_forked = False
_team = threading.RLock()  # one team of threads: calls from several Python threads take turns


def _after_fork_in_child() -> None:
    global _forked, _team
    _forked = True
    _warn_forked.cache_clear()  # each process says it once
    _team = threading.RLock()  # whoever held the old one is not in this process


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def process_lock() -> threading.RLock:
    """The one lock of this process: held while a team computes, and where a thing is made that all threads share."""
    return _team


def _from_environment(name: str) -> int | None:
    text = os.environ.get(name, "").split(",")[0].strip()
    if not text:
        return None
    if not re.fullmatch("[0-9]{1,4}", text) or not 1 <= int(text) <= _MOST:
        raise RgzError(
            tr("{name} must be a whole number of threads in 1..{most}, got '{text}'", name=name, most=_MOST, text=text)
        )
    return int(text)


def _wished() -> tuple[str, int | None]:
    """The variable that asks for a number of threads, and the number; None where none does."""
    for name in ("RGZ_NUM_THREADS", "OMP_NUM_THREADS"):
        if (wished := _from_environment(name)) is not None:
            return name, wished
    return "", None


@functools.cache
def _warn_forked() -> None:
    warnings.warn(
        tr(
            "this process was forked, and an OpenMP team does not survive a fork: rgz uses one thread here; "
            "start workers with the 'spawn' method to use more"
        ),
        RuntimeWarning,
        stacklevel=3,
    )


_openmp_cpus = functools.cache(_kernels.openmp_cpus)  # OpenMP reads its environment once, too


def allowed_cpus() -> frozenset[int]:
    """Those of the affinity mask; OpenMP, told to bind its threads (OMP_PROC_BIND), has left this one a part of it."""
    return frozenset(cores.allowed_cpus() | _openmp_cpus())


@functools.lru_cache(maxsize=8)
def _usable_cores(cpus: frozenset[int]) -> cores.Usable:
    """cores.usable(), which reads a dozen files, once for each affinity mask: this is asked for at every token."""
    return cores.usable(cpus)


def _wanted() -> int:
    return _wished()[1] or _usable_cores(allowed_cpus()).cores


def resolve_threads(n_threads: int | None = None) -> int:
    """The size of the team: argument > RGZ_NUM_THREADS > OMP_NUM_THREADS > usable physical cores (see rgz.cores), at
    most OMP_THREAD_LIMIT; 1 without OpenMP and in a forked child."""
    if n_threads is not None:
        whole = isinstance(n_threads, Integral) and not isinstance(n_threads, bool)
        if not whole or not 1 <= n_threads <= _MOST:
            got = repr(n_threads)
            raise RgzError(tr("n_threads must be an integer in 1..{most}, got {n_threads}", most=_MOST, n_threads=got))
    if not _kernels.openmp():
        return 1
    if _forked:
        _warn_forked()
        return 1
    return min(_wanted() if n_threads is None else int(n_threads), _kernels.openmp_limit())


def explain_threads() -> tuple[int, str]:
    """resolve_threads(), and what decided on it."""
    count, (variable, wished) = resolve_threads(), _wished()
    if not _kernels.openmp():
        return count, tr("built without OpenMP")
    if _forked:
        return count, tr("a forked process")
    if count < _wanted():
        return count, f"OMP_THREAD_LIMIT={count}"
    if wished:
        return count, f"{variable}={wished}"
    cpus = allowed_cpus()
    usable = _usable_cores(cpus)
    reasons = [tr("physical cores")]
    if usable.cpus < cpus:
        reasons = [tr("the stronger cores, CPU {cpus}", cpus=cores.shown(usable.cpus))]
    if without := cores.online_cpus() - cpus:
        reasons.append(tr("the affinity mask leaves out CPU {cpus}", cpus=cores.shown(without)))
    if usable.quota is not None:
        reasons.append(tr("a quota of {quota} CPUs (cgroup)", quota=f"{usable.quota:g}"))
    return count, mark("; ").join(reasons)


@functools.cache
def _controller() -> Any:
    import threadpoolctl

    return threadpoolctl.ThreadpoolController().select(user_api="blas")


@contextlib.contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Hold every BLAS in the process to one thread, if the kernels borrow one: they call it inside their own team.
    Other OpenMP runtimes let go of their threads.

    Other Python threads wait here until the block ends: buffers of a model and the number of BLAS threads are
    shared by the whole process.
    """
    with _team, _controller().limit(limits=1) if _kernels.has_sgemm() else contextlib.nullcontext():
        if not _forked:  # where those threads are no more, and would be waited for
            pause_guests()
        yield
