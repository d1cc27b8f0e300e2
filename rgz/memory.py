"""Memory planned before it is used: flat vectors for parameters, one block for activations."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgz import _kernels

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Reals = NDArray[Any]  # of one of these:
STORAGE: dict[str, type[np.generic]] = {  # NumPy has no bfloat16: its bits
    "float32": np.float32,
    "bfloat16": np.uint16,
    "float16": np.float16,
}

ALIGNMENT = 64  # bytes: a cache line and the widest vector


def _aligned(nbytes: int) -> int:
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


def aligned_zeros(count: int, dtype: type[np.generic] = np.float32) -> NDArray[Any]:
    """A zeroed vector whose first element lies on a cache line."""
    size = np.dtype(dtype).itemsize
    raw = np.zeros(count * size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + count * size].view(dtype)


def dtype_of(values: Reals) -> str:
    """The key of STORAGE."""
    return next(name for name, kind in STORAGE.items() if values.dtype == kind)


def cast(values: Floats, dtype: str, n_threads: int = 1) -> Reals:
    """A copy rounded to `dtype`, a key of STORAGE."""
    rounded = np.empty(values.shape, STORAGE[dtype])
    if values.size:
        _kernels.cast_from_float(rounded.reshape(-1), values.reshape(-1), n_threads)
    return rounded


def widen(values: Reals, n_threads: int = 1) -> Floats:
    """The same numbers in float32."""
    wide = np.empty(values.shape, np.float32)
    if values.size:
        _kernels.cast_to_float(wide.reshape(-1), values.reshape(-1), n_threads)
    return wide


@dataclass(frozen=True)
class Parameter:
    """One tensor of a model: its name, shape, spread of its first values, and whether weight decay shrinks it.

    Those that it shrinks are the matrices and tables, which passes may compute with in half precision.

    std : standard deviation of the normal distribution it starts from; 0 with `fill` for a constant start.
    """

    name: str
    shape: tuple[int, ...]
    std: float = 0.0
    fill: float = 0.0
    decayed: bool = False

    @property
    def size(self) -> int:
        return math.prod(self.shape)


class ParameterLayout:
    """Where each parameter lies in a flat vector: decayed ones first, each on its own cache line.

    The same offsets serve weights, gradients and both Adam moments, so norm, clip, update and checkpoint are one
    call each. The gaps between tensors hold zeros and stay zero.
    """

    def __init__(self, parameters: Iterable[Parameter]) -> None:
        self.parameters = sorted(parameters, key=lambda p: not p.decayed)  # stable: declaration order within each
        self.offsets: dict[str, int] = {}
        self.n_decayed = 0
        at = 0
        for p in self.parameters:
            if p.name in self.offsets:
                raise ValueError(f"parameter {p.name} is declared twice")
            self.offsets[p.name] = at
            at += _aligned(4 * p.size) // 4
            if p.decayed:
                self.n_decayed = at
        self.total = at

    def zeros(self, without: int = 0) -> Floats:
        """A flat vector, or what is left of it without so many parameters at its beginning."""
        return aligned_zeros(self.total - without)

    def views(self, flat: Floats, half: Reals | None = None) -> dict[str, Reals]:
        """Name to shaped view of a flat vector, no copies.

        half : where the decayed parameters are instead; `flat` may then hold the others only.
        """
        missing = self.total - len(flat)
        found = {}
        for p in self.parameters:
            source, start = flat, self.offsets[p.name] - missing
            if half is not None and p.decayed:
                source, start = half, self.offsets[p.name]
            found[p.name] = source[start : start + p.size].reshape(p.shape)
        return found

    def initialize(self, flat: Floats, seed: int) -> None:
        """First values, each tensor from its own stream so that adding one does not move the others."""
        for p in self.parameters:
            start = self.offsets[p.name]
            view = flat[start : start + p.size]
            if p.std:
                stream = np.random.Generator(np.random.PCG64([seed, *p.name.encode()]))
                stream.standard_normal(out=view, dtype=np.float32)
                view *= np.float32(p.std)
            else:
                view[:] = p.fill


class Arena:
    """A block of memory handed out front to back, and from its end what only one phase of a pass uses: phases lie over
    one another. Without a block it only measures.

    A plan that takes the same arrays in the same order from a measuring arena and from a real one needs exactly
    `measured.used` bytes; that is how the program knows what a run takes before it starts.

    dtype : of activations and their gradients, a key of STORAGE.
    """

    def __init__(self, nbytes: int | None = None, dtype: str = "float32") -> None:
        self.dtype, self._real = dtype, STORAGE[dtype]
        self._block = None if nbytes is None else aligned_zeros(_aligned(nbytes), np.uint8)
        self.reset()
        self.keeping = True

    @property
    def capacity(self) -> int:
        return 0 if self._block is None else self._block.nbytes

    def reset(self) -> None:
        """Forget what was handed out; arrays of the last plan must not be used any more."""
        self._front, self._phases = 0, dict[str, int]()
        self._shared: dict[str, NDArray[np.generic]] = {}

    @property
    def used(self) -> int:
        """Bytes that what was handed out needs."""
        return self._front + max(self._phases.values(), default=0)

    def take(self, *shape: int, dtype: type[np.generic] = np.float32, phase: str | None = None) -> NDArray[np.generic]:
        """An array of its own, contents undefined; with a phase, undefined again once another phase has begun."""
        nbytes = math.prod(shape) * np.dtype(dtype).itemsize
        if phase is None:
            start = self._front
            self._front += _aligned(nbytes)
        else:
            self._phases[phase] = self._phases.get(phase, 0) + _aligned(nbytes)
            start = self.capacity - self._phases[phase]
        if self._block is None:
            return np.broadcast_to(np.zeros((), dtype), shape)
        if self.used > self.capacity:
            raise MemoryError(f"arena of {self.capacity} bytes is full, {self.used} are needed: measure again")
        return self._block[start : start + nbytes].view(dtype).reshape(shape)

    def floats(self, *shape: int) -> Floats:
        return self.take(*shape)  # type: ignore[return-value]

    def reals(self, *shape: int) -> Reals:
        return self.take(*shape, dtype=self._real)

    def ints(self, *shape: int) -> Ints:
        return self.take(*shape, dtype=np.int32)  # type: ignore[return-value]

    def activation(self, name: str, *shape: int) -> Reals:
        """What backward will need of forward: an array of its own while `keeping`; else one shared by name, for a pass
        without backward, or one that computes it again first."""
        return self.reals(*shape) if self.keeping else self.scratch(name, *shape)

    def statistic(self, name: str, *shape: int) -> Floats:
        """The same of what is float32 whatever activations are: means, sums."""
        return self.floats(*shape) if self.keeping else self.float_scratch(name, *shape)

    def scratch(self, name: str, *shape: int, phase: str | None = None) -> Reals:
        """An array shared by all that ask for this name: its contents last only within one layer's call."""
        return self._share(name, shape, self._real, phase)

    def float_scratch(self, name: str, *shape: int, phase: str | None = None) -> Floats:
        return self._share(name, shape, np.float32, phase)  # type: ignore[return-value]

    def _share(
        self, name: str, shape: tuple[int, ...], dtype: type[np.generic], phase: str | None
    ) -> NDArray[np.generic]:
        if name not in self._shared:
            self._shared[name] = self.take(*shape, dtype=dtype, phase=phase)
        found = self._shared[name]
        if found.shape != shape:
            raise ValueError(f"scratch '{name}' is planned as {found.shape}, and asked for as {shape}")
        return found
