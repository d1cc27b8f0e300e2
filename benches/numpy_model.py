"""The rival in plain NumPy: one update of the model of rivals.config_of (learned positions, LayerNorm, GELU, no biases
in projections, tied output layer), taking rgz's own parameters. NumPy's BLAS does the products, on all cores; the rest
is written as one would write it, with the T x T scores and the logits whole."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from rgz.config import ModelConfig

Array = NDArray[np.float32]


def norm(x: Array, weight: Array, bias: Array, eps: float) -> tuple[Array, tuple[Array, Array]]:
    centered = x - x.mean(-1, keepdims=True)
    rstd = 1 / np.sqrt((centered * centered).mean(-1, keepdims=True) + np.float32(eps))
    normalised = centered * rstd
    return normalised * weight + bias, (normalised, rstd)


def norm_backward(dy: Array, weight: Array, saved: tuple[Array, Array]) -> tuple[Array, Array, Array]:
    normalised, rstd = saved
    g = dy * weight
    dx = (g - g.mean(-1, keepdims=True) - normalised * (g * normalised).mean(-1, keepdims=True)) * rstd
    return dx, (dy * normalised).sum(0), dy.sum(0)


class NumPyStep:
    """step(x, y) -> loss of (B, T) ids and targets; AdamW with the settings that rivals.py gives the others."""

    def __init__(self, config: ModelConfig, parameters: dict[str, Array], lr: float) -> None:
        assert (config.position, config.norm, config.hidden_act) == ("learned", "layernorm", "gelu")
        assert config.tie_word_embeddings and not (config.attention_bias or config.mlp_bias or config.lm_head_bias)
        self.config, self.lr, self.updates = config, np.float32(lr), 0
        self.w = {name: array.copy() for name, array in parameters.items()}
        self.m = {name: np.zeros_like(array) for name, array in parameters.items()}
        self.v = {name: np.zeros_like(array) for name, array in parameters.items()}

    def _heads(self, x: Array, batch: int) -> Array:
        """(B, H, T, D) of (B T, C)."""
        return x.reshape(batch, -1, self.config.num_attention_heads, self.config.head_dim).swapaxes(1, 2)

    def _rows(self, x: Array) -> Array:
        return x.swapaxes(1, 2).reshape(-1, self.config.hidden_size)

    def gradients(self, ids: NDArray[np.int64], targets: NDArray[np.int64]) -> tuple[float, dict[str, Array]]:
        c, w = self.config, self.w
        batch, time = ids.shape
        embedding, positions = w["model.embed_tokens.weight"], w["model.embed_positions.weight"]
        x = (embedding[ids] + positions[:time]).reshape(-1, c.hidden_size)
        future = np.triu(np.full((time, time), -np.inf, np.float32), 1)
        scale, saved = np.float32(c.head_dim**-0.5), []
        for i in range(c.num_hidden_layers):
            name = f"model.layers.{i}"
            first = f"{name}.input_layernorm", f"{name}.post_attention_layernorm"
            a, norm_a = norm(x, w[f"{first[0]}.weight"], w[f"{first[0]}.bias"], c.norm_eps)
            q, k, v = (
                self._heads(part, batch) for part in np.split(a @ w[f"{name}.self_attn.qkv_proj.weight"].T, 3, 1)
            )
            scores = q @ k.swapaxes(2, 3) * scale + future
            p = np.exp(scores - scores.max(-1, keepdims=True))
            p /= p.sum(-1, keepdims=True)
            heads = self._rows(p @ v)
            x = x + heads @ w[f"{name}.self_attn.o_proj.weight"].T
            b, norm_b = norm(x, w[f"{first[1]}.weight"], w[f"{first[1]}.bias"], c.norm_eps)
            up = b @ w[f"{name}.mlp.up_proj.weight"].T
            cdf = np.float32(0.5) * (1 + erf(up * np.float32(math.sqrt(0.5))))
            x = x + (up * cdf) @ w[f"{name}.mlp.down_proj.weight"].T
            saved.append((a, norm_a, q, k, v, p, heads, b, norm_b, up, cdf))
        last, norm_last = norm(x, w["model.norm.weight"], w["model.norm.bias"], c.norm_eps)
        logits = last @ embedding.T
        logits -= logits.max(1, keepdims=True)
        d_logits = np.exp(logits)
        total = d_logits.sum(1, keepdims=True)
        rows = np.arange(len(logits)), targets.reshape(-1)
        loss = float((np.log(total[:, 0]) - logits[rows]).mean())
        d_logits /= total
        d_logits[rows] -= 1
        d_logits /= np.float32(len(logits))

        g: dict[str, Array] = {"model.embed_tokens.weight": d_logits.T @ last}
        d, g["model.norm.weight"], g["model.norm.bias"] = norm_backward(
            d_logits @ embedding, w["model.norm.weight"], norm_last
        )
        for i in reversed(range(c.num_hidden_layers)):
            name = f"model.layers.{i}"
            a, norm_a, q, k, v, p, heads, b, norm_b, up, cdf = saved.pop()
            density = np.exp(np.float32(-0.5) * up * up) * np.float32(1 / math.sqrt(2 * math.pi))
            g[f"{name}.mlp.down_proj.weight"] = d.T @ (up * cdf)
            d_up = d @ w[f"{name}.mlp.down_proj.weight"] * (cdf + up * density)
            g[f"{name}.mlp.up_proj.weight"] = d_up.T @ b
            self._norm_gradients(
                g, f"{name}.post_attention_layernorm", d_up @ w[f"{name}.mlp.up_proj.weight"], norm_b, d
            )
            g[f"{name}.self_attn.o_proj.weight"] = d.T @ heads
            d_heads = self._heads(d @ w[f"{name}.self_attn.o_proj.weight"], batch)
            dp = d_heads @ v.swapaxes(2, 3)
            ds = p * (dp - (dp * p).sum(-1, keepdims=True)) * scale
            parts = ds @ k, ds.swapaxes(2, 3) @ q, p.swapaxes(2, 3) @ d_heads
            d_qkv = np.concatenate([self._rows(part) for part in parts], 1)
            g[f"{name}.self_attn.qkv_proj.weight"] = d_qkv.T @ a
            self._norm_gradients(
                g, f"{name}.input_layernorm", d_qkv @ w[f"{name}.self_attn.qkv_proj.weight"], norm_a, d
            )
        np.add.at(g["model.embed_tokens.weight"], ids.reshape(-1), d)
        g["model.embed_positions.weight"] = np.zeros_like(positions)
        g["model.embed_positions.weight"][:time] = d.reshape(batch, time, -1).sum(0)
        return loss, g

    def _norm_gradients(
        self, g: dict[str, Array], name: str, dy: Array, saved: tuple[Array, Array], residual: Array
    ) -> None:
        """ADDS the gradient of the norm's input to that of the residual stream."""
        dx, g[f"{name}.weight"], g[f"{name}.bias"] = norm_backward(dy, self.w[f"{name}.weight"], saved)
        residual += dx

    def __call__(self, ids: NDArray[np.int64], targets: NDArray[np.int64]) -> float:
        loss, g = self.gradients(ids, targets)
        self.updates += 1
        length = math.sqrt(sum(float(np.vdot(array, array)) for array in g.values()))
        clip = np.float32(min(1.0, 1.0 / length))
        correction1, correction2 = (np.float32(1 - beta**self.updates) for beta in (0.9, 0.95))
        for name, weight in self.w.items():
            grad, m, v = g[name] * clip, self.m[name], self.v[name]
            m *= np.float32(0.9)
            m += np.float32(0.1) * grad
            v *= np.float32(0.95)
            v += np.float32(0.05) * grad * grad
            if weight.ndim == 2:
                weight *= 1 - self.lr * np.float32(0.1)
            weight -= self.lr / correction1 * m / (np.sqrt(v / correction2) + np.float32(1e-8))
        return loss
