"""What other programs compute from the files, and the ids that they come to, are rgz's."""

import json

import jinja2.sandbox
import ml_dtypes
import numpy as np
import pytest
from export.conftest import TEXTS, pico
from export.readers import gguf_logits, read_gguf, transformers_logits
from gguf import GGUFReader, LlamaFileType, TokenType
from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers
from tokenizers import models as tokenizer_models

from rgz import Model
from rgz.errors import RgzError
from rgz.export import export_gguf, export_transformers
from rgz.safetensors import load_file, read_header
from rgz.text import BPETokenizer, encode_chat, encode_prompt, jinja_template, load_tokenizer
from rgz.text.byte_level import AddedToken

TALK = [
    {"role": "system", "content": "要礼貌。"},
    {"role": "user", "content": "《西游记》是谁写的？"},
    {"role": "assistant", "content": "“吴承恩”。\n\n"},
    {"role": "user", "content": "？\n"},
    {"role": "assistant", "content": "：您好"},
]
FILES = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
# llama.cpp, src/llama-vocab.cpp: the expressions behind the names of tokenizer.ggml.pre
PRE = {
    "gpt-2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)",
    "qwen2": r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}


def gguf_tokenizer(path):
    """The tokenizer of a GGUF file: control tokens first, then pieces, then merges."""
    meta, _ = read_gguf(path)
    tokens, types = meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.token_type"]
    merges = [tuple(merge.split(" ")) for merge in meta["tokenizer.ggml.merges"]]
    found = Tokenizer(tokenizer_models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    found.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PRE[meta["tokenizer.ggml.pre"]]), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    found.decoder = decoders.ByteLevel()
    found.add_special_tokens([t for t, kind in zip(tokens, types, strict=True) if kind == TokenType.CONTROL])
    found.add_tokens([t for t, kind in zip(tokens, types, strict=True) if kind == TokenType.USER_DEFINED])
    return found, meta


def refuse(message):
    raise jinja2.TemplateError(message)


def rendered(template, messages, **names):
    """As transformers renders it."""
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = refuse
    return environment.from_string(template).render(messages=messages, **names)


def test_llama_cpp_computes_our_logits(model, tokenizer, ids, tmp_path):
    path = tmp_path / "m.gguf"
    assert export_gguf(model, tokenizer, path) == []
    assert np.abs(gguf_logits(path, ids) - model(np.array([ids], np.int32))[0]).max() < 2e-5


def test_transformers_computes_our_logits(model, tokenizer, ids, tmp_path):
    folder = tmp_path / "folder"
    assert export_transformers(model, tokenizer, folder) == []
    tensors = {name: array.astype(np.float64) for name, array in load_file(folder / "model.safetensors").items()}
    assert np.abs(transformers_logits(folder, ids, tensors) - model(np.array([ids], np.int32))[0]).max() < 2e-5
    assert read_header(folder / "model.safetensors")[1] == {"format": "pt"}


@pytest.mark.parametrize(("dtype", "kind"), [("float16", np.float16), ("bfloat16", ml_dtypes.bfloat16)])
def test_matrices_are_rounded_to_16_bits_and_the_rest_is_not(model, tokenizer, tmp_path, dtype, kind):
    export_gguf(model, tokenizer, tmp_path / "whole.gguf")
    export_gguf(model, tokenizer, tmp_path / "half.gguf", dtype=dtype)
    (_, whole), (_, half) = (read_gguf(tmp_path / f"{name}.gguf") for name in ("whole", "half"))
    types = {t.name: t.tensor_type.name for t in GGUFReader(tmp_path / "half.gguf").tensors}
    assert half.keys() == whole.keys()
    for name, values in whole.items():
        wide = values.ndim == 1 or name == "position_embd.weight"
        assert types[name] == ("F32" if wide else {"float16": "F16", "bfloat16": "BF16"}[dtype])
        expected = values if wide else values.astype(np.float32).astype(kind).astype(np.float64)
        assert np.array_equal(half[name], expected), name
    kinds = [read_gguf(tmp_path / f"{name}.gguf")[0]["general.file_type"] for name in ("whole", "half")]
    assert kinds == [LlamaFileType.ALL_F32, getattr(LlamaFileType, f"MOSTLY_{'BF' if dtype[0] == 'b' else 'F'}16")]
    assert 2 * (tmp_path / "half.gguf").stat().st_size < 1.4 * (tmp_path / "whole.gguf").stat().st_size


