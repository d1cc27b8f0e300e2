"""The same 50 updates from the same weights in PyTorch: the losses stay together, for both families."""

import numpy as np
import pytest

import rgz

torch = pytest.importorskip("torch", reason="the rival is in the bench extra: pip install 'rgz[bench]'")
from torch_model import TorchDecoder, TorchStep  # noqa: E402  (needs torch)

FAMILIES = {
    "gpt2": {
        "hidden_act": "gelu_tanh", "norm": "layernorm", "position": "learned", "attention_bias": True,
        "mlp_bias": True,
    },
    "llama": {"num_key_value_heads": 2},
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_fifty_updates_agree_with_torch(family):
    config = rgz.ModelConfig(
        vocab_size=500, hidden_size=64, num_hidden_layers=3, num_attention_heads=4, max_position_embeddings=64,
        **FAMILIES[family],
    )  # fmt: skip
    model = rgz.Model(config, seed=1)
    rival = TorchStep(TorchDecoder(config, model.parameters()), lr=1e-3)
    step = rgz.TrainStep(model, rgz.AdamW(lr=1e-3))
    random = np.random.default_rng(0)
    text = random.integers(0, 500, (4, 65)) % random.integers(
        2, 500, (4, 65)
    )  # uneven, so that there is something to learn
    losses = []
    for update in range(50):
        ids = np.roll(text, update % 5, axis=1)
        x, y = np.ascontiguousarray(ids[:, :-1]), np.ascontiguousarray(ids[:, 1:])
        losses.append((step(x, y).loss, rival(x, y)))
    ours, theirs = np.array(losses).T
    assert ours[-1] < 0.7 * ours[0]
    np.testing.assert_allclose(ours, theirs, rtol=1e-3)
