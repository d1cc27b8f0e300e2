"""How far a kernel may be from the float64 formula: first-order rounding analysis, worst case.

U is the unit roundoff. A sum of n products is within (n + 1) U of the sum of their absolute values, however
it is ordered (Higham 2002, section 3.1); formulas made of such sums add up what their parts may be off. `a`
holds an oracle's arguments and the storage, `want` its results; each function returns {output: bound of the same
shape}, for outputs in 16 bits without what storing them adds: see `in_storage`.
"""

import numpy as np
from oracles import heads, lm_d_logits, logits_of, moment_places, sigmoid, tanh_argument

from rgz import _kernels

U = 2.0**-24
EXP = 3 * U  # relative, of vmath.h's exp: 1.5 ulp
TINY = 2.0**-148  # two of the smallest float32: where relative bounds end
LEFT = 1e-38  # what the logistic function may be far to the left, where it should be 0


# Storage: its unit roundoff, and half its smallest number.
ROUNDING = {"float32": (0.0, 0.0), "bfloat16": (2.0**-8, 2.0**-134), "float16": (2.0**-11, 2.0**-25)}


def rounding(size, storage):
    """What a number of this size is off once stored; in float32 the bounds of kernels count it themselves."""
    unit, least = ROUNDING[storage]
    return unit * size + least


def zero(x):
    return 0.0 if x is None else np.abs(x)


def in_storage(bound, want, reals, storage):
    """The bounds, with one rounding more of the outputs that are stored in 16 bits."""
    return {
        name: off + rounding(np.abs(want[name]) + off, storage) if name in reals else off for name, off in bound.items()
    }


def linear_forward(a, want):
    size = np.abs(a["x"]) @ np.abs(a["weight"]).T + zero(a["bias"]) + zero(a["residual"])
    return {"y": U * (a["x"].shape[1] + 3) * size}


def lm_logits(a, want):
    return linear_forward({**a, "residual": None}, want)


def linear_activation_forward(a, want):
    """Of the activated: what y may be off, at most 1.13 times as steep, and what the activation adds."""
    off = linear_forward({**a, "residual": None}, want)["y"]
    x, y = {"x": want["y"]}, {"y": want["activated"]}
    own = {"relu": exact, "gelu": gelu_forward, "gelu_tanh": gelu_tanh_forward}[a["activation"]](x, y)["y"]
    off_y = off + rounding(np.abs(want["y"]), a["storage"])  # y may be stored first
    return {"y": off, "activated": 1.13 * off_y + own}


def linear_backward(a, want):
    dy, n = np.abs(a["dy"]), len(a["dy"]) + 2
    return {
        "dx": U * (dy.shape[1] + 1) * dy @ np.abs(a["weight"]),
        "dweight": U * n * (np.abs(a["dweight"]) + dy.T @ np.abs(a["x"])),
        "dbias": U * n * (np.abs(a["dbias"]) + dy.sum(0)),
    }


def matmul(a, want):
    return {"c": U * (a["a"].shape[1] + 1) * np.abs(a["a"]) @ np.abs(a["b"])}


def lm_loss(a, want):
    x, weight = np.abs(a["x"]), np.abs(a["weight"])
    logits = logits_of(a["x"], a["weight"], a["bias"])
    counted = a["targets"] >= 0
    off = U * (x.shape[1] + 3) * (x @ weight.T + zero(a["bias"])).max(1)  # of a logit
    span = logits.max(1) - logits.min(1)
    # of a probability, relative: two logits, their difference, exp, the sum over the vocabulary, the division
    share = 2 * off + U * (span + weight.shape[0] + 4) + 2 * EXP
    bound = {"losses": counted * (share + 2 * off + U * (2 * span + 4 + np.abs(want["losses"])))}
    if "dx" in want:
        d = np.abs(lm_d_logits(a["x"], a["weight"], a["bias"], a["targets"]))
        p = np.where(counted[:, None], np.minimum(d, 1.0) + (d > 0) * U, 0.0)
        p[np.arange(len(x)), np.maximum(a["targets"], 0)] += counted  # p and 1 are rounded before they meet
        d *= a["loss_scale"]
        off_d = a["loss_scale"] * p * (share[:, None] + U) + counted[:, None] * rounding(d, a["storage"])
        bound["dx"] = off_d @ weight + U * (weight.shape[0] + 1) * d @ weight
        bound["dweight"] = off_d.T @ x + U * (len(x) + 2) * (d.T @ x + np.abs(a["dweight"]))
        if "dbias" in want:
            bound["dbias"] = off_d.sum(0) + U * (len(x) + 2) * (d.sum(0) + np.abs(a["dbias"]))
    return bound


