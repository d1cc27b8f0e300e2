"""The formats: for each, the whole files that are damaged, and what reading one means.

A reader is given a folder with the damaged file in it; it raises RgzError if that was refused. What it returns, if
anything, is then called: a use of what was read, whose memory is not counted. AssertionError: it was read, but wrongly.
"""

import functools
import hashlib
import json
import struct
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np

import rgz
from rgz import _kernels, safetensors
from rgz.augment.synonyms import read_groups
from rgz.cli.flags import read_config
from rgz.data.token_file import read_token_file, write_token_file
from rgz.errors import RgzError
from rgz.text import Tokenizer, dictionary, load_tokenizer
from rgz.train.checkpoint import read_checkpoint
from rgz.train.rundir import RunDirectory

TEXTS = [
    "太阳从东方升起，照亮了山谷。",
    "月亮在夜里反射太阳的光 abc 123。",
    "长江是中国最长的河\t流进东海\n",
    "𠮷野家🙂 it's",
]
PROBE = "太阳😀从 east's 升起，\n长江𠮷\u0000x12"
KEY = "of the fuzzer"


Check = Callable[[], None]


@dataclass(frozen=True)
class Format:
    """name : of the file that is damaged. files : makes the whole ones, each a folder's content by name.

    read : see above. seal : what an attacker would put right again after a damage.
    Reading may take `factor` times the file's size and `constant` bytes: by numbers in the file nothing may be sized
    that the file does not hold. Where text becomes Python's objects the factor is theirs (`[]` are 2 bytes, and 64 in
    memory with the place in a list; a line of 2 characters 59).
    """

    name: str
    files: Callable[[], list[dict[str, bytes]]]
    read: Callable[[Path, bytes], Check | None]
    seal: Callable[[bytes], bytes] | None = None
    factor: int = 2
    constant: int = 300_000  # the buffer of hashlib.file_digest is the largest


OBJECTS = 100


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def made_by(write: Callable[[Path], object]) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as name:
        write(Path(name))
        return content(Path(name))


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


# --- tokenizers and dictionaries ---


def tokenizer_files() -> list[dict[str, bytes]]:
    words = rgz.WordTokenizer(characters="太阳长江", words=["太阳", "长江"], user_words=[("升起", 5)])
    made = (rgz.CharTokenizer.train(TEXTS), rgz.ByteTokenizer(), words)
    return [made_by(lambda folder, made=made: made.save(folder / "tokenizer.json")) for made in made]


def bpe_files() -> list[dict[str, bytes]]:
    tokenizers = [rgz.BPETokenizer.train(TEXTS * 3, vocab_size=280, pattern=pattern) for pattern in ("gpt2", "qwen2")]
    return [made_by(lambda folder, made=made: made.save(folder / "tokenizer.json")) for made in tokenizers]


def read_tokenizer(folder: Path, whole: bytes) -> Check:
    tokenizer = load_tokenizer(folder)
    return lambda: check_tokenizer(tokenizer)


def check_tokenizer(tokenizer: Tokenizer) -> None:
    if isinstance(tokenizer, rgz.WordTokenizer):
        return  # its words are cut with a dictionary made of jieba's 349,000: see "dictionary"
    ids = tokenizer.encode(PROBE)
    assert all(0 <= number < tokenizer.vocab_size for number in ids)
    if getattr(tokenizer, "normalizer", None) is None:
        assert tokenizer.decode(ids) == PROBE


SMALL_JIEBA = {
    "dict.txt": "太阳 500 n\n东方 80 n\n升起 30 v\n长江 200 ns\n最长 20 a\n中国 900 ns\n阳 5 n\n太 10 d\n".encode(),
    "prob_start.py": b"P={'B': -0.26, 'E': -3.14e+100, 'M': -3.14e+100, 'S': -1.46}\n",
    "prob_trans.py": b"P={'B': {'E': -0.5, 'M': -0.9}, 'E': {'B': -0.5, 'S': -0.8}, 'M': {'E': -0.3, 'M': -1.2},"
    b" 'S': {'B': -0.7, 'S': -0.6}}\n",
    "prob_emit.py": "P={'B': {'太': -3.5}, 'E': {'阳': -3.5}, 'M': {'长': -4.0}, 'S': {'河': -5.5}}\n".encode(),
}


