"""Early stopping on given values: the traces of Keras's rule and of the guide's algorithm."""

import math

import numpy as np
import pytest

from rgz.errors import RgzError
from rgz.train import BestWeights, EarlyStopping


def trace(values, **arguments):
    """(wait after each value, index at which it says stop or None)."""
    stopping, waits = EarlyStopping(**arguments), []
    for index, value in enumerate(values):
        stop = stopping.update(value)
        waits.append(stopping.wait)
        if stop:
            return waits, index
    return waits, None


def guide(losses, patience, min_delta):
    """The algorithm as the guide writes it down, kept apart from the code under test."""
    best, counter = math.inf, 0
    for index, loss in enumerate(losses):
        if loss < best - min_delta:
            best, counter = loss, 0
        else:
            counter += 1
            if counter >= patience:
                return index
    return None


def test_the_rule_by_hand():
    values = [3.0, 2.5, 2.495, 2.6, 2.4, 2.4, 2.4]
    assert trace(values, min_delta=0.01, patience=2) == ([0, 0, 1, 2], 3)
    assert trace(values, min_delta=0.0, patience=2) == ([0, 0, 0, 1, 0, 1, 2], 6)
    assert trace(values, patience=4) == ([0, 0, 0, 1, 0, 1, 2], None)


def test_an_improvement_of_exactly_min_delta_is_none():
    assert trace([2.0, 1.5], min_delta=0.5, patience=1) == ([0, 1], 1)


def test_patience_zero_stops_at_the_first_that_is_no_improvement():
    assert trace([2.0, 1.0, 1.0]) == ([0, 0, 1], 2)


@pytest.mark.parametrize("seed", range(20))
def test_it_stops_where_the_guide_stops(seed):
    rng = np.random.default_rng(seed)
    losses = 2 + 3 * np.exp(-np.arange(60) / 10) + rng.normal(0, 0.05, 60)
    for patience in (1, 3, 10):
        for min_delta in (0.0, 0.001, 0.05):
            expected = guide(losses, patience, min_delta)
            assert trace(losses.tolist(), patience=patience, min_delta=min_delta)[1] == expected


def test_nan_is_never_an_improvement():
    assert trace([math.nan, 2.0, math.nan, None], patience=3) == ([1, 0, 1, 2], None)


def test_a_higher_speed_is_better():
    assert trace([10.0, 12.0, 11.0], monitor="tokens_per_second", patience=1) == ([0, 0, 1], 2)
    assert trace([1.0, 2.0, 3.0], mode="max", patience=1) == ([0, 0, 0], None)


def test_below_the_baseline_waiting_goes_on_as_in_keras():
    assert trace([3.0, 2.5, 1.9, 1.8], baseline=2.0, patience=9) == ([1, 2, 0, 0], None)
    # An improvement never stops, even out of patience; the next value that is none does.
    assert trace([3.0, 2.5, 2.4, 2.4], baseline=2.0, patience=2) == ([1, 2, 3, 4], 3)


def test_an_unknown_mode_is_refused(monkeypatch):
    monkeypatch.setenv("RGZ_LANG", "en")
    with pytest.raises(RgzError, match="did you mean 'max'"):
        EarlyStopping(mode="maxx")


def test_a_negative_patience_is_refused(monkeypatch):
    monkeypatch.setenv("RGZ_LANG", "en")
    with pytest.raises(RgzError, match="patience must be >= 0, got -1"):
        EarlyStopping(patience=-1)


def test_its_state_comes_back_for_the_same_metric_only():
    first = EarlyStopping(patience=5)
    for value in (2.0, 3.0, 3.0):
        first.update(value)
    second = EarlyStopping(patience=5)
    second.load_state_dict(first.state_dict())
    assert (second.wait, second.best) == (2, 2.0)
    other = EarlyStopping("loss", patience=5)
    other.load_state_dict(first.state_dict())
    assert (other.wait, other.best) == (0, None)


def test_best_weights_are_those_of_the_best_raw_value_in_memory_of_their_own():
    weights = {"w": np.zeros(3, np.float32)}
    keeper = BestWeights("val_loss")
    assert not keeper.restore(weights), "nothing was ever measured"
    for step, value in enumerate([2.0, 1.999, math.nan, 2.5], start=1):
        weights["w"][:] = step
        keeper.offer(value, step, weights)
    copy = keeper.tensors["w"]
    assert keeper.restore(weights) and (weights["w"] == 2).all() and keeper.step == 2
    weights["w"][:] = 9
    keeper.offer(1.0, 5, weights)
    assert keeper.tensors["w"] is copy and (copy == 9).all()