@pytest.mark.parametrize("pattern", ["qwen2", "gpt2"])
def test_gguf_holds_the_tokenizer(pattern, tmp_path):
    tokenizer = BPETokenizer.train(TEXTS, 480, pattern=pattern)
    export_gguf(Model(pico(tokenizer.vocab_size)), tokenizer, tmp_path / "m.gguf")
    theirs, meta = gguf_tokenizer(tmp_path / "m.gguf")
    for text in [*TEXTS, "", " a  b\t\n\n c", "\u3000中文 ABC123 ２３🙂", "We'LL it's"]:
        assert theirs.encode(text).ids == tokenizer.encode(text)
    types = meta["tokenizer.ggml.token_type"]
    control = {i for i, kind in enumerate(types) if kind == TokenType.CONTROL}
    assert control == tokenizer.special_ids and set(types) == {TokenType.CONTROL, TokenType.NORMAL}
    ids = {role: meta[f"tokenizer.ggml.{role}_token_id"] for role in ("bos", "eos", "padding")}
    assert ids == {"bos": tokenizer.bos_id, "eos": tokenizer.eos_id, "padding": tokenizer.pad_id}
    assert meta["tokenizer.ggml.add_bos_token"] is True and meta["tokenizer.ggml.add_eos_token"] is False
    assert meta["tokenizer.ggml.add_space_prefix"] is False and meta["tokenizer.ggml.model"] == "gpt2"


def test_tokens_that_are_cut_out_of_a_text_stay_such(tmp_path):
    plain = BPETokenizer.train(TEXTS, 300)
    size = plain.vocab_size
    added = [*plain.added_tokens, AddedToken(size, "<think>", special=False), AddedToken(size + 1, "《", special=False)]
    tokenizer = BPETokenizer(plain.vocab, plain.merges, added_tokens=added)
    said = export_gguf(Model(pico(tokenizer.vocab_size)), tokenizer, tmp_path / "m.gguf")
    assert len(said) == 1 and said[0].endswith("<think> 《") and "rules of its own" in said[0]
    assert export_transformers(Model(pico(tokenizer.vocab_size)), tokenizer, tmp_path / "folder") == []
    theirs, meta = gguf_tokenizer(tmp_path / "m.gguf")
    assert meta["tokenizer.ggml.token_type"][size:] == [TokenType.USER_DEFINED] * 2
    for text in ("你好<think>《西游记》</think>", TEXTS[2]):
        assert theirs.encode(text).ids == tokenizer.encode(text)
    assert size in tokenizer.encode("a<think>") and size + 1 in tokenizer.encode(TEXTS[2])


@pytest.mark.parametrize("extra", [1, 70])
def test_ids_that_no_token_has_are_unused_ones(tokenizer, tmp_path, extra):
    size = tokenizer.vocab_size
    export_gguf(Model(pico(size + extra)), tokenizer, tmp_path / "m.gguf")
    meta, tensors = read_gguf(tmp_path / "m.gguf")
    tokens = meta["tokenizer.ggml.tokens"]
    assert tokens[size:] == [f"[PAD{size + n}]" for n in range(extra)]
    assert len({*tokens}) == len(tokens) == len(tensors["token_embd.weight"]) == size + extra
    assert meta["tokenizer.ggml.token_type"][size:] == [TokenType.UNUSED] * extra
    for call in (export_gguf, export_transformers):
        with pytest.raises(RgzError, match="do not belong together"):
            call(Model(pico(size - 1)), tokenizer, tmp_path / "n.gguf")
    assert [path.name for path in tmp_path.iterdir()] == ["m.gguf"]


