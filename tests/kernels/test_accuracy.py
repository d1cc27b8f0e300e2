"""What vmath.h claims, far and special values, and what numbers must do besides being close to a formula."""

import numpy as np
import oracles
import pytest
from bounds import CDF, GELU_GRADIENT, U
from calls import floats
from cases import CASES, ONE_EACH
from guarded import assert_within, in_float64, run

from rgz import _kernels


def kernel_exp(x):
    """e^x of the kernels, x <= 0: attention_decode leaves exp(score - largest score) in its scratch."""
    keys = np.append(np.float32(0), x.astype(np.float32))[None, None, :, None]
    scores = np.empty((1, 1, keys.size), np.float32)
    one = np.ones((1, 1, 1), np.float32)
    _kernels.attention_decode(one.copy(), one, keys, np.zeros_like(keys), np.int32([keys.size]), scores, 1.0, 2)
    assert scores[0, 0, 0] == 1.0
    return scores[0, 0, 1:]


def ulps(got, want):
    """Error in units of the last place of `want` rounded to float32."""
    return np.abs(got.astype(float) - want) / np.spacing(np.abs(want).astype(np.float32)).astype(float)


def activate(kernel, x):
    y = np.empty((1, x.size), np.float32)
    getattr(_kernels, kernel)(y, x.astype(np.float32)[None], 2)
    return y[0]


def swish(x):
    """x s(x), s the kernels' logistic function: one more rounding (half an ulp)."""
    y = np.empty((x.size, 1), np.float32)
    _kernels.swiglu_forward(y, np.stack([x, np.ones_like(x)], axis=1).astype(np.float32), 2)
    return y[:, 0]


@pytest.mark.parametrize("low", [-87.33, -20.0, -1.0, -1e-3])
def test_exp_is_within_1_5_ulp(isa, low):
    x = np.linspace(low, 0, 500_001).astype(np.float32)
    x = x[x >= -87.33]
    assert ulps(kernel_exp(x), np.exp(x.astype(float))).max() <= 1.5


def test_exp_of_everything_far_below_is_zero_and_nan_stays(isa):
    x = np.float32([-87.34, -88, -104, -1e4, -3e38, -np.inf])
    assert (kernel_exp(x) == 0).all()
    assert (kernel_exp(np.float32([-0.0, -1e-30, -1e-45])) == 1).all()
    for n in (1, 5, 17):
        assert np.isnan(kernel_exp(np.float32([-1.0] * n + [np.nan]))).tolist() == [False] * n + [True]


def test_the_logistic_function_is_within_3_ulp(isa):
    x = np.concatenate([np.linspace(-87, 100, 500_001), np.linspace(-2, 2, 100_001)]).astype(np.float32)
    x = x[x != 0]
    assert ulps(swish(x), x * oracles.sigmoid(x.astype(float))).max() <= 3.5
    far = np.float32([-88.1, -90, -1e4])
    assert (np.abs(swish(far)) <= -far * 1e-38).all()


def test_the_normal_distribution_and_the_gradient_of_gelu_are_as_close_as_claimed(isa):
    x = np.concatenate([np.linspace(-100, 100, 200_001), [-5.2661424, 4.6409693]]).astype(np.float32)
    x = x[x != 0]
    x = np.concatenate([x, x * np.float32(0.06), x * np.float32(0.001)])
    y, want = activate("gelu_forward", x), x * oracles.normal_cdf(x.astype(float))
    assert ((np.abs(y - want) - U * np.abs(y)) / np.abs(x) <= CDF).all()
    dx = np.empty((1, x.size), np.float32)
    _kernels.gelu_backward(dx, np.ones_like(dx), x[None], 1)
    assert np.abs(dx - oracles.gelu_backward(1.0, x[None].astype(float))["dx"]).max() <= GELU_GRADIENT


def test_gelu_far_out_is_zero_or_its_input(isa):
    x = np.float32([5.4, 20, 1e10, 5e37])
    assert (activate("gelu_forward", x) == x).all()
    assert (activate("gelu_forward", -x) == 0).all()
    x, dx = np.stack([6 * x, -6 * x]), np.empty((2, x.size), np.float32)
    _kernels.gelu_backward(dx, np.ones_like(dx), x, 1)
    assert np.abs(dx - [[1], [0]]).max() <= 2e-7


@pytest.mark.parametrize("name", ["relu", "gelu", "gelu_tanh", "swiglu"])
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_activations_of_inputs_up_to_100(isa, name, direction):
    case = next(case for case in CASES if case.kernel == f"{name}_{direction}")
    call = case.make(np.random.default_rng(0), 40, 101)
    call.arguments["x"] = np.linspace(-100, 100, call.arguments["x"].size, dtype=np.float32).reshape(40, -1)
    call.arguments["x"][3, :5] = [0.0, -0.0, 1e-30, -1e-30, 1e-45]
    wide = in_float64(call)
    want = case.oracle(**wide)
    assert_within(run(case.kernel, call), want, case.allowed(wide, want))


