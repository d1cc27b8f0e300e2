"""rgz.ops refuses what it cannot take in a sentence that says what must hold and what came."""

import re

import numpy as np
import pytest

from rgz import RgzError, _kernels, ops

NAN, INF = float("nan"), float("inf")


@pytest.fixture(autouse=True)
def english(monkeypatch):
    monkeypatch.setenv("RGZ_LANG", "en")


def zeros(*shape):
    return np.zeros(shape, np.float32)


def unaligned(dtype, n=8):
    return np.zeros(n * np.dtype(dtype).itemsize + 1, np.uint8)[1:].view(dtype)


@pytest.mark.parametrize(
    ("name", "wrong", "wanted"),
    [
        *(("betas", wrong, "two numbers in [0, 1)") for wrong in (0.9, None, "ab", (0.9,), (0.9, 1), (NAN, 0.9))),
        *(("betas", wrong, "two numbers in [0, 1)") for wrong in ((0.9, "a"), (True, 0.9), np.float32(0.9))),
        *(("lr", wrong, ">= 0") for wrong in (NAN, INF, -1e-3, "a", None, True)),
        *(("eps", wrong, "> 0") for wrong in (NAN, INF, -1e-8, 0.0, "a")),
        *(("weight_decay", wrong, ">= 0") for wrong in (NAN, INF, -0.1, None)),
        *(("grad_scale", wrong, "a finite number") for wrong in (NAN, INF, "a")),
        *(("step", wrong, "an integer >= 1") for wrong in (0, -1, 1.5, "1", None, True)),
    ],
    ids=str,
)
def test_adamw_refuses_settings_out_of_range(name, wrong, wanted):
    arrays = [zeros(3) + 1 for _ in range(4)]
    with pytest.raises(RgzError) as refused:
        ops.adamw(*arrays, **{"step": 1, name: wrong})
    assert str(refused.value) == f"{name} must be {wanted}, got {wrong!r}"
    assert all((array == 1).all() for array in arrays)


def test_adamw_takes_what_schedules_and_numpy_give():
    for settings in ({"lr": 0.0}, {"betas": np.array([0.9, 0.95])}, {"lr": np.float32(1e-3)}, {"step": np.int64(3)}):
        ops.adamw(zeros(3), zeros(3), zeros(3), zeros(3), **{"step": 1, **settings})


@pytest.mark.parametrize("shape", [(3, 1, 0), (0, 1, 4), (3, 0, 4)])
def test_attention_of_nothing_is_refused_forward_and_backward(shape):
    q, lse = zeros(*shape), zeros(*shape[:2])
    with pytest.raises(RgzError, match="q must not be empty, got shape"):
        ops.flash_attention(q, q, q)
    with pytest.raises(RgzError, match="q must not be empty, got shape"):
        ops.flash_attention_backward(q, q, q, q, q, lse)


@pytest.mark.parametrize(
    ("name", "wrong", "wanted"),
    [
        *(("causal", wrong, "true or false") for wrong in ("no", 1, None)),
        *(("scale", wrong, "a finite number") for wrong in ("a", NAN, INF, 1e300)),
    ],
)
def test_attention_refuses_other_settings(name, wrong, wanted):
    q = zeros(3, 1, 4)
    with pytest.raises(RgzError, match=re.escape(f"{name} must be {wanted}, got {wrong!r}")):
        ops.flash_attention(q, q, q, **{name: wrong})


@pytest.mark.parametrize("wrong", [-1.0, NAN, INF, "a", None])
def test_norms_refuse_an_eps_below_0(wrong):
    for call in (
        lambda: ops.layer_norm(zeros(2, 4), zeros(4), zeros(4), eps=wrong),
        lambda: ops.rms_norm(zeros(2, 4), zeros(4), eps=wrong),
    ):
        with pytest.raises(RgzError, match="eps must be >= 0, got"):
            call()


@pytest.mark.parametrize("wrong", [0, -1, 1.5, "a"])
def test_cross_entropy_refuses_slices_of_no_rows(wrong):
    with pytest.raises(RgzError, match="slice_rows must be an integer >= 1, got"):
        ops.cross_entropy(zeros(2, 4), zeros(5, 4), np.int32([1, 2]), slice_rows=wrong)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_optional_arrays_are_checked_as_the_others(dtype):
    wrong = np.zeros(4, np.float64) if dtype == np.float64 else unaligned(dtype, 4)
    message = "must be a float32 array of 1 dimensions, got float64" if dtype == np.float64 else "must be aligned"
    targets = np.int32([1, 2])
    for call in (
        lambda: ops.linear(zeros(2, 4), zeros(4, 4), bias=wrong),
        lambda: ops.cross_entropy(zeros(2, 4), zeros(4, 4), targets, bias=wrong),
        lambda: ops.cross_entropy_backward(zeros(2, 4), zeros(4, 4), targets, bias=wrong),
    ):
        with pytest.raises(RgzError, match=f"bias {message}"):
            call()


def test_unaligned_arrays_are_refused_as_such():
    floats = unaligned(np.float32)
    for call in (
        lambda: ops.to_half(floats),
        lambda: ops.from_half(unaligned(np.uint16)),
        lambda: ops.from_half(unaligned(np.float16)),
        lambda: ops.matmul(floats.reshape(2, 4), zeros(4, 2)),
        lambda: ops.grad_norm(floats),
    ):
        with pytest.raises(RgzError, match=r"must be aligned in memory; \w+.copy\(\) makes an array that is"):
            call()
    assert ops.to_half(floats.copy()).tolist() == [0] * 8
    with pytest.raises(ValueError, match="relu_forward: x must be aligned in memory"):
        _kernels.relu_forward(zeros(2, 4), floats.reshape(2, 4), 1)


@pytest.mark.parametrize("value", [np.float32(1.5), 1.5, [1.5], None])
def test_a_conversion_of_no_array_says_so(value):
    with pytest.raises(RgzError, match=f"x must be an array of float32, got no array: {type(value).__name__}"):
        ops.to_half(value)
    with pytest.raises(
        RgzError, match=f"x must be an array of uint16 or float16, got no array: {type(value).__name__}"
    ):
        ops.from_half(value)


def test_conversions_take_any_shape_and_name_another_type():
    for shape in ((), (0,), (2, 0), (2, 3, 4)):
        assert ops.from_half(ops.to_half(np.full(shape, 1.5, np.float32))).tolist() == np.full(shape, 1.5).tolist()
    with pytest.raises(RgzError, match=r"x must be an array of float32, got float64 \(\)"):
        ops.to_half(np.array(1.5))
    with pytest.raises(RgzError, match=r"x must be an array of uint16 or float16, got float32 \(3,\)"):
        ops.from_half(zeros(3))
