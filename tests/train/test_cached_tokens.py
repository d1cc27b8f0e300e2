"""Training on ids: as on the text they come from, and nothing but ids is taken."""

import numpy as np
import pytest

import rgz
from rgz.data import encode_dataset, token_data
from rgz.errors import RgzError

TEXTS = ["太阳从东方升起。", "人民在学习人工智能。", "合久必分，分久必合。", "天下大势"] * 3
SETTINGS = {"batch_size": 2, "max_length": 16, "max_steps": 6, "report_to": "none", "token_cache": False}


def new_model():
    config = rgz.ModelConfig(
        vocab_size=260, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, max_position_embeddings=16
    )
    return rgz.Model(config, seed=0)


def documents():
    return [[1, *rgz.ByteTokenizer().encode(text), 2] for text in TEXTS]


@pytest.mark.parametrize(
    "form",
    [lambda ids: ids, lambda ids: [np.array(part, np.uint16) for part in ids], token_data],
    ids=["lists", "arrays", "TokenData"],
)
def test_ids_give_the_weights_that_their_text_gives(form):
    from_text, from_ids = new_model(), new_model()
    args = rgz.TrainingArguments(**SETTINGS)
    expected = rgz.Trainer(from_text, rgz.ByteTokenizer(), rgz.data.Dataset(TEXTS), None, args).train()
    history = rgz.train_with_cached_tokens(from_ids, form(documents()), args)
    np.testing.assert_array_equal(from_ids.weights, from_text.weights)
    assert [report["val_loss"] for report in history] == [report["val_loss"] for report in expected]


def test_a_run_is_kept_with_its_tokenizer_and_goes_on(tmp_path):
    whole, halves = new_model(), new_model()
    args = rgz.TrainingArguments(**SETTINGS, output_dir=tmp_path / "whole", save_steps=3)
    rgz.train_with_cached_tokens(whole, documents(), args, tokenizer=rgz.ByteTokenizer(), val_tokens=documents()[:1])
    rgz.train_with_cached_tokens(
        halves, documents(), args, val_tokens=documents()[:1], resume_from_checkpoint=tmp_path / "whole/checkpoint-3"
    )
    np.testing.assert_array_equal(halves.weights, whole.weights)
    assert rgz.load_tokenizer(tmp_path / "whole").vocab_size == 260


def test_without_a_tokenizer_the_console_shows_no_samples(capsys):
    args = rgz.TrainingArguments(**{**SETTINGS, "report_to": "console"}, sample_prompt="太阳")
    rgz.train_with_cached_tokens(new_model(), documents(), args)
    assert "sample:" not in capsys.readouterr().err
    rgz.train_with_cached_tokens(new_model(), documents(), args, tokenizer=rgz.ByteTokenizer())
    assert "sample:" in capsys.readouterr().err


def test_one_sequence_of_ids_is_one_document():
    data = token_data([5, 6, 7])
    assert (data.ids.tolist(), data.offsets.tolist(), data.ids.dtype) == ([5, 6, 7], [0, 3], np.uint16)
    assert token_data(np.array([5, 70_000])).ids.dtype == np.int32
    assert token_data([[], [5]]).offsets.tolist() == [0, 0, 1]
    encoded = encode_dataset(rgz.data.Dataset(TEXTS), rgz.ByteTokenizer())
    assert token_data(encoded) is encoded


@pytest.mark.parametrize(
    "wrong",
    ["太阳", ["太阳"], 5, [[1.5]], [[[1, 2]]], [[1, [2, 3]]], [[1, -1]], [1, 2.5], [[True]], [[2**31]]],
    ids=str,
)
def test_what_is_no_id_is_refused(wrong):
    with pytest.raises(RgzError, match=r"documents must be sequences of token ids \(integers >= 0\), got"):
        rgz.train_with_cached_tokens(new_model(), wrong)


def test_ids_of_another_tokenizer_are_refused():
    data = encode_dataset(rgz.data.Dataset(TEXTS), rgz.ByteTokenizer())
    other = rgz.CharTokenizer.train(TEXTS, vocab_size=260)
    assert other.fingerprint != data.fingerprint
    args = rgz.TrainingArguments(**SETTINGS)
    with pytest.raises(RgzError, match=f"encoded with tokenizer {data.fingerprint}, this run's is {other.fingerprint}"):
        rgz.train_with_cached_tokens(new_model(), data, args, tokenizer=other)


def test_ids_beyond_the_vocabulary_and_too_few_of_them_are_refused():
    with pytest.raises(RgzError, match="vocab_size"):
        rgz.train_with_cached_tokens(new_model(), [[300] * 40], rgz.TrainingArguments(**SETTINGS))
    with pytest.raises(RgzError, match="too short"):
        rgz.train_with_cached_tokens(new_model(), [], rgz.TrainingArguments(**SETTINGS))