def test_relu_is_exact_and_its_gradient_at_zero_is_zero(isa):
    x = np.float32([[-1, -0.0, 0, 1e-45, 2, np.inf, -np.inf]])
    assert activate("relu_forward", x[0]).tolist() == [0, 0, 0, np.float32(1e-45), 2, np.inf, 0]
    dx = np.empty_like(x)
    _kernels.relu_backward(dx, np.full_like(x, 5), x, 1)
    assert dx[0].tolist() == [0, 0, 0, 5, 5, 5, 0]


def float_inputs(case):
    call = case.make(np.random.default_rng(0), *case.sizes[0])
    return [name for name, a in (call.arguments | call.updates).items() if getattr(a, "dtype", None) == np.float32]


NAN_INPUTS = [
    (case, name)
    for case in ONE_EACH
    for name in float_inputs(case)
    if (case.kernel, name) != ("relu_backward", "x")  # where x > 0 is false, as for NaN, nothing flows
]


@pytest.mark.parametrize(("case", "name"), NAN_INPUTS, ids=lambda x: getattr(x, "kernel", x))
def test_a_nan_is_never_hidden(isa, sgemm, case, name):
    """The sum of all outputs is NaN when one element of an input is, wherever it stands."""
    for at in (0, 4, -1):
        call = case.make(np.random.default_rng(0), *case.sizes[12])
        a = call.arguments | call.updates
        if "positions" in a:  # read the first and last row of the tables
            a["positions"][:2] = 0, len(a["cosines" if "cosines" in a else "position_weight"]) - 1
        if "tokens" in a:
            a["tokens"][:2] = 0, len(a["weight"]) - 1
        if case.kernel == "relu_backward":
            a["x"][...] = 1.0
        if case.kernel == "attention_decode":
            a["lengths"][:] = a["k_cache"].shape[2]
        changed = call.updates if name in call.updates else call.arguments
        changed[name] = a[name].copy()
        changed[name].flat[min(at, a[name].size - 1)] = np.nan
        outputs = run(case.kernel, call)
        assert np.isnan(sum(float(a.sum(dtype=float)) for a in outputs.values())), f"{name} at {at}"


# --- lm_loss ------------------------------------------------------------------------------------------------


def losses_of(logits, targets, gradient=False):
    """lm_loss of given logits: one channel a word, weight the identity."""
    rows, vocab = logits.shape
    losses, scratch = np.empty(rows, np.float32), np.empty((2, vocab), np.float32)
    eye, dx = np.eye(vocab, dtype=np.float32), np.empty_like(logits)
    gradients = (dx, np.zeros_like(eye)) if gradient else (None, None)
    _kernels.lm_loss(losses, *gradients, None, logits, eye, None, np.int32(targets), scratch, 1.0, 2)
    return (losses, dx) if gradient else losses


def test_loss_of_huge_logits_is_finite(isa, sgemm):
    logits = np.float32([[1e30, -1e30, 0, 5, 7], [-1e30] * 5, [1e4, 1e4, 0, 0, 0]])
    losses, d = losses_of(logits, [0, 1, 2], gradient=True)
    np.testing.assert_allclose(losses, [0, np.log(5), 1e4 + np.log(2)], rtol=1e-6)
    np.testing.assert_allclose(d, [[0] * 5, [0.2, -0.8, 0.2, 0.2, 0.2], [0.5, 0.5, -1, 0, 0]], atol=1e-6)


