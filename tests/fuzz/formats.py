"""The formats: files of tensors, corpora, settings and runs here, of text's tools in text_formats.py."""

import functools
import hashlib
import json
import tempfile
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import numpy as np

import rgz
from rgz import safetensors
from rgz.cli.flags import read_config
from rgz.data.token_file import read_token_file, write_token_file
from rgz.errors import RgzError
from rgz.train.checkpoint import read_checkpoint
from rgz.train.rundir import RunDirectory

from .format import KEY, OBJECTS, TEXTS, Check, Format, made_by
from .text_formats import (
    bpe_files,
    read_jieba,
    read_resealed_trie,
    read_synonyms,
    read_tokenizer,
    read_trie,
    read_user,
    resealed_trie,
    synonyms,
    tokenizer_files,
    trie_files,
    user_dictionary,
)

# --- safetensors, models, token files ---


def some_tensors() -> list[dict[str, bytes]]:
    random = np.random.default_rng(0)
    arrays = {
        "w": random.random((5, 7), dtype=np.float32), "h": random.random(9).astype(np.float16),
        "i": np.arange(6).reshape(2, 3), "flags": np.array([True, False]), "one": np.array(3, np.uint16),
        "none": np.empty((0, 3)),
    }  # fmt: skip
    half, save = {"b": np.arange(12, dtype=np.uint16)}, safetensors.save_file
    return [
        made_by(lambda folder: save(folder / "f", arrays, {"format": "pt"})),
        made_by(lambda folder: save(folder / "f", half, bfloat16=frozenset("b"))),
        made_by(lambda folder: save(folder / "f", {})),
    ]


def read_tensors(folder: Path, whole: bytes) -> Check:
    arrays = safetensors.load_file(folder / "f")
    return lambda: check_tensors(folder, arrays)


def check_tensors(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    data = (folder / "f").read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    assert header.keys() == arrays.keys()
    for name, entry in header.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        if entry["dtype"] == "BF16":
            expected = (np.frombuffer(data[begin:end], "<u2").astype(np.uint32) << 16).tobytes()
        else:
            expected = data[begin:end]
        assert list(arrays[name].shape) == entry["shape"]
        assert arrays[name].tobytes() == expected or entry["dtype"] == "BOOL"


CONFIG = {
    "vocab_size": 300, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 16
}  # fmt: skip


def a_model() -> list[dict[str, bytes]]:
    gpt2 = {**CONFIG, "norm": "layernorm", "position": "learned", "hidden_act": "relu"}
    shapes = (CONFIG, gpt2, {**gpt2, "position": "sinusoidal", "final_norm": False})
    return [made_by(rgz.Model(rgz.ModelConfig(**shape)).save_pretrained) for shape in shapes]


def read_model(folder: Path, whole: bytes) -> Check:
    model = rgz.Model.from_pretrained(folder)

    def check() -> None:
        arrays = safetensors.load_file(folder / "model.safetensors")
        for name, array in model.parameters().items():
            assert array.tobytes() == arrays[name].astype(np.float32).tobytes()
        if 3 <= model.config.max_position_embeddings < 4096:  # a context of millions takes memory when it is used
            assert model(np.array([[1, 2, 3]]), n_threads=1).shape == (1, 3, model.config.vocab_size)

    return check


def a_token_file() -> list[dict[str, bytes]]:
    tokenizer = rgz.CharTokenizer.train(TEXTS)
    data = rgz.data.encode_dataset(rgz.data.Dataset(TEXTS * 3), tokenizer)
    masked = rgz.data.TokenData(data.ids, data.offsets, np.ones(data.n_tokens, np.uint8), data.fingerprint, 9)
    return [made_by(lambda folder, kept=kept: write_token_file(folder / "f", kept, KEY)) for kept in (data, masked)]


def resealed_token_file(data: bytes) -> bytes:
    """The right checksum for whatever stands in it now."""
    from rgz.data import token_file

    try:
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            table, metadata = safetensors.read_header(file.name)
        tensors = {
            name: np.frombuffer(data[info.begin : info.end], token_file._DTYPES[info.dtype])
            for name, info in table.items()
        }
        metadata.pop("sha256", None)
        checksum = token_file._checksum(metadata, tensors)
        old = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]["sha256"]
        return data.replace(old.encode(), checksum.encode())
    except (RgzError, KeyError, TypeError, ValueError):
        return data


