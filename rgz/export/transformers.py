"""A folder that Hugging Face's transformers loads: config.json, model.safetensors, tokenizer.json and
tokenizer_config.json, under its names."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from rgz.config import ModelConfig
from rgz.errors import RgzError, reason_of
from rgz.export.family import differences, need_exportable, separate
from rgz.files import atomic_path, write_text_atomic
from rgz.memory import Floats
from rgz.messages import tr
from rgz.models import Decoder
from rgz.safetensors import save_file
from rgz.strict import need_file_name
from rgz.text import BPETokenizer, Tokenizer, jinja_template

_GPT2 = {
    "model.embed_tokens": "wte",
    "model.embed_positions": "wpe",
    "model.norm": "ln_f",
    "model.layers": "h",
    "input_layernorm": "ln_1",
    "self_attn.qkv_proj": "attn.c_attn",
    "self_attn.o_proj": "attn.c_proj",
    "post_attention_layernorm": "ln_2",
    "mlp.up_proj": "mlp.c_fc",
    "mlp.down_proj": "mlp.c_proj",
}


def export_transformers(
    model: Decoder, tokenizer: Tokenizer, folder: str | os.PathLike[str], *, chat: bool = True
) -> list[str]:
    """Write a new folder, float32, whole or not at all, and return what its readers will do otherwise, in words.

    chat : the model has learnt to answer: add the template of dialogues.
    RgzError where transformers has no such shape or tokenizer, for numbers that are not finite, where the folder is
    there already, and where it cannot be written.
    """
    folder = need_file_name("folder", folder)
    family, bpe = need_exportable(model, tokenizer)
    need_new_folder(folder)
    tensors = dict(separate(model, family))
    if family == "gpt2":
        tensors = dict(_gpt2_names(name, array) for name, array in tensors.items())
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(folder) as aside:
            aside.mkdir()
            for file, values in (
                ("config.json", _config(family, model.config, bpe)),
                ("tokenizer.json", {**bpe.to_dict(), "post_processor": _begins_with(bpe)}),
                ("tokenizer_config.json", _tokenizer_config(bpe, model.config, chat)),
            ):
                write_text_atomic(aside / file, json.dumps(values, ensure_ascii=False, indent=1) + "\n")
            save_file(aside / "model.safetensors", tensors, {"format": "pt"})
    except OSError as error:
        raise RgzError(tr("cannot write {path}: {reason}", path=folder, reason=reason_of(error))) from error
    return differences(bpe, chat, llama_cpp=False)


def need_new_folder(folder: Path) -> None:
    """RgzError where something is there: of a folder that is half one model's, half another's, nobody could tell."""
    if os.path.lexists(folder):
        raise RgzError(tr("{path} is there already; choose a new folder, or remove that one", path=folder))


def _gpt2_names(name: str, array: Floats) -> tuple[str, Floats]:
    """Its layers are Conv1D, which hold the matrix the other way round; tables are as they are."""
    for ours, theirs in _GPT2.items():
        name = name.replace(ours, theirs)
    if name == "lm_head.weight":
        return name, array
    return f"transformer.{name}", array.T if ".c_" in name and array.ndim == 2 else array


def _config(family: str, config: ModelConfig, tokenizer: BPETokenizer) -> dict[str, Any]:
    shared = {
        "model_type": family,
        "vocab_size": config.vocab_size,
        "tie_word_embeddings": config.tie_word_embeddings,
        "bos_token_id": tokenizer.bos_id,
        "eos_token_id": tokenizer.eos_id,
        "pad_token_id": tokenizer.pad_id,
        "dtype": "float32",
        "torch_dtype": "float32",  # what transformers 4 calls it
    }
    if family == "gpt2":
        return shared | {
            "architectures": ["GPT2LMHeadModel"],
            "n_embd": config.hidden_size,
            "n_layer": config.num_hidden_layers,
            "n_head": config.num_attention_heads,
            "n_inner": config.ffn_size,
            "n_positions": config.max_position_embeddings,
            "activation_function": "gelu_new",
            "layer_norm_epsilon": config.norm_eps,
            "resid_pdrop": config.dropout,
            "embd_pdrop": 0.0,
            "attn_pdrop": 0.0,
        }
    return shared | {
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": config.hidden_size,
        "intermediate_size": config.ffn_size,
        "num_hidden_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": config.max_position_embeddings,
        "rms_norm_eps": config.norm_eps,
        "rope_theta": config.rope_theta,  # transformers 4
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},  # transformers 5
        "attention_bias": False,
        "mlp_bias": False,
    }


def _tokenizer_config(tokenizer: BPETokenizer, config: ModelConfig, chat: bool) -> dict[str, Any]:
    values: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": _spelt(tokenizer, tokenizer.bos_id),
        "eos_token": _spelt(tokenizer, tokenizer.eos_id),
        "pad_token": _spelt(tokenizer, tokenizer.pad_id),
        "model_max_length": config.max_position_embeddings,
        "clean_up_tokenization_spaces": False,
    }
    return values | {"chat_template": jinja_template(tokenizer)} if chat else values


def _spelt(tokenizer: BPETokenizer, token_id: int) -> str:
    return tokenizer.decode([token_id], skip_special_tokens=False)


def _begins_with(tokenizer: BPETokenizer) -> dict[str, Any]:
    """The post-processor that puts the beginning of a text before it, as in training."""
    bos = _spelt(tokenizer, tokenizer.bos_id)
    first = {"SpecialToken": {"id": bos, "type_id": 0}}
    texts = [{"Sequence": {"id": name, "type_id": n}} for n, name in enumerate("AB")]
    return {
        "type": "TemplateProcessing",
        "single": [first, texts[0]],
        "pair": [first, *texts],
        "special_tokens": {bos: {"id": bos, "ids": [tokenizer.bos_id], "tokens": [bos]}},
    }