@pytest.mark.parametrize("vocab", [1, 3, 8, 17, 40])
def test_a_nan_logit_makes_its_rows_loss_nan_and_no_other(isa, sgemm, vocab):
    for at in {0, vocab // 2, vocab - 1}:
        x = np.ones((3, 2), np.float32)
        x[1, 0] = np.nan
        weight, losses = np.ones((vocab, 2), np.float32), np.empty(3, np.float32)
        scratch = np.empty((3, vocab), np.float32)
        _kernels.lm_loss(losses, None, None, None, x, weight, None, np.int32([at] * 3), scratch, 1.0, 1)
        assert np.isnan(losses).tolist() == [False, True, False]


def test_ignored_targets_have_no_loss_and_no_gradient(isa, sgemm, rng):
    losses, d = losses_of(floats(rng, 4, 9), [-100, -1, 3, -(2**31)], gradient=True)
    assert losses[[0, 1, 3]].tolist() == [0, 0, 0]
    assert not d[[0, 1, 3]].any()
    assert losses[2] > 0
    assert d[2].any()


def test_all_slice_sizes_give_the_same_loss(isa, sgemm):
    case = next(case for case in CASES if case.name == "lm_loss")
    for slice_rows in (1, 2, 5, 63, 64, 65, 129, 130, 131, 500):
        call = case.make(np.random.default_rng(5), 130, 20, 70, slice_rows)
        wide = in_float64(call)
        want = case.oracle(**wide)
        assert_within(run(case.kernel, call), want, case.allowed(wide, want))


# --- dropout ------------------------------------------------------------------------------------------------


def test_the_oracles_philox_gives_the_papers_numbers():
    """Known answers of Random123 (kat_vectors, philox4x32 10)."""
    everything = 2**64 - 1
    pi = oracles.philox4x32([0x85A308D3243F6A88], 0x0370734413198A2E, 0x299F31D0A4093822)
    assert [f"{w:08x}" for w in oracles.philox4x32([0], 0, 0)[0]] == [
        "6627e8d5",
        "e169c58d",
        "bc57ac4c",
        "9b00dbd8",
    ]
    assert [f"{w:08x}" for w in oracles.philox4x32([everything], everything, everything)[0]] == [
        "408f276d", "41c83b0e", "a20bc7c6", "6d5451fd"]  # fmt: skip
    assert [f"{w:08x}" for w in pi[0]] == ["d16cfe09", "94fdcceb", "5001e420", "24126ea1"]


def kept(n, p, seed, stream):
    dx = np.empty((1, n), np.float32)
    _kernels.dropout_backward(dx, np.ones((1, n), np.float32), p, seed, stream, 1)
    return dx[0] != 0


def test_dropout_draws_philox_words(isa):
    """Bisecting p shows each element's word to the 24 bits that a float32 p has."""
    for seed, stream in ((0, 0), (2**64 - 1, 2**64 - 1), (2**33, 2**35 + 1)):
        words = oracles.philox4x32(np.arange(38), stream, seed).ravel()[:150]
        for i, word in list(enumerate(words))[::7]:
            below = np.float32(int(word) / 2**32)
            while int(float(below) * 2**32) > word:
                below = np.nextafter(below, np.float32(0))
            above = np.nextafter(below, np.float32(1))
            assert kept(150, below, seed, stream)[i]
            assert not kept(150, above, seed, stream)[i]


def test_dropout_keeps_the_right_share_and_forgets_nothing_between_streams(isa):
    n = 200_000
    masks = [kept(n, 0.3, seed, stream) for seed, stream in ((1, 0), (1, 1), (2, 0))]
    deviation = np.sqrt(0.3 * 0.7 / n)
    for mask in masks:
        assert abs(mask.mean() - 0.7) < 5 * deviation
        assert abs((mask[1:] & mask[:-1]).mean() - 0.49) < 5 * deviation
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert abs((masks[one] & masks[other]).mean() - 0.49) < 5 * deviation


def test_backward_draws_the_mask_of_forward(isa, rng):
    x = np.ones((7, 33), np.float32)
    y, dx = np.empty_like(x), np.empty_like(x)
    _kernels.dropout_forward(y, x, None, 0.6, 42, 7, 1)
    _kernels.dropout_backward(dx, x, 0.6, 42, 7, 3)
    assert y.tobytes() == dx.tobytes()
    _kernels.dropout_forward(y, x, None, 0.0, 42, 7, 1)
    assert (y == 1).all()


# --- optimizer ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "n_decayed"), [(1, 1), (70, 13), (70, 0), (9000, 4097)])
def test_adamw_stays_with_float64_over_many_steps(isa, rng, n, n_decayed):
    """Twenty updates: each adds at most the bound of one (a few U) times the size of what it moves."""
    state = {"weight": floats(rng, n), "m": np.zeros(n, np.float32), "v": np.zeros(n, np.float32)}
    wide = {name: a.astype(float) for name, a in state.items()}
    fixed = {"n_decayed": n_decayed, "eps": 1e-8, "grad_scale": 0.5, "weight_decay": 0.125}
    fixed |= {"beta1": 0.875, "beta2": 0.984375}
    for t in range(1, 21):
        fixed |= {"lr": 2.0**-7 / t, "correction1": 1 - 0.875**t, "correction2": 1 - 0.984375**t}
        grad = floats(rng, n)
        wide = oracles.adamw(**wide, **{"grad": grad.astype(float)}, **fixed)
        del wide["grad"]
        _kernels.adamw(**state, copy=None, grad=grad, **fixed, n_threads=2)
        assert not grad.any()
    size = np.abs(wide["weight"]) + 2**-7 * 4
    assert_within(state, wide, {"weight": 20 * 10 * U * size, "m": 20 * 4 * U, "v": 20 * 6 * U * wide["v"]})
