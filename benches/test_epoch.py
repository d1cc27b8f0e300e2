"""An epoch over RustGPT-Chinese's corpus in its own shapes, batches of 16 sequences, beside PyTorch in the same run.

pytest benches/test_epoch.py --data FOLDER --benchmark-columns=median,rounds     (FOLDER holds rustgpt-chinese/)
"""

import numpy as np
import pytest
from findings import record

import rgz
from rgz.data import Batches, encode_dataset

BATCH = 16


@pytest.fixture(scope="session")
def corpus(data_folder):
    """TokenData and the model's shape; sequences are cut at the shape's 128 positions."""
    data = rgz.load_dataset([data_folder / "rustgpt-chinese" / name for name in ("pretraining", "chat")])
    tokenizer = rgz.WordTokenizer.train(data.texts(), vocab_size=9620)
    config = rgz.ModelConfig.preset("rustgpt-chinese", vocab_size=tokenizer.vocab_size, dropout=0.0)
    return encode_dataset(data, tokenizer), config


def rgz_epoch(tokens, config):
    """Whole sequences, 16 a batch, no padding; order by seed."""
    batches = Batches(tokens, BATCH, config.max_position_embeddings, packing=False, group_by_length=False, shuffle=True)
    step = rgz.TrainStep(rgz.Model(config), rgz.AdamW(lr=1e-3))

    def run():
        for batch in batches.epoch(0):
            step.accumulate(batch)
            step.update(1e-3, batch.n_targets)
        return batches

    return run


def torch_epoch(tokens, config, by_length):
    """Batches of 16, padded to their longest; by_length: sequences of like length together."""
    from torch_model import TorchDecoder, TorchStep

    batches = Batches(tokens, 1, config.max_position_embeddings, packing=False, group_by_length=False, shuffle=True)
    pieces = list(batches.epoch(0))
    if by_length:
        pieces.sort(key=lambda piece: len(piece.tokens))
    step = TorchStep(TorchDecoder(config, rgz.Model(config).parameters()), lr=1e-3)
    padded = []
    for start in range(0, len(pieces), BATCH):
        group = pieces[start : start + BATCH]
        longest = max(len(piece.tokens) for piece in group)
        x, y = np.zeros((len(group), longest), np.int64), np.full((len(group), longest), -100, np.int64)
        for row, piece in enumerate(group):
            x[row, : len(piece.tokens)] = piece.tokens
            y[row, : len(piece.tokens)] = piece.targets
        padded.append((x, y))

    def run():
        for x, y in padded:
            step(x, y)
        return batches

    return run


RIVALS = {
    "rgz": rgz_epoch,
    "torch_padded": lambda tokens, config: torch_epoch(tokens, config, by_length=False),
    "torch_bucketed": lambda tokens, config: torch_epoch(tokens, config, by_length=True),
}


FINDINGS = {  # the findings that a rival's time goes into, and its name there
    "rgz": [("epoch", "rgz"), ("epoch padded", "rgz")],
    "torch_padded": [("epoch padded", "torch")],
    "torch_bucketed": [("epoch", "torch")],
}


@pytest.mark.parametrize("rival", RIVALS)
def test_epoch(benchmark, corpus, needs, rival):
    needs(rival)
    tokens, config = corpus
    batches = benchmark.pedantic(RIVALS[rival](tokens, config), rounds=2, warmup_rounds=0)  # of some 155 updates each
    targets = sum(batch.n_targets for batch in batches.epoch(0))
    assert targets >= 0.95 * tokens.n_targets  # only what is longer than the model's positions is cut differently
    if benchmark.disabled:  # --benchmark-disable only checks
        return
    seconds = benchmark.stats.stats.median
    benchmark.extra_info.update(target_tokens=targets, tokens_per_second=targets / seconds)
    for finding, name in FINDINGS[rival]:
        record(benchmark, finding, name, seconds)
