"""Calling a kernel so that what it must not do shows: outputs stand between guard words and start as NaN."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rgz import _kernels

GUARD = 64  # elements on either side of every output, and between the rows of a strided one
PATTERN = 0xA5  # of every guard byte
BFLOAT16_NAN = 0x7FC0

# Kernel: its arguments in the storage of activations, as THE list of kernels says.
_LIST = (Path(__file__).parent.parent / "csrc/kernels.def").read_text()
REALS = {
    kernel: set(re.findall(r"rgz_real \*(\w+)", arguments))
    for kernel, arguments in re.findall(r"RGZ_KERNEL\((\w+),\s*\(([^)]*)\)", _LIST)
}


@dataclass
class Call:
    """One call of a kernel, every value under the name of the kernel's argument."""

    arguments: dict[str, Any]  # inputs and scalars
    writes: dict[str, tuple[int, ...]] = field(default_factory=dict)  # shapes of what it WRITES
    updates: dict[str, np.ndarray] = field(default_factory=dict)  # first values of what it ADDS to or changes
    scratch: dict[str, Callable[[int], tuple[int, ...]]] = field(default_factory=dict)  # shape from n_threads
    scratch_type: type = np.float32
    storage: str = "float32"  # of the kernel's reals; arguments and updates are stored in it, writes and results not


# Storage: its type in NumPy, which has no bfloat16: its bits.
TYPES = {"float32": np.float32, "bfloat16": np.uint16, "float16": np.float16}


def stored(values: np.ndarray, storage: str) -> np.ndarray:
    """float32 rounded to the storage, to the nearest, of two the even one."""
    if storage != "bfloat16":
        return values.astype(TYPES[storage])
    bits = values.astype(np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    return np.where(np.isnan(values), BFLOAT16_NAN, rounded).astype(np.uint16)


def widened(array: np.ndarray) -> np.ndarray:
    """What is stored, as float32."""
    return (array.astype(np.uint32) << 16).view(np.float32) if array.dtype == np.uint16 else array.astype(np.float32)


def in_storage(kernel: str, call: Call, storage: str) -> Call:
    """The same call with the kernel's reals in `storage`."""
    call.storage = storage
    for values in (call.arguments, call.updates):
        for name in REALS[kernel] & values.keys():
            if values[name] is not None:
                values[name] = stored(values[name], storage)
    return call


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
    outputs = {}
    for name, shape in call.writes.items():
        dtype = TYPES[call.storage] if name in REALS[kernel] else np.float32
        extra = 2 if len(shape) == 3 and name != "out" else 0
        outputs[name] = Guarded(shape, BFLOAT16_NAN if dtype == np.uint16 else np.nan, dtype, extra)
    for name, first in call.updates.items():
        outputs[name] = Guarded(first.shape, first, first.dtype, extra=int(first.ndim == 3))
    scratch = {name: Guarded(shape(n_threads), np.nan, call.scratch_type) for name, shape in call.scratch.items()}
    before = {name: a.tobytes() for name, a in call.arguments.items() if isinstance(a, np.ndarray)}
    arrays = {name: g.array for name, g in (outputs | scratch).items()}
    result = getattr(_kernels, kernel)(**call.arguments, **arrays, n_threads=n_threads)
    for name, guarded in (outputs | scratch).items():
        guarded.check(f"{kernel}: {name}")
    for name, content in before.items():
        assert call.arguments[name].tobytes() == content, f"{kernel}: changed its input {name}"
    values = {name: widened(np.ascontiguousarray(g.array)) for name, g in outputs.items()}
    return values if result is None else values | {"return": np.array([result])}


def in_float64(call: Call) -> dict[str, Any]:
    """The arguments of an oracle: what the kernel is given, exactly, in float64."""

    def widen(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            real = value.dtype in (np.float32, np.float16, np.uint16)
            return widened(np.ascontiguousarray(value)).astype(np.float64) if real else value
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
