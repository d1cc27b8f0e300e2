"""The kernels' formulas in float64 NumPy, written from the papers and sharing no code with rgz.

Each function takes a kernel's arguments by name (arrays already float64 or integer) and returns
{output: array}. Arrays that a kernel ADDS to come in with their first value and go out with the sum.
"""

import math
from itertools import pairwise

import numpy as np

# --- linear -------------------------------------------------------------------------------------------------


def linear_forward(x, weight, bias, residual):
    y = x @ weight.T
    y = y if bias is None else y + bias
    return {"y": y if residual is None else y + residual}


def linear_activation_forward(x, weight, bias, activation):
    y = linear_forward(x, weight, bias, None)["y"]
    activate = {"relu": relu_forward, "gelu": gelu_forward, "gelu_tanh": gelu_tanh_forward}[activation]
    return {"y": y, "activated": activate(y)["y"]}


def linear_backward(dy, x, weight, dweight, dbias):
    return {"dx": dy @ weight, "dweight": dweight + dy.T @ x, "dbias": dbias + dy.sum(0)}


def matmul(a, b):
    return {"c": a @ b}


# --- output layer and loss ----------------------------------------------------------------------------------


def logits_of(x, weight, bias):
    return x @ weight.T + (0.0 if bias is None else bias)


def lm_logits(x, weight, bias):
    return {"y": logits_of(x, weight, bias)}


def lm_losses(x, weight, bias, targets):
    logits = logits_of(x, weight, bias)
    top = logits.max(1)
    lse = top + np.log(np.exp(logits - top[:, None]).sum(1))
    at_target = logits[np.arange(len(targets)), np.maximum(targets, 0)]
    return {"losses": np.where(targets < 0, 0.0, lse - at_target)}


def lm_d_logits(x, weight, bias, targets):
    logits = logits_of(x, weight, bias)
    p = np.exp(logits - logits.max(1)[:, None])
    p /= p.sum(1)[:, None]
    p[np.arange(len(targets)), np.maximum(targets, 0)] -= 1.0
    return np.where(targets[:, None] < 0, 0.0, p)


def lm_loss(x, weight, bias, targets, dweight=None, dbias=None, dx=None, loss_scale=1.0):
    """Without dweight losses only. dx is what the kernel takes as a sign of that; it has no value yet."""
    d = loss_scale * lm_d_logits(x, weight, bias, targets)
    out = lm_losses(x, weight, bias, targets)
    if dweight is not None:
        out |= {"dx": d @ weight, "dweight": dweight + d.T @ x}
    if dbias is not None:
        out["dbias"] = dbias + d.sum(0)
    return out


# --- norms --------------------------------------------------------------------------------------------------


def layernorm_forward(x, weight, bias, eps):
    mean = x.mean(1)
    rstd = 1.0 / np.sqrt(((x - mean[:, None]) ** 2).mean(1) + eps)
    return {"y": (x - mean[:, None]) * rstd[:, None] * weight + bias, "mean": mean, "rstd": rstd}


def rmsnorm_forward(x, weight, eps):
    rstd = 1.0 / np.sqrt((x**2).mean(1) + eps)
    return {"y": x * rstd[:, None] * weight, "rstd": rstd}


def layernorm_backward(dy, x, weight, mean, rstd, dweight, dbias, dx=0.0, accumulate=False):
    xhat, g = (x - mean[:, None]) * rstd[:, None], dy * weight
    own = rstd[:, None] * (g - g.mean(1)[:, None] - xhat * (g * xhat).mean(1)[:, None])
    return {"dx": dx + own, "dweight": dweight + (dy * xhat).sum(0), "dbias": dbias + dy.sum(0)}


def rmsnorm_backward(dy, x, weight, rstd, dweight, dx=0.0, accumulate=False):
    xhat, g = x * rstd[:, None], dy * weight
    own = rstd[:, None] * (g - xhat * (g * xhat).mean(1)[:, None])
    return {"dx": dx + own, "dweight": dweight + (dy * xhat).sum(0)}


# --- activations --------------------------------------------------------------------------------------------

_erfc = np.vectorize(math.erfc, otypes=[float])


def normal_cdf(x):
    return 0.5 * _erfc(-x / math.sqrt(2.0))


def normal_density(x):
    return np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)


def sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1.0) / (1.0 + e)


def tanh_argument(x):
    """2u of gelu_tanh and its derivative, in the form of Hendrycks and Gimpel."""
    root = 2.0 * math.sqrt(2.0 / math.pi)
    return root * (x + 0.044715 * x**3), root * (1.0 + 3 * 0.044715 * x**2)


