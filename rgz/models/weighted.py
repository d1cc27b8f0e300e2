"""A model's weights: in float32, and what its passes compute with; from and to the disk."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from rgz import _kernels
from rgz.config import ModelConfig
from rgz.errors import RgzError
from rgz.memory import STORAGE, Floats, ParameterLayout, Reals, aligned_zeros
from rgz.messages import tr
from rgz.models.folder import check_proportion, read_config, read_weights, write_model
from rgz.nn.layer import Layer
from rgz.strict import unknown_name


class Weighted:
    """What a model of any layers has: parameters by name in flat vectors, a dtype that passes compute with.

    weights : every parameter in one flat float32 vector, laid out by `layout`. A model that from_pretrained was told a
        16-bit dtype has the matrices and tables in that only, `weights` holds the rest, and it cannot be trained.
    binding : another object each time that layers are pointed at other memory.
    half : the matrices and tables (the first layout.n_decayed weights) rounded to dtype; None with float32.
    """

    config: ModelConfig

    def declare(self, layers: Sequence[Layer]) -> None:
        self.layers = layers
        self.layout = ParameterLayout([p for layer in layers for p in layer.parameters()])
        self.dtype = "float32"
        self.half: Reals | None = None
        self.gradients: Floats | None = None
        self._stale = False  # somebody may have written into weights since half was made of them

    def start(self, seed: int) -> None:
        """First values."""
        self.weights = self.layout.zeros()
        self.layout.initialize(self.weights, seed)
        self.bind(None)

    def bind(self, gradients: Floats | None) -> None:
        """Point every layer at the weights and at a flat vector of gradients (None: forward only)."""
        self.gradients = gradients
        self.binding = object()
        weights = self.layout.views(self.weights, self.half)
        views = None if gradients is None else self.layout.views(gradients)
        for layer in self.layers:
            layer.bind(weights, views)

    def parameters(self) -> dict[str, Reals]:
        """Name to view, float32 where the model has that: writing into one changes the model.

        While it computes in 16 bits what is written counts from the first pass after this call on.
        """
        self._stale = self.has_masters and self.half is not None
        return self.layout.views(self.weights, None if self.has_masters else self.half)

    def num_parameters(self) -> int:
        return sum(p.size for p in self.layout.parameters)

    # --- 16 bits ---

    @property
    def has_masters(self) -> bool:
        """Whether all weights are there in float32: without them it can answer, but not learn."""
        return len(self.weights) == self.layout.total

    def need_masters(self) -> None:
        """RgzError where there are no weights in float32."""
        if not self.has_masters:
            raise RgzError(
                tr(
                    "the model was loaded with weights in {dtype} only; load it without dtype to train it or to "
                    "compute with another",
                    dtype=self.dtype,
                )
            )

    def compute_in(self, dtype: str) -> None:
        """Let passes compute with this dtype, a key of rgz.memory.STORAGE, from here on."""
        if dtype not in STORAGE:
            raise unknown_name("dtype", dtype, tuple(STORAGE))
        if dtype == self.dtype:
            return
        self.need_masters()
        self.dtype = dtype
        self.half = None if dtype == "float32" else aligned_zeros(self.layout.n_decayed, STORAGE[dtype])
        self._stale = self.half is not None
        self.forget_plans()
        self.bind(self.gradients)

    def forget_plans(self) -> None:
        """Plan anew for the next pass: something that plans depend on has changed."""

    def refreshed(self) -> None:
        """`half` is that of the weights again: the optimizer has written both."""
        self._stale = False

    def refresh(self, n_threads: int) -> None:
        if self._stale and self.half is not None:
            _kernels.cast_from_float(self.half, self.weights[: len(self.half)], n_threads)
            self._stale = False

    # --- the disk ---

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write config.json and model.safetensors, each whole or not at all."""
        write_model(folder, self.config, self.parameters())

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike[str], dtype: str | None = None) -> Self:
        """Read what save_pretrained wrote; RgzError names what is missing or does not fit.

        dtype : "bfloat16" or "float16" reads matrices and tables into 16 bits, whatever the file has: half the memory,
            for a model that answers and is not trained further. None or "float32" reads all weights as float32.
        """
        if dtype is not None and dtype not in STORAGE:
            raise unknown_name("dtype", dtype, tuple(STORAGE))
        config, weights = read_config(folder), Path(folder) / "model.safetensors"
        check_proportion(config, weights)
        model = cls.__new__(cls)
        model.assemble(config)
        in_half = 0
        if dtype is not None and dtype != "float32":
            in_half, model.dtype = model.layout.n_decayed, dtype
            model.half = aligned_zeros(in_half, STORAGE[dtype])
        model.weights = model.layout.zeros(without=in_half)
        model.bind(None)
        model.load_weights(weights)
        return model

    def assemble(self, config: ModelConfig) -> None:
        """Make the layers of this model, without weights."""
        raise NotImplementedError

    def load_weights(self, path: str | os.PathLike[str]) -> None:
        """Fill the parameters from a safetensors file; every name and shape must be there."""
        read_weights(path, self.parameters())
