"""The training guide's token cache, gradient accumulation and batching, on and off, on the same text in one run.

pytest benches/test_batching.py --data FOLDER --benchmark-columns=median,rounds     (FOLDER holds rustgpt-chinese/)
"""

import numpy as np
import pytest

import rgz
from rgz.data import Batches, Dataset, TokenCache, encode_dataset

DOCUMENTS = 320  # of the corpus: an update of one sample costs as much as an update of many
MODES = {  # sequences a batch, batches an update, how they are made
    "one sample an update": (1, 1, {"packing": False}),
    "one sample, accumulate 8": (1, 8, {"packing": False}),
    "batches of 4, accumulate 4": (4, 4, {"packing": False}),
    "batches of 16, shuffled": (16, 1, {"packing": False}),
    "batches of 16, like length": (16, 1, {"packing": False, "group_by_length": True}),
    "batches of 1,024 tokens, packed": (1, 1, {"batch_tokens": 1024}),
}


@pytest.fixture(scope="session")
def text(data_folder):
    folders = [data_folder / "rustgpt-chinese" / name for name in ("pretraining", "chat")]
    data = rgz.load_dataset(folders)
    return data, rgz.WordTokenizer.train(data.texts(), vocab_size=9620)


@pytest.mark.parametrize("cache", [False, True], ids=["encoded anew", "token cache"])
def test_tokens(benchmark, text, cache, tmp_path, monkeypatch):
    """What a run does before its first step, on a text that an earlier run has seen."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    data, tokenizer = text
    expected = encode_dataset(data, tokenizer)
    TokenCache().encode(data, tokenizer)
    benchmark.group = "tokens"
    tokens = benchmark(lambda: TokenCache(cache).encode(data, tokenizer))
    assert np.array_equal(tokens.ids, expected.ids) and np.array_equal(tokens.offsets, expected.offsets)
    benchmark.extra_info.update(tokens=tokens.n_tokens)


@pytest.mark.parametrize("mode", MODES)
def test_epoch(benchmark, text, mode):
    data, tokenizer = text
    batch_size, times, how = MODES[mode]
    tokens = encode_dataset(Dataset(data.documents[:: len(data) // DOCUMENTS][:DOCUMENTS]), tokenizer)
    config = rgz.ModelConfig.preset("rustgpt-chinese", vocab_size=tokenizer.vocab_size)
    batches = Batches(tokens, batch_size, config.max_position_embeddings, **how)
    step = rgz.TrainStep(rgz.Model(config), rgz.AdamW(lr=1e-4, weight_decay=0.0))

    def epoch():
        seen = counted = 0
        for number, batch in enumerate(batches.epoch(0), 1):
            step.accumulate(batch)
            counted += batch.n_targets
            if number % times == 0 or number == len(batches):
                step.update(1e-4, counted)
                seen, counted = seen + counted, 0
        return seen

    benchmark.group = f"epoch of {tokens.n_targets:,} tokens"
    assert benchmark.pedantic(epoch, rounds=2, warmup_rounds=0) == tokens.n_targets
    if benchmark.disabled:  # --benchmark-disable only checks
        return
    seconds = benchmark.stats.stats.median
    benchmark.extra_info.update(updates=-(-len(batches) // times), tokens_per_second=tokens.n_targets / seconds)
