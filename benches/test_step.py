"""A training update, float32, beside PyTorch in the same run: tokens/s and the share of this run's sgemm rate.

pytest benches/test_step.py --benchmark-columns=median,rounds
"""

import numpy as np
import pytest

import rgz

SHAPES = {  # nanoGPT's model: layers, heads, width, vocabulary, batch, time
    "S": (2, 8, 256, 12000, 16, 128),
    "M": (8, 8, 512, 6400, 8, 256),
    "L": (12, 12, 768, 50257, 4, 256),
}


def flops_per_token(config: rgz.ModelConfig, time: int) -> float:
    """6 (12 L d^2 + V d) + 6 L d T: matrices forward and backward, and causal attention."""
    layers, d = config.num_hidden_layers, config.hidden_size
    return 6 * (12 * layers * d * d + config.vocab_size * d) + 6 * layers * d * time


def build_rgz(config):
    step = rgz.TrainStep(rgz.Model(config), rgz.AdamW(lr=1e-3))
    return lambda x, y: step(x, y).loss


def build_torch(config, compiled=False):
    pytest.importorskip("torch", reason="the rival is in the bench extra: pip install 'rgz[bench]'")
    from torch_model import TorchDecoder, TorchStep

    return TorchStep(TorchDecoder(config, rgz.Model(config).parameters()), lr=1e-3, compiled=compiled)


RIVALS = {
    "rgz": build_rgz,
    "torch": build_torch,
    "torch.compile": lambda config: build_torch(config, compiled=True),
}


@pytest.mark.parametrize("rival", RIVALS)
@pytest.mark.parametrize("shape", SHAPES)
def test_step(benchmark, sgemm_gflops, shape, rival):
    layers, heads, width, vocab, batch, time = SHAPES[shape]
    config = rgz.ModelConfig(
        vocab_size=vocab, hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads,
        max_position_embeddings=time, hidden_act="gelu", norm="layernorm", position="learned",
    )  # fmt: skip
    step = RIVALS[rival](config)
    random = np.random.default_rng(0)
    ids = random.integers(0, vocab, (batch, time + 1))
    x, y = np.ascontiguousarray(ids[:, :-1]), np.ascontiguousarray(ids[:, 1:])
    assert step(x, y) == pytest.approx(np.log(vocab), rel=0.05)  # untrained: no token likelier than another
    benchmark.group = f"step {shape}"
    benchmark.pedantic(step, (x, y), rounds=10 if shape == "S" else 5, warmup_rounds=2)
    if benchmark.disabled:  # --benchmark-disable only checks
        return
    seconds = benchmark.stats.stats.median
    gflops = flops_per_token(config, time) * batch * time / seconds / 1e9
    benchmark.extra_info.update(
        tokens=batch * time, tokens_per_second=batch * time / seconds, gflops=gflops, sgemm_gflops=sgemm_gflops,
        share_of_sgemm=gflops / sgemm_gflops,
    )  # fmt: skip
