"""Every kernel of the table against its float64 formula, at every size, on every instruction set."""

import numpy as np
import pytest
from cases import CASES
from guarded import REALS, Call, Guarded, assert_same_bits, assert_within, in_float64, in_storage, run

from rgz import _kernels

PLAIN = [case for case in CASES if not case.blas]
BLAS = [case for case in CASES if case.blas]
IN_HALF = [case for case in CASES if REALS[case.kernel]]


def name(case):
    return case.name


def with_sizes(cases, step=1):
    """Cases with every step-th of their sizes, and those that have large ones with these."""
    small = [pytest.param(case, case.sizes[len(case.name) % step :: step], id=case.name) for case in cases]
    return small + [pytest.param(case, case.large, id=f"{case.name}-large") for case in cases if case.large]


def check_formula(case, rng, sizes, storage="float32"):
    for size in sizes:
        call = in_storage(case.kernel, case.make(rng, *size), storage)
        wide = in_float64(call)
        want = case.oracle(**wide)
        try:
            assert_within(run(case.kernel, call), want, case.allowed(wide, want, storage))
        except AssertionError as error:
            error.add_note(f"size {size}")
            raise


def check_threads(case, rng, storage="float32"):
    for size in case.sizes[-2:] + case.large:
        call = in_storage(case.kernel, case.make(rng, *size), storage)
        one = run(case.kernel, call, n_threads=1)
        for n_threads in (2, 3):
            assert_same_bits(one, run(case.kernel, call, n_threads))


@pytest.mark.parametrize("case, sizes", with_sizes(PLAIN))
def test_kernels_match_the_float64_formula(isa, rng, case, sizes):
    check_formula(case, rng, sizes)


@pytest.mark.parametrize("case, sizes", with_sizes(BLAS))
def test_kernels_with_products_match_the_float64_formula(isa, sgemm, rng, case, sizes):
    check_formula(case, rng, sizes)


@pytest.mark.parametrize("case", PLAIN, ids=name)
def test_bits_do_not_depend_on_the_thread_count(isa, rng, case):
    check_threads(case, rng)


@pytest.mark.parametrize("case", BLAS, ids=name)
def test_bits_of_products_do_not_depend_on_the_thread_count(isa, sgemm, rng, case):
    check_threads(case, rng)


@pytest.mark.parametrize("storage", ["bfloat16", "float16"])
@pytest.mark.parametrize("case, sizes", with_sizes(IN_HALF, step=2))
def test_kernels_in_half_precision_match_the_float64_formula(isa, rng, case, sizes, storage):
    """Of inputs rounded to half. Every other size: in float32 the kernels are the same, but for loads and stores."""
    check_formula(case, rng, sizes, storage)


@pytest.mark.parametrize("storage", ["bfloat16", "float16"])
@pytest.mark.parametrize("case", IN_HALF, ids=name)
def test_bits_in_half_precision_do_not_depend_on_the_thread_count(isa, rng, case, storage):
    check_threads(case, rng, storage)


# output, what it may be the same memory as: what the headers of csrc/kernels allow
ALIASES = [
    ("linear_forward", "y", "residual"),
    *((f"{kernel}_forward", "y", "x") for kernel in ("relu", "gelu", "gelu_tanh")),
    *((f"{kernel}_backward", "dx", other) for kernel in ("relu", "gelu", "gelu_tanh") for other in ("x", "dy")),
    ("swiglu_backward", "dx", "x"),
    ("dropout_forward", "y", "x"),
    ("dropout_forward", "y", "residual"),
    ("dropout_backward", "dx", "dy"),
]


@pytest.mark.parametrize(("kernel", "output", "other"), ALIASES)
def test_outputs_may_be_an_input_where_the_header_says_so(isa, sgemm, rng, kernel, output, other):
    case = next(case for case in CASES if case.name == kernel)
    for size in case.sizes[-3:] + case.large:
        call = case.make(rng, *size)
        apart = run(kernel, call, n_threads=2)
        del call.writes[output]
        shared = call.arguments[other]
        getattr(_kernels, kernel)(**call.arguments, **{output: shared}, n_threads=2)
        assert_same_bits(apart, {output: shared})


def test_backward_of_linear_leaves_out_what_is_none(isa, sgemm, rng):
    case = next(case for case in CASES if case.kernel == "linear_backward")
    whole = run(case.kernel, case.make(np.random.default_rng(1), 9, 5, 6))
    for missing in whole:
        call = case.make(np.random.default_rng(1), 9, 5, 6)
        (call.writes if missing in call.writes else call.updates).pop(missing)
        call.arguments[missing] = None
        assert_same_bits(run(case.kernel, call), {name: a for name, a in whole.items() if name != missing})


def test_every_kernel_has_a_case():
    signatures = {name: getattr(getattr(_kernels, name), "__text_signature__", None) or "" for name in dir(_kernels)}
    other = {"attention_scratch", "text_scratch", "text_cut", "text_encode"}  # sizes; text, whose tests are tests/text
    kernels = {name for name, signature in signatures.items() if "n_threads" in signature} - other
    assert len(kernels) > 20
    assert kernels == {case.kernel for case in CASES}


# --- the helpers can fail -----------------------------------------------------------------------------------


def test_assert_within_rejects_an_error_beyond_the_bound_and_nan():
    one = {"y": np.ones(3)}
    assert_within({"y": np.array([1, 1 + 1e-6, 1])}, one, {"y": 1e-5})
    for wrong in (1 + 1e-4, np.nan, np.inf):
        with pytest.raises(AssertionError, match="1 of 3 elements"):
            assert_within({"y": np.array([1, wrong, 1])}, one, {"y": 1e-5})


def test_assert_same_bits_rejects_a_last_bit_and_a_signed_zero():
    for a, b in ((1.0, np.nextafter(np.float32(1), np.float32(2))), (0.0, -0.0)):
        with pytest.raises(AssertionError, match="not the same bits"):
            assert_same_bits({"y": np.float32([a])}, {"y": np.float32([b])})


@pytest.mark.parametrize("at", [-1, 3])
def test_guards_notice_a_write_outside(at):
    guarded = Guarded((3,), 0.0)
    guarded.check("y")
    guarded.memory.view(np.float32)[64 + at] = 1.0
    with pytest.raises(AssertionError, match="4 bytes written outside"):
        guarded.check("y")


def test_guards_notice_a_write_between_the_rows_of_a_strided_output():
    guarded = Guarded((2, 3, 4), 0.0, extra=2)
    guarded.memory.view(np.float32)[64 + 3 * 4] = 1.0
    with pytest.raises(AssertionError, match="4 bytes written outside"):
        guarded.check("x")


def test_run_notices_a_changed_input(monkeypatch):
    def bad(y, x, n_threads):
        y[...] = x
        x[0, 0] = 7

    monkeypatch.setattr(_kernels, "relu_forward", bad)
    with pytest.raises(AssertionError, match="changed its input x"):
        run("relu_forward", Call({"x": np.ones((2, 2), np.float32)}, writes={"y": (2, 2)}))
