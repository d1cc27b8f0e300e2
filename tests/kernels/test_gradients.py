"""The oracles' own backward formulas against central differences of their forward formulas, in float64.

With a step h = 1e-5 the differences are off by h^2 (1e-10 times a third derivative) and by eps / h (2e-11).
"""

from functools import partial

import numpy as np
import oracles
import pytest

STEP, ALLOWED = 1e-5, 2e-8


def check(rng, f, backward, **inputs):
    """backward(d_outputs) -> {input: gradient} is that of sum(d_outputs * f(inputs)), element by element."""
    d = {name: rng.standard_normal(value.shape) for name, value in f(**inputs).items()}

    def total(name, x):
        moved = f(**(inputs | {name: x}))
        return sum((d[key] * moved[key]).sum() for key in d)

    for name, gradient in backward(d).items():
        x = inputs[name]
        assert gradient.shape == x.shape
        numeric = np.empty_like(x)
        for i in np.ndindex(x.shape):
            up, down = x.copy(), x.copy()
            up[i] += STEP
            down[i] -= STEP
            numeric[i] = (total(name, up) - total(name, down)) / (2 * STEP)
        np.testing.assert_allclose(gradient, numeric, rtol=ALLOWED, atol=ALLOWED, err_msg=name)


def test_linear(rng):
    x, weight, bias = rng.standard_normal((4, 3)), rng.standard_normal((5, 3)), rng.standard_normal(5)

    def backward(d):
        got = oracles.linear_backward(d["y"], x, weight, np.zeros((5, 3)), np.zeros(5))
        return {"x": got["dx"], "weight": got["dweight"], "bias": got["dbias"]}

    check(rng, partial(oracles.linear_forward, residual=None), backward, x=x, weight=weight, bias=bias)


def test_lm_loss(rng):
    x, weight, bias = rng.standard_normal((4, 3)), rng.standard_normal((5, 3)), rng.standard_normal(5)
    targets = np.array([2, -100, 0, 4])

    def backward(d):
        got = oracles.lm_loss(x, weight, bias, targets, np.zeros((5, 3)), np.zeros(5))
        return {"x": got["dx"], "weight": got["dweight"], "bias": got["dbias"]}

    def total(**inputs):  # the kernel's gradient is that of the sum of the losses: d of it is 1
        return {"losses": oracles.lm_losses(targets=targets, **inputs)["losses"]}

    check(Ones(), total, backward, x=x, weight=weight, bias=bias)


class Ones:
    """In place of a random generator: every d_output is 1."""

    standard_normal = staticmethod(np.ones)


@pytest.mark.parametrize("norm", ["layernorm", "rmsnorm"])
def test_norms(rng, norm):
    x, weight = rng.standard_normal((3, 7)) + 1, rng.standard_normal(7)
    bias = {"bias": rng.standard_normal(7)} if norm == "layernorm" else {}
    forward = getattr(oracles, f"{norm}_forward")

    def only_y(**inputs):
        return {"y": forward(eps=0.01, **inputs)["y"]}

    def backward(d):
        saved = {name: a for name, a in forward(x, weight, eps=0.01, **bias).items() if name != "y"}
        start = {"dweight": np.zeros(7)} | ({"dbias": np.zeros(7)} if bias else {})
        got = getattr(oracles, f"{norm}_backward")(d["y"], x, weight, **saved, **start)
        return {name[1:]: gradient for name, gradient in got.items()}

    check(rng, only_y, backward, x=x, weight=weight, **bias)


@pytest.mark.parametrize("name", ["relu", "gelu", "gelu_tanh", "swiglu"])
def test_activations(rng, name):
    x = 2 * rng.standard_normal((3, 8))
    backward = getattr(oracles, f"{name}_backward")
    check(rng, getattr(oracles, f"{name}_forward"), lambda d: {"x": backward(d["y"], x)["dx"]}, x=x)


def test_embedding(rng):
    tokens, weight = np.array([1, 3, 1, 0]), rng.standard_normal((5, 3))
    forward = partial(oracles.embedding_forward, tokens=tokens, positions=None, position_weight=None)

    def backward(d):
        return {"weight": oracles.embedding_backward(tokens, d["out"], np.zeros((5, 3)))["dweight"]}

    check(rng, forward, backward, weight=weight)


def test_rope_inverse_is_its_gradient(rng):
    angles = rng.standard_normal((4, 3))
    rotate = partial(oracles.rope, positions=np.array([3, 0, 2]), cosines=np.cos(angles), sines=np.sin(angles))
    x = rng.standard_normal((3, 2, 6))
    check(rng, rotate, lambda d: {"x": rotate(d["x"], inverse=True)["x"]}, x=x)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("heads", [(2, 2), (4, 2)])
def test_attention(rng, causal, heads):
    shared = {"cu_seqlens": np.array([0, 1, 4, 9]), "scale": 0.6, "causal": causal}
    q = rng.standard_normal((9, heads[0], 3))
    k, v = rng.standard_normal((2, 9, heads[1], 3))

    def only_out(**inputs):
        return {"out": oracles.attention_forward(**inputs, **shared)["out"]}

    def backward(d):
        saved = oracles.attention_forward(q, k, v, **shared)
        got = oracles.attention_backward(d["out"], q, k, v, **saved, **shared)
        return {name[1:]: gradient for name, gradient in got.items()}

    check(rng, only_out, backward, q=q, k=k, v=v)


@pytest.mark.parametrize("residual", [True, False])
def test_dropout(rng, residual):
    x = rng.standard_normal((3, 5))
    forward = partial(oracles.dropout_forward, residual=x * 0 if residual else None, p=0.4, seed=1, stream=2)
    check(rng, forward, lambda d: {"x": oracles.dropout_backward(d["y"], 0.4, 1, 2)["dx"]}, x=x)


def test_a_wrong_gradient_is_rejected(rng):
    x = rng.standard_normal((3, 5))
    with pytest.raises(AssertionError):
        check(rng, oracles.gelu_forward, lambda d: {"x": oracles.gelu_backward(d["y"], x)["dx"] + 1e-6}, x=x)
