"""The decoder-only transformer of both families: GPT-2's and Llama's shapes are two settings of one assembly."""

from __future__ import annotations

from typing import Any

import numpy as np

from rgz import _kernels
from rgz.config import ModelConfig
from rgz.errors import RgzError
from rgz.memory import Arena, Floats, Ints, Reals
from rgz.messages import tr
from rgz.models.weighted import Weighted
from rgz.nn.attention import Attention
from rgz.nn.block import Block
from rgz.nn.cache import KVCache, Recorded
from rgz.nn.embedding import Embedding, rotations
from rgz.nn.head import LMHead
from rgz.nn.layer import Pass
from rgz.nn.mlp import MLP
from rgz.nn.norm import Norm
from rgz.strict import need_instance
from rgz.threads import resolve_threads, single_threaded_blas

INITIAL_STD = 0.02  # Radford et al. 2019; projections onto the residual stream get it / sqrt(2 layers)


def embedding_std(config: ModelConfig) -> float:
    """Spread of the first embeddings. Beside fixed sinusoids (root mean square 0.7) tokens of 0.02 would drown: a
    model that starts with them as large learned the same text in a third of the updates. A tied head needs them small.
    """
    return 0.5**0.5 if config.position == "sinusoidal" and not config.tie_word_embeddings else INITIAL_STD


