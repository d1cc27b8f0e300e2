"""What a training step cannot take is refused in a sentence, before anything changes."""

import math

import numpy as np
import pytest

import rgz
from rgz.errors import RgzError

CONFIG = rgz.ModelConfig(
    vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, max_position_embeddings=16
)
IDS = np.arange(8).reshape(2, 4)


@pytest.fixture(autouse=True)
def english(monkeypatch):
    monkeypatch.setenv("RGZ_LANG", "en")


@pytest.mark.parametrize("wrong", [[1.5, 2.0], "ab", 3, [1], [1, 2, 3], [[1, 2], [3, 4]], [[1], [3, 4]], [None, 2]])
def test_lengths_that_are_not_one_whole_number_a_row_are_refused(wrong):
    with pytest.raises(RgzError) as refused:
        rgz.TrainStep(rgz.Model(CONFIG))(IDS, None, wrong)
    assert "lengths must be one whole number per row of input_ids, from 0 to its width, got" in str(refused.value)
    assert repr(wrong) in str(refused.value)


@pytest.mark.parametrize("wrong", [[-1, 2], [5, 2], [True, False]])
def test_lengths_out_of_range_are_refused(wrong):
    with pytest.raises(RgzError, match="lengths must be one whole number per row of input_ids"):
        rgz.TrainStep(rgz.Model(CONFIG))(IDS, None, wrong)


@pytest.mark.parametrize("name", ["input_ids", "labels"])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (3, "must be (batch, time) or a list of sequences, got int"),
        (1.5, "must be (batch, time) or a list of sequences, got float"),
        (np.arange(3), "must be (batch, time) or a list of sequences, got an array of shape (3,)"),
        ([3, 4], "must hold sequences of integers, got int64 of shape ()"),
        ([[1, 2], None], "must hold sequences of integers, got object of shape ()"),
        ([[1, [2]], [1, 2]], "must hold sequences of integers, got object of shape ()"),
        ("ab", "must hold sequences of integers, got <U1 of shape ()"),
    ],
    ids=str,
)
def test_ids_that_are_no_sequences_are_refused(name, wrong, message):
    ids, labels = (wrong, None) if name == "input_ids" else (IDS, wrong)
    with pytest.raises(RgzError) as refused:
        rgz.TrainStep(rgz.Model(CONFIG))(ids, labels)
    assert str(refused.value) == f"{name} {message}"


def test_no_ids_at_all_are_refused():
    with pytest.raises(RgzError, match="got NoneType"):
        rgz.TrainStep(rgz.Model(CONFIG))(None)


def test_lengths_of_any_integers_are_taken():
    for lengths in ([2, 3], (2, 3), np.array([2, 3]), np.uint8([2, 3])):
        assert rgz.TrainStep(rgz.Model(CONFIG))(IDS, None, lengths).tokens == 3


@pytest.mark.parametrize("name", ["plan_rows", "plan_seqs", "plan_length", "portion_tokens"])
@pytest.mark.parametrize("wrong", [-3, 0, 1.5, "a", True])
def test_sizes_that_are_no_counts_are_refused(name, wrong):
    with pytest.raises(RgzError, match=f"{name} must be an integer >= 1, got {wrong!r}"):
        rgz.TrainStep(rgz.Model(CONFIG), **{name: wrong})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        *(({"gradient_checkpointing": wrong}, "true or false, got") for wrong in ("no", 1, None)),
        *(({"seed": wrong}, ">= 0, < 2**63, got") for wrong in (-1, 1.5, True, "a")),
        *(({"max_grad_norm": wrong}, "> 0 (math.inf never clips), got") for wrong in (0, -1, math.nan, "a", True)),
        *(({"dtype": "float16", "loss_scale": wrong}, "> 0, <= 2**24, got") for wrong in (-1, math.nan, "a", True)),
        *(({"loss_scale": wrong}, "> 0, <= 2**24, got") for wrong in (-5.0, "x")),
        ({"optimizer": 0}, "rgz.AdamW, got"),
    ],
    ids=str,
)
def test_other_settings_out_of_range_are_refused(settings, message):
    [name] = settings.keys() - {"dtype"}
    with pytest.raises(RgzError) as refused:
        rgz.TrainStep(rgz.Model(CONFIG), **settings)
    assert str(refused.value) == f"{name} must be {message} {settings[name]!r}"


def test_shift_labels_is_true_false_or_none():
    step = rgz.TrainStep(rgz.Model(CONFIG))
    with pytest.raises(RgzError, match="shift_labels must be true or false, got 'no'"):
        step(IDS, IDS, shift_labels="no")
    assert step(IDS, IDS, shift_labels=np.bool_(True)).tokens == 6


@pytest.mark.parametrize("rate", [math.nan, math.inf, -1.0, None])
def test_an_update_by_no_learning_rate_is_refused(rate):
    step = rgz.TrainStep(rgz.Model(CONFIG))
    before = step.model.weights.copy()
    with pytest.raises(RgzError, match="learning_rate must be >= 0, got"):
        step.update(rate, 6)
    assert np.array_equal(step.model.weights, before)


@pytest.mark.parametrize("count", [0, -5, 1.5, None])
def test_an_update_over_no_targets_is_refused(count):
    with pytest.raises(RgzError, match="n_targets must be an integer, >= 1, got"):
        rgz.TrainStep(rgz.Model(CONFIG)).update(1e-3, count)
