"""One optimizer update: what a custom loop calls, and what the Trainer calls."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from rgz import _kernels
from rgz.errors import RgzError
from rgz.messages import tr
from rgz.models.decoder import Decoder
from rgz.optim.adamw import AdamW, AdamWState, Moments, are_moments
from rgz.optim.loss_scale import LossScale
from rgz.strict import is_count, is_finite, need_instance, need_integer, need_that
from rgz.threads import resolve_threads, single_threaded_blas
from rgz.train.interfaces import BatchLike
from rgz.train.portions import Portion, most_rows, portions, usual_portion
from rgz.train.ragged import equals_input, ragged_batch

_STREAMS_PER_BATCH = 1 << 12
_BATCHES_PER_UPDATE = 1 << 16
_LARGEST = 2.0**63  # a gradient of this norm has squares that AdamW's second moment cannot hold


class StepOutput(NamedTuple):
    """loss : mean over the counted tokens, before the update; grad_norm : before clipping; tokens : counted."""

    loss: float
    grad_norm: float
    tokens: int


class TrainStep:
    """Forward, backward, clip and AdamW for one model. Gradients and both moments are flat vectors like the weights.

    optimizer : AdamW; its lr is used unless `update` is told another.
    max_grad_norm : the gradient of the mean loss is scaled down to this global L2 norm.
    dtype : "float32", or "bfloat16" or "float16": weights to compute with, activations and their gradients in 16 bits;
        the weights that are updated, their gradients, sums and the loss in float32. The model goes on answering in it
        afterwards; model.compute_in("float32") brings it back. n_threads None: see rgz.threads.
    loss_scale : of float16; None: dynamic, see rgz.optim.LossScale.
    optim_dtype : of both moments, "float32", "bfloat16" or "int8".
    plan_rows, plan_seqs, plan_length : size the memory for batches this large, of sequences this long, now rather than
        as they come.
    portion_tokens : the most tokens that pass through the model at a time; a batch of more is cut into portions of
        whole sequences, whose gradients add up to the same. None: as many as the cores are fastest with.
    gradient_checkpointing : keep of each block its input only and compute the rest again in backward: the same bits,
        for less memory and about a third more time.
    seed : of dropout and of the rounding of bfloat16 moments. Masks are a function of (seed, update, portion, layer,
        element).
    A non-finite gradient norm makes no update: gradients are dropped and the norm is returned as it is; so does, as
    infinite, one of 2**63 or more that is not clipped. With float16 and a dynamic loss scale that is usual now and
    then: `overflowed` tells that the scale was lowered for it.
    """

    def __init__(
        self,
        model: Decoder,
        optimizer: AdamW | None = None,
        max_grad_norm: float = 1.0,
        dtype: str = "float32",
        n_threads: int | None = None,
        plan_rows: int | None = None,
        plan_seqs: int | None = None,
        plan_length: int | None = None,
        seed: int = 0,
        gradient_checkpointing: bool = False,
        loss_scale: float | None = None,
        optim_dtype: str = "float32",
        portion_tokens: int | None = None,
    ) -> None:
        need_instance("model", model, Decoder)
        settings = AdamW() if optimizer is None else optimizer
        need_instance("optimizer", settings, AdamW)
        whole = isinstance(seed, int) and not isinstance(seed, bool)
        need_that("seed", seed, whole and 0 <= seed < 2**63, ">= 0, < 2**63")
        clips = is_finite(max_grad_norm) or max_grad_norm == math.inf
        if not clips or not max_grad_norm > 0:
            raise RgzError(
                tr("max_grad_norm must be > 0 (math.inf never clips), got {value}", value=repr(max_grad_norm))
            )
        for name, value in (
            ("plan_rows", plan_rows),
            ("plan_seqs", plan_seqs),
            ("plan_length", plan_length),
            ("portion_tokens", portion_tokens),
        ):
            need_that(name, value, value is None or is_count(value), tr("an integer >= 1"))
        is_flag = isinstance(gradient_checkpointing, bool)
        need_that("gradient_checkpointing", gradient_checkpointing, is_flag, tr("true or false"))
        scale = LossScale(loss_scale)
        model.need_masters()
        model.compute_in(dtype)
        self.model, self.dtype = model, dtype
        self._scale = scale if dtype == "float16" else None
        self.overflowed = False
        self.settings = settings
        self.max_grad_norm = max_grad_norm
        self._asked_threads = n_threads
        resolve_threads(n_threads)  # refuse a wrong number now
        self.seed = seed
        self.n_updates = 0
        self._micro = 0
        self._shift_labels: bool | None = None
        self._optimizer = AdamWState(self.settings, model.layout, optim_dtype, seed)
        self._gradients = model.layout.zeros()
        self._norm_scratch = np.empty(_kernels.squared_norm_scratch(model.layout.total))
        model.bind(self._gradients)
        self._plan_size = (0, 0)
        self.portion_tokens = portion_tokens or usual_portion(model.config.hidden_size)
        if plan_rows:
            longest = plan_length or model.config.max_position_embeddings
            rows = most_rows(plan_rows, longest, self.portion_tokens)
            self._plan_size = rows, min(plan_seqs or rows, rows)
        model.recompute(len(model.blocks) if gradient_checkpointing else 0)
        if plan_rows:
            model.reserve(*self._plan_size, training=True, n_threads=self.n_threads)

    @property
    def n_threads(self) -> int:
        """Size of the team now: a forked child has one thread."""
        return resolve_threads(self._asked_threads)

    # --- the two halves of an update, for accumulation over micro-batches ---

    def accumulate(self, batch: BatchLike) -> float:
        """Forward and backward: ADDS the gradient of the SUM of the token losses, scaled; returns that sum."""
        total = 0.0
        with single_threaded_blas():
            self.model.compute_in(self.dtype)
            if self.model.gradients is not self._gradients:
                self.model.bind(self._gradients)
            for part in portions(batch, self.portion_tokens):
                p = self.model.prepare(part.tokens, part.cu_seqlens, training=True, n_threads=self.n_threads)
                p.dropout_seed = self.seed
                p.dropout_stream = (self.n_updates * _BATCHES_PER_UPDATE + self._micro) * _STREAMS_PER_BATCH
                p.loss_scale = self._seed
                self._micro += 1
                total += self.model.loss_and_gradients(p, part.targets)
        return total

    def update(self, learning_rate: float, n_targets: int) -> float:
        """Divide the gradients by n_targets (>= 1), clip, update, zero; returns the norm before clipping."""
        need_that("learning_rate", learning_rate, is_finite(learning_rate) and learning_rate >= 0, ">= 0")
        need_integer("n_targets", n_targets, 1)
        self._micro = 0
        divisor = n_targets * self._seed
        norm = math.sqrt(_kernels.squared_norm(self._norm_scratch, self._gradients, self.n_threads)) / divisor
        self.overflowed = False
        if min(norm, self.max_grad_norm) >= _LARGEST:
            norm = math.inf
        if not math.isfinite(norm):
            self.discard()
            self.overflowed = self._scale is not None and self._scale.overflowed()
            return norm
        if self._scale is not None:
            self._scale.succeeded()
        self.n_updates += 1
        clip = min(1.0, self.max_grad_norm / norm) if norm > 0 else 1.0
        self._optimizer.update(
            self.model.weights,
            self.model.half,
            self._gradients,
            self.n_updates,
            learning_rate,
            clip / divisor,
            self.n_threads,
        )
        self.model.refreshed()
        return norm

    @property
    def loss_scale(self) -> float | None:
        """Of float16, now."""
        return None if self._scale is None else self._scale.value

    @property
    def _seed(self) -> float:
        return 1.0 if self._scale is None else self._scale.seed

    def discard(self) -> None:
        """Forget what was accumulated."""
        self._gradients.fill(0.0)
        self._micro = 0

    def evaluate(self, batch: BatchLike) -> float:
        """Sum of the token losses, without dropout or gradients."""
        with single_threaded_blas():
            self.model.compute_in(self.dtype)
            return sum(self._loss(part) for part in portions(batch, self.portion_tokens))

    def _loss(self, part: Portion) -> float:
        p = self.model.prepare(part.tokens, part.cu_seqlens, training=False, n_threads=self.n_threads)
        return self.model.loss(p, part.targets)

    # --- one whole update on raw ids ---

    def __call__(
        self, input_ids: Any, labels: Any = None, lengths: Any = None, shift_labels: bool | None = None
    ) -> StepOutput:
        """One update. input_ids: (B, T) integers, or a list of B sequences of any lengths.

        labels (B, T), or a list like input_ids: labels[b, t] is the id to predict after input_ids[b, :t+1], -100 is
        ignored. None means the next token.
        shift_labels : True reads labels[b, t] as the id at t itself and shifts them by one inside, as transformers
        does; False takes them as they are. None, the default, decides at the first call and stays with it: labels
        that equal input_ids wherever they are not -100 are shifted, for taken as they are they would teach the
        model to repeat its input.
        lengths (B,): tokens of each row that are real; the padding after them is neither computed nor counted.
        """
        is_flag = shift_labels is None or isinstance(shift_labels, bool | np.bool_)
        need_that("shift_labels", shift_labels, is_flag, tr("true or false"))
        if labels is not None and shift_labels is None:
            if self._shift_labels is None:
                self._shift_labels = equals_input(input_ids, labels, lengths)
            shift_labels = self._shift_labels
        tokens, targets, cu_seqlens = ragged_batch(
            input_ids, labels, lengths, self.model.config.vocab_size, bool(shift_labels)
        )
        n_targets = int(np.count_nonzero(targets >= 0))
        if n_targets == 0:
            raise RgzError(tr("the batch has nothing to predict: every sequence needs 2 tokens, or a label >= 0"))
        total = self.accumulate(Portion(tokens, targets, cu_seqlens))
        if not math.isfinite(total):  # never let a NaN loss with finite gradients through
            self.discard()
            return StepOutput(total / n_targets, math.nan, n_targets)
        norm = self.update(self.settings.lr, n_targets)
        return StepOutput(total / n_targets, norm, n_targets)

    # --- state ---

    def state_tensors(self) -> dict[str, Moments]:
        """Both moments as they are kept, as views: save them with n_updates to go on later."""
        return {f"optimizer.{name}": tensor for name, tensor in self._optimizer.tensors.items()}

    def load_state(self, tensors: Mapping[str, Moments], n_updates: int) -> None:
        for name, mine in self.state_tensors().items():
            if name not in tensors or tensors[name].dtype != mine.dtype:
                raise RgzError(tr("the optimizer state is of another optim_dtype: {name} differs", name=name))
            if tensors[name].shape != mine.shape:
                raise RgzError(
                    tr(
                        "the optimizer state is of another model: {name} has {got} numbers, this model {wanted}",
                        name=name,
                        got=tensors[name].size,
                        wanted=mine.size,
                    )
                )
        if not are_moments({name.removeprefix("optimizer."): tensors[name] for name in self.state_tensors()}):
            raise RgzError(tr("the optimizer state is damaged: it holds numbers that no update leaves"))
        for name, mine in self.state_tensors().items():
            mine[:] = tensors[name]
        self.discard()
        self.n_updates = n_updates

    def state_dict(self) -> dict[str, Any]:
        """What there is to remember besides: the loss scale of float16."""
        return {} if self._scale is None else {"loss_scale": self._scale.state_dict()}

    def load_state_dict(self, values: Mapping[str, Any]) -> None:
        if self._scale is not None and "loss_scale" in values:
            self._scale.load_state_dict(values["loss_scale"])

    @property
    def planned_bytes(self) -> dict[str, int]:
        """Bytes of each kind of memory: activations for the batch size planned at construction, 0 if none was."""
        flat, half = self.model.weights.nbytes, 0 if self.model.half is None else self.model.half.nbytes
        rows, seqs = self._plan_size
        activations = self.model.planned_bytes(rows, seqs, True, self.n_threads) if rows else 0
        return {
            "parameters": flat + half,
            "gradients": flat,
            "optimizer": sum(tensor.nbytes for tensor in self._optimizer.tensors.values()),
            "activations": activations,
        }
