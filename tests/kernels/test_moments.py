"""Moments in bfloat16 are rounded by the words of Philox; in 8 bits they are right on average, never a v of 0 that is
not, and units suit their block alone."""

import numpy as np
import oracles
import pytest
from calls import floats

from rgz import _kernels

N = 256 * 40


def stored(values, stream=0, n_decayed=0):
    """m, v and their units, as an update leaves them that makes `values` and their squares of moments that were 0."""
    n = len(values)
    m, v = np.zeros(n, np.int8), np.zeros(n, np.uint8)
    units = [np.zeros(_kernels.moment_blocks(n, n_decayed), np.float32) for _ in range(2)]
    numbers = (n_decayed, 1e-3, 0.0, 0.0, 1e-8, 0.0, 1.0, 1.0, 1.0)  # beta1 = beta2 = 0: the moments are g and g^2
    weight, grad = np.zeros(n, np.float32), values.astype(np.float32)
    _kernels.adamw_int8(weight, None, grad, m, v, *units, *numbers, 7, stream, 2)
    return m, v, *units


def rounded(values, which, stream=0, n_decayed=0):
    """What the stored m, or v, are worth."""
    m, v, *units = stored(values, stream, n_decayed)
    places = np.repeat(np.arange(len(units[0])), 256)[: len(m)]
    if which == "m":
        return np.sign(m) * m.astype(float) ** 2 * units[0][places]
    return v.astype(float) ** 4 * units[1][places]


@pytest.mark.parametrize(("n", "seed", "stream"), [(1, 0, 0), (700, 2**64 - 1, 2**63 + 5)])
def test_each_half_of_a_word_rounds_one_moment_in_bfloat16(isa, n, seed, stream):
    grad = floats(np.random.default_rng(0), n)
    weight, m, v = np.zeros(n, np.float32), np.zeros(n, np.uint16), np.zeros(n, np.uint16)
    numbers = (n // 2, 1e-3, 0.0, 0.0, 1e-8, 0.0, 1.0, 1.0, 1.0)  # as above
    _kernels.adamw_bf16(weight, None, grad.copy(), m, v, *numbers, seed, stream, 2)
    words = oracles.moment_draws(n, n // 2, seed, stream)
    for got, exact, draw in ((m, grad, words & 0xFFFF), (v, grad * grad, words >> 16)):
        np.testing.assert_array_equal(got, (exact.view(np.uint32) + draw) >> 16)


def test_each_half_of_a_word_rounds_one_moment_in_8_bits(isa):
    """A level goes up where the draw is below the share of the step that is left, but for draws next to that share."""
    values = floats(np.random.default_rng(0), 256)
    m, v, *_ = stored(values, stream=9)
    words = oracles.moment_draws(256, 0, 7, 9)
    size = np.abs(values.astype(float)) / np.abs(values).max()
    for got, top, power, share, half in ((m, 127, 2, size, words & 0xFFFF), (v, 255, 4, size**2, words >> 16)):
        level = np.floor(top * share ** (1 / power))
        left = (top**power * share - level**power) / ((level + 1) ** power - level**power)
        draw = (half + 0.5) / 2**16
        sure = (np.abs(draw - left) > 1e-3) & (np.abs(left - 0.5) < 0.499)
        assert sure.mean() > 0.97
        np.testing.assert_array_equal(np.abs(got.astype(int))[sure], (level + (draw < left))[sure])


def test_what_is_no_number_takes_the_largest_level_and_leaves_the_others(isa):
    values = floats(np.random.default_rng(0), 256)
    for place in (0, 255):
        values[place] = 0.0
        without = stored(values)
        values[place] = np.nan
        m, v, *units = stored(values)
        assert (abs(int(m[place])), v[place]) == (127, 255)
        for got, want in zip((m, v, *units), without, strict=True):
            rest = np.arange(len(got)) != place if len(got) == 256 else [0]
            np.testing.assert_array_equal(got[rest], want[rest])
        values[place] = 1.0


@pytest.mark.parametrize("which", ["m", "v"])
@pytest.mark.parametrize("size", [0.9, 0.31, 0.05, 0.004])
def test_rounding_is_right_on_average(isa, which, size):
    """Of 10,200 numbers of one size beside a 1 in every block: the mean is within five standard errors."""
    values = np.full(N, -size if which == "m" else np.sqrt(size))
    values[::256] = 1.0
    got = np.delete(rounded(values, which), np.s_[::256])
    want = np.delete(values if which == "m" else values**2, np.s_[::256])
    levels = np.unique(got)
    assert 1 <= len(levels) <= 2 and levels[0] - 1e-6 <= want[0] <= levels[-1] + 1e-6
    assert abs(got.mean() - want.mean()) <= 5 * np.ptp(levels) / 2 / len(got) ** 0.5 + 1e-6 * abs(want[0])


def test_draws_are_others_in_every_update(isa):
    values = np.full(N, 0.3)
    values[::256] = 1.0
    one, again, other = rounded(values, "m", 1), rounded(values, "m", 1), rounded(values, "m", 2)
    np.testing.assert_array_equal(one, again)
    assert 0.1 < (one != other).mean() < 0.6


def test_a_second_moment_that_is_not_0_never_becomes_0(isa):
    """The smallest is the largest of its block times 2.4e-10, and 0 stays 0."""
    values = np.full(256, 1e-12)
    values[0], values[7] = 1.0, 0.0
    v = rounded(values, "v")
    assert v[7] == 0
    np.testing.assert_allclose(np.delete(v, [0, 7]), 255.0**-4, rtol=1e-5)


@pytest.mark.parametrize("which", ["m", "v"])
def test_a_block_does_not_depend_on_others_and_decayed_elements_have_their_own(isa, which):
    values = floats(np.random.default_rng(0), 700)
    loud = values.copy()
    loud[300:] *= 1e6
    quiet = rounded(values, which, n_decayed=300)
    np.testing.assert_array_equal(rounded(loud, which, n_decayed=300)[:300], quiet[:300])


@pytest.mark.parametrize(
    ("n", "n_decayed", "blocks"), [(700, 300, 4), (700, 0, 3), (512, 512, 2), (1, 1, 1), (2, 1, 2)]
)
def test_units_are_counted(n, n_decayed, blocks):
    assert _kernels.moment_blocks(n, n_decayed) == blocks


def test_moments_of_nothing_are_nothing(isa):
    assert not rounded(np.zeros(300), "m").any() and not rounded(np.zeros(300), "v").any()
    tiny = rounded(np.full(300, 1e-30), "m")
    assert np.isfinite(tiny).all() and (tiny <= 1.01e-30).all()
