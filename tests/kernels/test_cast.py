"""float32 to and from bfloat16 and float16: every bit, on every instruction set, against ml_dtypes and NumPy."""

import sys
from functools import cache

import numpy as np
import pytest
from guarded import Guarded, stored, widened

from rgz import _kernels

if sys.version_info < (3, 15):
    import ml_dtypes
else:
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="it has no wheels for this Python yet")

ALL_HALVES = np.arange(2**16, dtype=np.uint16)
TYPES = {"bf16": ml_dtypes.bfloat16, "f16": np.float16}
STORED = {"bf16": np.uint16, "f16": np.float16}  # NumPy has no bfloat16: its bits
QUIET = {"bf16": 0x7FC0, "f16": 0x7E00}
FAR = (0x00000000, 0x00000001, 0x007FFFFF, 0x00800000, 0x32FFFFFF, 0x33000000, 0x33000001, 0x337FFFFF, 0x33800000,
       0x387FDFFF, 0x387FE000, 0x387FFFFF, 0x38800000, 0x477FEFFF, 0x477FF000, 0x47800000, 0x7F7EFFFF, 0x7F7F7FFF,
       0x7F7F8000, 0x7F7FFFFF, 0x7F800000)  # fmt: skip


@pytest.fixture(params=["bf16", "f16"])
def kind(request):
    return request.param


def to_half(kind, x, n_threads=2):
    half = Guarded(x.shape, 0, STORED[kind])
    _kernels.cast_from_float(half.array, x, n_threads)
    half.check("half")
    return half.array.view(np.uint16).copy()


def from_half(kind, half, n_threads=2):
    x = Guarded(half.shape, np.nan)
    _kernels.cast_to_float(x.array, half.view(STORED[kind]), n_threads)
    x.check("x")
    return x.array.copy()


@cache
def boundaries(kind):
    """float32 at, and on both sides of, every half number and the middle between each two neighbours."""
    finite = ALL_HALVES[:0x8000].view(TYPES[kind]).astype(np.float32)
    finite = finite[np.isfinite(finite)].view(np.uint32).astype(np.int64)
    if kind == "f16":  # the middle of two numbers is the middle of their bits, but for subnormals
        value = finite.astype(np.uint32).view(np.float32).astype(float)
        middles = ((value[:-1] + value[1:]) / 2).astype(np.float32).view(np.uint32).astype(np.int64)
    else:
        middles = (finite[:-1] + finite[1:]) // 2
    bits = np.concatenate([finite, middles, np.int64(FAR)])
    bits = np.clip(np.concatenate([bits - 1, bits, bits + 1]), 0, 0x7F800000)
    return np.concatenate([bits, bits + 2**31]).astype(np.uint32).view(np.float32)


def test_every_rounding_boundary_goes_to_the_nearest_half(isa, kind):
    x = boundaries(kind)
    with np.errstate(over="ignore"):
        want = x.astype(TYPES[kind]).view(np.uint16)
    np.testing.assert_array_equal(to_half(kind, x), want)


def test_a_million_floats_of_all_sizes_go_to_the_nearest_half(isa, kind, rng):
    bits = rng.integers(0, 2**32, 10**6, dtype=np.uint32)
    x = bits[bits & 0x7FFFFFFF <= 0x7F800000].view(np.float32)
    with np.errstate(over="ignore"):
        want = x.astype(TYPES[kind]).view(np.uint16)
    np.testing.assert_array_equal(to_half(kind, x), want)


def test_every_half_is_a_float_exactly(isa, kind):
    got, want = from_half(kind, ALL_HALVES), ALL_HALVES.view(TYPES[kind]).astype(np.float32)
    number = ~np.isnan(want)
    np.testing.assert_array_equal(got[number].view(np.uint32), want[number].view(np.uint32))
    quiet = want[~number].view(np.uint32) | (0x400000 if kind == "f16" else 0)
    np.testing.assert_array_equal(got[~number].view(np.uint32), quiet)


def test_every_half_comes_back_as_it_was(isa, kind):
    back = to_half(kind, from_half(kind, ALL_HALVES))
    nan = np.isnan(ALL_HALVES.view(TYPES[kind]).astype(np.float32))
    np.testing.assert_array_equal(back[~nan], ALL_HALVES[~nan])
    payload = ALL_HALVES[nan] if kind == "f16" else ALL_HALVES[nan] & 0x8000
    np.testing.assert_array_equal(back[nan], payload | QUIET[kind])


def test_other_tests_round_and_widen_as_ml_dtypes_does():
    x = np.concatenate([boundaries("bf16"), np.float32([np.inf, -np.inf, 3.4e38, 1e-45, 0.0, -0.0])])
    x = x[~np.isnan(x)]
    with np.errstate(over="ignore"):
        want = x.astype(ml_dtypes.bfloat16)
    np.testing.assert_array_equal(stored(x, "bfloat16"), want.view(np.uint16))
    np.testing.assert_array_equal(widened(want.view(np.uint16)), want.astype(np.float32))


def test_nan_stays_a_quiet_nan_of_its_sign(isa, kind):
    bits = np.uint32([0x7F800001, 0x7F801FFF, 0x7F802000, 0x7FBFFFFF, 0x7FC00000, 0x7FFFFFFF])
    bits = np.concatenate([bits, bits | 2**31])
    payload = bits >> 13 & 0x1FF if kind == "f16" else 0
    want = (bits >> 16 & 0x8000) | QUIET[kind] | payload
    np.testing.assert_array_equal(to_half(kind, bits.view(np.float32)), want)
    if kind == "bf16":
        with np.errstate(invalid="ignore"):
            np.testing.assert_array_equal(want, bits.view(np.float32).astype(ml_dtypes.bfloat16).view(np.uint16))


@pytest.mark.parametrize("n", [0, 1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 4095, 4097, 20001, 65536])
def test_odd_sizes_and_threads_give_the_same_bits(isa, kind, n):
    x = np.resize(boundaries(kind), n)
    with np.errstate(over="ignore"):
        want = x.astype(TYPES[kind]).view(np.uint16)
    for n_threads in (1, 2, 3):
        np.testing.assert_array_equal(to_half(kind, x, n_threads), want)
        wide = want.view(TYPES[kind]).astype(np.float32)
        np.testing.assert_array_equal(from_half(kind, want, n_threads).view(np.uint32), wide.view(np.uint32))


def test_wrong_lengths_and_types_are_refused(kind):
    to, back = _kernels.cast_from_float, _kernels.cast_to_float
    x, half = np.zeros(5, np.float32), np.zeros(5, STORED[kind])
    with pytest.raises(ValueError, match="cast_from_float: length of y must be 5, got 4"):
        to(half[:4], x, 1)
    with pytest.raises(ValueError, match="cast_to_float: length of y must be 5, got 4"):
        back(x[:4], half, 1)
    with pytest.raises(ValueError, match="Buffer dtype mismatch"):
        to(np.zeros(5, np.int16), x, 1)
    for n_threads in (0, -1):
        with pytest.raises(ValueError, match=f"cast_from_float: n_threads must be at least 1, got {n_threads}"):
            to(half, x, n_threads)
        with pytest.raises(ValueError, match=f"cast_to_float: n_threads must be at least 1, got {n_threads}"):
            back(x, half, n_threads)
