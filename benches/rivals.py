"""The training step of all rivals, and its shapes: shared by the benchmarks of speed, memory and threads."""

from __future__ import annotations

import numpy as np

import rgz

SHAPES = {  # nanoGPT's model: layers, heads, width, vocabulary, batch, time
    "S": (2, 8, 256, 12000, 16, 128),
    "M": (8, 8, 512, 6400, 8, 256),
    "L": (12, 12, 768, 50257, 4, 256),
}


def config_of(shape: str) -> rgz.ModelConfig:
    layers, heads, width, vocab, _, time = SHAPES[shape]
    return rgz.ModelConfig(
        vocab_size=vocab, hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads,
        max_position_embeddings=time, hidden_act="gelu", norm="layernorm", position="learned",
    )  # fmt: skip


def batch_of(shape: str) -> tuple[np.ndarray, np.ndarray]:
    """Random ids and the ids that follow them, (B, T) each."""
    _, _, _, vocab, batch, time = SHAPES[shape]
    ids = np.random.default_rng(0).integers(0, vocab, (batch, time + 1))
    return np.ascontiguousarray(ids[:, :-1]), np.ascontiguousarray(ids[:, 1:])


def flops_per_token(config: rgz.ModelConfig, time: int) -> float:
    """6 (12 L d^2 + V d) + 6 L d T: matrices forward and backward, and causal attention."""
    layers, d = config.num_hidden_layers, config.hidden_size
    return 6 * (12 * layers * d * d + config.vocab_size * d) + 6 * layers * d * time


def build_rgz(config, n_threads=None, **settings):
    step = rgz.TrainStep(rgz.Model(config), rgz.AdamW(lr=1e-3), n_threads=n_threads, **settings)
    return lambda x, y: step(x, y).loss


def build_torch(config, compiled=False, bfloat16=False):
    from torch_model import TorchDecoder, TorchStep

    model = TorchDecoder(config, rgz.Model(config).parameters())
    return TorchStep(model, lr=1e-3, compiled=compiled, bfloat16=bfloat16)


def build_numpy(config):
    from numpy_model import NumPyStep

    return NumPyStep(config, rgz.Model(config).parameters(), lr=1e-3)


RIVALS = {
    "rgz": build_rgz,
    "NumPy": build_numpy,
    "torch": build_torch,
    "torch.compile": lambda config: build_torch(config, compiled=True),
}
BFLOAT16 = {  # matrices in 16 bits; torch's by autocast
    "rgz": lambda config: build_rgz(config, dtype="bfloat16"),
    "torch": lambda config: build_torch(config, bfloat16=True),
    "torch.compile": lambda config: build_torch(config, compiled=True, bfloat16=True),
    "rgz float32": build_rgz,
}
FLOAT16 = {"rgz": lambda config: build_rgz(config, dtype="float16"), "rgz float32": build_rgz}
SMALLEST = {  # all that rgz can keep in 16 bits and in 8, the optimizer's moments; activations of few rows at a time
    "rgz": lambda config: build_rgz(config, dtype="bfloat16", optim_dtype="int8", portion_tokens=256),
    **{rival: BFLOAT16[rival] for rival in ("torch", "torch.compile")},
}
BY_DTYPE = {"float32": RIVALS, "bfloat16": BFLOAT16, "float16": FLOAT16, "smallest": SMALLEST}


def pairs(*dtypes):
    """(dtype, rival) for each rival of these."""
    return [(dtype, rival) for dtype in dtypes for rival in BY_DTYPE[dtype]]


def finding_of(what, shape, dtype):
    return f"{what} {shape}" if dtype == "float32" else f"{what} {shape} {dtype}"