def test_an_unused_token_has_a_name_that_no_other_has(tokenizer, tmp_path):
    size = tokenizer.vocab_size
    added = [*tokenizer.added_tokens, AddedToken(size, f"[PAD{size + 1}]")]
    given = BPETokenizer(tokenizer.vocab, tokenizer.merges, added_tokens=added)
    export_gguf(Model(pico(size + 2)), given, tmp_path / "m.gguf")
    assert read_gguf(tmp_path / "m.gguf")[0]["tokenizer.ggml.tokens"][size:] == [
        f"[PAD{size + 1}]",
        f"[PAD{size + 1}_]",
    ]


def test_gguf_says_what_the_model_is(tokenizer, tmp_path):
    config = pico(tokenizer.vocab_size, max_position_embeddings=96)
    export_gguf(Model(config), tokenizer, tmp_path / "m.gguf", name="小\udcff模型")
    meta, _ = read_gguf(tmp_path / "m.gguf")
    expected = {
        "general.name": "小?模型",
        "general.file_type": 0,
        "llama.context_length": config.max_position_embeddings,
        "llama.embedding_length": config.hidden_size,
        "llama.feed_forward_length": config.intermediate_size,
        "llama.rope.dimension_count": config.head_dim,
        "llama.vocab_size": tokenizer.vocab_size,
    }
    assert {name: meta[name] for name in expected} == expected


def test_merges_reach_across_the_parts_of_a_prompt(tokenizer):
    """Else the tests of dialogues would show nothing."""
    parts = ["系统：", "要礼貌。", "\n", "用户：", "《西游记》是谁写的？", "\n助手："]
    apart = [i for part in parts for i in tokenizer.encode(part)]
    assert encode_prompt(tokenizer, TALK[:2]) == [tokenizer.bos_id, *tokenizer.encode("".join(parts)), tokenizer.sep_id]
    assert tokenizer.encode("".join(parts)) != apart


@pytest.mark.parametrize("first", [0, 1])
def test_a_rendered_dialogue_has_the_ids_of_training(small, tokenizer, tmp_path, first):
    export_gguf(small, tokenizer, tmp_path / "m.gguf")
    export_transformers(small, tokenizer, tmp_path / "folder")
    theirs, meta = gguf_tokenizer(tmp_path / "m.gguf")
    config = json.loads((tmp_path / "folder/tokenizer_config.json").read_text(encoding="utf-8"))
    assert meta["tokenizer.chat_template"] == config["chat_template"]
    names = {"bos_token": config["bos_token"], "eos_token": config["eos_token"]}
    for reader in (theirs, Tokenizer.from_file(str(tmp_path / "folder/tokenizer.json"))):
        whole = rendered(config["chat_template"], TALK[first:], **names)
        assert reader.encode(whole, add_special_tokens=False).ids == encode_chat(tokenizer, TALK[first:])[0]
        for end in (2, 4):
            asked = rendered(config["chat_template"], TALK[first:end], add_generation_prompt=True, **names)
            prompt = encode_prompt(tokenizer, TALK[first:end])
            assert reader.encode(asked, add_special_tokens=False).ids == prompt


def test_other_roles_are_refused_and_a_tokenizer_without_separator_gets_none(small, tokenizer, tmp_path):
    template = jinja_template(tokenizer)
    with pytest.raises(jinja2.TemplateError, match="the roles are"):
        rendered(template, [{"role": "tool", "content": "x"}], bos_token="", eos_token="")
    asked = {"add_generation_prompt": True, "bos_token": "<", "eos_token": ">"}
    given = foreign(tokenizer)
    assert rendered(jinja_template(given), TALK[1:4], **asked) == (
        "<用户：《西游记》是谁写的？\n助手：“吴承恩”。\n\n>用户：？\n\n助手："
    )


def test_a_model_that_only_continues_has_no_template(small, tokenizer, tmp_path):
    export_gguf(small, tokenizer, tmp_path / "m.gguf", chat=False)
    export_transformers(small, tokenizer, tmp_path / "folder", chat=False)
    assert "tokenizer.chat_template" not in read_gguf(tmp_path / "m.gguf")[0]
    assert json.loads((tmp_path / "folder/tokenizer_config.json").read_text(encoding="utf-8")) == {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|bos|>",
        "eos_token": "</s>",
        "pad_token": "<|pad|>",
        "model_max_length": 256,
        "clean_up_tokenization_spaces": False,
    }
    assert {path.name for path in (tmp_path / "folder").iterdir()} == FILES


