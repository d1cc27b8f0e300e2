"""GGUF: the one file that llama.cpp, and so ollama, reads a model, its tokenizer and its chat template from.

Source of the names: https://github.com/ggml-org/ggml, docs/gguf.md; the file is written by its authors' package.
"""

from __future__ import annotations

import errno
import os
import re
from importlib import import_module
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rgz.config import DTYPES, ModelConfig
from rgz.errors import RgzError, reason_of
from rgz.export.family import differences, need_exportable, separate
from rgz.files import atomic_path
from rgz.memory import Floats, cast
from rgz.messages import tr
from rgz.models import Decoder
from rgz.strict import must_be, need_file_name, unknown_name
from rgz.text import BPETokenizer, Tokenizer, jinja_template

if TYPE_CHECKING:
    from gguf import GGUFWriter

_NAMES = {  # of the last part of a parameter's name, "weight" or "bias" left out
    "model.embed_tokens": "token_embd",
    "model.embed_positions": "position_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "self_attn.qkv_proj": "attn_qkv",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_LAYER = re.compile(r"model\.layers\.(\d+)\.(.+)")
_PATTERNS = {"gpt2": "gpt-2", "qwen2": "qwen2"}  # llama.cpp's names of the ways to cut a text into pieces
_EXPONENT = 0x7F80  # of bfloat16: all bits set in what is not finite


def _need_package() -> None:
    """RgzError where the package that writes GGUF is not installed."""
    command = "pip install 'rgz[gguf]'"
    try:
        import_module("gguf")
    except ModuleNotFoundError as error:
        if error.name == "gguf":
            raise RgzError(tr("writing GGUF needs a package: {command}", command=command)) from error
        raise RgzError(tr("the package gguf lacks {name}; {command}", name=error.name, command=command)) from error


def export_gguf(
    model: Decoder,
    tokenizer: Tokenizer,
    path: str | os.PathLike[str],
    *,
    dtype: str = "float32",
    name: str = "rgz",
    chat: bool = True,
) -> list[str]:
    """Write a GGUF file, whole or not at all, and return what its readers will do otherwise than rgz, in words.

    dtype : of matrices and token embeddings, "float32", "float16" or "bfloat16"; the rest stays float32.
    name : of the model, for people.
    chat : the model has learnt to answer: put the template of dialogues into the file.
    With float32 llama.cpp computes rgz's logits to 2e-5 of the largest from the same ids, if it keeps its cache in
    float32 too; to 5e-3 with its own cache in float16, and in GPT-2's shape, whose GELU it looks up in such a table.
    RgzError where llama.cpp has no such shape or tokenizer, for numbers that are not finite in that dtype, and where
    the file cannot be written.
    """
    path = need_file_name("path", path)
    family, bpe = need_exportable(model, tokenizer)
    if not isinstance(name, str):
        raise must_be("name", tr("a text"), name)
    if dtype not in DTYPES:
        raise unknown_name("dtype", str(dtype), DTYPES)
    _need_package()
    from gguf import GGUFWriter, LlamaFileType

    types = {
        "float32": LlamaFileType.ALL_F32, "float16": LlamaFileType.MOSTLY_F16, "bfloat16": LlamaFileType.MOSTLY_BF16,
    }  # fmt: skip
    try:
        with atomic_path(path) as aside:
            writer = GGUFWriter(aside, family)
            try:
                writer.add_name(name.encode("utf-8", "replace").decode())  # a folder's may be no UTF-8
                writer.add_file_type(types[dtype])
                _add_shape(writer, family, model.config)
                _add_tokenizer(writer, bpe, model.config.vocab_size, chat)
                for parameter, array in separate(model, family):
                    _add_tensor(writer, parameter, array, dtype, model.config)
                writer.write_header_to_file()
                writer.write_kv_data_to_file()
                writer.write_tensors_to_file()
            finally:
                writer.close()
    except OSError as error:
        if error.errno is None:  # NumPy's, of fewer bytes written than there were
            error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        raise RgzError(tr("cannot write {path}: {reason}", path=path, reason=reason_of(error))) from error
    return differences(bpe, chat, llama_cpp=True)


def _add_shape(writer: GGUFWriter, family: str, config: ModelConfig) -> None:
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.ffn_size)
    writer.add_head_count(config.num_attention_heads)
    if family == "gpt2":
        writer.add_layer_norm_eps(config.norm_eps)
        return
    writer.add_head_count_kv(config.kv_heads)
    writer.add_layer_norm_rms_eps(config.norm_eps)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_theta)


def _add_tokenizer(writer: GGUFWriter, tokenizer: BPETokenizer, vocab_size: int, chat: bool) -> None:
    from gguf import TokenType

    size = tokenizer.vocab_size
    types = [TokenType.NORMAL] * size + [TokenType.UNUSED] * (vocab_size - size)  # as many as the model has
    for token in tokenizer.added_tokens:
        types[token.id] = TokenType.CONTROL if token.special else TokenType.USER_DEFINED
    file = tokenizer.to_dict()["model"]  # GGUF spells tokens and merges as a tokenizer.json does
    spellings = {number: spelling for spelling, number in file["vocab"].items()}
    spellings |= {token.id: token.content for token in tokenizer.added_tokens}
    taken = set(spellings.values())
    for number in range(size, vocab_size):
        names = (f"[PAD{number}{'_' * n}]" for n in count())
        spellings[number] = next(name for name in names if name not in taken)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_PATTERNS[tokenizer.pattern])
    writer.add_token_list([spellings[number] for number in range(vocab_size)])
    writer.add_token_types(types)
    writer.add_token_merges(file["merges"])
    writer.add_bos_token_id(tokenizer.bos_id)
    writer.add_eos_token_id(tokenizer.eos_id)
    writer.add_pad_token_id(tokenizer.pad_id)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(False)
    if chat:
        writer.add_chat_template(jinja_template(tokenizer))


def _add_tensor(writer: GGUFWriter, parameter: str, array: Floats, dtype: str, config: ModelConfig) -> None:
    from gguf import GGMLQuantizationType as Type

    where, _, kind = parameter.rpartition(".")
    layer = _LAYER.fullmatch(where)
    name = f"blk.{layer[1]}.{_NAMES[layer[2]]}" if layer else _NAMES[where]
    if name.endswith((".attn_q", ".attn_k")):
        array = _interleaved(array, config.head_dim)
    if array.ndim == 1 or name == "position_embd" or dtype == "float32":
        writer.add_tensor(f"{name}.{kind}", array)
        return
    values: NDArray[Any] = cast(array, dtype)
    raw = Type.BF16 if dtype == "bfloat16" else None  # which NumPy has no type of
    finite = np.isfinite(values) if raw is None else (values & _EXPONENT) != _EXPONENT
    if not finite.all():
        raise RgzError(
            tr("'{name}' has numbers too large for {dtype}; take another dtype", name=parameter, dtype=dtype)
        )
    writer.add_tensor(f"{name}.{kind}", values, raw_dtype=raw)


def _interleaved(array: Floats, head_dim: int) -> Floats:
    """The rows of q or k in the order of llama.cpp's Llama, whose rotation turns neighbours, not halves of a head."""
    halves = array.reshape(-1, 2, head_dim // 2, array.shape[1])
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(array.shape)
