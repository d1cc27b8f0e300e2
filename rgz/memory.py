"""Memory planned before it is used: flat vectors for parameters, one block for activations."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

ALIGNMENT = 64  # bytes: a cache line and the widest vector


def _aligned(nbytes: int) -> int:
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


def aligned_zeros(count: int, dtype: type[np.generic] = np.float32) -> NDArray[np.generic]:
    """A zeroed vector whose first element lies on a cache line."""
    size = np.dtype(dtype).itemsize
    raw = np.zeros(count * size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + count * size].view(dtype)


@dataclass(frozen=True)
class Parameter:
    """One tensor of a model: its name, shape, spread of its first values, and whether weight decay shrinks it.

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

    def zeros(self) -> Floats:
        return aligned_zeros(self.total)  # type: ignore[return-value]

    def views(self, flat: Floats) -> dict[str, Floats]:
        """Name to shaped view of a flat vector, no copies."""
        return {
            p.name: flat[self.offsets[p.name] : self.offsets[p.name] + p.size].reshape(p.shape) for p in self.parameters
        }

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
    """A block of memory handed out front to back. Without a block it only measures.

    A plan that takes the same arrays in the same order from a measuring arena and from a real one needs exactly
    `measured.used` bytes; that is how the program knows what a run takes before it starts.
    """

    def __init__(self, nbytes: int | None = None) -> None:
        self._block = None if nbytes is None else aligned_zeros(nbytes, np.uint8)
        self._shared: dict[str, NDArray[np.generic]] = {}
        self.used = 0
        self.keeping = True

    @property
    def capacity(self) -> int:
        return 0 if self._block is None else self._block.nbytes

    def reset(self) -> None:
        """Forget what was handed out; arrays of the last plan must not be used any more."""
        self.used = 0
        self._shared = {}

    def take(self, *shape: int, dtype: type[np.generic] = np.float32) -> NDArray[np.generic]:
        """An array of its own, contents undefined."""
        count = math.prod(shape)
        start, self.used = self.used, self.used + _aligned(count * np.dtype(dtype).itemsize)
        if self._block is None:
            return np.broadcast_to(np.zeros((), dtype), shape)
        if self.used > self._block.nbytes:
            raise MemoryError(f"arena of {self._block.nbytes} bytes is full, {self.used} are needed: measure again")
        return self._block[start : start + count * np.dtype(dtype).itemsize].view(dtype).reshape(shape)

    def floats(self, *shape: int) -> Floats:
        return self.take(*shape)  # type: ignore[return-value]

    def ints(self, *shape: int) -> Ints:
        return self.take(*shape, dtype=np.int32)  # type: ignore[return-value]

    def activation(self, name: str, *shape: int) -> Floats:
        """What backward will need of forward: an array of its own while `keeping`; else one shared by name, for a pass
        without backward, or one that computes it again first."""
        return self.floats(*shape) if self.keeping else self.scratch(name, *shape)

    def scratch(self, name: str, *shape: int) -> Floats:
        """An array shared by all that ask for this name: its contents last only within one layer's call."""
        if name not in self._shared:
            self._shared[name] = self.floats(*shape)
        found = self._shared[name]
        if found.shape != shape:
            raise ValueError(f"scratch '{name}' is planned as {found.shape}, and asked for as {shape}")
        return found  # type: ignore[return-value]
