"""rgz's own products beyond one block, and in half precision their special values and where they round."""

import numpy as np
import pytest
from cases import CASES
from guarded import assert_same_bits, assert_within, in_float64, in_storage, run, stored, widened

from rgz import _kernels

# Beyond every block: 256 of k, or 384 where that is all (of pairs: 512 and 768, or 1,536 where the rows of a are read
# as they lie, which 2,048 forbids), 288 rows of kept sums (or 648), 96 of strips, 512 columns, and of dweight 192 rows
# and 768 columns; k odd, edges in all directions.
SIZES = (
    (289, 385, 33),
    (101, 767, 65),
    (97, 769, 34),
    (300, 1027, 530),
    (30, 2049, 17),
    (516, 771, 200),
    (1309, 1538, 33),
    (61, 131, 3078),
    (61, 2048, 40),
)
ONE_EACH = {case.kernel: case for case in CASES if case.kernel in ("matmul", "linear_forward", "linear_backward")}


@pytest.fixture(params=["bfloat16", "float16"])
def storage(request):
    return request.param


def forward(x, weight, storage, bias=None, n_threads=2):
    """x weight^T, stored in half and widened again."""
    y = stored(np.zeros((len(x), len(weight)), np.float32), storage)
    _kernels.linear_forward(y, stored(x, storage), stored(weight, storage), bias, None, n_threads)
    return widened(y)


@pytest.mark.parametrize("sgemm", ["own_sgemm"], indirect=True)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("storage", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("kernel", ONE_EACH)
def test_products_of_several_blocks_match_the_float64_formula(isa, rng, sgemm, storage, kernel, size):
    case = ONE_EACH[kernel]
    call = in_storage(kernel, case.make(rng, *size), storage)
    wide = in_float64(call)
    want = case.oracle(**wide)
    one = run(kernel, call)
    assert_within(one, want, case.allowed(wide, want, storage))
    for n_threads in (2, 3):
        assert_same_bits(one, run(kernel, call, n_threads))


@pytest.mark.parametrize("sgemm", ["own_sgemm"], indirect=True)
def test_bits_do_not_depend_on_where_a_large_matrix_is_read(isa, rng, sgemm):
    """More than 16 MiB are copied, less are read in place (AVX-512), columns that are no whole panels copied again."""
    a, b = rng.standard_normal((15, 6000), np.float32), rng.standard_normal((6000, 736), np.float32)
    c, part = np.zeros((15, 736), np.float32), np.zeros((15, 705), np.float32)
    _kernels.matmul(c, a, b, 2)
    _kernels.matmul(part, a, np.ascontiguousarray(b[:, :705]), 2)
    assert part.tobytes() == c[:, :705].tobytes()
    np.testing.assert_allclose(c, a.astype(float) @ b, rtol=0, atol=6000 * 2.0**-24 * (abs(a) @ abs(b)).max())


@pytest.mark.parametrize("k", [1111, 1602])
def test_bits_do_not_depend_on_what_else_is_multiplied(isa, rng, storage, k):
    """Rows and columns alone, which fall into other tiles, blocks and edges."""
    x, weight = rng.standard_normal((500, k), np.float32), rng.standard_normal((600, k), np.float32)
    whole = forward(x, weight, storage)
    for rows, columns in ((slice(0, 7), slice(0, 1)), (slice(238, 295), slice(500, 530)), (slice(13, 500), slice(599))):
        part = forward(x[rows], weight[columns], storage)
        assert part.tobytes() == whole[rows, columns].tobytes()


@pytest.mark.parametrize("kernel", ONE_EACH)
@pytest.mark.parametrize("size", [(61, 517, 70), (13, 30, 1), (300, 259, 33)], ids=str)
def test_float16_has_the_same_bits_however_it_becomes_float32(isa, rng, kernel, size):
    """Each instruction set adds the same products, exact in float32, in the same order: those that multiply float16
    as it is (FMLAL) too."""
    call = in_storage(kernel, ONE_EACH[kernel].make(rng, *size), "float16")
    here = run(kernel, call, 2)
    _kernels.select_isa("generic")
    assert_same_bits(run(kernel, call), here)


def test_sums_are_rounded_only_at_the_end(isa, storage):
    """1,025 after a fourth of k, 2,049 after a half are odd: rounded to half there, the 1 would be lost."""
    x, weight = np.ones((300, 4096), np.float32), np.ones((40, 4096), np.float32)
    weight[:, 1:2048], weight[:, 0], weight[:, 2048:] = 4.0, 5.0, -4.0
    assert (forward(x, weight, storage) == 1.0).all()


def test_nan_and_inf_stay_in_their_rows_and_columns(isa, rng, storage):
    for k in (1, 2, 33, 600, 601):
        x, weight = rng.uniform(1, 2, (29, k)).astype(np.float32), rng.uniform(1, 2, (37, k)).astype(np.float32)
        x[7, k - 1], x[28, 0], x[9, k // 2] = np.nan, np.inf, -np.inf
        weight[36, k - 1], weight[3, k - 1] = np.nan, np.inf
        got = forward(x, weight, storage)
        with np.errstate(invalid="ignore"):
            want = x.astype(float) @ weight.T.astype(float)
        for special in (np.isnan, np.isposinf, np.isneginf):
            np.testing.assert_array_equal(special(got), special(want), err_msg=f"k {k}")


def test_what_is_too_large_for_the_storage_becomes_inf(isa, storage):
    large = np.float32({"bfloat16": 2.0**127, "float16": 2.0**15}[storage])
    got = forward(np.full((9, 2), large), np.float32([[1, 0], [1, 1], [-1, -1]]), storage)
    np.testing.assert_array_equal(got, np.tile(np.float32([large, np.inf, -np.inf]), (9, 1)))


def test_the_smallest_float16_count(isa):
    got = forward(np.full((9, 1024), 2.0**-24, np.float32), np.ones((5, 1024), np.float32), "float16")
    assert (got == 2.0**-14).all()
