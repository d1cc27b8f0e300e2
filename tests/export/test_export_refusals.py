"""What is not exported, and that nothing is lost by it: no part of a file or folder stays, nothing is overwritten."""

import errno
import os
import sys

import numpy as np
import pytest

from rgz import Model, ModelConfig
from rgz.errors import RgzError
from rgz.export import export_gguf, export_transformers
from rgz.text import CharTokenizer


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"preset": "rustgpt-chinese"}, "as gpt2 this model would need"),
        ({"preset": "pico", "norm": "layernorm"}, "as llama .* need norm=rmsnorm, it has norm=layernorm"),
        ({"preset": "pico", "attention_bias": True}, "need attention_bias=False, it has attention_bias=True"),
        ({"preset": "pico", "lm_head_bias": True}, "need lm_head_bias=False"),
        ({"preset": "pico", "final_norm": False}, "need final_norm=True"),
        ({"preset": "gpt2", "hidden_act": "gelu"}, "as gpt2 .* need hidden_act=gelu_tanh, it has hidden_act=gelu"),
        ({"preset": "gpt2", "num_key_value_heads": 4}, "need num_key_value_heads=12, it has num_key_value_heads=4"),
        ({"preset": "gpt2", "position": "rope", "mlp_bias": False}, "as gpt2 .* need position=learned mlp_bias=True"),
        ({"preset": "pico", "num_hidden_layers": 0}, "num_hidden_layers must be >= 1, got 0"),
    ],
)
def test_shapes_that_nobody_knows_are_refused(tokenizer, tmp_path, changes, reason):
    values = {"vocab_size": tokenizer.vocab_size, "num_hidden_layers": 1, "hidden_size": 48, **changes}
    config = ModelConfig.preset(values.pop("preset"), **values)
    for call in (export_gguf, export_transformers):
        with pytest.raises(RgzError, match=reason):
            call(Model(config), tokenizer, tmp_path / "m.gguf")
    assert not list(tmp_path.iterdir())


def test_other_tokenizers_are_refused(small, tmp_path):
    for call in (export_gguf, export_transformers):
        with pytest.raises(RgzError, match=r"kind 'char'.*--tokenizer bpe"):
            call(small, CharTokenizer(), tmp_path / "m.gguf")
    assert not list(tmp_path.iterdir())


def test_weights_that_were_rounded_are_refused(small, tokenizer, tmp_path):
    small.save_pretrained(tmp_path / "run")
    half = Model.from_pretrained(tmp_path / "run", "bfloat16")
    for call in (export_gguf, export_transformers):
        with pytest.raises(RgzError, match="read in 16 bits only"):
            call(half, tokenizer, tmp_path / "m.gguf")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("float16", 65520.0), ("float16", -1e6), ("float16", np.inf), ("float16", np.nan),
        ("bfloat16", 3.4e38), ("bfloat16", -np.inf), ("bfloat16", np.nan), ("float32", np.inf), ("float32", np.nan),
    ],
)  # fmt: skip
def test_numbers_that_are_not_finite_are_refused(small, tokenizer, tmp_path, dtype, value):
    small.parameters()["model.layers.0.mlp.down_proj.weight"][3, 5] = value
    said = (
        f"too large for {dtype}; take another"
        if np.isfinite(value)
        else "that are not finite; take an earlier checkpoint"
    )
    with pytest.raises(RgzError, match=f"'model.layers.0.mlp.down_proj.weight' has numbers {said}"):
        export_gguf(small, tokenizer, tmp_path / "m.gguf", dtype=dtype)
    if not np.isfinite(value):
        with pytest.raises(RgzError, match=said):
            export_transformers(small, tokenizer, tmp_path / "folder")
    assert not list(tmp_path.iterdir())
    largest = {"float16": np.nextafter(np.float32(65520), 0), "bfloat16": 3.39e38, "float32": 3.4e38}[dtype]
    small.parameters()["model.layers.0.mlp.down_proj.weight"][3, 5] = largest
    export_gguf(small, tokenizer, tmp_path / "m.gguf", dtype=dtype)


