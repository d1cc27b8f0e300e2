"""The two configurations: exact counts, presets, and what they refuse."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest

from rgz.config import PRESETS, ModelConfig, TrainingArguments
from rgz.errors import RgzError


@pytest.fixture(autouse=True)
def english(monkeypatch):
    monkeypatch.setenv("RGZ_LANG", "en")


def shapes(c):
    """Every trained tensor written out, as an oracle for the count."""
    norm = [(c.hidden_size,)] * (2 if c.norm == "layernorm" else 1)
    heads = c.num_attention_heads + 2 * c.num_key_value_heads
    up = c.intermediate_size * (2 if c.hidden_act == "swiglu" else 1)
    tensors = [(c.vocab_size, c.hidden_size)]
    if c.position == "learned":
        tensors += [(c.max_position_embeddings, c.hidden_size)]
    for _ in range(c.num_hidden_layers):
        tensors += [*norm, *norm, (heads * c.head_dim, c.hidden_size), (c.hidden_size, c.hidden_size)]
        tensors += [(up, c.hidden_size), (c.hidden_size, c.intermediate_size)]
        tensors += [(heads * c.head_dim,), (c.hidden_size,)] if c.attention_bias else []
        tensors += [(up,), (c.hidden_size,)] if c.mlp_bias else []
    tensors += norm if c.final_norm else []
    tensors += [] if c.tie_word_embeddings else [(c.vocab_size, c.hidden_size)]
    return tensors + ([(c.vocab_size,)] if c.lm_head_bias else [])


def test_gpt2_has_its_published_count():
    assert ModelConfig.preset("gpt2").num_parameters() == 124_439_808


def test_rustgpt_chinese_has_its_count():
    """Two embeddings of 9620 x 256, one bias; a block: 4 x 256^2, the FFN with biases, two norms."""
    block = 4 * 256**2 + (2 * 256 * 512 + 512 + 256) + 2 * 512
    assert 9620 * 256 + 2 * block + 9620 * 256 + 9620 == 5_987_220
    config = ModelConfig.preset("rustgpt-chinese")
    assert config.num_parameters() == 5_987_220
    assert (config.hidden_size, config.max_position_embeddings, config.dropout) == (256, 128, 0.1)


@pytest.mark.parametrize(
    "name, vocab, low, high",
    [
        ("pico", 4000, 0.3e6, 0.5e6), ("nano", 8000, 1e6, 2e6), ("micro", 8000, 4e6, 6e6),
        ("small", 8000, 25e6, 30e6), ("base", 8000, 95e6, 105e6),
    ],
)  # fmt: skip
def test_presets_have_the_promised_sizes(name, vocab, low, high):
    config = ModelConfig.preset(name, vocab_size=vocab)
    assert low < config.num_parameters() < high
    assert (config.norm, config.position, config.hidden_act) == ("rmsnorm", "rope", "swiglu")


def test_the_count_is_the_sum_over_all_tensors():
    rng = np.random.default_rng(0)
    for name in PRESETS:
        config = ModelConfig.preset(name, vocab_size=1000)
        assert config.num_parameters() == sum(int(np.prod(shape)) for shape in shapes(config))
    flags = ("attention_bias", "mlp_bias", "lm_head_bias", "final_norm", "tie_word_embeddings")
    for _ in range(50):
        config = ModelConfig(
            vocab_size=50, hidden_size=24, num_attention_heads=6,
            num_key_value_heads=int(rng.choice([1, 2, 3, 6])),
            num_hidden_layers=int(rng.integers(0, 3)), hidden_act=str(rng.choice(["relu", "gelu", "swiglu"])),
            norm=str(rng.choice(["layernorm", "rmsnorm"])), position=str(rng.choice(["learned", "rope"])),
            **{flag: bool(rng.integers(2)) for flag in flags},
        )  # fmt: skip
        assert config.num_parameters() == sum(int(np.prod(shape)) for shape in shapes(config))


def test_what_is_left_out_is_filled_in():
    config = ModelConfig(hidden_size=256, num_attention_heads=8)
    assert (config.num_key_value_heads, config.head_dim) == (8, 32)
    assert config.intermediate_size == 704  # 8/3 x 256 = 682.7, the next multiple of 32
    assert ModelConfig(hidden_size=96, num_attention_heads=3).intermediate_size == 256  # exactly
    assert ModelConfig(hidden_size=256, hidden_act="gelu").intermediate_size == 1024
    assert ModelConfig(hidden_act="gelu_new").hidden_act == "gelu_tanh"


def test_presets_take_overrides():
    config = ModelConfig.preset("nano", vocab_size=300, dropout=0.2, num_hidden_layers=1)
    assert (config.vocab_size, config.dropout, config.num_hidden_layers) == (300, 0.2, 1)
    assert ModelConfig.preset("gpt2", vocab_size=300).vocab_size == 300
    assert ModelConfig.preset("rustgpt-chinese").vocab_size == 9620


@pytest.mark.parametrize(
    "values, message",
    [
        (
            {"hidden_size": 100, "num_attention_heads": 8},
            "hidden_size must be divisible .* 96 or 112 would do",
        ),
        ({"hidden_size": 7, "num_attention_heads": 8}, "got 7 and 8; 16 or 32 would do"),
        ({"num_attention_heads": 8, "num_key_value_heads": 3}, "got 8 and 3"),
        ({"hidden_size": 24, "num_attention_heads": 8}, "must be even, got 3"),
        ({"vocab_size": 0}, "vocab_size must be >= 1, got 0"),
        ({"num_key_value_heads": 0}, "num_key_value_heads must be >= 1"),
        ({"hidden_act": "silu"}, "hidden_act must be relu . gelu . gelu_tanh . swiglu, got 'silu'"),
        ({"norm": "batchnorm"}, "norm must be layernorm . rmsnorm"),
        ({"position": "alibi"}, "position must be"),
        ({"dropout": 1.0}, "dropout must be >= 0, < 1, got 1.0"),
        ({"dropout": float("nan")}, "dropout must be"),
        ({"hidden_size": "256"}, "hidden_size must be an integer, got '256'"),
        ({"hidden_size": True}, "hidden_size must be an integer, got True"),
        ({"final_norm": 1}, "final_norm must be true or false, got 1"),
    ],
)
def test_a_shape_that_cannot_be_is_refused(values, message):
    with pytest.raises(RgzError, match=message) as caught:
        ModelConfig(**values)
    assert "\n" not in str(caught.value)


def test_an_odd_head_size_is_fine_without_rope():
    assert ModelConfig(hidden_size=24, num_attention_heads=8, position="learned").head_dim == 3


def test_unknown_names_come_with_the_nearest():
    with pytest.raises(RgzError, match="unknown key 'dropuot'; did you mean 'dropout'"):
        ModelConfig.from_dict({"dropuot": 0.1})
    with pytest.raises(RgzError, match="unknown key 'dropuot'; did you mean 'dropout'"):
        ModelConfig(dropuot=0.1)
    with pytest.raises(RgzError, match="unknown key 'dropuot'; did you mean 'dropout'"):
        dataclasses.replace(ModelConfig(), dropuot=0.1)
    with pytest.raises(RgzError, match="unknown key '3'"):
        ModelConfig.from_dict({3: 0.1})
    with pytest.raises(RgzError, match="unknown preset 'nanoo'; did you mean 'nano'"):
        ModelConfig.preset("nanoo", vocab_size=10)
    with pytest.raises(RgzError, match="unknown key 'learning_rat'; did you mean 'learning_rate'"):
        TrainingArguments.from_dict({"learning_rat": 0.1})
    with pytest.raises(RgzError, match="unknown preset 'xyz'; known are: pico"):
        ModelConfig.preset("xyz", vocab_size=10)
    with pytest.raises(RgzError, match="preset 'nano' needs vocab_size"):
        ModelConfig.preset("nano")


def test_dictionaries_go_there_and_back():
    config = ModelConfig.preset("micro", vocab_size=77)
    assert ModelConfig.from_dict(config.to_dict()) == config
    args = TrainingArguments(max_time="20m", report_to=["jsonl"], lr_scheduler_kwargs={"cycles": 3})
    assert TrainingArguments.from_dict(args.to_dict()) == args
    assert args.report_to == ("jsonl",) and args.max_time == 1200.0


def test_one_reporter_or_none_may_be_a_plain_text():
    assert TrainingArguments(report_to="jsonl").report_to == ("jsonl",)
    assert TrainingArguments(report_to="none").report_to == ()


def test_they_are_copied_and_pickled():
    config = ModelConfig(vocab_size=77)
    assert copy.deepcopy(config) == pickle.loads(pickle.dumps(config)) == config


def test_they_are_frozen_and_plain():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ModelConfig().hidden_size = 1
    assert type(ModelConfig(vocab_size=np.int64(500)).vocab_size) is int
    assert type(TrainingArguments(learning_rate=np.float32(0.5)).learning_rate) is float
    assert TrainingArguments(num_train_epochs=3).num_train_epochs == 3.0


@pytest.mark.parametrize(
    "text, seconds",
    [("90", 90), ("45s", 45), ("20m", 1200), ("1h30m", 5400), ("2d", 172800), (7, 7), ("1.5", 1.5)],
)
def test_durations_are_read(text, seconds):
    assert TrainingArguments(max_time=text, save_seconds=text).max_time == seconds


@pytest.mark.parametrize(
    "values, message",
    [
        ({"max_time": "soon"}, "max_time must be seconds or a text like 90s"),
        ({"max_time": ""}, "max_time must be"),
        ({"batch_size": 0}, "batch_size must be >= 1, got 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be > 0"),
        ({"learning_rate": float("inf")}, "learning_rate must be > 0"),
        ({"max_grad_norm": 0.0}, "max_grad_norm must be > 0"),
        ({"validation_split": 1.0}, "validation_split must be >= 0, < 1"),
        ({"max_steps": 0}, "max_steps must be"),
        ({"save_strategy": "sometimes"}, "save_strategy must be no . steps"),
        ({"report_to": ("consol",)}, "unknown report_to 'consol'; did you mean 'console'"),
        ({"report_to": "consol"}, "unknown report_to 'consol'; did you mean 'console'"),
        ({"report_to": 3}, "report_to must be a list of texts"),
        ({"learnig_rate": 1}, "unknown key 'learnig_rate'; did you mean 'learning_rate'"),
        ({"eval_steps": 0}, "eval_steps must be >= 1"),
        ({"augment": "synonyms"}, "augment must be a rate or name=number,..., got 'synonyms'"),
        ({"augment": {"synonym": 0.1}}, "unknown augment 'synonym'; did you mean 'synonyms'"),
        ({"augment": "deletion=2"}, "augment: deletion must be >= 0, <= 1, got 2.0"),
        ({"augment": {"multiplier": -1}}, "augment: multiplier must be >= 0, <= 1000, got -1"),
        ({"augment": {"multiplier": 2**64}}, "augment: multiplier must be >= 0, <= 1000, got 18446744073709551616"),
        ({"augment": {"dictionary": "a\0b"}}, "augment: dictionary must be the name of a file"),
        ({"augment": {"dictionary": "\ud800"}}, "augment: dictionary must be the name of a file"),
        ({"output_dir": "a\0b"}, "output_dir must be the name of a folder"),
        ({"output_dir": "\ud800"}, "output_dir must be the name of a folder"),
        ({"dtype": "int8"}, "dtype must be float32"),
    ],
)
def test_arguments_that_cannot_be_are_refused(values, message):
    with pytest.raises(RgzError, match=message):
        TrainingArguments(**values)