def jieba_of(folder: Path) -> dictionary.JiebaFiles:
    return dictionary.JiebaFiles(*(folder / name for name in SMALL_JIEBA))


def words_of(cutter: _kernels.TextDictionary) -> list[list[str]]:
    return [_kernels.text_segment(text, cutter, hmm) for text in (*TEXTS, PROBE) for hmm in (False, True)]


def check_words(cutter: _kernels.TextDictionary) -> None:
    for text, words in zip((*TEXTS, PROBE), words_of(cutter)[::2], strict=True):
        assert "".join(words) == text


def read_jieba(folder: Path, whole: bytes) -> Check:
    cutter = dictionary.load(jieba_of(folder), None)
    return lambda: check_words(cutter)


def user_dictionary() -> list[dict[str, bytes]]:
    return [{"user.txt": "云计算 5 n\n东方升起 300\n长江 0\n\n太阳 9007199254740992 n\n".encode(), **SMALL_JIEBA}]


def read_user(folder: Path, whole: bytes) -> Check:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # words that can never be found
        entries = dictionary.read_user_dictionary(folder / "user.txt")
    cutter = dictionary.load(jieba_of(folder), None, entries)
    return lambda: check_words(cutter)


@functools.cache
def trie_files() -> list[dict[str, bytes]]:
    def write(folder: Path) -> None:
        for name, data in SMALL_JIEBA.items():
            (folder / name).write_bytes(data)
        (folder / "cache").mkdir()
        dictionary.load(jieba_of(folder), folder / "cache")

    files = made_by(write)
    name = next(name for name in files if name.startswith("cache/"))
    return [{"f": files[name]}]


def cutter_of(path: Path) -> _kernels.TextDictionary:
    """As from the cache: what is refused there is told to nobody, but made anew."""
    data = path.read_bytes()
    if not data:
        raise RgzError("empty")
    try:
        return _kernels.TextDictionary(np.frombuffer(data, np.uint8).copy())
    except ValueError as error:
        raise RgzError(str(error)) from error


@functools.cache
def words_of_whole(whole: bytes) -> list[list[str]]:
    return words_of(_kernels.TextDictionary(np.frombuffer(whole, np.uint8).copy()))


def read_trie(folder: Path, whole: bytes) -> Check:
    """The key, by which the cache asks what it was made from, is the only part that may differ."""
    cutter = cutter_of(folder / "f")

    def check() -> None:
        assert words_of(cutter) == words_of_whole(whole)

    return check


def read_resealed_trie(folder: Path, whole: bytes) -> Check:
    """No look-up may leave the block, whatever stands in it."""
    cutter = cutter_of(folder / "f")
    return lambda: check_words(cutter)


def resealed_trie(data: bytes) -> bytes:
    """The checksum of csrc/text/trie.c, over everything behind it."""
    mask, lanes = 2**64 - 1, [1, 2, 3, 4]
    for number, (word,) in enumerate(struct.iter_unpack("<Q", data[24 : len(data) // 8 * 8])):
        mixed = (lanes[number & 3] ^ word) * 0x9E3779B97F4A7C15 & mask
        lanes[number & 3] = mixed ^ mixed >> 29
    a, b, c, d = lanes
    sealed = (a ^ b * 3 ^ c * 5 ^ d * 7) & mask
    return data[:8] + struct.pack("<QQ", len(data), sealed) + data[24:] if len(data) > 24 else data


def synonyms() -> list[dict[str, bytes]]:
    lines = "# 注释\n高兴 开心 愉快\n\nAa01A01= 人 士 人物 人士 abc\nAa01A02# 甲 乙\n漂亮 美丽\n"
    return [{"f": lines.encode()}, {"f": lines.encode("gb18030")}]


def read_synonyms(folder: Path, whole: bytes) -> None:
    assert all(len(group) > 1 and all(group) for group in read_groups(folder / "f"))


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