def test_wrong_arguments_are_refused(small, tokenizer, tmp_path, monkeypatch):
    with pytest.raises(RgzError, match="dtype 'int8'"):
        export_gguf(small, tokenizer, tmp_path / "m.gguf", dtype="int8")
    with pytest.raises(RgzError, match=r"cannot write .*: No such file"):
        export_gguf(small, tokenizer, tmp_path / "none" / "m.gguf")
    (tmp_path / "file").touch()
    with pytest.raises(RgzError, match=r"file is there already"):
        export_transformers(small, tokenizer, tmp_path / "file")
    with pytest.raises(RgzError, match=r"cannot write .*file"):
        export_transformers(small, tokenizer, tmp_path / "file" / "folder")
    with pytest.raises(RgzError, match="name must be a text, got 3"):
        export_gguf(small, tokenizer, tmp_path / "m.gguf", name=3)
    for call in (export_gguf, export_transformers):
        for path in ("", ".", "..", "/"):
            with pytest.raises(RgzError, match="must be the name of what is to be written"):
                call(small, tokenizer, path)
        with pytest.raises(RgzError, match=r"model must be rgz\.Decoder, got None"):
            call(None, tokenizer, tmp_path / "m.gguf")
        with pytest.raises(RgzError, match=r"tokenizer must be rgz\.Tokenizer, got None"):
            call(small, None, tmp_path / "m.gguf")
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(RgzError, match=r"needs a package: pip install 'rgz\[gguf\]'"):
        export_gguf(small, tokenizer, tmp_path / "m.gguf")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_package_that_is_not_whole_is_said(small, tokenizer, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "gguf")
    (tmp_path / "gguf.py").write_text("import sentencepiece_of_nobody")
    with pytest.raises(RgzError, match="the package gguf lacks sentencepiece_of_nobody"):
        export_gguf(small, tokenizer, tmp_path / "m.gguf")


def test_only_a_new_folder_is_written_to(small, tokenizer, tmp_path):
    small.save_pretrained(tmp_path / "run")
    (tmp_path / "empty").mkdir()
    export_transformers(small, tokenizer, tmp_path / "a" / "new")
    for name in ("run", "empty", "a/new"):
        before = {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        with pytest.raises(RgzError, match="is there already; choose a new folder"):
            export_transformers(small, tokenizer, tmp_path / name)
        assert {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} == before
    with pytest.raises(RgzError, match=r"of a model 'llama' for other programs; rgz reads its own only"):
        Model.from_pretrained(tmp_path / "a" / "new")


def test_what_comes_meanwhile_stays(small, tokenizer, tmp_path, monkeypatch):
    def meanwhile(*arguments, **options):
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "theirs").touch()

    monkeypatch.setattr("rgz.export.transformers.save_file", meanwhile)
    with pytest.raises(RgzError, match="cannot write"):
        export_transformers(small, tokenizer, tmp_path / "folder")
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "theirs"]


def test_a_folder_is_whole_or_not_there(small, tokenizer, tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "the disk is full")

    monkeypatch.setattr("rgz.export.transformers.save_file", full)
    with pytest.raises(RgzError, match=r"cannot write .*folder: the disk is full"):
        export_transformers(small, tokenizer, tmp_path / "folder")
    assert not list(tmp_path.iterdir())


def test_a_broken_write_leaves_what_was_there(small, tokenizer, tmp_path, monkeypatch):
    (tmp_path / "m.gguf").write_bytes(b"old")

    def full(writer):
        raise OSError("512000 requested and 440288 written")  # what NumPy says of it

    monkeypatch.setattr("gguf.GGUFWriter.write_tensors_to_file", full)
    with pytest.raises(RgzError, match=rf"cannot write .*: {os.strerror(errno.ENOSPC)}"):
        export_gguf(small, tokenizer, tmp_path / "m.gguf")
    assert [path.name for path in tmp_path.iterdir()] == ["m.gguf"]
    assert (tmp_path / "m.gguf").read_bytes() == b"old"