def test_transformers_is_told_what_the_model_is(model, tokenizer, tmp_path):
    folder = tmp_path / "folder"
    export_transformers(model, tokenizer, folder)
    found, config = json.loads((folder / "config.json").read_text(encoding="utf-8")), model.config
    expected = {
        "vocab_size": tokenizer.vocab_size,
        "tie_word_embeddings": config.tie_word_embeddings,
        "bos_token_id": tokenizer.bos_id,
        "eos_token_id": tokenizer.eos_id,
        "pad_token_id": tokenizer.pad_id,
        "dtype": "float32",
        "torch_dtype": "float32",
    }
    if config.norm == "rmsnorm":
        expected |= {
            "model_type": "llama",
            "architectures": ["LlamaForCausalLM"],
            "hidden_act": "silu",
            "hidden_size": config.hidden_size,
            "num_hidden_layers": config.num_hidden_layers,
            "num_attention_heads": config.num_attention_heads,
            "num_key_value_heads": config.num_key_value_heads,
            "rms_norm_eps": config.norm_eps,
            "attention_bias": False,
            "mlp_bias": False,
            "intermediate_size": config.intermediate_size,
            "head_dim": config.head_dim,
            "max_position_embeddings": config.max_position_embeddings,
            "rope_theta": config.rope_theta,
            "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        }
    else:
        expected |= {
            "model_type": "gpt2",
            "architectures": ["GPT2LMHeadModel"],
            "activation_function": "gelu_new",
            "n_embd": config.hidden_size,
            "n_layer": config.num_hidden_layers,
            "n_head": config.num_attention_heads,
            "layer_norm_epsilon": config.norm_eps,
            "embd_pdrop": 0.0,
            "attn_pdrop": 0.0,
            "n_inner": config.intermediate_size,
            "n_positions": config.max_position_embeddings,
            "resid_pdrop": config.dropout,
        }
    assert found == expected


def test_transformers_begins_texts_as_training_does(small, tokenizer, tmp_path):
    folder = tmp_path / "folder"
    export_transformers(small, tokenizer, folder)
    theirs = Tokenizer.from_file(str(folder / "tokenizer.json"))
    for text in TEXTS[:3]:
        assert theirs.encode(text).ids == [tokenizer.bos_id, *tokenizer.encode(text)]
        assert theirs.decode(theirs.encode(text).ids) == text
    pair = theirs.encode(TEXTS[0], TEXTS[1]).ids
    assert pair == [tokenizer.bos_id, *tokenizer.encode(TEXTS[0]), *tokenizer.encode(TEXTS[1])]
    assert load_tokenizer(folder).encode(TEXTS[0]) == tokenizer.encode(TEXTS[0])


def foreign(tokenizer, normalizer=None):
    """The same without a separator, as models from elsewhere come."""
    kept = [token for token in tokenizer.added_tokens if token.content == "</s>"]
    vocab = {spelling: n for n, spelling in enumerate([s for s in tokenizer.vocab if not s.startswith(b"<|")])}
    kept = [type(kept[0])(vocab[b"</s>"], "</s>")]
    return BPETokenizer(vocab, tokenizer.merges, added_tokens=kept, normalizer=normalizer)


def test_what_readers_do_otherwise_is_said(tokenizer, tmp_path):
    given = foreign(tokenizer, "NFC")
    model = Model(pico(given.vocab_size))
    words = export_gguf(model, given, tmp_path / "m.gguf")
    assert len(words) == 2 and "NFC" in words[0] and "<|sep|>" in words[1]
    assert export_gguf(model, given, tmp_path / "m.gguf", chat=False) == words[:1]
    assert export_transformers(model, given, tmp_path / "a") == words[1:]
    assert export_transformers(model, foreign(tokenizer), tmp_path / "b", chat=False) == []
