"""The binding refuses what is wrong, by name; and its stub tells the truth."""

import ast
import inspect
import re
from pathlib import Path

import numpy as np
import pytest
from cases import ONE_EACH
from guarded import REALS, stored

from rgz import _kernels

STUB = Path(_kernels.__file__).parent / "_kernels.pyi"


def functions():
    return {name: f for name, f in vars(_kernels).items() if inspect.isroutine(f) and not name.startswith("_")}


def test_the_stub_has_the_modules_functions_and_argument_names():
    stub = {f.name: [a.arg for a in f.args.args] for f in ast.parse(STUB.read_text()).body
            if isinstance(f, ast.FunctionDef)}  # fmt: skip
    assert stub == {name: list(inspect.signature(f).parameters) for name, f in functions().items()}


def arguments(case, size=None):
    """A good call of the case's kernel, all of it by name."""
    call = case.make(np.random.default_rng(0), *(size or case.sizes[3]))
    outputs = {name: np.zeros(shape, np.float32) for name, shape in call.writes.items()}
    scratch = {name: np.zeros(shape(1), call.scratch_type) for name, shape in call.scratch.items()}
    return call.arguments | outputs | call.updates | scratch | {"n_threads": 1}


def arrays_of(case):
    return [name for name, value in arguments(case).items() if isinstance(value, np.ndarray)]


ARRAYS = [pytest.param(case, name, id=f"{case.kernel}-{name}") for case in ONE_EACH for name in arrays_of(case)]


def refused(case, match, error=ValueError, **changed):
    good = arguments(case)
    getattr(_kernels, case.kernel)(**good)
    with pytest.raises(error, match=match):
        getattr(_kernels, case.kernel)(**(arguments(case) | changed))


def wrong_length(kernel, name, axis, n):
    """One more than right; where more is right, too few: scratch, and tables that indices point into."""
    if name == "scratch":
        return n - 1
    if (name, axis) == ("logits", 0):
        return 0
    table = name == "position_weight" or (kernel.startswith("embedding") and name in ("weight", "dweight"))
    return 1 if table and axis == 0 else n + 1


@pytest.mark.parametrize(("case", "name"), ARRAYS)
def test_a_wrong_shape_is_refused_by_kernel_and_argument(case, name):
    """Each axis of each array in turn, all others as they were."""
    array = arguments(case)[name]
    for axis, n in enumerate(array.shape):
        if (case.kernel, name, axis) in {("squared_norm", "x", 0), ("rope", "x", 1)}:
            continue  # any length goes
        shape = list(array.shape)
        shape[axis] = wrong_length(case.kernel, name, axis, n)
        with pytest.raises(ValueError, match=f"^{case.kernel}: .*got") as refusal:
            getattr(_kernels, case.kernel)(**(arguments(case) | {name: np.zeros(shape, array.dtype)}))
        assert any(re.search(rf"\b{a}\b", str(refusal.value)) for a in arguments(case)), refusal.value


@pytest.mark.parametrize(("case", "name"), ARRAYS)
def test_a_wrong_type_layout_or_absence_is_refused(case, name):
    array = arguments(case)[name]
    other = np.float32 if array.dtype in (np.float64, np.uint16) else np.float64
    refused(case, "Buffer dtype mismatch", **{name: array.astype(other)})
    refused(case, "wrong number of dimensions", **{name: array[None]})
    apart = np.zeros((*array.shape, 2), array.dtype)[..., 0]
    if array.size > 1:
        refused(case, rf"not C-contiguous|{case.kernel}: heads of {name} must lie end to end", **{name: apart})
    if name not in OPTIONAL.get(case.kernel, ()):
        refused(case, f"'{name}' must not be None", error=TypeError, **{name: None})


MIXED = [param for param in ARRAYS if param.values[1] in REALS[param.values[0].kernel]
         and len(REALS[param.values[0].kernel]) > 1]  # fmt: skip


@pytest.mark.parametrize(("case", "name"), MIXED)
@pytest.mark.parametrize("storage", ["bfloat16", "float16"])
def test_one_array_in_another_storage_than_the_rest_is_refused(case, name, storage):
    """Whichever array the binding goes by, one of them is told to be of the other's type."""
    other = {name: stored(arguments(case)[name], storage)}
    refused(case, r"Buffer dtype mismatch: \w+ must be (float|bfloat)", **other)


OPTIONAL = {
    "linear_forward": ("bias", "residual"),
    "linear_activation_forward": ("bias",),
    "lm_logits": ("bias",),
    "linear_backward": ("dx", "dweight", "dbias"),
    "lm_loss": ("dx", "dweight", "dbias", "bias"),
    "embedding_forward": ("positions", "position_weight"),
    "dropout_forward": ("residual",),
}


@pytest.mark.parametrize("case", ONE_EACH, ids=lambda case: case.kernel)
def test_outputs_that_are_read_only_are_refused(case):
    call = case.make(np.random.default_rng(0), *case.sizes[3])
    for name in (*call.writes, *call.updates, *call.scratch):
        fixed = arguments(case)[name]
        fixed.flags.writeable = False
        refused(case, "read-only", **{name: fixed})


@pytest.mark.parametrize("case", ONE_EACH, ids=lambda case: case.kernel)
@pytest.mark.parametrize("n_threads", [0, -1])
def test_fewer_than_one_thread_is_refused(case, n_threads):
    refused(case, f"{case.kernel}: n_threads must be at least 1, got {n_threads}", n_threads=n_threads)