def layernorm_forward(a, want):
    x, n, rstd = np.abs(a["x"]), a["x"].shape[1], want["rstd"][:, None]
    mean_size = x.mean(1)[:, None]
    xhat = np.abs(a["x"] - want["mean"][:, None]) * rstd
    share = U * (n + 8) * (1 + rstd * mean_size)  # of rstd, relative: the mean's error enters every difference
    off = rstd * U * (n + 4) * (x + mean_size) + xhat * share
    return {
        "y": np.abs(a["weight"]) * (off + 2 * U * xhat) + U * np.abs(want["y"]) + U * np.abs(a["bias"]),
        "mean": U * (n + 1) * mean_size[:, 0],
        "rstd": (share * rstd)[:, 0],
    }


def rmsnorm_forward(a, want):
    n = a["x"].shape[1]
    return {"y": U * (n + 8) * np.abs(want["y"]), "rstd": U * (n + 6) * want["rstd"]}


def norm_backward(a, want):
    dy, x, rows, n = np.abs(a["dy"]), a["x"], len(a["x"]), a["x"].shape[1]
    mean = a["mean"][:, None] if "mean" in a else 0.0
    xhat = np.abs(x - mean) * a["rstd"][:, None]
    g = dy * np.abs(a["weight"])
    size = g + g.mean(1)[:, None] + xhat * (g * xhat).mean(1)[:, None]
    bound = {
        "dx": U * (n + 10) * a["rstd"][:, None] * size + U * np.abs(want["dx"]),
        "dweight": U * (rows + 6) * (np.abs(a["dweight"]) + (dy * xhat).sum(0)),
        "dbias": U * (rows + 6) * (zero(a.get("dbias")) + dy.sum(0)),
    }
    return {name: bound[name] for name in want}


def exact(a, want):
    return dict.fromkeys(want, 0.0)


CDF, GELU_GRADIENT = 3.2e-7, 9e-7  # absolute, vmath.h's claims


def gelu_forward(a, want):
    return {"y": np.abs(a["x"]) * CDF + U * np.abs(want["y"]) + TINY}


def gelu_backward(a, want):
    return {"dx": np.abs(a["dy"]) * GELU_GRADIENT + U * np.abs(want["dx"]) + TINY}


def logistic_share(argument, roundings):
    """Relative error of s(t), t off by so many roundings: s'(t)/s(t) = s(-t); left of -88 all of it."""
    return EXP + 3 * U + roundings * U * np.abs(argument) * sigmoid(-argument) + (argument < -87)


def gelu_tanh_forward(a, want):
    argument, _ = tanh_argument(a["x"])
    return {"y": np.abs(want["y"]) * (logistic_share(argument, 5) + U) + LEFT * np.abs(a["x"]) + TINY}


def gelu_tanh_backward(a, want):
    argument, slope = tanh_argument(a["x"])
    s, other = sigmoid(argument), sigmoid(-argument)
    share = logistic_share(argument, 5)
    off = s * share + np.abs(a["x"]) * slope * (s * other * (share + 8 * U) + s * (s * share + U))
    return {"dx": np.abs(a["dy"]) * (off + 2 * U + LEFT * (1 + np.abs(a["x"]) * slope)) + TINY}


def swiglu_forward(a, want):
    gate, up = np.split(a["x"], 2, axis=1)
    return {
        "y": np.abs(want["y"]) * (logistic_share(gate, 0) + 2 * U) + LEFT * np.abs(gate * up) + TINY * (1 + np.abs(up))
    }


