"""What 16 bits cost in quality: validation loss of the same run, from the same seed, in float32 and in each of them.

pytest benches/test_quality.py --data FOLDER --benchmark-columns=median   (with rustgpt-chinese/ and china_laws.txt)
"""

import functools

import pytest
from findings import record

import rgz

WAYS = {
    "bfloat16": {"dtype": "bfloat16"},
    "float16": {"dtype": "float16"},
    "bfloat16 moments": {"dtype": "bfloat16", "optim_dtype": "bfloat16"},
    "int8 moments": {"dtype": "bfloat16", "optim_dtype": "int8"},
}
LAWS_BYTES = 5_000_000
STEPS = {"rustgpt-chinese": 150, "china_laws": 300}


@functools.cache
def texts(folder, name):
    """TokenData of training and validation texts, and the model's shape."""
    if name == "rustgpt-chinese":
        data = rgz.load_dataset([folder / name / part for part in ("pretraining", "chat")])
        tokenizer = rgz.WordTokenizer.train(data.texts(), vocab_size=9620)
        config = rgz.ModelConfig.preset(name, vocab_size=tokenizer.vocab_size, dropout=0.0)
    else:
        text = (folder / "china_laws.txt").read_bytes()[:LAWS_BYTES].decode("utf-8", "ignore")
        data = rgz.data.Dataset([piece for piece in text.splitlines() if piece.strip()])
        tokenizer = rgz.BPETokenizer.train(data.texts(), vocab_size=4000)
        config = rgz.ModelConfig(
            vocab_size=tokenizer.vocab_size, hidden_size=192, num_hidden_layers=4, num_attention_heads=6,
            max_position_embeddings=128,
        )  # fmt: skip
    return data, tokenizer, config


@functools.cache
def validation_loss(folder, name, way):
    data, tokenizer, config = texts(folder, name)
    arguments = rgz.TrainingArguments(
        max_steps=STEPS[name], batch_size=16, max_length=128, validation_split=0.05, seed=1, report_to="none",
        load_best_model_at_end=False, **WAYS.get(way, {}),
    )  # fmt: skip
    history = rgz.Trainer(rgz.Model(config, seed=1), tokenizer, data, None, arguments).train()
    return history[-1]["val_loss"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", STEPS)
def test_quality(benchmark, data_folder, name, way):
    whole = validation_loss(data_folder, name, "float32")
    half = benchmark.pedantic(validation_loss, (data_folder, name, way), rounds=1)
    benchmark.extra_info.update(float32=whole, loss=half)
    assert half == pytest.approx(whole, rel=0.01)
    record(benchmark, f"quality {name} {way}", "rgz", half / whole)
