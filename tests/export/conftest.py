"""Small models of every shape that other programs know, with a tokenizer that has something to merge."""

import numpy as np
import pytest

from rgz import Model, ModelConfig
from rgz.text import BPETokenizer

TEXTS = [
    "用户：你好！\n助手：您好，请问有什么可以帮您？",
    "太阳从东方升起，人民在学习人工智能。It's what we'll learn: 12 café\n\n",
    "《西游记》是谁写的？\n是吴承恩。用户说：“你好”，助手说：“再见”。",
] * 3
SHAPES = {
    "llama": {"preset": "pico"},
    "llama-grouped": {
        "preset": "nano", "tie_word_embeddings": False, "hidden_size": 48, "num_attention_heads": 6,
        "num_key_value_heads": 2, "rope_theta": 500.0, "norm_eps": 1e-6, "num_hidden_layers": 2,
    },
    "gpt2": {"preset": "gpt2", "hidden_size": 40, "num_attention_heads": 4, "num_hidden_layers": 2},
    "gpt2-untied": {
        "preset": "gpt2", "hidden_size": 24, "num_attention_heads": 2, "num_hidden_layers": 1, "dropout": 0.3,
        "intermediate_size": 50, "tie_word_embeddings": False,
    },
}  # fmt: skip


@pytest.fixture(scope="session")
def tokenizer():
    return BPETokenizer.train(TEXTS, 480)  # merges reach across what stands between a question and its answer


@pytest.fixture(scope="session", params=SHAPES)
def model(request, tokenizer):
    """Every parameter is far from its first value: norms from 1, biases from 0."""
    values = {"max_position_embeddings": 64, **SHAPES[request.param]}
    model = Model(ModelConfig.preset(values.pop("preset"), vocab_size=tokenizer.vocab_size, **values), seed=1)
    random = np.random.default_rng(2)
    for array in model.parameters().values():
        array += 0.2 * random.standard_normal(array.shape, dtype=np.float32)
    return model


@pytest.fixture
def ids(tokenizer):
    return [tokenizer.bos_id, *tokenizer.encode("".join(TEXTS[:3]))][:60]


def pico(vocab_size, **values):
    return ModelConfig.preset("pico", **{"vocab_size": vocab_size, "num_hidden_layers": 1, **values})


@pytest.fixture
def small(tokenizer):
    return Model(pico(tokenizer.vocab_size), seed=0)
