"""Which models and tokenizers other programs know, and the parts that they keep apart and rgz side by side."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rgz.config import ModelConfig
from rgz.errors import RgzError
from rgz.memory import Floats
from rgz.messages import tr
from rgz.models import Decoder, check_vocabulary
from rgz.strict import need_instance, need_that
from rgz.text import BPETokenizer, Tokenizer

_SHARED: dict[str, Any] = {"final_norm": True, "lm_head_bias": False}
_FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {
        "norm": "rmsnorm",
        "position": "rope",
        "hidden_act": "swiglu",
        "attention_bias": False,
        "mlp_bias": False,
    },
    "gpt2": {
        "norm": "layernorm",
        "position": "learned",
        "hidden_act": "gelu_tanh",
        "attention_bias": True,
        "mlp_bias": True,
    },
}


def need_exportable(model: Decoder, tokenizer: Tokenizer) -> tuple[str, BPETokenizer]:
    """The family of the model and the tokenizer; RgzError for any that other programs cannot follow."""
    need_instance("model", model, Decoder)
    need_instance("tokenizer", tokenizer, Tokenizer)
    family = _family_of(model.config)
    if not isinstance(tokenizer, BPETokenizer):
        raise RgzError(
            tr(
                "other programs cut texts by byte-level BPE, not as a tokenizer of the kind '{kind}' does; train the "
                "model with --tokenizer bpe, or let rgz serve answer other programs",
                kind=tokenizer.type,
            )
        )
    check_vocabulary(model, tokenizer)
    if not model.has_masters:
        raise RgzError(tr("this model was read in 16 bits only; read it in float32 to export it"))
    return family, tokenizer


def _family_of(config: ModelConfig) -> str:
    """Return "llama" or "gpt2"; RgzError, which says what differs from the nearer one, for any other shape."""
    need_that("num_hidden_layers", config.num_hidden_layers, config.num_hidden_layers > 0, ">= 1")
    wanted = {name: values | _SHARED for name, values in _FAMILIES.items()}
    wanted["gpt2"]["num_key_value_heads"] = config.num_attention_heads
    others = {
        name: [field for field, value in values.items() if getattr(config, field) != value]
        for name, values in wanted.items()
    }
    name = min(others, key=lambda family: len(others[family]))
    if not others[name]:
        return name
    raise RgzError(
        tr(
            "other programs know the shapes of Llama and GPT-2 only; as {family} this model would need {wanted}, it "
            "has {got}; rgz serve answers other programs with any model",
            family=name,
            wanted=" ".join(f"{field}={wanted[name][field]}" for field in others[name]),
            got=" ".join(f"{field}={getattr(config, field)}" for field in others[name]),
        )
    )


def differences(tokenizer: BPETokenizer, chat: bool, *, llama_cpp: bool) -> list[str]:
    """What readers of the file will do otherwise than rgz, a sentence each.

    chat : they are given dialogues. llama_cpp : the reader; the other is transformers.
    Ids that differ from those of training cost a model its quality: so this is for somebody to see.
    """
    found = []
    if tokenizer.normalizer and llama_cpp:
        found.append(
            tr(
                "this tokenizer brings texts to {normalizer} first, llama.cpp does not: give it texts in that form",
                normalizer=tokenizer.normalizer,
            )
        )
    added = [token.content for token in tokenizer.added_tokens if not token.special]
    if added and llama_cpp:
        found.append(
            tr(
                "llama.cpp cuts the tokens added to this vocabulary out of texts by rules of its own (the longest "
                "first, and some names end an answer): {names}",
                names=" ".join(added[:8]) + (" ..." if len(added) > 8 else ""),
            )
        )
    if chat and not tokenizer.joins_prompts:
        found.append(
            tr(
                "this tokenizer has no separator (<|sep|>, <sep> or [SEP]), so other programs cut the edges of "
                "questions and answers otherwise than in training"
            )
        )
    return found


def separate(model: Decoder, family: str) -> Iterator[tuple[str, Floats]]:
    """Yield the parameters under the names of transformers' Llama: q, k, v and gate, up each by itself.

    Those of GPT-2's shape, whose files hold q, k and v side by side too, are left as they are. RgzError for numbers
    that are not finite: nobody could use such a model.
    """
    config, parameters = model.config, model.parameters()
    for name, array in parameters.items():
        if not np.isfinite(array).all():
            raise RgzError(tr("'{name}' has numbers that are not finite; take an earlier checkpoint", name=name))
    if family == "gpt2":
        yield from parameters.items()
        return
    q, kv = config.num_attention_heads * config.head_dim, config.kv_heads * config.head_dim
    parts = {
        "self_attn.qkv_proj": (("self_attn.q_proj", q), ("self_attn.k_proj", kv), ("self_attn.v_proj", kv)),
        "mlp.gate_up_proj": (("mlp.gate_proj", config.ffn_size), ("mlp.up_proj", config.ffn_size)),
    }
    for name, array in parameters.items():
        fused = next((f for f in parts if f in name), None)
        if fused is None:
            yield name, array
            continue
        begin = 0
        for part, size in parts[fused]:
            yield name.replace(fused, part), array[begin : begin + size]
            begin += size