def case_of(kernel):
    return next(case for case in ONE_EACH if case.kernel == kernel)


INDICES = [
    ("embedding_forward", "tokens", 11),
    ("embedding_forward", "positions", 5),
    ("rope", "positions", 9),
]
INDICES += [("embedding_backward", "indices", 6)]


@pytest.mark.parametrize(("kernel", "name", "limit"), INDICES)
@pytest.mark.parametrize("bad", [-1, None, 2**31 - 1, -(2**31)])
def test_an_index_outside_its_table_is_refused(kernel, name, limit, bad):
    case, bad = case_of(kernel), limit if bad is None else bad
    indices = arguments(case)[name]
    indices[-1] = bad
    at = len(indices) - 1
    refused(case, re.escape(f"{kernel}: {name} must be in [0, {limit}), got {bad} at {at}"), **{name: indices})


def test_a_target_beyond_the_vocabulary_is_refused():
    case = case_of("lm_loss")
    vocab = len(arguments(case)["weight"])
    targets = np.int32([0, -100, 1, 2, vocab])
    refused(case, rf"lm_loss: targets must be below {vocab} .*got {vocab} at 4", targets=targets)


@pytest.mark.parametrize("kernel", ["attention_forward", "attention_backward"])
@pytest.mark.parametrize(
    ("boundaries", "match"),
    [
        ([3], "length of cu_seqlens must be at least 2, got 1"),
        ([1, 3], "first of cu_seqlens must be 0, got 1"),
        ([0, 2], r"last of cu_seqlens \(rows\) must be 3, got 2"),
        ([0, 4], r"last of cu_seqlens \(rows\) must be 3, got 4"),
        ([0, 2, 2, 3], "cu_seqlens must rise, got 2, 2 at 1"),
        ([0, 4, 3], "cu_seqlens must rise, got 4, 3 at 1"),
        ([0, -1, 3], "cu_seqlens must rise, got 0, -1 at 0"),
    ],
)
def test_bad_boundaries_are_refused(kernel, boundaries, match):
    case = case_of(kernel)
    assert len(arguments(case)["q"]) == 3
    refused(case, f"{kernel}: {match}", cu_seqlens=np.int32(boundaries))


@pytest.mark.parametrize("kernel", ["attention_forward", "attention_backward", "attention_decode"])
def test_heads_that_do_not_divide_are_refused(kernel):
    good = arguments(case_of(kernel))
    heads = dict.fromkeys(("q", "dq", "out", "dout", "lse", "scores"), 3)
    heads |= dict.fromkeys(("k", "v", "dk", "dv", "k_cache", "v_cache"), 2)
    wrong = {}
    for name in good.keys() & heads.keys():
        shape = list(good[name].shape)
        shape[1] = heads[name]
        wrong[name] = np.zeros(shape, np.float32)
    with pytest.raises(ValueError, match=f"{kernel}: heads of q must be a multiple of those of k.*got 3"):
        getattr(_kernels, kernel)(**(good | wrong))


@pytest.mark.parametrize("length", [0, -1, 68])
def test_a_cache_length_out_of_range_is_refused(length):
    match = rf"attention_decode: lengths must be in \[1, 68\), got {length} at 1"
    refused(case_of("attention_decode"), match, lengths=np.int32([1, length, 1]))


@pytest.mark.parametrize("kernel", ["dropout_forward", "dropout_backward"])
@pytest.mark.parametrize("p", [-0.1, 1.0, 1.5, float("nan"), float("inf"), 1 - 1e-9])
def test_a_bad_probability_is_refused(kernel, p):
    refused(case_of(kernel), rf"{kernel}: p must be in \[0, 1\)", p=p)


def test_other_refusals():
    refused(case_of("adamw"), r"adamw: n_decayed must be in \[0, \d+\], got -1", n_decayed=-1)
    refused(case_of("adamw"), r"adamw: n_decayed must be in \[0, \d+\], got 99", n_decayed=99)
    refused(case_of("lm_loss"), "lm_loss: with dx come dweight, and dbias exactly", dweight=None)
    refused(case_of("lm_loss"), "lm_loss: with dx come dweight, and dbias exactly", dbias=None)
    refused(case_of("lm_loss"), r"lm_loss: without dx \(losses only\) dweight and dbias must be None", dx=None)
    refused(case_of("rope"), "rope: head size of x must be even, got 7", x=np.zeros((3, 2, 7), np.float32))
    empty = {"a": np.zeros((4, 0), np.float32), "b": np.zeros((0, 7), np.float32)}
    sizes = r"matmul: BLAS takes sizes in \[1, 2\*\*31\), got"
    refused(case_of("matmul"), sizes, **empty, c=np.zeros((4, 7), np.float32))


def test_an_instruction_set_that_is_not_there_is_refused_with_those_that_are():
    before = _kernels.active_isa()
    with pytest.raises(ValueError, match=r"'mmx' is not usable here; this machine and build have: generic"):
        _kernels.select_isa("mmx")
    assert _kernels.active_isa() == before


def test_only_an_sgemm_is_borrowed():
    cython_blas = pytest.importorskip("scipy.linalg.cython_blas")
    for other in ("dgemm", "sgemv"):
        with pytest.raises(ValueError, match="set_sgemm: the capsule must hold SciPy's sgemm, got 'void"):
            _kernels.set_sgemm(cython_blas.__pyx_capi__[other])
    with pytest.raises(ValueError):
        _kernels.set_sgemm(42)
