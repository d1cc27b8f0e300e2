"""A call of each kernel at a given size, its numbers from a random generator."""

import numpy as np
import oracles
from guarded import Call, stored

from rgz import _kernels


def floats(rng, *shape):
    return rng.standard_normal(shape, dtype=np.float32)


# --- linear.c, lm_loss.c ------------------------------------------------------------------------------------


def linear_forward(rng, rows, n_in, n_out, bias=True, residual=True):
    return Call(
        {
            "x": floats(rng, rows, n_in),
            "weight": floats(rng, n_out, n_in),
            "bias": floats(rng, n_out) if bias else None,
            "residual": floats(rng, rows, n_out) if residual else None,
        },
        writes={"y": (rows, n_out)},
    )


def lm_logits(rng, rows, n_in, n_out, bias=True):
    call = linear_forward(rng, rows, n_in, n_out, bias, residual=False)
    del call.arguments["residual"]
    return call


def linear_activation_forward(rng, rows, n_in, n_out, activation, bias=True):
    call = linear_forward(rng, rows, n_in, n_out, bias, residual=False)
    del call.arguments["residual"]
    call.arguments["activation"] = activation
    call.writes["activated"] = (rows, n_out)
    return call


def linear_backward(rng, rows, n_in, n_out):
    return Call(
        {"dy": floats(rng, rows, n_out), "x": floats(rng, rows, n_in), "weight": floats(rng, n_out, n_in)},
        writes={"dx": (rows, n_in)},
        updates={"dweight": floats(rng, n_out, n_in), "dbias": floats(rng, n_out)},
    )


def matmul(rng, m, k, n):
    return Call({"a": floats(rng, m, k), "b": floats(rng, k, n)}, writes={"c": (m, n)})


def lm_loss(rng, rows, channels, vocab, slice_rows, gradient=True, bias=True, loss_scale=1.0):
    targets = rng.integers(0, vocab, rows).astype(np.int32)
    targets[1::3] = -100
    call = Call(
        {
            "x": floats(rng, rows, channels),
            "weight": floats(rng, vocab, channels),
            "bias": floats(rng, vocab) if bias else None,
            "targets": targets,
            "loss_scale": loss_scale,
        },
        writes={"losses": (rows,)},
        scratch={"logits": lambda n_threads: (slice_rows, vocab)},
    )
    if gradient:
        call.writes["dx"] = (rows, channels)
        call.updates["dweight"] = floats(rng, vocab, channels)
    else:
        call.arguments |= {"dx": None, "dweight": None}
    if gradient and bias:
        call.updates["dbias"] = floats(rng, vocab)
    else:
        call.arguments["dbias"] = None
    return call


# --- norm.c -------------------------------------------------------------------------------------------------


def norm_forward(rng, rows, cols, center=True):
    call = Call({"x": floats(rng, rows, cols) + 1, "weight": floats(rng, cols), "eps": 1e-5})
    call.writes = {"y": (rows, cols), "rstd": (rows,)}
    if center:
        call.arguments["bias"] = floats(rng, cols)
        call.writes["mean"] = (rows,)
    return call


def norm_backward(rng, rows, cols, center=True, accumulate=False):
    call = norm_forward(rng, rows, cols, center)
    x = call.arguments["x"].astype(np.float64)
    saved = oracles.layernorm_forward(x, 1, 0, 1e-5) if center else oracles.rmsnorm_forward(x, 1, 1e-5)
    del call.arguments["eps"], saved["y"]
    call.arguments |= {name: value.astype(np.float32) for name, value in saved.items()}
    call.arguments |= {"dy": floats(rng, rows, cols), "accumulate": accumulate}
    call.writes, call.updates = {"dx": (rows, cols)}, {"dweight": floats(rng, cols)}
    if center:
        call.updates["dbias"] = call.arguments.pop("bias")
    if accumulate:
        call.updates["dx"] = floats(rng, *call.writes.pop("dx"))
    n = _kernels.norm_scratch(rows, cols) // (1 if center else 2)
    call.scratch = {"scratch": lambda n_threads: (n,)}
    return call


# --- activation.c, dropout.c --------------------------------------------------------------------------------


def activation_forward(rng, rows, cols, width=1):
    return Call({"x": 3 * floats(rng, rows, width * cols)}, writes={"y": (rows, cols)})


def activation_backward(rng, rows, cols, width=1):
    arguments = {"x": 3 * floats(rng, rows, width * cols), "dy": floats(rng, rows, cols)}
    return Call(arguments, writes={"dx": (rows, width * cols)})


def dropout_forward(rng, rows, cols, residual=True, p=0.3):
    return Call(
        {
            "x": floats(rng, rows, cols),
            "residual": floats(rng, rows, cols) if residual else None,
            "p": p,
            "seed": 2**63 + 5,
            "stream": 2**40 + 7,
        },
        writes={"y": (rows, cols)},
    )


def dropout_backward(rng, rows, cols, p=0.3):
    return Call({"dy": floats(rng, rows, cols), "p": p, "seed": 3, "stream": 11}, writes={"dx": (rows, cols)})


# --- embedding.c, rope.c ------------------------------------------------------------------------------------


def embedding_forward(rng, rows, channels, positions=True):
    return Call(
        {
            "tokens": rng.integers(0, 11, rows).astype(np.int32),
            "weight": floats(rng, 11, channels),
            "positions": rng.integers(0, 5, rows).astype(np.int32) if positions else None,
            "position_weight": floats(rng, 5, channels) if positions else None,
        },
        writes={"out": (rows, channels)},
    )


