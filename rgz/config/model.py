"""What a model looks like."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from rgz.errors import RgzError
from rgz.messages import tr
from rgz.strict import Strict, unknown_name

ACTIVATIONS = ("relu", "gelu", "gelu_tanh", "swiglu")
NORMS = ("layernorm", "rmsnorm")
POSITIONS = ("rope", "learned", "sinusoidal", "none")

_ALIASES = {"gelu_new": "gelu_tanh"}  # the name that transformers gives to the tanh approximation


@dataclass(frozen=True)
class ModelConfig(Strict):
    """The shape of a decoder-only transformer; GPT-2 and Llama shapes are two settings of it.

    num_key_value_heads : None means num_attention_heads; fewer is grouped-query attention.
    intermediate_size : None means 4 * hidden_size; for swiglu 8/3 of it, rounded up to a multiple of 32.
    hidden_act : "relu", "gelu" (erf), "gelu_tanh" (also "gelu_new"), "swiglu".
    norm : "layernorm" (weight and bias) or "rmsnorm" (weight); always before the sub-layer.
    position : "rope", "learned", "sinusoidal" (fixed, no parameters) or "none".
    dropout : on the sub-layer outputs, in [0, 1).
    Both None fields are filled in on construction, so readers always see integers.
    """

    vocab_size: int = 8000
    hidden_size: int = 256
    num_hidden_layers: int = 4
    num_attention_heads: int = 8
    num_key_value_heads: int | None = None
    intermediate_size: int | None = None
    max_position_embeddings: int = 512
    hidden_act: str = "swiglu"
    norm: str = "rmsnorm"
    norm_eps: float = 1e-5
    position: str = "rope"
    rope_theta: float = 10000.0
    attention_bias: bool = False
    mlp_bias: bool = False
    lm_head_bias: bool = False
    final_norm: bool = True
    tie_word_embeddings: bool = True
    dropout: float = 0.0

    def __post_init__(self) -> None:
        self.check_types()
        for name in ("vocab_size", "hidden_size", "num_attention_heads", "max_position_embeddings"):
            self.need(getattr(self, name) >= 1, name, ">= 1")
        self.need(self.num_hidden_layers >= 0, "num_hidden_layers", ">= 0")
        object.__setattr__(self, "hidden_act", _ALIASES.get(self.hidden_act, self.hidden_act))
        self.one_of("hidden_act", ACTIVATIONS)
        self.one_of("norm", NORMS)
        self.one_of("position", POSITIONS)
        self.need(0.0 <= self.dropout < 1.0, "dropout", ">= 0, < 1")
        self.need(0.0 < self.norm_eps < 1.0, "norm_eps", "> 0, < 1")
        self.need(self.rope_theta > 0.0 and math.isfinite(self.rope_theta), "rope_theta", "> 0")
        if self.num_key_value_heads is None:
            object.__setattr__(self, "num_key_value_heads", self.num_attention_heads)
        if self.intermediate_size is None:
            wide = -(-8 * self.hidden_size // (3 * 32)) * 32 if self.hidden_act == "swiglu" else 4 * self.hidden_size
            object.__setattr__(self, "intermediate_size", wide)
        self.need(self.kv_heads >= 1, "num_key_value_heads", ">= 1")
        self.need(self.ffn_size >= 1, "intermediate_size", ">= 1")
        self._check_heads()

    def _check_heads(self) -> None:
        if self.num_attention_heads % self.kv_heads:
            raise RgzError(
                tr(
                    "num_attention_heads must be divisible by num_key_value_heads, got {heads} and {kv_heads}; "
                    "give both",
                    heads=self.num_attention_heads,
                    kv_heads=self.kv_heads,
                )
            )
        unit = self.num_attention_heads * (2 if self.position == "rope" else 1)  # which turns pairs
        if self.hidden_size % self.num_attention_heads:
            smaller = max(1, self.hidden_size // unit) * unit
            raise RgzError(
                tr(
                    "hidden_size must be divisible by num_attention_heads, got {hidden} and {heads}; "
                    "{smaller} or {larger} would do",
                    hidden=self.hidden_size,
                    heads=self.num_attention_heads,
                    smaller=smaller,
                    larger=smaller + unit,
                )
            )
        if self.position == "rope" and self.head_dim % 2:
            raise RgzError(
                tr(
                    "rope turns pairs, so hidden_size / num_attention_heads must be even, got {head_dim}; "
                    "change one of them or use position='learned'",
                    head_dim=self.head_dim,
                )
            )

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_attention_heads

    @property
    def kv_heads(self) -> int:
        """num_key_value_heads as an integer (the field's type admits the None of the constructor)."""
        assert self.num_key_value_heads is not None
        return self.num_key_value_heads

    @property
    def ffn_size(self) -> int:
        """intermediate_size as an integer (the field's type admits the None of the constructor)."""
        assert self.intermediate_size is not None
        return self.intermediate_size

    def num_parameters(self) -> int:
        """Trained numbers of the model, exactly; a tied head counts once, fixed positions not at all."""
        c, f, v = self.hidden_size, self.ffn_size, self.vocab_size
        norm = c * (2 if self.norm == "layernorm" else 1)
        qkv = (self.num_attention_heads + 2 * self.kv_heads) * self.head_dim
        up = 2 * f if self.hidden_act == "swiglu" else f  # gate and up are one matrix
        attention = qkv * c + c * c + self.attention_bias * (qkv + c)
        mlp = up * c + c * f + self.mlp_bias * (up + c)
        total = v * c + self.num_hidden_layers * (2 * norm + attention + mlp) + self.final_norm * norm
        if self.position == "learned":
            total += self.max_position_embeddings * c
        return total + (0 if self.tie_word_embeddings else v * c) + self.lm_head_bias * v

    @classmethod
    def preset(cls, name: str, vocab_size: int | None = None, **overrides: Any) -> ModelConfig:
        """A named shape: pico nano micro small base (Llama family), gpt2, rustgpt-chinese.

        vocab_size is the tokenizer's; only gpt2 and rustgpt-chinese have one of their own.
        """
        if name not in PRESETS:
            raise unknown_name(tr("preset"), name, PRESETS)
        values = {**PRESETS[name], **overrides}
        if vocab_size is not None:
            values["vocab_size"] = vocab_size
        if "vocab_size" not in values:
            raise RgzError(tr("preset '{name}' needs vocab_size: that of the tokenizer", name=name))
        return cls.from_dict(values)


def _llama(hidden: int, layers: int, heads: int, kv_heads: int, positions: int) -> dict[str, Any]:
    return {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "max_position_embeddings": positions,
    }


PRESETS: dict[str, dict[str, Any]] = {
    "pico": _llama(64, 3, 4, 2, 256),  # 0.40M at 4,000 ids
    "nano": _llama(128, 4, 4, 2, 512),  # 1.8M at 8,000 ids
    "micro": _llama(256, 4, 8, 4, 512),  # 5.0M
    "small": _llama(512, 8, 8, 4, 1024),  # 27M
    "base": _llama(768, 15, 12, 4, 1024),  # 100M
    # Radford et al. 2019, the 124M model.
    "gpt2": {
        "vocab_size": 50257,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "max_position_embeddings": 1024,
        "hidden_act": "gelu_tanh",
        "norm": "layernorm",
        "position": "learned",
        "attention_bias": True,
        "mlp_bias": True,
        "dropout": 0.1,
    },
    # RustGPT-Chinese: its attention has four bare matrices, its FFN and its output layer have biases.
    "rustgpt-chinese": {
        "vocab_size": 9620,
        "hidden_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 8,
        "intermediate_size": 512,
        "max_position_embeddings": 128,
        "hidden_act": "relu",
        "norm": "layernorm",
        "norm_eps": 1e-8,
        "position": "sinusoidal",
        "mlp_bias": True,
        "lm_head_bias": True,
        "final_norm": False,
        "tie_word_embeddings": False,
        "dropout": 0.1,
    },
}