def swiglu_backward(a, want):
    gate, up = np.split(a["x"], 2, axis=1)
    dy, s, other = np.abs(a["dy"]), sigmoid(gate), sigmoid(-gate)
    share = logistic_share(gate, 0)
    off_gate = s * (share + 2 * U) + np.abs(gate) * s * (other * (2 * share + 6 * U) + s * share + U)
    off_up = np.abs(gate) * s * (share + 3 * U)
    off_gate, off_up = off_gate + LEFT * (1 + np.abs(gate)), off_up + LEFT * np.abs(gate)
    return {"dx": np.hstack([dy * np.abs(up) * off_gate, dy * off_up]) + TINY * (1 + dy.max())}


def embedding_forward(a, want):
    return {"out": U * np.abs(want["out"])}


def embedding_backward(a, want):
    counts, size = np.bincount(a["indices"], minlength=len(a["dweight"])), np.abs(a["dweight"])
    np.add.at(size, a["indices"], np.abs(a["dout"]))
    return {"dweight": U * counts[:, None] * size}


def rope(a, want):
    half = a["x"].shape[2] // 2
    low, high = np.abs(a["x"][..., :half]), np.abs(a["x"][..., half:])
    c, s = np.abs(a["cosines"])[a["positions"]][:, None, :], np.abs(a["sines"])[a["positions"]][:, None, :]
    return {"x": 2 * U * np.concatenate([low * c + high * s, high * c + low * s], axis=2)}


def softmax_share(q, k, s, scale):
    """Relative error of exp(s - lse), s a score of q and k, and of a sum of these over len(k) keys."""
    product = scale * np.abs(q) @ np.abs(k).T
    seen = np.where(np.isfinite(s), s, 0.0)
    return (q.shape[1] + 4) * U * product.max() + U * (2 * np.abs(seen).max() + 4) + EXP, U * (len(k) + 4) + EXP


def weight_rounding(a):
    """What attention's weights are off, relative, where pairs of bfloat16 are multiplied: they are rounded to such."""
    return rounding(
        1.0, "bfloat16" if a["storage"] == "bfloat16" and _kernels.active_isa().endswith("bf16") else "float32"
    )


def attention_forward(a, want):
    q, k, v, scale = a["q"], a["k"], a["v"], a["scale"]
    out, lse = np.zeros_like(want["out"]), np.zeros_like(want["lse"])
    for rows, h, g in heads(q, k, a["cu_seqlens"]):
        s = scale * q[rows, h] @ k[rows, g].T
        s = np.where(np.tri(len(s), dtype=bool), s, -np.inf) if a["causal"] else s
        one, total = softmax_share(q[rows, h], k[rows, g], s, scale)
        p = np.exp(s - want["lse"][rows, h][:, None])
        # the sum is rescaled once a block of keys, at least 64
        off = 2 * one + 3 * total + EXP * (len(s) / 64 + 1) + weight_rounding(a)
        out[rows, h] = p @ np.abs(v[rows, g]) * off
        lse[rows, h] = one + total + EXP * (len(s) / 64 + 1) + 2 * U * np.abs(want["lse"][rows, h])
    return {"out": out, "lse": lse}


