"""A sample of the model's text at each evaluation, which changes no bit of the training."""

import io

import numpy as np
import pytest

import rgz
from rgz.text import CharTokenizer

TEXTS = [f"第{i}天，太阳从东方升起，照亮了山谷和河流。" for i in range(24)]
DIALOGUES = [
    [{"role": "user", "content": f"第{i}天天气怎么样？"}, {"role": "assistant", "content": "晴天。"}] for i in range(24)
]


def train(documents=TEXTS, **arguments):
    tokenizer = CharTokenizer.train([*TEXTS, "用户：助手：天气怎么样？晴天。"], min_frequency=1)
    config = rgz.ModelConfig(
        vocab_size=tokenizer.vocab_size, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=64, dropout=0.1,
    )  # fmt: skip
    args = rgz.TrainingArguments(
        **{"num_train_epochs": 3, "batch_size": 4, "max_length": 32, "n_threads": 1, "validation_split": 0.2}
        | arguments
    )
    stream = io.StringIO()
    model = rgz.Model(config, seed=0)
    trainer = rgz.Trainer(model, tokenizer, documents, None, args, stream=stream)
    history = trainer.train()
    samples = [line for line in stream.getvalue().splitlines() if line.startswith("  sample: ")]
    return model.parameters(), [report["loss"] for report in history], samples


@pytest.fixture(autouse=True)
def english(monkeypatch):
    monkeypatch.setenv("RGZ_LANG", "en")


def test_there_is_one_at_each_evaluation_from_documents_held_out_in_turn():
    *_, samples = train()
    assert len(samples) == 3 and len(set(samples)) == 3
    assert all(line.removeprefix("  sample: ").startswith("第") for line in samples)


def test_the_prompt_can_be_given():
    _, _, samples = train(sample_prompt="太阳")
    assert len(samples) == 3 and all(line.startswith("  sample: 太阳 → ") for line in samples)


def test_where_answers_are_learnt_a_question_is_answered():
    _, _, samples = train(DIALOGUES, mask_prompts=True)
    assert len(samples) == 3
    for line in samples:
        assert "天天气怎么样？" in line.partition(" → ")[0] and "晴" not in line.partition(" → ")[0]
    _, _, samples = train(DIALOGUES, mask_prompts=True, sample_prompt="天气怎么样？")
    assert all(line.startswith("  sample: 天气怎么样？ → ") for line in samples)


@pytest.mark.parametrize("off", [{"samples": False}, {"report_to": ()}])
def test_they_change_no_bit_of_the_training_and_can_be_turned_off(off):
    weights, losses, samples = train()
    plain_weights, plain_losses, none = train(**off)
    assert samples and not none
    assert samples == train()[2]
    assert losses == plain_losses
    for name, array in weights.items():
        np.testing.assert_array_equal(array, plain_weights[name])
