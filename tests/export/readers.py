"""What llama.cpp and transformers do with the files, in float64 NumPy: from their names and conventions, one token
after another, with none of rgz's code. The real programs are asked in test_real_readers.py."""

import json
import math

import numpy as np
from gguf import GGUFReader, dequantize


def read_gguf(path):
    """(metadata, tensors), a matrix as (outputs, inputs)."""
    reader = GGUFReader(path)
    metadata = {name: field.contents() for name, field in reader.fields.items()}
    return metadata, {t.name: dequantize(t.data, t.tensor_type).astype(np.float64) for t in reader.tensors}


def rms_norm(x, weight, eps):
    return x / math.sqrt((x**2).mean() + eps) * weight


def layer_norm(x, weight, bias, eps):
    return (x - x.mean()) / math.sqrt(x.var() + eps) * weight + bias


def silu(x):
    return x / (1 + np.exp(-x))


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def attend(q, keys, values):
    """Of one token: q (heads, size) over all keys and values up to it, lists of (kv_heads, size)."""
    out = np.empty_like(q)
    for head in range(len(q)):
        shared = head * len(keys[0]) // len(q)
        scores = np.array([q[head] @ key[shared] for key in keys]) / math.sqrt(q.shape[1])
        weights = np.exp(scores - scores.max())
        out[head] = sum(w * value[shared] for w, value in zip(weights / weights.sum(), values, strict=True))
    return out.reshape(-1)


def neighbours_turned(x, position, theta):
    """ggml's GGML_ROPE_TYPE_NORMAL: of every head (x0, x1), (x2, x3) ... are turned."""
    pairs = x.reshape(len(x), -1, 2)
    angles = position * theta ** (-np.arange(pairs.shape[1]) * 2 / x.shape[1])
    a, b = pairs[..., 0], pairs[..., 1]
    return np.stack([a * np.cos(angles) - b * np.sin(angles), a * np.sin(angles) + b * np.cos(angles)], -1).reshape(
        x.shape
    )


def halves_turned(x, position, theta):
    """transformers' rotate_half: x cos + (-second half, first half) sin."""
    size = x.shape[1]
    angles = position * theta ** (-np.arange(0, size, 2) / size)
    angles = np.concatenate([angles, angles])
    rotated = np.concatenate([-x[:, size // 2 :], x[:, : size // 2]], axis=1)
    return x * np.cos(angles) + rotated * np.sin(angles)


def llama(ids, get, layers, heads, kv_heads, eps, turned):
    """Logits (T, V). get(layer or None, name): a tensor under the name of llama.cpp's Llama."""
    embedding = get(None, "token_embd.weight")
    output = get(None, "output.weight")
    output = embedding if output is None else output
    keys, values, logits = [[] for _ in range(layers)], [[] for _ in range(layers)], []
    for position, token in enumerate(ids):
        x = embedding[token]
        for n in range(layers):
            h = rms_norm(x, get(n, "attn_norm.weight"), eps)
            q = turned((get(n, "attn_q.weight") @ h).reshape(heads, -1), position)
            keys[n].append(turned((get(n, "attn_k.weight") @ h).reshape(kv_heads, -1), position))
            values[n].append((get(n, "attn_v.weight") @ h).reshape(kv_heads, -1))
            x = x + get(n, "attn_output.weight") @ attend(q, keys[n], values[n])
            h = rms_norm(x, get(n, "ffn_norm.weight"), eps)
            x = x + get(n, "ffn_down.weight") @ (silu(get(n, "ffn_gate.weight") @ h) * (get(n, "ffn_up.weight") @ h))
        logits.append(output @ rms_norm(x, get(None, "output_norm.weight"), eps))
    return np.array(logits)


def gpt2(ids, get, layers, heads, eps):
    """Logits (T, V). get(layer or None, name): a tensor under the name of llama.cpp's GPT-2."""

    def linear(n, name, x):
        return get(n, f"{name}.weight") @ x + get(n, f"{name}.bias")

    def norm(n, name, x):
        return layer_norm(x, get(n, f"{name}.weight"), get(n, f"{name}.bias"), eps)

    embedding, output = get(None, "token_embd.weight"), get(None, "output.weight")
    output = embedding if output is None else output
    keys, values, logits = [[] for _ in range(layers)], [[] for _ in range(layers)], []
    for position, token in enumerate(ids):
        x = embedding[token] + get(None, "position_embd.weight")[position]
        for n in range(layers):
            q, k, v = linear(n, "attn_qkv", norm(n, "attn_norm", x)).reshape(3, heads, -1)
            keys[n].append(k)
            values[n].append(v)
            x = x + linear(n, "attn_output", attend(q, keys[n], values[n]))
            x = x + linear(n, "ffn_down", gelu_tanh(linear(n, "ffn_up", norm(n, "ffn_norm", x))))
        logits.append(output @ norm(None, "output_norm", x))
    return np.array(logits)


def gguf_logits(path, ids):
    meta, tensors = read_gguf(path)
    family = meta["general.architecture"]

    def get(layer, name):
        return tensors.get(name) if layer is None else tensors[f"blk.{layer}.{name}"]

    def of(key):
        return meta[f"{family}.{key}"]

    layers, heads = of("block_count"), of("attention.head_count")
    if family == "gpt2":
        return gpt2(ids, get, layers, heads, of("attention.layer_norm_epsilon"))
    theta = of("rope.freq_base")
    return llama(
        ids, get, layers, heads, of("attention.head_count_kv"), of("attention.layer_norm_rms_epsilon"),
        lambda x, position: neighbours_turned(x, position, theta),
    )  # fmt: skip


LLAMA = {
    "token_embd": "model.embed_tokens", "output": "lm_head", "output_norm": "model.norm",
    "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}  # fmt: skip
GPT2 = {
    "token_embd": "transformer.wte", "position_embd": "transformer.wpe", "output": "lm_head",
    "output_norm": "transformer.ln_f", "attn_norm": "ln_1", "attn_qkv": "attn.c_attn", "attn_output": "attn.c_proj",
    "ffn_norm": "ln_2", "ffn_up": "mlp.c_fc", "ffn_down": "mlp.c_proj",
}  # fmt: skip


def transformers_logits(folder, ids, tensors):
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    known, prefix = (LLAMA, "model.layers") if config["model_type"] == "llama" else (GPT2, "transformer.h")

    def get(layer, name):
        part, _, kind = name.rpartition(".")
        full = f"{known[part]}.{kind}" if layer is None else f"{prefix}.{layer}.{known[part]}.{kind}"
        found = tensors.get(full)
        conv1d = ".c_" in full and found.ndim == 2  # (inputs, outputs)
        return found.T if conv1d else found

    if known is GPT2:
        return gpt2(ids, get, config["n_layer"], config["n_head"], config["layer_norm_epsilon"])
    return llama(
        ids, get, config["num_hidden_layers"], config["num_attention_heads"], config["num_key_value_heads"],
        config["rms_norm_eps"], lambda x, position: halves_turned(x, position, config["rope_parameters"]["rope_theta"]),
    )  # fmt: skip