def embedding_backward(rng, rows, channels):
    arguments = {"indices": rng.integers(0, 4, rows).astype(np.int32), "dout": floats(rng, rows, channels)}
    return Call(arguments, updates={"dweight": floats(rng, 6, channels)})


def rope(rng, rows, heads, head_size, inverse=False):
    angles = np.arange(9)[:, None] * 10000.0 ** (-2 * np.arange(head_size // 2) / head_size)
    return Call(
        {
            "positions": rng.integers(0, 9, rows).astype(np.int32),
            "cosines": np.cos(angles).astype(np.float32),
            "sines": np.sin(angles).astype(np.float32),
            "inverse": inverse,
        },
        updates={"x": floats(rng, rows, heads, head_size)},
    )


# --- attention.c, attention_backward.c, decode.c ----------------------------------------------------------


def attention_inputs(rng, lengths, heads, kv_heads, head_size, causal):
    """q, k, v as the three parts of one qkv matrix; scale so that scores spread over a few units."""
    qkv = floats(rng, sum(lengths), heads + 2 * kv_heads, head_size)
    q, k, v = np.split(qkv, [heads, heads + kv_heads], axis=1)
    cu_seqlens = np.cumsum([0, *lengths]).astype(np.int32)
    return {"q": q, "k": k, "v": v, "cu_seqlens": cu_seqlens, "scale": 1.5 / head_size**0.5, "causal": causal}


def attention_forward(rng, *size):
    call = Call(attention_inputs(rng, *size))
    rows, heads, head_size = call.arguments["q"].shape
    call.writes = {"out": (rows, heads, head_size), "lse": (rows, heads)}
    call.scratch = {"scratch": lambda n_threads: (_kernels.attention_scratch(head_size, n_threads),)}
    return call


def attention_backward(rng, *size):
    call = attention_forward(rng, *size)
    wide = {name: a.astype(float) if name in "qkv" else a for name, a in call.arguments.items()}
    saved = oracles.attention_forward(**wide)
    call.arguments |= {name: value.astype(np.float32) for name, value in saved.items()}
    call.arguments["dout"] = floats(rng, *call.writes["out"])
    call.writes = {"d" + name: call.arguments[name].shape for name in "qkv"}
    return call


def attention_decode(rng, lengths, heads, kv_heads, head_size, capacity):
    batch = len(lengths)
    qkv = floats(rng, batch, heads + 2 * kv_heads, head_size)
    return Call(
        {
            "q": qkv[:, :heads],
            "k_cache": floats(rng, batch, kv_heads, capacity, head_size),
            "v_cache": floats(rng, batch, kv_heads, capacity, head_size),
            "lengths": np.array(lengths, np.int32),
            "scale": 1.5 / head_size**0.5,
        },
        writes={"out": (batch, heads, head_size)},
        scratch={"scores": lambda n_threads: (batch, heads, capacity)},
    )


def cache_append(rng, lengths, kv_heads, head_size, capacity):
    batch = len(lengths)
    qkv = floats(rng, batch, 3 * kv_heads, head_size)
    caches = {name: floats(rng, batch, kv_heads, capacity, head_size) for name in ("k_cache", "v_cache")}
    new = {"k": qkv[:, kv_heads : 2 * kv_heads], "v": qkv[:, 2 * kv_heads :]}
    return Call(new | {"lengths": np.array(lengths, np.int32)}, updates=caches)


# --- optim.c ------------------------------------------------------------------------------------------------


def squared_norm(rng, n):
    scratch = {"scratch": lambda n_threads: (_kernels.squared_norm_scratch(n),)}
    return Call({"x": floats(rng, n)}, scratch=scratch, scratch_type=np.float64)


def cast_from_float(rng, n):
    return Call({"x": floats(rng, n)}, writes={"y": (n,)})


def cast_to_float(rng, n):
    return Call({"x": floats(rng, n)}, writes={"y": (n,)})


def adamw_bf16(rng, n, n_decayed, copy=False):
    call = adamw(rng, n, n_decayed, copy)
    call.updates |= {name: stored(call.updates[name], "bfloat16") for name in "mv"}
    call.arguments |= {"seed": 2**63 + 1, "stream": 3}
    return call


def adamw_int8(rng, n, n_decayed, copy=False):
    call = adamw(rng, n, n_decayed, copy)
    blocks = -(-n_decayed // 256) - (n_decayed - n) // 256
    call.updates |= {
        "m": rng.integers(-127, 128, n).astype(np.int8),
        "v": rng.integers(0, 256, n).astype(np.uint8),
        "m_units": rng.uniform(0.5, 1, blocks).astype(np.float32) / np.float32(127**2),
        "v_units": rng.uniform(0.5, 1, blocks).astype(np.float32) / np.float32(255**4),
    }
    call.arguments |= {"seed": 2**63 + 1, "stream": 3}
    return call


def adamw(rng, n, n_decayed, copy=False):
    updates = {name: floats(rng, n) for name in ("weight", "grad", "m")} | {"v": floats(rng, n) ** 2}
    settings = {"lr": 1e-2, "beta1": 0.9, "beta2": 0.95, "eps": 1e-8, "weight_decay": 0.1}
    settings |= {"correction1": 0.271, "correction2": 0.142625, "grad_scale": 0.25}
    call = Call({"n_decayed": n_decayed, **settings}, updates=updates)
    if copy:
        call.writes["copy"] = (n_decayed,)
    else:
        call.arguments["copy"] = None
    return call