class Decoder(Weighted):
    """Token ids in, logits or loss out.

    dtype : what passes compute with. Other than float32, matrices and tables are read from a copy of them in 16 bits,
        and activations, their gradients and cached keys and values are kept in these; biases, norms, sums, losses and
        gradients of parameters stay float32.
    config : ModelConfig; seed : of the first values.
    A batch is ragged inside: N rows of S sequences end to end. Buffers are planned for one (N, S) and planned again
    when it changes, over the same block of memory while that is large enough.
    """

    def __init__(self, config: ModelConfig, seed: int = 0) -> None:
        self.assemble(config)
        self.start(seed)

    def assemble(self, config: ModelConfig) -> None:
        need_instance("config", config, ModelConfig)
        self.config = config
        c, heads, kv = config.hidden_size, config.num_attention_heads, config.kv_heads
        std, residual_std = INITIAL_STD, INITIAL_STD / max(1.0, (2 * config.num_hidden_layers) ** 0.5)
        rotation = None
        if config.position == "rope":
            rotation = rotations(config.max_position_embeddings, config.head_dim, config.rope_theta)
        self.embedding = Embedding(
            config.vocab_size, c, config.position, config.max_position_embeddings, embedding_std(config)
        )
        self.blocks = []
        for i in range(config.num_hidden_layers):
            name = f"model.layers.{i}"
            self.blocks.append(
                Block(
                    Norm(f"{name}.input_layernorm", config.norm, c, config.norm_eps),
                    Attention(
                        f"{name}.self_attn",
                        i,
                        c,
                        heads,
                        kv,
                        config.attention_bias,
                        std,
                        residual_std,
                        rotation,
                    ),
                    Norm(f"{name}.post_attention_layernorm", config.norm, c, config.norm_eps),
                    MLP(
                        f"{name}.mlp",
                        c,
                        config.ffn_size,
                        config.hidden_act,
                        config.mlp_bias,
                        std,
                        residual_std,
                    ),
                    config.dropout,
                )
            )
        self.norm = Norm("model.norm", config.norm, c, config.norm_eps) if config.final_norm else None
        self.head = LMHead(config.vocab_size, c, config.tie_word_embeddings, config.lm_head_bias, std)
        layers = [self.embedding, *self.blocks, *([self.norm] if self.norm else []), self.head]

        self.declare(layers)
        self._arena = Arena(0)
        self._recomputed = 0
        self._planned: tuple[int, int, bool, int, bool] | None = None
        self._largest: dict[tuple[bool, int, bool], tuple[int, int]] = {}  # rows, sequences that the arena holds

    # --- passes ---

    def recompute(self, blocks: int) -> None:
        """Keep of the first `blocks` blocks only their inputs: backward runs them forward again, to the same bits.

        Source: Chen et al. 2016, "Training deep nets with sublinear memory cost", arXiv:1604.06174.
        """
        if blocks != self._recomputed:
            self._recomputed = blocks
            self.forget_plans()

    def forget_plans(self) -> None:
        """Plan anew for the next pass: something that plans depend on has changed."""
        self._planned, self._largest = None, {}

    def planned_bytes(self, rows: int, sequences: int, training: bool, n_threads: int, logits: bool = False) -> int:
        """Bytes of activations that a pass of this size takes, exactly, without taking them."""
        measuring = Arena(dtype=self.dtype)
        with single_threaded_blas():  # nobody else may compute meanwhile
            self._planned = None  # from here on the layers hold placeholders
            self._plan(measuring, rows, sequences, training, n_threads, logits)
        return measuring.used

    def reserve(self, rows: int, sequences: int, *, training: bool, n_threads: int) -> None:
        """Take the memory for batches up to this size now."""
        with single_threaded_blas():
            self._make_room(rows, sequences, training, n_threads, False)

    def _make_room(self, rows: int, sequences: int, training: bool, n_threads: int, logits: bool) -> None:
        kind = (training, n_threads, logits)
        most_rows, most_sequences = self._largest.get(kind, (0, 0))
        if rows <= most_rows and sequences <= most_sequences:
            return
        most_rows, most_sequences = max(rows, most_rows), max(sequences, most_sequences)
        needed = self.planned_bytes(most_rows, most_sequences, *kind)
        if needed > self._arena.capacity or self._arena.dtype != self.dtype:
            self._arena, self._largest = Arena(0), {}  # let go of the old block before the new one is taken
            self._arena = Arena(needed, self.dtype)
        self._largest[kind] = most_rows, most_sequences

    def _plan(self, arena: Arena, rows: int, sequences: int, training: bool, n_threads: int, logits: bool) -> None:
        c = self.config.hidden_size
        self._positions = arena.ints(rows)
        self._range = arena.ints(self.config.max_position_embeddings)
        if training:
            self._xs = [arena.reals(rows, c) for _ in range(len(self.blocks) + 1)]
            self._d = arena.reals(rows, c)
            self._d_normed = arena.scratch("d_normed", rows, c)
        else:
            self._xs = [arena.reals(rows, c)] * (len(self.blocks) + 1)
        self._normed = arena.scratch("normed", rows, c)
        for i, block in enumerate(self.blocks):
            arena.keeping = training and i >= self._recomputed
            block.plan(arena, rows, training)
            block.attention.plan_threads(arena, n_threads)
        arena.keeping = training
        if self.norm:
            self.norm.plan(arena, rows, training)
        if logits:
            self._logits = arena.floats(rows, self.config.vocab_size)
        else:
            self.head.plan_loss(arena, rows)

    def prepare(self, tokens: Ints, cu_seqlens: Ints, *, training: bool, n_threads: int, logits: bool = False) -> Pass:
        """Plan the buffers for this batch, unless the last plan fits, and start a pass."""
        self.refresh(n_threads)
        rows, sequences = len(tokens), len(cu_seqlens) - 1
        key = (rows, sequences, training, n_threads, logits)
        if key != self._planned:
            self._planned = None  # should planning be interrupted, the layers hold some of this and some of that
            self._make_room(*key)
            self._arena.reset()
            self._plan(self._arena, rows, sequences, training, n_threads, logits)
            self._range[:] = np.arange(len(self._range))
            self._planned = key
        begin = 0
        for end in cu_seqlens.tolist()[1:]:
            if end - begin > len(self._range):
                raise RgzError(
                    tr(
                        "a sequence of {length} tokens is longer than max_position_embeddings={limit}; cut it "
                        "(max_length), or build the model with more positions",
                        length=end - begin,
                        limit=len(self._range),
                    )
                )
            self._positions[begin:end] = self._range[: end - begin]
            begin = end
        return Pass(tokens, self._positions, cu_seqlens, n_threads, training)

    def _forward(self, p: Pass) -> Reals:
        """The rows that the output layer reads, (N, C)."""
        self.embedding.forward(p, self._xs[0])
        for i, block in enumerate(self.blocks):
            block.forward(p, self._xs[i], self._xs[i + 1])
        if self.norm is None:
            return self._xs[-1]
        self.norm.forward(p, self._xs[-1], self._normed)
        return self._normed

    def loss(self, p: Pass, targets: Ints) -> float:
        """Sum of the losses over rows whose target is not negative."""
        return self.head.loss(p, self._forward(p), targets, None)

    def loss_and_gradients(self, p: Pass, targets: Ints) -> float:
        """The same, and ADDS the gradient of that sum, times p.loss_scale, to the bound vector of gradients."""
        x = self._forward(p)
        if self.norm is None:
            total = self.head.loss(p, x, targets, self._d)
        else:
            total = self.head.loss(p, x, targets, self._d_normed)
            self.norm.backward(p, self._d_normed, self._xs[-1], self._d, accumulate=False)
        for i in reversed(range(len(self.blocks))):
            if i < self._recomputed - 1:  # what the last of them computed is still there
                self.blocks[i].forward(p, self._xs[i], self._xs[i + 1])
            self.blocks[i].backward(p, self._xs[i], self._d)
        self.embedding.backward(p, self._d)
        return total

    def __call__(self, input_ids: Any, n_threads: int | None = None) -> Floats:
        """Logits (B, T, V) float32 for ids (B, T); every row of a batch has the same length."""
        ids = np.asarray(input_ids)
        if ids.ndim != 2 or ids.size == 0 or not np.issubdtype(ids.dtype, np.integer):
            raise RgzError(
                tr(
                    "input_ids must be a (batch, time) array of integers, got {kind} {shape}",
                    kind=ids.dtype,
                    shape=ids.shape,
                )
            )
        tokens = check_tokens(ids.reshape(-1), self.config.vocab_size)
        boundaries = np.arange(0, ids.size + 1, ids.shape[1], dtype=np.int32)
        with single_threaded_blas():
            p = self.prepare(tokens, boundaries, training=False, n_threads=resolve_threads(n_threads), logits=True)
            self.head.forward(p, self._forward(p), self._logits)
            return self._logits.reshape(*ids.shape, -1).copy()

    # --- generation ---

    def new_cache(self, batch: int, capacity: int) -> KVCache:
        c = self.config
        capacity = min(capacity, c.max_position_embeddings)
        return KVCache(c.num_hidden_layers, batch, c.num_attention_heads, c.kv_heads, capacity, c.head_dim, self.dtype)

    def read(self, prompts: list[Ints], cache: KVCache, n_threads: int) -> Floats:
        """Read whole prompts into an empty cache; logits (batch, V) of what comes next."""
        lengths = [len(ids) for ids in prompts]
        cu_seqlens = np.cumsum([0, *lengths]).astype(np.int32)
        p = self.prepare(np.concatenate(prompts), cu_seqlens, training=False, n_threads=n_threads)
        p.cache = cache
        last = np.ascontiguousarray(self._forward(p)[cu_seqlens[1:] - 1])
        cache.lengths[:] = lengths
        logits = np.empty((len(prompts), self.config.vocab_size), np.float32)
        self.head.forward(p, last, logits)
        return logits

    def advance(self, tokens: Ints, cache: KVCache, logits: Floats, n_threads: int) -> None:
        """Read one more token of each sequence; WRITES logits (batch, V) of what comes next."""
        self.refresh(n_threads)
        recorded = cache.recorded
        if recorded is None or not recorded.fits(logits, self.binding, n_threads):
            cache.recorded = self._record(tokens, cache, logits, n_threads)
            return
        recorded.tokens[:], recorded.positions[:] = tokens, cache.lengths
        cache.lengths += 1
        recorded.calls.play()

    def _record(self, tokens: Ints, cache: KVCache, logits: Floats, n_threads: int) -> Recorded:
        """Advance, and write down how. The buffers are its own: other passes come in between."""
        rows = len(tokens)
        arena = Arena(self.planned_bytes(rows, rows, False, n_threads), self.dtype)
        self._plan(arena, rows, rows, False, n_threads, False)
        p = Pass(tokens.copy(), self._positions, np.arange(rows + 1, dtype=np.int32), n_threads, training=False)
        p.positions[:] = cache.lengths
        calls = _kernels.Recording()
        p.cache, p.decoding, p.calls = cache, True, calls
        cache.lengths += 1
        self.head.forward(p, self._forward(p), logits)
        return Recorded(calls, p.tokens, p.positions, logits, self.binding, n_threads)


def check_tokens(ids: np.ndarray[Any, Any], vocab_size: int) -> Ints:
    """Contiguous int32 ids, all of them in the vocabulary; RgzError names the first that is not."""
    outside = np.flatnonzero((ids < 0) | (ids >= vocab_size))  # before the cast, which would wrap around
    if len(outside):
        raise RgzError(
            tr(
                "token ids must be in [0, {vocab_size}), got {token}: the text was encoded with another tokenizer",
                vocab_size=vocab_size,
                token=int(ids[outside[0]]),
            )
        )
    return np.ascontiguousarray(ids, np.int32)
