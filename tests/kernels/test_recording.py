"""Calls that are written down and made again: the same bits, with what the arrays hold by then, and as safe."""

import gc
import weakref

import numpy as np
import pytest
from calls import floats
from guarded import Call, run

from rgz import _kernels

RNG = np.random.default_rng(0)
TABLE, PLACES, WEIGHT = floats(RNG, 7, 24), floats(RNG, 5, 24), floats(RNG, 9, 24)


def chain(calls, tokens, positions, out, logits):
    """Two kernels, the second of which reads what the first writes."""
    calls.embedding_forward(out, tokens, TABLE, positions, PLACES, 1)
    calls.lm_logits(logits, out, WEIGHT, None, 1)


def recorded(tokens, positions):
    calls, logits = _kernels.Recording(), np.zeros((2, 9), np.float32)
    chain(calls, tokens, positions, np.empty((2, 24), np.float32), logits)
    return calls, logits


def test_calls_are_made_while_they_are_written_down_and_again_with_what_the_arrays_hold(isa):
    tokens, positions = np.int32([1, 2]), np.int32([0, 0])
    calls, logits = recorded(tokens, positions)
    for now in ([1, 2], [6, 0]):
        tokens[:], positions[:] = now, [4, 1]
        calls.play()
        x = run("embedding_forward", Call({"tokens": tokens, "weight": TABLE, "positions": positions,
                                           "position_weight": PLACES}, writes={"out": (2, 24)}))["out"]  # fmt: skip
        want = run("lm_logits", Call({"x": x, "weight": WEIGHT, "bias": None}, writes={"y": (2, 9)}))["y"]
        assert logits.tobytes() == want.tobytes()


@pytest.mark.parametrize(
    ("name", "limit", "bad"),
    [("tokens", 7, 7), ("tokens", 7, -1), ("positions", 5, 5), ("positions", 5, -(2**31))],
)
def test_an_index_that_left_its_table_is_refused_before_anything_is_done(name, limit, bad):
    arrays = {"tokens": np.int32([1, 2]), "positions": np.int32([0, 3])}
    calls, logits = recorded(**arrays)
    before = logits.tobytes()
    arrays["tokens"][0] = 3
    arrays[name][1] = bad
    with pytest.raises(ValueError, match=rf"embedding_forward: {name} must be in \[0, {limit}\), got {bad} at 1"):
        calls.play()
    assert logits.tobytes() == before


def test_a_cache_that_is_full_by_then_is_refused():
    calls, lengths = _kernels.Recording(), np.int32([3])
    cache, new = np.zeros((1, 2, 3, 4), np.float32), floats(RNG, 1, 2, 4)
    calls.cache_append(cache, cache.copy(), new, new, lengths, 1)
    lengths += 1
    with pytest.raises(ValueError, match=r"cache_append: lengths must be in \[1, 4\), got 4 at 0"):
        calls.play()


def test_a_call_that_is_refused_is_not_written_down():
    tokens, positions = np.int32([1, 2]), np.int32([0, 3])
    calls, logits = recorded(tokens, positions)
    with pytest.raises(ValueError, match="linear_forward: weight columns must be 24, got 23"):
        calls.linear_forward(logits, floats(RNG, 2, 24), floats(RNG, 9, 23), None, None, 1)
    logits.fill(0)
    calls.play()
    assert logits.any()


def test_the_arrays_live_as_long_as_their_calls():
    calls, x, y = _kernels.Recording(), floats(RNG, 1, 40), np.empty((1, 30), np.float32)
    weight = floats(RNG, 30, 40)
    calls.linear_forward(y, x, weight, None, None, 1)
    want, watched = y.tobytes(), weakref.ref(weight)
    del weight
    gc.collect()
    assert watched() is not None
    y.fill(0)
    calls.play()
    assert y.tobytes() == want
    del calls
    gc.collect()
    assert watched() is None