def attention_backward(a, want):
    q, k, v, scale, dout = a["q"], a["k"], a["v"], a["scale"], np.abs(a["dout"])
    bound = {name: np.zeros_like(value) for name, value in want.items()}
    group, n, weight = q.shape[1] // k.shape[1], q.shape[2], weight_rounding(a)
    for rows, h, g in heads(q, k, a["cu_seqlens"]):
        s = scale * q[rows, h] @ k[rows, g].T
        s = np.where(np.tri(len(s), dtype=bool), s, -np.inf) if a["causal"] else s
        one, _ = softmax_share(q[rows, h], k[rows, g], s, scale)
        one += U * np.abs(a["lse"][rows, h]).max()
        p = np.exp(s - a["lse"][rows, h][:, None])
        size = dout[rows, h] @ np.abs(v[rows, g]).T + (dout[rows, h] * np.abs(a["out"][rows, h])).sum(1)[:, None]
        ds, length = scale * p * size, U * (len(s) * group + n + 8)
        # dk and dv are stored once for every head and group of queries that a key has, each time rounded
        parts = group * -(-len(s) // 288) - 1
        again = parts * (rounding(1.0, a["storage"]) - rounding(0.0, a["storage"]))
        bound["dq"][rows, h] = ds @ np.abs(k[rows, g]) * (one + length + weight)
        bound["dk"][rows, g] += ds.T @ np.abs(q[rows, h]) * (one + length + weight + again)
        bound["dv"][rows, g] += p.T @ dout[rows, h] * (one + length + weight + again)
    return bound


def attention_decode(a, want):
    q, k, v, scale = a["q"], a["k_cache"], a["v_cache"], a["scale"]
    bound = np.zeros_like(want["out"])
    for b, length in enumerate(a["lengths"]):
        for h in range(q.shape[1]):
            keys = k[b, h // (q.shape[1] // k.shape[1]), :length]
            s = scale * keys @ q[b, h]
            p = np.exp(s - s.max())
            one, total = softmax_share(q[b, h][None], keys, s, scale)
            size = p / p.sum() @ np.abs(v[b, h // (q.shape[1] // k.shape[1]), :length])
            bound[b, h] = size * (2 * one + 3 * total)
    return {"out": bound}


def dropout_forward(a, want):
    return {"y": U * (4 * np.abs(a["x"]) / (1 - a["p"]) + 2 * zero(a["residual"]))}


def dropout_backward(a, want):
    return {"dx": 4 * U * np.abs(want["dx"])}


def squared_norm(a, want):
    return {"return": U * (256 / 4 + 4) * want["return"]}  # at most 64 squares a lane, then the lanes


def cast_from_float(a, want):
    return {"y": 0.0}


def cast_to_float(a, want):
    return {"y": 0.0}


def adamw(a, want):
    g = np.abs(a["grad"] * a["grad_scale"])
    m = 4 * U * (a["beta1"] * np.abs(a["m"]) + (1 - a["beta1"]) * g)
    v = 6 * U * want["v"]
    down = np.sqrt(want["v"] / a["correction2"]) + a["eps"]
    step = a["lr"] / a["correction1"] / down
    bound = {
        "weight": step * (m + 12 * U * np.abs(want["m"])) + U * 4 * np.abs(a["weight"]),
        "grad": 0.0,
        "m": m,
        "v": v,
    }
    return bound | ({"copy": bound["weight"][: a["n_decayed"]]} if "copy" in want else {})


def adamw_bf16(a, want):
    """Up or down: each moment is off by less than the distance of two bfloat16."""
    bound = adamw(a, want)
    return bound | {name: bound[name] + 2.0**-7 * np.abs(want[name]) + 2.0**-133 for name in "mv"}


def adamw_int8(a, want):
    """Up or down: each moment is off by less than a level, besides what it is off as a number: a root of that at 0."""
    m, v = np.abs(a["m"].astype(float)), a["v"].astype(float)
    m_largest, v_largest = np.zeros(len(m)), np.zeros(len(m))
    places = moment_places(len(m), a["n_decayed"])
    for n, place in enumerate(places):
        m[place], v[place] = m[place] ** 2 * a["m_units"][n], v[place] ** 4 * a["v_units"][n]
        m_largest[place], v_largest[place] = want["m_units"][n] * 127**2, want["v_units"][n] * 255**4
    real = {"m": np.abs(want["m"]) ** 2 * m_largest / 127**2, "v": want["v"] ** 4 * v_largest / 255**4}
    bound = adamw(a | {"m": m, "v": v}, want | real)
    off = bound["m"] + 8 * U * real["m"]
    bound |= {"m": 1 + 127 * np.sqrt(off / m_largest) + 1e-3, "v": 1 + 1e-3}
    bound["m_units"] = np.array(
        [off[place].max() / 127**2 + 4 * U * w for place, w in zip(places, want["m_units"], strict=True)]
    )
    bound["v_units"] = 12 * U * want["v_units"]
    return bound
