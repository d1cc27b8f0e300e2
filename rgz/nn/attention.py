"""Causal self-attention with its projections: multi-head or grouped-query, rotary positions or none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rgz import _kernels
from rgz.memory import Arena, Floats, Parameter, Reals
from rgz.nn.layer import Layer, Pass
from rgz.nn.linear import Linear


class Attention(Layer):
    """y (N, C) = o_proj(attention(q, k, v)) + residual, with q, k, v side by side in one projection of x (N, C).

    rotation : cosines and sines (positions, head_size / 2) to turn q and k by, or None.
    index : this layer's place in a KVCache.
    """

    def __init__(
        self,
        name: str,
        index: int,
        channels: int,
        heads: int,
        kv_heads: int,
        bias: bool,
        std: float,
        residual_std: float,
        rotation: tuple[Floats, Floats] | None,
    ) -> None:
        self.index, self.channels, self.heads, self.kv_heads = index, channels, heads, kv_heads
        self.head_size = channels // heads
        self.scale = self.head_size**-0.5
        self.rotation = rotation
        self.width = (heads + 2 * kv_heads) * self.head_size
        self.qkv_proj = Linear(f"{name}.qkv_proj", channels, self.width, bias, std)
        self.o_proj = Linear(f"{name}.o_proj", channels, channels, bias, residual_std)

    def parameters(self) -> Iterator[Parameter]:
        yield from self.qkv_proj.parameters()
        yield from self.o_proj.parameters()

    def bind(self, weights: Mapping[str, Reals], gradients: Mapping[str, Floats] | None) -> None:
        self.qkv_proj.bind(weights, gradients)
        self.o_proj.bind(weights, gradients)

    def _heads(self, flat: Reals) -> list[Reals]:
        """Views (N, heads, head_size) of q, k, v and of what the rotation turns (q and k) in (N, width)."""
        heads = flat.reshape(flat.shape[0], -1, self.head_size)
        q, k = self.heads, self.heads + self.kv_heads
        return [heads[:, :q], heads[:, q:k], heads[:, k:], heads[:, :k]]

    def plan(self, arena: Arena, rows: int, training: bool) -> None:
        self.qkv = arena.activation("qkv", rows, self.width)
        self.out = arena.activation("heads", rows, self.channels)
        self.lse = arena.statistic("lse", rows, self.heads)
        self.q, self.k, self.v, self.turned = self._heads(self.qkv)
        self.out_heads = self.out.reshape(rows, self.heads, self.head_size)
        if training:
            self.d_qkv = arena.scratch("d_qkv", rows, self.width, phase="attention")
            self.d_out = arena.scratch("d_heads", rows, self.channels, phase="attention")
            self.dq, self.dk, self.dv, self.d_turned = self._heads(self.d_qkv)
            self.d_out_heads = self.d_out.reshape(rows, self.heads, self.head_size)

    def plan_threads(self, arena: Arena, n_threads: int) -> None:
        self.scratch = arena.float_scratch("attention", _kernels.attention_scratch(self.head_size, n_threads))

    def forward(self, p: Pass, x: Reals, y: Reals, residual: Reals | None) -> None:
        self.qkv_proj.forward(p, x, self.qkv)
        if self.rotation is not None:
            p.calls.rope(self.turned, p.positions, *self.rotation, False, p.n_threads)
        if p.cache is not None and p.decoding:
            keys, values, lengths = p.cache.keys[self.index], p.cache.values[self.index], p.cache.lengths
            p.calls.cache_append(keys, values, self.k, self.v, lengths, p.n_threads)
            p.calls.attention_decode(
                self.out_heads, self.q, keys, values, lengths, p.cache.scores, self.scale, p.n_threads
            )
        else:
            if p.cache is not None:
                p.cache.store(self.index, self.k, self.v, p.cu_seqlens.tolist())
            _kernels.attention_forward(
                self.out_heads,
                self.lse,
                self.q,
                self.k,
                self.v,
                p.cu_seqlens,
                self.scratch,
                self.scale,
                True,
                p.n_threads,
            )
        self.o_proj.forward(p, self.out, y, residual)

    def backward(self, p: Pass, dy: Reals, x: Reals, dx: Reals) -> None:
        """WRITES dx, ADDS to the parameters' gradients."""
        self.o_proj.backward(p, dy, self.out, self.d_out)
        _kernels.attention_backward(
            self.dq,
            self.dk,
            self.dv,
            self.d_out_heads,
            self.q,
            self.k,
            self.v,
            self.out_heads,
            self.lse,
            p.cu_seqlens,
            self.scratch,
            self.scale,
            True,
            p.n_threads,
        )
        if self.rotation is not None:
            _kernels.rope(self.d_turned, p.positions, *self.rotation, True, p.n_threads)
        self.qkv_proj.backward(p, self.d_qkv, x, dx)
