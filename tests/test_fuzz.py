"""Some damaged files of every format; `python -m tests.fuzz --count 10000` reads many more."""

import ast
import dataclasses
import json
import os
import random
from pathlib import Path

import numpy as np
import pytest
from fuzz.formats import FORMATS, checkpoint, resealed_state
from fuzz.mutations import damaged
from fuzz.run import fuzz
from hypothesis import given, settings
from hypothesis import strategies as st

import rgz
from rgz import safetensors
from rgz.text import load_tokenizer
from rgz.train.checkpoint import read_checkpoint

SLOW = {"state-resealed", "trie-resealed"}  # each case is a whole run, or a checksum in Python


@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_file_is_refused_or_read_correctly(name):
    outcome = fuzz(name, range(12 if name in SLOW else 60))
    assert not outcome.failures
    assert outcome.counts["refused"]


def test_the_fuzzer_sees_errors_and_large_allocations(monkeypatch):
    def read(folder, whole):
        data = (folder / "f").read_bytes()
        if data != whole:
            np.zeros(2_000_000, np.uint8) if len(data) % 2 else [][0]

    monkeypatch.setitem(FORMATS, "safetensors", dataclasses.replace(FORMATS["safetensors"], read=read))
    outcome = fuzz("safetensors", range(20))
    assert any("IndexError" in failure for failure in outcome.failures)
    assert any("bytes for a file of" in failure for failure in outcome.failures)


def test_the_same_number_gives_the_same_damage():
    data = b'{"a": [1, 2, {"b": "c"}]}' * 9
    assert damaged(data, random.Random("x 1")) == damaged(data, random.Random("x 1")) != data


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
ENTRY = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "U8", "BF16", "?"]),
        "shape": st.lists(st.integers(-1, 5), max_size=3),
        "data_offsets": st.lists(st.integers(-1, 40), max_size=3),
    }
)
FEW = settings(max_examples=60, derandomize=True, database=None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("files")


@FEW
@given(header=JSON | st.dictionaries(st.text(max_size=3), ENTRY, max_size=3), rest=st.binary(max_size=40))
def test_any_header_of_safetensors_is_refused_or_describes_the_file(folder, header, rest):
    text = json.dumps(header).encode()
    (folder / "f").write_bytes(len(text).to_bytes(8, "little") + text + rest)
    try:
        arrays = safetensors.load_file(folder / "f")
    except rgz.RgzError:
        return
    stored = sum(array.nbytes // (2 if header[name]["dtype"] == "BF16" else 1) for name, array in arrays.items())
    assert stored == len(rest)


@FEW
@given(value=JSON, key=st.sampled_from(["version", "type", "characters", "words", "special_tokens", "user_words", "x"]))
def test_any_value_in_a_tokenizer_is_refused_or_harmless(folder, value, key):
    rgz.CharTokenizer("太阳").save(folder / "tokenizer.json")
    data = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    (folder / "tokenizer.json").write_text(json.dumps(data | {key: value}), encoding="utf-8")
    try:
        tokenizer = load_tokenizer(folder)
    except rgz.RgzError:
        return
    assert tokenizer.decode(tokenizer.encode("太阳 x")) == "太阳 x"


@FEW
@given(records=st.lists(JSON, min_size=1, max_size=4))
def test_any_records_are_refused_or_become_documents(folder, records):
    (folder / "f.jsonl").write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    try:
        documents = list(rgz.load_dataset(folder / "f.jsonl"))
    except rgz.RgzError:
        return
    assert all(isinstance(document, str | list) and document for document in documents)


@FEW
@given(data=st.binary(max_size=200), ending=st.sampled_from(["txt", "json", "jsonl"]))
def test_any_bytes_are_refused_or_text(folder, data, ending):
    (folder / f"f.{ending}").write_bytes(data)
    try:
        texts = list(rgz.load_dataset(folder / f"f.{ending}").texts())
    except rgz.RgzError:
        return
    assert all(text.strip() for text in texts)


# --- names that stand in files ---


@pytest.fixture
def whole_checkpoint(tmp_path):
    (files,) = checkpoint()
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


@pytest.mark.parametrize("name", ["../outside", "/dev/zero", "pipe", "config.json/../../outside", ""])
def test_no_name_in_a_checkpoint_is_ever_opened(whole_checkpoint, name, monkeypatch):
    state = json.loads((whole_checkpoint / "state.json").read_text(encoding="utf-8"))
    state["sha256_of_files"][name] = "0" * 64
    (whole_checkpoint / "state.json").write_bytes(resealed_state(json.dumps(state).encode()))
    if hasattr(os, "mkfifo"):
        os.mkfifo(whole_checkpoint / "pipe")
    opened = []
    monkeypatch.setattr("rgz.train.checkpoint.sha256_of", opened.append)
    with pytest.raises(rgz.RgzError, match=r"is damaged: state\.json is not what was written"):
        read_checkpoint(whole_checkpoint)
    assert not opened


def test_a_checkpoint_must_have_the_sums_of_all_its_files(whole_checkpoint):
    state = json.loads((whole_checkpoint / "state.json").read_text(encoding="utf-8"))
    del state["sha256_of_files"]["optimizer.safetensors"]
    (whole_checkpoint / "state.json").write_bytes(resealed_state(json.dumps(state).encode()))
    with pytest.raises(rgz.RgzError, match=r"state\.json is not what was written"):
        read_checkpoint(whole_checkpoint)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("trainer", "step"), "3"), (("trainer", "step"), -3), (("trainer", "since_report"), {}),
        (("trainer", "position"), 1.5), (("trainer", "position"), 10**6),
        (("n_updates",), None), (("best", "ranked"), [["x", 2]]),
        (("callbacks", "EarlyStopping.0", "best"), "low"), (("callbacks", "Watch.0", "norms"), ["x"]),
        (("identity",), []), (("trainer",), None), (("callbacks", "EarlyStopping.0"), 7),
    ],
)  # fmt: skip
def test_a_checkpoint_of_other_types_is_refused_on_resuming(whole_checkpoint, place, value):
    state = json.loads((whole_checkpoint / "state.json").read_text(encoding="utf-8"))
    inner = state
    for key in place[:-1]:
        inner = inner[key]
    assert place[-1] in inner
    inner[place[-1]] = value
    (whole_checkpoint / "state.json").write_bytes(resealed_state(json.dumps(state).encode()))
    with pytest.raises(rgz.RgzError):
        FORMATS["state-resealed"].read(whole_checkpoint, b"")


def test_a_configuration_takes_no_memory_that_the_weights_do_not_fill(tmp_path):
    shape = rgz.ModelConfig(vocab_size=300, hidden_size=8, num_hidden_layers=1, num_attention_heads=2)
    rgz.Model(shape).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    names = ("vocab_size", "num_hidden_layers", "intermediate_size", "max_position_embeddings")
    for change in [{name: 10**10} for name in names] + [{"position": "sinusoidal", "max_position_embeddings": 10**10}]:
        (tmp_path / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(rgz.RgzError, match=r"numbers, but a model of this config\.json has [0-9,]{11,}"):
            rgz.Model.from_pretrained(tmp_path)


def test_nothing_that_runs_is_read():
    """No pickle, no marshal, no eval."""
    for path in Path(rgz.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            called = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
            assert not {"pickle", "marshal", "shelve", "dill"} & set(names), path
            assert called not in ("eval", "exec", "compile"), path