def read_tokens(folder: Path, whole: bytes) -> Check:
    data = read_token_file(folder / "f", KEY)
    return lambda: check_tokens(data)


def check_tokens(data: rgz.data.TokenData) -> None:
    assert data.offsets[0] == 0 and (np.diff(data.offsets) >= 0).all() and data.offsets[-1] == len(data.ids)
    assert data.mask is None or len(data.mask) == len(data.ids)
    assert data.n_characters is None or data.n_characters >= 0
    if not data.n_targets:
        return
    batches = rgz.data.Batches(data, 2, 8)
    assert sum(batch.n_targets for batch in batches.epoch(0)) == data.n_targets


# --- corpora and settings ---


def corpora(ending: str) -> Callable[[], list[dict[str, bytes]]]:
    records = [
        {"text": "太阳从东方升起。", "source": "x"},
        {"messages": [{"role": "user", "content": "你好"}, {"role": "assistant", "content": "好"}]},
        {"conversations": [{"from": "human", "value": "几点"}, {"from": "gpt", "value": "三点"}], "system": "答"},
        {"instruction": "译", "input": "sun", "output": "太阳", "history": [["a", "b"]]},
        "用户：你好\n助手：你好！",
    ]
    idioms = {"metadata": 1, "data": [{"释义": "光", "n": 1}]}
    whole = {
        "txt": ["\n".join(TEXTS * 3), "用户：你好\n助手：好\n\n用户：再见\n助手：再见\n"],
        "jsonl": ["".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records)],
        "json": [json.dumps(records), json.dumps({"metadata": 1, "data": records}), json.dumps(idioms)],
    }[ending]
    encodings = ("utf-8", "gb18030", "utf-16") if ending == "txt" else ("utf-8", "utf-8-sig")
    return lambda: [{f"f.{ending}": text.encode(encoding)} for text in whole for encoding in encodings]


def read_corpus(folder: Path, whole: bytes) -> Check:
    (path,) = folder.iterdir()
    dataset = rgz.load_dataset(path)
    return lambda: check_corpus(dataset)


def check_corpus(dataset: rgz.data.Dataset) -> None:
    tokenizer = rgz.ByteTokenizer()
    for document, text in zip(dataset, dataset.texts(), strict=True):
        assert isinstance(document, str) or all({*message} == {"role", "content"} for message in document)
        if isinstance(document, str):
            assert tokenizer.decode(tokenizer.encode(text)) == text
    rgz.data.encode_dataset(dataset, tokenizer)


def settings() -> list[dict[str, bytes]]:
    return [
        {"f": 'learning-rate = 0.001\nbatch_size = 8\n# 注释\npreset = "nano"\nadam_betas = [0.9, 0.99]\n'.encode()}
    ]


def read_settings(folder: Path, whole: bytes) -> None:
    read_config(str(folder / "f"), ["learning_rate", "batch_size", "preset", "adam_betas"])


# --- runs ---


@functools.cache
def a_run() -> dict[str, bytes]:
    """A run of 6 updates with a checkpoint at 3, early stopping and a schedule that has a state."""

    def write(folder: Path) -> None:
        trainer_of(folder).train()

    return made_by(write)


def trainer_of(folder: Path) -> rgz.Trainer:
    args = rgz.TrainingArguments(
        output_dir=str(folder), max_steps=6, save_steps=3, eval_steps=2, logging_steps=1, batch_size=2, max_length=8,
        validation_split=0.2, early_stopping_patience=5, lr_scheduler_type="reduce_lr_on_plateau", seed=3, n_threads=1,
        report_to=("jsonl",), token_cache=False, samples=False,
    )  # fmt: skip
    config = rgz.ModelConfig(**CONFIG)
    return rgz.Trainer(rgz.Model(config, seed=0), rgz.ByteTokenizer(), TEXTS * 4, None, args, stream=StringIO())


