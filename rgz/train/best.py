"""The best weights of a run, kept in memory."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rgz.train.metrics import is_better, resolve_mode


class BestWeights:
    """A copy of the weights at the best value of `monitor` so far (a few bytes when there was none yet)."""

    def __init__(self, monitor: str, mode: str = "auto") -> None:
        self.monitor = monitor
        self.mode = resolve_mode(monitor, mode)
        self.value: float | None = None
        self.step: int | None = None
        self.tensors: dict[str, np.ndarray] = {}

    def offer(self, value: float | None, step: int, parameters: Mapping[str, np.ndarray]) -> bool:
        """Copy the weights if `value` is the best yet; the copy's memory is allocated once."""
        if not is_better(value, self.value, self.mode):
            return False
        self.value, self.step = value, step
        self.take(parameters)
        return True

    def take(self, parameters: Mapping[str, np.ndarray]) -> None:
        if not self.tensors:
            self.tensors = {name: np.array(array) for name, array in parameters.items()}
        for name, array in parameters.items():
            np.copyto(self.tensors[name], array)

    def restore(self, parameters: Mapping[str, np.ndarray]) -> bool:
        """Put the best weights back; False where no evaluation ever gave a number."""
        for name, array in self.tensors.items():
            np.copyto(parameters[name], array)
        return bool(self.tensors)
