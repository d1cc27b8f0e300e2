"""The best evaluations of a run, and the weights of the very best, kept in memory."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from rgz.train.metrics import is_better, resolve_mode


def all_finite(parameters: Mapping[str, np.ndarray]) -> bool:
    return all(bool(np.isfinite(array).all()) for array in parameters.values())


class BestWeights:
    """A copy of the weights at the best value of `monitor` so far (a few bytes when there was none yet).

    ranked : (value, step) of the `keep` best evaluations, the best first; of equal values the older.
    """

    def __init__(self, monitor: str, mode: str = "auto", keep: int = 1) -> None:
        self.monitor = monitor
        self.mode = resolve_mode(monitor, mode)
        self.keep = keep
        self.ranked: list[tuple[float, int]] = []
        self.tensors: dict[str, np.ndarray] = {}

    @property
    def value(self) -> float | None:
        return self.ranked[0][0] if self.ranked else None

    @property
    def step(self) -> int | None:
        return self.ranked[0][1] if self.ranked else None

    @property
    def steps(self) -> list[int]:
        """Steps of the `keep` best evaluations, the best first."""
        return [step for _, step in self.ranked]

    def offer(self, value: float | None, step: int, parameters: Mapping[str, np.ndarray]) -> bool:
        """Rank `value`, and copy the weights if it is the best yet; True where it is among the `keep` best.

        A training loss may be one of before the update that made the weights useless: then it is not ranked.
        """
        rank = sum(not is_better(value, other, self.mode) for other, _ in self.ranked)
        if value is None or math.isnan(value) or rank >= self.keep:
            return False
        if rank == 0 and not all_finite(parameters):
            return False
        self.ranked = [*self.ranked[:rank], (value, step), *self.ranked[rank:]][: self.keep]
        if rank == 0:
            self.take(parameters)
        return True

    def take(self, parameters: Mapping[str, np.ndarray]) -> None:
        """Copy the weights; the copy's memory is allocated once."""
        if not self.tensors:
            self.tensors = {name: np.array(array) for name, array in parameters.items()}
        for name, array in parameters.items():
            np.copyto(self.tensors[name], array)

    def restore(self, parameters: Mapping[str, np.ndarray]) -> bool:
        """Put the best weights back; False where no evaluation ever gave a number."""
        for name, array in self.tensors.items():
            np.copyto(parameters[name], array)
        return bool(self.tensors)
