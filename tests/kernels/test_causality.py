"""What a row of attention does not see has no part in it, whatever it is: not even a NaN times a weight of 0."""

import dataclasses

import calls
import numpy as np
import pytest
from cases import CASES
from guarded import TYPES, assert_within, in_float64, in_storage, run, stored, widened

LENGTHS = [300, 5, 110]
PLACES = [0, 11, 12, 17, 95, 96, 191, 288, 299]  # about tiles, blocks and groups, in the first sequence
SIZES = [(2, 1, 5), (1, 1, 64)]  # heads, key heads, head size
ROWS = np.arange(sum(LENGTHS))
ELSEWHERE = LENGTHS[0] <= ROWS


def poisoned(kernel, size, storage, names, bad):
    """For a row of each array in turn: what the kernel makes of the numbers, and of them with one there changed."""
    call = in_storage(kernel, getattr(calls, kernel)(np.random.default_rng(1), LENGTHS, *size, True), storage)
    whole = run(kernel, call, n_threads=2)
    for name in names:
        for row in PLACES:
            changed = call.arguments[name].copy()
            changed[row, -1, -1] = stored(np.float32([bad]), storage)[0]
            again = run(kernel, dataclasses.replace(call, arguments=call.arguments | {name: changed}), n_threads=2)
            yield row, whole, again


def assert_untouched(whole, again, rows):
    for name, chosen in rows.items():
        assert whole[name][chosen].tobytes() == again[name][chosen].tobytes(), name


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("storage", TYPES)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_rows_before_a_key_or_value_that_is_not_finite_keep_their_bits(isa, size, storage, bad):
    for row, whole, again in poisoned("attention_forward", size, storage, "kv", bad):
        assert_untouched(whole, again, dict.fromkeys(("out", "lse"), (row > ROWS) | ELSEWHERE))
        assert not np.isnan(bad) or np.isnan(again["out"][row, -1]).any()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("storage", TYPES)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_gradients_of_rows_that_do_not_see_what_is_not_finite_keep_their_bits(isa, size, storage, bad):
    # A query and its gradient concern the keys up to it, a key and its value the queries from it on.
    for row, whole, again in poisoned("attention_backward", size, storage, ("q", "dout"), bad):
        later = (row < ROWS) | ELSEWHERE
        assert_untouched(whole, again, {"dq": row != ROWS, "dk": later, "dv": later})
        assert not np.isnan(bad) or np.isnan(again["dq"][row, -1]).any()
    for row, whole, again in poisoned("attention_backward", size, storage, "kv", bad):
        assert_untouched(whole, again, {"dq": (row > ROWS) | ELSEWHERE, "dk": ELSEWHERE, "dv": ELSEWHERE})
        assert not np.isnan(bad) or np.isnan(again["dq"][row, -1]).any()


@pytest.mark.parametrize("scale", [0.0, -0.25, 1e-50, 3.0])
@pytest.mark.parametrize("storage", TYPES)
def test_the_scale_may_be_any_number(isa, storage, scale):
    """What is not seen has no weight, even where minus infinity times the scale would be NaN or infinity."""
    case = next(case for case in CASES if case.kernel == "attention_forward")
    call = in_storage("attention_forward", case.make(np.random.default_rng(1), (37, 110), 2, 1, 8, True), storage)
    call.arguments["scale"] = float(np.float32(scale))
    wide = in_float64(call)
    want = case.oracle(**wide)
    assert_within(run("attention_forward", call), want, case.allowed(wide, want, storage))


@pytest.mark.parametrize("storage", TYPES)
@pytest.mark.parametrize("queries", [7, 8, 97, 98])
def test_an_infinite_key_without_weight_has_no_gradient(isa, storage, queries):
    call = calls.attention_backward(np.random.default_rng(1), [queries], 1, 1, 8, False)
    call = in_storage("attention_backward", call, storage)
    arguments = call.arguments
    arguments["q"] = stored(-np.abs(widened(arguments["q"])), storage)
    arguments["k"] = arguments["k"].copy()
    arguments["k"][2, 0, 3] = stored(np.float32([np.inf]), storage)[0]
    got = run("attention_backward", call)
    assert (got["dk"][2] == 0.0).all() and (got["dv"][2] == 0.0).all()


@pytest.mark.parametrize("storage", TYPES)
def test_sums_that_vanish_keep_their_sign(isa, storage):
    call = calls.attention_forward(np.random.default_rng(3), [60], 1, 1, 16, True)
    call.arguments["v"] = call.arguments["v"] * np.float32(2e-38 if storage != "float16" else 1e-7)
    call = in_storage("attention_forward", call, storage)
    changed = call.arguments["v"].copy()
    changed[-1] = stored(np.float32([np.nan]), storage)[0]
    whole = run("attention_forward", call)
    again = run("attention_forward", dataclasses.replace(call, arguments=call.arguments | {"v": changed}))
    assert_untouched(whole, again, {"out": np.arange(60) < 59})