def relu_forward(x):
    return {"y": np.maximum(x, 0.0)}


def relu_backward(dy, x):
    return {"dx": np.where(x > 0, dy, 0.0)}


def gelu_forward(x):
    return {"y": x * normal_cdf(x)}


def gelu_backward(dy, x):
    return {"dx": dy * (normal_cdf(x) + x * normal_density(x))}


def gelu_tanh_forward(x):
    return {"y": x * sigmoid(tanh_argument(x)[0])}


def gelu_tanh_backward(dy, x):
    argument, slope = tanh_argument(x)
    return {"dx": dy * (sigmoid(argument) + x * sigmoid(argument) * sigmoid(-argument) * slope)}


def swiglu_forward(x):
    gate, up = np.split(x, 2, axis=1)
    return {"y": gate * sigmoid(gate) * up}


def swiglu_backward(dy, x):
    gate, up = np.split(x, 2, axis=1)
    s = sigmoid(gate)
    return {"dx": np.hstack([dy * up * (s + gate * s * sigmoid(-gate)), dy * gate * s])}


# --- embedding, rotation ------------------------------------------------------------------------------------


def embedding_forward(tokens, weight, positions, position_weight):
    return {"out": weight[tokens] + (0.0 if position_weight is None else position_weight[positions])}


def embedding_backward(indices, dout, dweight):
    dweight = dweight.copy()
    np.add.at(dweight, indices, dout)
    return {"dweight": dweight}


def rope(x, positions, cosines, sines, inverse=False):
    half = x.shape[2] // 2
    turn = (cosines + 1j * (-sines if inverse else sines))[positions][:, None, :]
    turned = (x[..., :half] + 1j * x[..., half:]) * turn
    return {"x": np.concatenate([turned.real, turned.imag], axis=2)}


# --- attention: one head of one sequence at a time ----------------------------------------------------------


def heads(q, k, cu_seqlens):
    """(rows, query head, key head) of every head of every sequence."""
    group = q.shape[1] // k.shape[1]
    for begin, end in pairwise(cu_seqlens):
        for h in range(q.shape[1]):
            yield slice(begin, end), h, h // group


def scores(q, k, scale, causal):
    s = scale * q @ k.T
    return np.where(np.tri(len(q), dtype=bool), s, -np.inf) if causal else s


def attention_forward(q, k, v, cu_seqlens, scale, causal):
    out, lse = np.empty_like(q), np.empty(q.shape[:2])
    for rows, h, g in heads(q, k, cu_seqlens):
        s = scores(q[rows, h], k[rows, g], scale, causal)
        top = s.max(1)
        lse[rows, h] = top + np.log(np.exp(s - top[:, None]).sum(1))
        out[rows, h] = np.exp(s - lse[rows, h][:, None]) @ v[rows, g]
    return {"out": out, "lse": lse}


def attention_backward(dout, q, k, v, out, lse, cu_seqlens, scale, causal):
    dq, dk, dv = np.zeros_like(q), np.zeros_like(k), np.zeros_like(v)
    for rows, h, g in heads(q, k, cu_seqlens):
        p = np.exp(scores(q[rows, h], k[rows, g], scale, causal) - lse[rows, h][:, None])
        delta = (dout[rows, h] * out[rows, h]).sum(1)
        ds = scale * p * (dout[rows, h] @ v[rows, g].T - delta[:, None])
        dq[rows, h] = ds @ k[rows, g]
        dk[rows, g] += ds.T @ q[rows, h]
        dv[rows, g] += p.T @ dout[rows, h]
    return {"dq": dq, "dk": dk, "dv": dv}


