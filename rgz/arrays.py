"""What a NumPy array that a user gives must be before a kernel reads it: nothing is copied or cast to repair it."""

from __future__ import annotations

import numpy as np

from rgz.errors import RgzError
from rgz.messages import tr


def need_array(name: str, array: np.ndarray, ndim: int | None, *dtypes: type[np.generic]) -> None:
    """Refuse what is no C-contiguous, aligned array of one of `dtypes` (none: float32) with so many dimensions; None:
    with any."""
    dtypes = dtypes or (np.float32,)
    wanted = tr(" or ").join(np.dtype(dtype).name for dtype in dtypes)
    if not isinstance(array, np.ndarray):
        got = tr("no array: {kind}", kind=type(array).__name__)
        raise RgzError(tr("{name} must be an array of {dtype}, got {got}", name=name, dtype=wanted, got=got))
    if array.dtype not in dtypes or ndim not in (None, array.ndim):
        got = f"{array.dtype} {array.shape}"
        if ndim is None:
            raise RgzError(tr("{name} must be an array of {dtype}, got {got}", name=name, dtype=wanted, got=got))
        raise RgzError(
            tr(
                "{name} must be a {dtype} array of {ndim} dimensions, got {got}",
                name=name,
                dtype=wanted,
                ndim=ndim,
                got=got,
            )
        )
    if not array.flags.c_contiguous:
        raise RgzError(tr("{name} must be C-contiguous; np.ascontiguousarray makes a copy that is", name=name))
    if not array.flags.aligned:
        raise RgzError(tr("{name} must be aligned in memory; {name}.copy() makes an array that is", name=name))


def need_optional(name: str, array: np.ndarray | None, ndim: int) -> None:
    if array is not None:
        need_array(name, array, ndim)


def need_entries(**arrays: np.ndarray) -> None:
    for name, array in arrays.items():
        if not array.size:
            raise RgzError(tr("{name} must not be empty, got shape {shape}", name=name, shape=array.shape))


def need_float32(**arrays: tuple[np.ndarray, int]) -> None:
    """name=(array, dimensions)"""
    for name, (array, ndim) in arrays.items():
        need_array(name, array, ndim)
