"""The decoder once more, in float64 NumPy, written from the papers with none of rgz's code: loops over sequences and
heads, complex numbers for the rotation, math.erf for GELU. Slow and plain on purpose."""

import math

import numpy as np


def layer_norm(x, weight, bias, eps):
    centered = x - x.mean(1, keepdims=True)
    return centered / np.sqrt((centered**2).mean(1, keepdims=True) + eps) * weight + bias


def rms_norm(x, weight, eps):
    return x / np.sqrt((x**2).mean(1, keepdims=True) + eps) * weight


def norm(x, params, name, config):
    if config.norm == "layernorm":
        return layer_norm(x, params[f"{name}.weight"], params[f"{name}.bias"], config.norm_eps)
    return rms_norm(x, params[f"{name}.weight"], config.norm_eps)


def linear(x, params, name):
    return x @ params[f"{name}.weight"].T + params.get(f"{name}.bias", 0.0)


def relu(x):
    return np.where(x > 0, x, 0.0)


def gelu(x):
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def swiglu(x):
    gate, up = np.split(x, 2, axis=1)
    return gate / (1 + np.exp(-gate)) * up


ACTIVATIONS = {"relu": relu, "gelu": gelu, "gelu_tanh": gelu_tanh, "swiglu": swiglu}


def rotate(x, positions, theta):
    """Pair (i, i + D/2) as one complex number, times e^(i angle)."""
    half = x.shape[-1] // 2
    z = x[..., :half] + 1j * x[..., half:]
    angles = positions[:, None] * theta ** (-np.arange(half) / half)
    z = z * np.exp(1j * angles)[:, None, :]
    return np.concatenate([z.real, z.imag], axis=-1)


def attention(q, k, v, lengths):
    """q (N, H, D), k and v (N, Hkv, D); each sequence and head by itself."""
    out = np.zeros_like(q)
    begin = 0
    for length in lengths:
        rows = slice(begin, begin + length)
        for h in range(q.shape[1]):
            g = h // (q.shape[1] // k.shape[1])
            scores = q[rows, h] @ k[rows, g].T / math.sqrt(q.shape[2])
            scores[np.triu_indices(length, 1)] = -np.inf
            p = np.exp(scores - scores.max(1, keepdims=True))
            out[rows, h] = p / p.sum(1, keepdims=True) @ v[rows, g]
        begin += length
    return out


def attention_layer(x, params, name, config, positions, lengths):
    h, g, d = (
        config.num_attention_heads,
        config.num_key_value_heads,
        config.hidden_size // config.num_attention_heads,
    )
    qkv = linear(x, params, f"{name}.qkv_proj").reshape(len(x), h + 2 * g, d)
    q, k, v = qkv[:, :h], qkv[:, h : h + g], qkv[:, h + g :]
    if config.position == "rope":
        q, k = rotate(q, positions, config.rope_theta), rotate(k, positions, config.rope_theta)
    return linear(attention(q, k, v, lengths).reshape(len(x), -1), params, f"{name}.o_proj")


def mlp(x, params, name, config):
    up = "gate_up_proj" if config.hidden_act == "swiglu" else "up_proj"
    return linear(ACTIVATIONS[config.hidden_act](linear(x, params, f"{name}.{up}")), params, f"{name}.down_proj")


def block(x, params, name, config, positions, lengths):
    normed = norm(x, params, f"{name}.input_layernorm", config)
    x = x + attention_layer(normed, params, f"{name}.self_attn", config, positions, lengths)
    return x + mlp(norm(x, params, f"{name}.post_attention_layernorm", config), params, f"{name}.mlp", config)


def positions_of(lengths):
    return np.concatenate([np.arange(length) for length in lengths])


def embed(tokens, params, config, positions):
    x = params["model.embed_tokens.weight"][tokens]
    if config.position == "learned":
        x = x + params["model.embed_positions.weight"][positions]
    if config.position == "sinusoidal":
        for c in range(config.hidden_size):
            angle = positions / 10000 ** ((c // 2 * 2) / config.hidden_size)
            x[:, c] += np.cos(angle) if c % 2 else np.sin(angle)
    return x


def logits(params, config, tokens, lengths):
    positions = positions_of(lengths)
    x = embed(tokens, params, config, positions)
    for i in range(config.num_hidden_layers):
        x = block(x, params, f"model.layers.{i}", config, positions, lengths)
    if config.final_norm:
        x = norm(x, params, "model.norm", config)
    weight = params["model.embed_tokens.weight" if config.tie_word_embeddings else "lm_head.weight"]
    return x @ weight.T + params.get("lm_head.bias", 0.0)


def losses_of(rows, targets):
    """Cross-entropy of each row of logits; rows with a negative target count 0."""
    top = rows.max(1)
    lse = top + np.log(np.exp(rows - top[:, None]).sum(1))
    return np.where(targets >= 0, lse - rows[np.arange(len(rows)), np.maximum(targets, 0)], 0.0)


def loss(params, config, tokens, targets, lengths):
    return losses_of(logits(params, config, tokens, lengths), targets).sum()


def slope(function, params, name, direction, h=1e-5):
    """d function / d t at params[name] + t direction, by central differences in float64."""
    values = []
    for sign in (1, -1):
        values.append(function({**params, name: params[name] + sign * h * direction}))
    return (values[0] - values[1]) / (2 * h)