def checkpoint() -> list[dict[str, bytes]]:
    return [{n.removeprefix("checkpoint-3/"): data for n, data in a_run().items() if n.startswith("checkpoint-3/")}]


def read_state(folder: Path, whole: bytes) -> None:
    found = json.loads(json.dumps(read_checkpoint(folder).state))
    expected = json.loads(whole)
    del expected["sha256"]
    assert found == expected


def read_optimizer(folder: Path, whole: bytes) -> None:
    read_checkpoint(folder)
    assert (folder / "optimizer.safetensors").read_bytes() == whole


def resealed_state(data: bytes) -> bytes:
    try:
        state = json.loads(data)
        del state["sha256"]
        text = json.dumps(state, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        digest = hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()
        return json.dumps({**state, "sha256": digest}).encode()
    except (ValueError, TypeError, KeyError, RecursionError):
        return data


def resume(folder: Path, whole: bytes) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent) as run:
        trainer = trainer_of(Path(run) / "run")
        trainer.train(resume_from_checkpoint=folder)
        assert trainer.state.step >= 6 or trainer.state.stop_reason  # more: of a run with more updates


def arguments() -> list[dict[str, bytes]]:
    noted = json.loads(a_run()["training_args.json"])
    noted |= {"data": ["a.txt"], "validation_data": [], "command": "train", "turns": 1}
    return [{"training_args.json": json.dumps(noted).encode()}]


def read_arguments(folder: Path, whole: bytes) -> None:
    args, _ = RunDirectory(folder).read_arguments()
    assert args.output_dir == str(folder)


def reports() -> list[dict[str, bytes]]:
    return [{"metrics.jsonl": a_run()["metrics.jsonl"]}]


def read_reports(folder: Path, whole: bytes) -> None:
    assert all("step" in report for report in RunDirectory(folder).read_history())


FORMATS = {
    "safetensors": Format("f", some_tensors, read_tensors),
    "model": Format("model.safetensors", a_model, read_model),
    "config": Format("config.json", a_model, read_model, factor=OBJECTS),
    "tokens": Format("f", a_token_file, read_tokens),
    "tokens-resealed": Format("f", a_token_file, read_tokens, resealed_token_file),
    "tokenizer": Format("tokenizer.json", tokenizer_files, read_tokenizer, factor=OBJECTS),
    "bpe": Format("tokenizer.json", bpe_files, read_tokenizer, factor=OBJECTS),
    "user-dictionary": Format("user.txt", user_dictionary, read_user, factor=OBJECTS, constant=2_000_000),
    "jieba-dictionary": Format("dict.txt", user_dictionary, read_jieba, factor=OBJECTS, constant=2_000_000),
    "jieba-model": Format("prob_emit.py", user_dictionary, read_jieba, factor=OBJECTS, constant=2_000_000),
    "trie": Format("f", trie_files, read_trie),
    "trie-resealed": Format("f", trie_files, read_resealed_trie, resealed_trie),
    "synonyms": Format("f", synonyms, read_synonyms, factor=OBJECTS),
    "txt": Format("f.txt", corpora("txt"), read_corpus, factor=OBJECTS),
    "json": Format("f.json", corpora("json"), read_corpus, factor=OBJECTS),
    "jsonl": Format("f.jsonl", corpora("jsonl"), read_corpus, factor=OBJECTS),
    "toml": Format("f", settings, read_settings, factor=OBJECTS),
    "state": Format("state.json", checkpoint, read_state, factor=OBJECTS),
    "state-resealed": Format("state.json", checkpoint, resume, resealed_state, factor=OBJECTS, constant=2_000_000),
    "optimizer": Format("optimizer.safetensors", checkpoint, read_optimizer),
    "arguments": Format("training_args.json", arguments, read_arguments, factor=OBJECTS),
    "reports": Format("metrics.jsonl", reports, read_reports, factor=OBJECTS),
}
