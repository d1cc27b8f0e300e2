"""The rival: both model families in plain PyTorch, taking rgz's own parameters, so that the two can be compared step
by step. Written for speed in torch's own way: scaled_dot_product_attention, fused AdamW, no Python loops."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from rgz.config import ModelConfig


def sinusoids(positions: int, channels: int) -> torch.Tensor:
    """(positions, channels): Vaswani et al. 2017, section 3.5."""
    angles = torch.arange(positions, dtype=torch.float64)[:, None] * torch.exp(
        -np.log(10000.0) * torch.arange(0, channels, 2) / channels
    )
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :channels].float()


class TorchCache:
    """Keys and values (B, kv_heads, capacity, head_dim) of each layer, written in place; length: tokens held."""

    def __init__(self, config: ModelConfig, batch: int) -> None:
        shape = (batch, config.kv_heads, config.max_position_embeddings, config.head_dim)
        self.keys = [torch.empty(shape) for _ in range(config.num_hidden_layers)]
        self.values = [torch.empty(shape) for _ in range(config.num_hidden_layers)]
        self.length = 0

    def append(self, layer: int, k: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """All keys and values so far, with k and v at their end."""
        end = self.length + k.shape[2]
        self.keys[layer][:, :, self.length : end] = k
        self.values[layer][:, :, self.length : end] = v
        return self.keys[layer][:, :, :end], self.values[layer][:, :, :end]


class TorchDecoder(nn.Module):
    def __init__(self, config: ModelConfig, parameters: dict[str, np.ndarray]) -> None:
        super().__init__()
        self.config = config
        self.weights = nn.ParameterDict(
            {name.replace(".", "/"): nn.Parameter(torch.from_numpy(array.copy())) for name, array in parameters.items()}
        )
        if config.position == "sinusoidal":
            self.register_buffer("sinusoids", sinusoids(config.max_position_embeddings, config.hidden_size))
        if config.position == "rope":
            half = config.head_dim // 2
            angles = torch.arange(config.max_position_embeddings)[:, None] * config.rope_theta ** (
                -torch.arange(half, dtype=torch.float64) / half
            )
            self.register_buffer("cos", angles.cos().float())
            self.register_buffer("sin", angles.sin().float())

    def get(self, name: str) -> torch.Tensor | None:
        return self.weights.get(name.replace(".", "/"), None)

    def norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        size = (self.config.hidden_size,)
        if self.config.norm == "layernorm":
            return F.layer_norm(x, size, self.get(f"{name}.weight"), self.get(f"{name}.bias"), self.config.norm_eps)
        return F.rms_norm(x, size, self.get(f"{name}.weight"), self.config.norm_eps)

    def linear(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return F.linear(x, self.get(f"{name}.weight"), self.get(f"{name}.bias"))

    def rotate(self, x: torch.Tensor, begin: int) -> torch.Tensor:
        cos, sin = self.cos[begin : begin + x.shape[2]], self.sin[begin : begin + x.shape[2]]
        a, b = x.chunk(2, dim=-1)
        return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)

    def attention(self, x: torch.Tensor, layer: int, cache: TorchCache | None) -> torch.Tensor:
        c, name = self.config, f"model.layers.{layer}.self_attn"
        batch, time, _ = x.shape
        q, k, v = self.linear(x, f"{name}.qkv_proj").split(
            [c.hidden_size, c.kv_heads * c.head_dim, c.kv_heads * c.head_dim], dim=-1
        )
        q, k, v = (part.view(batch, time, -1, c.head_dim).transpose(1, 2) for part in (q, k, v))
        if c.position == "rope":
            begin = cache.length if cache else 0
            q, k = self.rotate(q, begin), self.rotate(k, begin)
        if cache:
            k, v = cache.append(layer, k, v)
        causal = k.shape[2] == time  # a single token after others sees them all
        y = F.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=c.kv_heads != c.num_attention_heads)
        return self.linear(y.transpose(1, 2).reshape(batch, time, c.hidden_size), f"{name}.o_proj")

    def mlp(self, x: torch.Tensor, name: str) -> torch.Tensor:
        act = self.config.hidden_act
        if act == "swiglu":
            gate, up = self.linear(x, f"{name}.gate_up_proj").chunk(2, dim=-1)
            return self.linear(F.silu(gate) * up, f"{name}.down_proj")
        x = self.linear(x, f"{name}.up_proj")
        x = F.relu(x) if act == "relu" else F.gelu(x, approximate="tanh" if act == "gelu_tanh" else "none")
        return self.linear(x, f"{name}.down_proj")

    def hidden(self, ids: torch.Tensor, cache: TorchCache | None = None) -> torch.Tensor:
        """What the output layer reads, (B, T, C). A cache takes a whole prompt first, then tokens one by one."""
        c, begin = self.config, cache.length if cache else 0
        x = F.embedding(ids, self.get("model.embed_tokens.weight"))
        if c.position != "rope":
            table = self.sinusoids if c.position == "sinusoidal" else self.get("model.embed_positions.weight")
            x = x + table[begin : begin + ids.shape[1]]
        for i in range(c.num_hidden_layers):
            name = f"model.layers.{i}"
            x = x + self.attention(self.norm(x, f"{name}.input_layernorm"), i, cache)
            x = x + self.mlp(self.norm(x, f"{name}.post_attention_layernorm"), f"{name}.mlp")
        if cache:
            cache.length += ids.shape[1]
        return self.norm(x, "model.norm") if c.final_norm else x

    def head(self, x: torch.Tensor) -> torch.Tensor:
        name = "model.embed_tokens.weight" if self.config.tie_word_embeddings else "lm_head.weight"
        return F.linear(x, self.get(name), self.get("lm_head.bias"))

    def forward(self, ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        logits = self.head(self.hidden(ids))
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.view(-1))


class TorchStep:
    """One update, with rgz's defaults: AdamW with decay on matrices only, global norm clipped at 1.

    bfloat16 : under autocast, the weights and what it keeps in float32 staying that.
    """

    def __init__(self, model: TorchDecoder, lr: float, compiled: bool = False, bfloat16: bool = False) -> None:
        self.model, self.bfloat16 = model, bfloat16
        self.loss_of = torch.compile(model) if compiled else model
        decayed = [p for p in model.parameters() if p.ndim == 2]
        others = [p for p in model.parameters() if p.ndim < 2]
        groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.95), eps=1e-8, fused=True)

    def __call__(self, ids: np.ndarray, targets: np.ndarray) -> float:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            loss = self.loss_of(torch.from_numpy(ids), torch.from_numpy(targets))
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())
