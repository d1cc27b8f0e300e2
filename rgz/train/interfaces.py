"""What the training loop needs from the floors below: the seams where tests put a model of ten lines."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np


class BatchLike(Protocol):
    """Sequences end to end; `n_targets` of the N targets count in the loss."""

    @property
    def tokens(self) -> np.ndarray: ...  # (N,) int32

    @property
    def targets(self) -> np.ndarray: ...  # (N,) int32, -100 = ignored

    @property
    def cu_seqlens(self) -> np.ndarray: ...  # (S+1,) int32

    @property
    def n_targets(self) -> int: ...

    @property
    def n_sequences(self) -> int: ...


class BatchesLike(Protocol):
    """The batches of an epoch: a pure function of (seed, epoch, index)."""

    max_rows: int
    max_seqs: int

    def __len__(self) -> int: ...

    def batch(self, epoch: int, index: int, /) -> Any: ...


class ModelLike(Protocol):
    @property
    def config(self) -> Any: ...

    def num_parameters(self) -> int: ...

    def parameters(self) -> dict[str, np.ndarray]: ...

    def save_pretrained(self, folder: Any, /) -> Any: ...


class TokenizerLike(Protocol):
    @property
    def fingerprint(self) -> str: ...

    @property
    def vocab_size(self) -> int: ...

    def save(self, path: Any, /) -> Any: ...


class StepLike(Protocol):
    """One optimizer update, in parts.

    accumulate ADDS the gradient of the sum of token losses and returns that sum; update divides by
    n_targets, clips, updates and zeroes, returning the unclipped norm (non-finite: nothing updated,
    gradients zeroed); discard zeroes the gradients; evaluate is a forward pass without dropout, returning
    the sum of token losses.
    """

    n_updates: int

    def accumulate(self, batch: Any, /) -> float: ...

    def update(self, learning_rate: float, n_targets: int, /) -> float: ...

    def discard(self) -> None: ...

    def evaluate(self, batch: Any, /) -> float: ...

    def state_tensors(self) -> dict[str, np.ndarray]: ...

    def load_state(self, tensors: Mapping[str, np.ndarray], n_updates: int, /) -> None: ...


@runtime_checkable
class LossScaled(Protocol):
    """A step that scales its loss (None: not with this dtype).

    overflowed : the last update was skipped because the scale was too large, which has been lowered since.
    """

    @property
    def loss_scale(self) -> float | None: ...

    overflowed: bool


@runtime_checkable
class Stateful(Protocol):
    """A schedule, or a step, with more to remember than the position of the run, its tensors and n_updates.

    Values are JSON: how long a plateau has lasted, the scale of a loss. Checkpoints hold them.
    """

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, values: Mapping[str, Any], /) -> Any: ...


StepFactory = Callable[[Any, Any, int, int], StepLike]  # (model, args, most rows, most sequences of a batch)
PathLike = str | os.PathLike[str]
