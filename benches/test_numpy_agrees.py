"""The plain NumPy rival makes the same updates as rgz from the same weights."""

import numpy as np
from numpy_model import NumPyStep

import rgz


def test_updates_agree_with_numpy():
    config = rgz.ModelConfig(
        vocab_size=300, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=32,
        hidden_act="gelu", norm="layernorm", position="learned",
    )  # fmt: skip
    model = rgz.Model(config, seed=1)
    rival, step = NumPyStep(config, model.parameters(), lr=1e-3), rgz.TrainStep(model, rgz.AdamW(lr=1e-3))
    text = np.random.default_rng(0).integers(0, 300, (4, 33))
    losses = []
    for update in range(40):
        ids = np.roll(text, update % 5, axis=1)
        x, y = np.ascontiguousarray(ids[:, :-1]), np.ascontiguousarray(ids[:, 1:])
        losses.append((step(x, y).loss, rival(x, y)))
    ours, theirs = np.array(losses).T
    assert ours[-1] < 0.7 * ours[0]
    np.testing.assert_allclose(ours, theirs, rtol=1e-3)