def attention_decode(q, k_cache, v_cache, lengths, scale):
    out, group = np.empty_like(q), q.shape[1] // k_cache.shape[1]
    for b, length in enumerate(lengths):
        for h in range(q.shape[1]):
            s = scale * k_cache[b, h // group, :length] @ q[b, h]
            p = np.exp(s - s.max())
            out[b, h] = p / p.sum() @ v_cache[b, h // group, :length]
    return {"out": out}


def cache_append(k, v, lengths, k_cache, v_cache):
    new = {"k_cache": k_cache.copy(), "v_cache": v_cache.copy()}
    for b, length in enumerate(lengths):
        new["k_cache"][b, :, length - 1], new["v_cache"][b, :, length - 1] = k[b], v[b]
    return new


# --- dropout, optimizer -------------------------------------------------------------------------------------


def philox4x32(counter, stream, seed):
    """Philox4x32-10 of Salmon et al. 2011 for an array of 64-bit counters: (len(counter), 4) words."""
    counter = np.asarray(counter, np.uint64)
    low, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    stream, seed = np.uint64(stream), np.uint64(seed)
    words = [
        counter & low,
        counter >> shift,
        np.full_like(counter, stream & low),
        np.full_like(counter, stream >> shift),
    ]
    keys = [int(seed & low), int(seed >> shift)]
    for _ in range(10):
        a, b = np.uint64(0xD2511F53) * words[0], np.uint64(0xCD9E8D57) * words[2]
        words = [(b >> shift) ^ words[1] ^ np.uint64(keys[0]), b & low,
                 (a >> shift) ^ words[3] ^ np.uint64(keys[1]), a & low]  # fmt: skip
        keys = [(keys[0] + 0x9E3779B9) % 2**32, (keys[1] + 0xBB67AE85) % 2**32]
    return np.stack(words, axis=-1)


def dropout_factors(shape, p, seed, stream):
    n = math.prod(shape)
    words = philox4x32(np.arange(-(-n // 4)), stream, seed).ravel()[:n]
    return np.where(words >= int(p * 2.0**32), 1.0 / (1.0 - p), 0.0).reshape(shape)


def dropout_forward(x, residual, p, seed, stream):
    return {"y": x * dropout_factors(x.shape, p, seed, stream) + (0.0 if residual is None else residual)}


def dropout_backward(dy, p, seed, stream):
    return {"dx": dy * dropout_factors(dy.shape, p, seed, stream)}


def squared_norm(x):
    return {"return": np.array([math.fsum(x * x)])}


def cast_from_float(x):
    return {"y": x}


def cast_to_float(x):
    return {"y": x}


def adamw(
    weight, grad, m, v, n_decayed, lr, beta1, beta2, eps, weight_decay, correction1, correction2, grad_scale, copy=None
):
    g = grad * grad_scale
    m, v = beta1 * m + (1.0 - beta1) * g, beta2 * v + (1.0 - beta2) * g * g
    keep = np.where(np.arange(len(weight)) < n_decayed, 1.0 - lr * weight_decay, 1.0)
    weight = keep * weight - lr * (m / correction1) / (np.sqrt(v / correction2) + eps)
    return {"weight": weight, "grad": np.zeros_like(grad), "m": m, "v": v}


def adamw_with_copy(**arguments):
    out = adamw(**arguments)
    return out | {"copy": out["weight"][: arguments["n_decayed"]]}


def moment_draws(n, n_decayed, seed, stream):
    """The words that round the moments: in blocks of 64, four to a counter from (place of the block) on."""
    words = [
        philox4x32(begin + first + np.arange(16), stream, seed).ravel()[: end - begin - first]
        for begin, end in ((0, n_decayed), (n_decayed, n))
        for first in range(0, end - begin, 64)
    ]
    return np.concatenate(words).astype(np.uint32)


def adamw_bf16(seed, stream, **arguments):
    return adamw(**arguments)


def adamw_bf16_with_copy(seed, stream, **arguments):
    return adamw_with_copy(**arguments)


def moment_places(n, n_decayed):
    """The blocks of adamw_int8, as slices of the parameters."""
    return [
        slice(first, min(first + 256, end))
        for begin, end in ((0, n_decayed), (n_decayed, n))
        for first in range(begin, end, 256)
    ]


def adamw_int8(seed, stream, m, v, m_units, v_units, n_decayed, **arguments):
    """Moments as real numbers of levels, of which the kernel stores one of the two neighbours."""
    places = moment_places(len(m), n_decayed)
    m, v = np.asarray(m, float), np.asarray(v, float)
    for place, m_unit, v_unit in zip(places, m_units, v_units, strict=True):
        m[place], v[place] = np.sign(m[place]) * m[place] ** 2 * m_unit, v[place] ** 4 * v_unit
    out = adamw(m=m, v=v, n_decayed=n_decayed, **arguments)
    m, v = out["m"], out["v"]
    out["m_units"] = np.array([max(np.abs(m[place]).max(), 1e-30) / 127**2 for place in places])
    out["v_units"] = np.array([max(v[place].max(), 1e-30) / 255**4 for place in places])
    for place, m_unit, v_unit in zip(places, out["m_units"], out["v_units"], strict=True):
        m[place] = np.sign(m[place]) * np.sqrt(np.abs(m[place]) / m_unit)
        v[place] = np.maximum((v[place] / v_unit) ** 0.25, v[place] > 0)
    return out


def adamw_int8_with_copy(n_decayed, **arguments):
    out = adamw_int8(n_decayed=n_decayed, **arguments)
    return out | {"copy": out["weight"][:n_decayed]}
