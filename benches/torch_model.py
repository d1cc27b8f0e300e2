"""The rival: both model families in plain PyTorch, taking rgz's own parameters, so that the two can be compared step
by step. Written for speed in torch's own way: scaled_dot_product_attention, fused AdamW, no Python loops."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from rgz.config import ModelConfig


class TorchDecoder(nn.Module):
    def __init__(self, config: ModelConfig, parameters: dict[str, np.ndarray]) -> None:
        super().__init__()
        self.config = config
        self.weights = nn.ParameterDict(
            {name.replace(".", "/"): nn.Parameter(torch.from_numpy(array.copy())) for name, array in parameters.items()}
        )
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

    def rotate(self, x: torch.Tensor) -> torch.Tensor:
        cos, sin = self.cos[: x.shape[2]], self.sin[: x.shape[2]]
        a, b = x.chunk(2, dim=-1)
        return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)

    def attention(self, x: torch.Tensor, name: str) -> torch.Tensor:
        c = self.config
        batch, time, _ = x.shape
        q, k, v = self.linear(x, f"{name}.qkv_proj").split(
            [c.hidden_size, c.kv_heads * c.head_dim, c.kv_heads * c.head_dim], dim=-1
        )
        q, k, v = (part.view(batch, time, -1, c.head_dim).transpose(1, 2) for part in (q, k, v))
        if c.position == "rope":
            q, k = self.rotate(q), self.rotate(k)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=c.kv_heads != c.num_attention_heads)
        return self.linear(y.transpose(1, 2).reshape(batch, time, c.hidden_size), f"{name}.o_proj")

    def mlp(self, x: torch.Tensor, name: str) -> torch.Tensor:
        act = self.config.hidden_act
        if act == "swiglu":
            gate, up = self.linear(x, f"{name}.gate_up_proj").chunk(2, dim=-1)
            return self.linear(F.silu(gate) * up, f"{name}.down_proj")
        x = self.linear(x, f"{name}.up_proj")
        x = F.relu(x) if act == "relu" else F.gelu(x, approximate="tanh" if act == "gelu_tanh" else "none")
        return self.linear(x, f"{name}.down_proj")

    def forward(self, ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        c = self.config
        x = F.embedding(ids, self.get("model.embed_tokens.weight"))
        if c.position == "learned":
            x = x + self.get("model.embed_positions.weight")[: ids.shape[1]]
        for i in range(c.num_hidden_layers):
            name = f"model.layers.{i}"
            x = x + self.attention(self.norm(x, f"{name}.input_layernorm"), f"{name}.self_attn")
            x = x + self.mlp(self.norm(x, f"{name}.post_attention_layernorm"), f"{name}.mlp")
        if c.final_norm:
            x = self.norm(x, "model.norm")
        head = self.get("model.embed_tokens.weight" if c.tie_word_embeddings else "lm_head.weight")
        logits = F.linear(x, head, self.get("lm_head.bias"))
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.view(-1))


class TorchStep:
    """One update, with rgz's defaults: AdamW with decay on matrices only, global norm clipped at 1."""

    def __init__(self, model: TorchDecoder, lr: float, compiled: bool = False) -> None:
        self.model = model
        self.loss_of = torch.compile(model) if compiled else model
        decayed = [p for p in model.parameters() if p.ndim == 2]
        others = [p for p in model.parameters() if p.ndim < 2]
        groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.95), eps=1e-8, fused=True)

    def __call__(self, ids: np.ndarray, targets: np.ndarray) -> float:
        loss = self.loss_of(torch.from_numpy(ids), torch.from_numpy(targets))
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())
