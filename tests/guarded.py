"""Calling a kernel so that what it must not do shows: outputs stand between guard words and start as NaN."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rgz import _kernels

GUARD = 64  # elements on either side of every output, and between the rows of a strided one
PATTERN = 0xA5  # of every guard byte


@dataclass
class Call:
    """One call of a kernel, every value under the name of the kernel's argument."""

    arguments: dict[str, Any]  # inputs and scalars
    writes: dict[str, tuple[int, ...]] = field(default_factory=dict)  # shapes of what it WRITES
    updates: dict[str, np.ndarray] = field(default_factory=dict)  # first values of what it ADDS to or changes
    scratch: dict[str, Callable[[int], tuple[int, ...]]] = field(default_factory=dict)  # shape from n_threads
    scratch_type: type = np.float32


class Guarded:
    """An array between guard bytes. Heads that the kernel is not shown (`extra`) make its rows strided."""

    def __init__(self, shape: tuple[int, ...], first: Any, dtype: Any = np.float32, extra: int = 0):
        whole = (shape[0], shape[1] + extra, shape[2]) if extra else shape
        n = int(np.prod(whole))
        self.memory = np.full((n + 2 * GUARD) * np.dtype(dtype).itemsize, PATTERN, np.uint8)
        inner = self.memory.view(dtype)[GUARD : GUARD + n].reshape(whole)
        self.array = inner[:, : shape[1]] if extra else inner
        self.array[...] = first

    def check(self, name: str) -> None:
        left = self.array.copy()
        self.array.view(np.uint8)[...] = PATTERN
        touched = np.flatnonzero(self.memory != PATTERN)
        self.array[...] = left
        assert not len(touched), f"{name}: {len(touched)} bytes written outside it, the first at {touched[0]}"


def run(kernel: str, call: Call, n_threads: int = 1) -> dict[str, np.ndarray]:
    """The outputs of the kernel, after checking that it wrote into nothing else."""
    outputs = {
        name: Guarded(shape, np.nan, extra=2 if len(shape) == 3 and name != "out" else 0)
        for name, shape in call.writes.items()
    }
    outputs |= {name: Guarded(first.shape, first, extra=first.ndim // 3) for name, first in call.updates.items()}
    scratch = {name: Guarded(shape(n_threads), np.nan, call.scratch_type) for name, shape in call.scratch.items()}
    before = {name: a.tobytes() for name, a in call.arguments.items() if isinstance(a, np.ndarray)}
    arrays = {name: g.array for name, g in (outputs | scratch).items()}
    result = getattr(_kernels, kernel)(**call.arguments, **arrays, n_threads=n_threads)
    for name, guarded in (outputs | scratch).items():
        guarded.check(f"{kernel}: {name}")
    for name, content in before.items():
        assert call.arguments[name].tobytes() == content, f"{kernel}: changed its input {name}"
    values = {name: g.array.copy() for name, g in outputs.items()}
    return values if result is None else values | {"return": np.array([result])}


def in_float64(call: Call) -> dict[str, Any]:
    """The arguments of an oracle: what the kernel is given, exactly, in float64."""

    def widen(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return value.astype(np.float64) if value.dtype == np.float32 else value
        return float(np.float32(value)) if isinstance(value, float) else value

    return {name: widen(value) for name, value in (call.arguments | call.updates).items()}


def assert_within(got: dict[str, np.ndarray], want: dict[str, np.ndarray], bound: dict[str, Any]) -> None:
    """Every output differs from the oracle's by no more than its bound; NaN differs from everything."""
    assert got.keys() == want.keys() == bound.keys()
    for name in want:
        assert got[name].shape == want[name].shape, name
        allowed = np.broadcast_to(bound[name], want[name].shape)
        error = np.abs(got[name].astype(np.float64) - want[name])
        bad = np.argwhere(~(error <= allowed))
        assert not len(bad), (
            f"{name}: {len(bad)} of {error.size} elements differ by more than their bound, the first at "
            f"{tuple(bad[0])}: got {got[name][tuple(bad[0])]!r}, want {want[name][tuple(bad[0])]!r} "
            f"+- {allowed[tuple(bad[0])]:.3g}"
        )


def assert_same_bits(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert one[name].tobytes() == other[name].tobytes(), f"{name}: not the same bits"
