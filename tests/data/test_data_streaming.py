"""Text larger than the memory there is: the same documents, ids and token files as when all of it is held."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rgz
from rgz.data import Dataset, TokenCache, dataset, encode_dataset, load_dataset, spool
from rgz.errors import RgzError
from rgz.text import ByteTokenizer, WordTokenizer
from rgz.train.plan import split_validation

LINES = [
    "第一回　宴桃园豪杰三结义",
    "",
    "用户：你好助手：您好",
    "  ",
    "话说天下大势，abc 123",
    "太阳从东方升起" * 300,
    "合久必分",
]
CHATS = ["用户：你好\n助手：您好", "用户：再见\n助手：好的\n慢走"]
RECORDS = [{"text": "一", "url": "x"}, {"text": " "}, {"q": "你好", "a": "您好"}, {"text": "二\r\n三", "id": 1}]
FILES = {
    "lines.txt": "\n".join(LINES).encode(),
    "returns.txt": "\r".join(LINES).encode() + b"\r",
    "both.txt": "\r\n".join(LINES).encode("utf-8-sig"),
    "chinese.txt": "\n".join(LINES).encode("gb18030"),
    "wide.txt": "\n".join(LINES).encode("utf-16"),
    "dialogues.txt": "\n \n\n".join(CHATS).encode(),
    "one.txt": "用户：你好\n\n助手：您好\n\n再见".encode(),
    "records.jsonl": "\n".join(json.dumps(r, ensure_ascii=False) for r in RECORDS).encode() + b"\n",
    "records.json": "\r\n".join(json.dumps(r) for r in RECORDS).encode(),
    "list.json": json.dumps(["一", {"text": "二"}]).encode(),
}


@pytest.fixture
def small_memory(monkeypatch):
    """As if a few bytes were all that may be held."""

    def hold(room=10):
        monkeypatch.setattr(dataset, "IN_MEMORY", room)
        monkeypatch.setattr(spool, "IN_MEMORY", room)
        monkeypatch.setattr("rgz.data.readers._BLOCK", 7)

    return hold


@pytest.fixture
def write(tmp_path):
    def write_files(*names):
        for name in names:
            (tmp_path / name).write_bytes(FILES[name])
        return [tmp_path / name for name in names]

    return write_files


@pytest.mark.parametrize("name", [name for name in FILES if name != "one.txt"])
def test_documents_that_stay_in_their_file_are_those_that_are_held(write, small_memory, name):
    [path] = write(name)
    held = load_dataset(path)
    small_memory()
    stored = load_dataset(path)
    assert stored.documents == held.documents and stored.notices == held.notices and len(stored) == len(held)
    for _ in range(2):
        assert list(stored) == held.documents
    numbers = [*range(len(held)), *range(-len(held), 0)]
    assert [stored[number] for number in numbers] == [held.documents[number] for number in numbers]
    with pytest.raises(IndexError):
        stored[len(held)]


def test_the_whole_of_a_large_file_is_never_one_dialogue(write, small_memory):
    [path] = write("one.txt")
    assert len(load_dataset(path)) == 1
    small_memory()
    assert load_dataset(path).documents == ["用户：你好", "助手：您好", "再见"]


def test_files_are_held_until_the_room_is_full(write, small_memory):
    small_memory(len(FILES["lines.txt"]) + 5)
    paths = write("lines.txt", "returns.txt", "chinese.txt")
    data = load_dataset(paths)
    paths[0].unlink()
    assert len(list(data)) == 15
    paths[1].unlink()
    with pytest.raises(RgzError, match=r"returns\.txt does not exist"):
        list(data)


def test_parts_of_a_split_are_those_of_held_documents(write, small_memory):
    paths = write("lines.txt", "records.jsonl", "dialogues.txt")
    held = load_dataset(paths).split(0.3, seed=5)
    small_memory()
    stored = load_dataset(paths).split(0.3, seed=5)
    for a, b in zip(held, stored, strict=True):
        assert b.documents == a.documents and list(b.texts()) == list(a.texts())
        assert [b[number] for number in range(len(b))] == a.documents
    again = [part.split(0.5, seed=1)[1].documents for part in (held[0], stored[0])]
    assert again[0] == again[1]


def test_a_file_that_changes_is_told_of_and_never_mixed(write, small_memory):
    small_memory()
    [path] = write("lines.txt")
    data = load_dataset(path)
    documents = iter(data)
    next(documents)
    path.write_bytes(FILES["lines.txt"] + "\n多了一行".encode())
    with pytest.raises(RgzError, match=r"lines\.txt has changed since it was read"):
        list(documents)
    with pytest.raises(RgzError, match="has changed"):
        data[0]


@pytest.mark.parametrize("mask_prompts", [False, True])
def test_ids_and_the_bytes_of_token_files_are_the_same(write, small_memory, monkeypatch, tmp_path, mask_prompts):
    paths = write("lines.txt", "records.jsonl", "dialogues.txt")
    tokenizer = WordTokenizer.train(load_dataset(paths).texts(), vocab_size=300)
    files, encoded = [], []
    for name in ("held", "stored"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
        data = load_dataset(paths)
        assert WordTokenizer.train(data.texts(), vocab_size=300).fingerprint == tokenizer.fingerprint
        encoded.append(TokenCache().encode(data, tokenizer, mask_prompts=mask_prompts))
        [file] = (tmp_path / name / "rgz" / "tokens").iterdir()
        files.append((file.name, file.read_bytes()))
        small_memory()
    assert files[0] == files[1]
    for name in ("ids", "offsets", "mask"):
        assert np.array_equal(getattr(encoded[0], name), getattr(encoded[1], name))
    assert encoded[0].n_characters == encoded[1].n_characters
    assert encoded[0].ids.flags.writeable and not encoded[1].ids.flags.writeable
    splits = [split_validation(data, 0.4, seed=3) for data in encoded]
    for a, b in zip(splits[0][:2], splits[1][:2], strict=True):
        assert np.array_equal(a.ids, b.ids) and np.array_equal(a.offsets, b.offsets)
        assert mask_prompts is False or np.array_equal(a.mask, b.mask)


def test_progress_is_told_up_to_the_last_document():
    told = []
    documents = Dataset(["太阳" * 50_000] * 5 + ["", "月"])
    data = encode_dataset(documents, ByteTokenizer(), progress=lambda *counts: told.append(counts))
    assert len(told) > 2 and told == sorted(told) and told[-1] == (7, data.n_characters) == (7, 500_001)


def test_a_trainer_tells_progress_and_hands_its_threads_on(monkeypatch, tmp_path):
    told, threads = [], []
    encode_stream = ByteTokenizer.encode_stream

    def noted(self, texts, n_threads=None, progress=None):
        threads.append(n_threads)
        return encode_stream(self, texts, n_threads, progress)

    monkeypatch.setattr(ByteTokenizer, "encode_stream", noted)
    config = rgz.ModelConfig.preset("pico", vocab_size=260)
    args = rgz.TrainingArguments(max_length=8, report_to="none", token_cache=False, n_threads=2)
    texts = ["太阳从东方升起。"] * 8
    trainer = rgz.Trainer(rgz.Model(config), ByteTokenizer(), texts, None, args, progress=lambda *t: told.append(t))
    trainer.prepare()
    assert told == [(8, 64)] and threads == [2]


def test_no_room_for_ids_is_told_of(small_memory, monkeypatch):
    small_memory()

    def full(dir):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with pytest.raises(RgzError, match=r"a large text needs room in .*: No space left on device"):
        encode_dataset(Dataset(["太阳从东方升起"]), ByteTokenizer())


def test_json_for_which_memory_does_not_suffice_is_refused(write, monkeypatch):
    monkeypatch.setattr("rgz.data.files.memory_bytes", lambda: (1000, 50))
    with pytest.raises(RgzError, match=r"list.json: JSON that is no lines is read whole.*\.jsonl"):
        load_dataset(write("list.json"))
    assert len(load_dataset(write("records.json"))) == 3


STREAM = """
import json, resource, sys
import rgz
from rgz.data import TokenCache
from rgz.data.batches import Batches
from rgz.train.plan import split_validation

rgz.WordTokenizer.train(["太阳"])  # what loading takes is not what text takes
limit = int(next(line for line in open("/proc/self/status") if line.startswith("VmData")).split()[1]) * 1024
limit += int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
rgz.data.dataset.IN_MEMORY = 1 << 22
data, _ = rgz.load_dataset(sys.argv[1]).split(0.1)
tokenizer = rgz.WordTokenizer.train(data.texts(), vocab_size=4000, n_threads=1)
cache = TokenCache()
tokens = cache.encode(data, tokenizer, n_threads=1)
train, val, _ = split_validation(tokens, 0.1, seed=0)
batches = Batches(train, 16, 128)
print(tokens.n_documents, tokens.n_tokens, batches.batch(0, 0).n_targets > 0, len(cache.notices))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_DATA counts mapped memory on Linux only")
@pytest.mark.parametrize("ending", ["txt", "jsonl"])
def test_a_file_larger_than_the_memory_is_learnt_from_and_encoded(tmp_path, ending):
    lines = ["".join(chr(0x4E00 + (17 * i + 31 * k * k) % 3000) for k in range(300)) for i in range(100)]
    lines = [json.dumps({"text": line}, ensure_ascii=False) for line in lines] if ending == "jsonl" else lines
    path, copies = tmp_path / f"large.{ending}", 600
    with path.open("wb") as file:
        for _ in range(copies):
            file.write(("\n".join(lines) + "\n").encode())
    room = 30 << 20
    assert path.stat().st_size > 1.7 * room
    environment = {**os.environ, "PYTHONPATH": str(Path(rgz.__file__).parents[1]), "OPENBLAS_NUM_THREADS": "1"}
    environment |= {"XDG_CACHE_HOME": str(tmp_path), "RGZ_LANG": "en"}
    build = "import rgz; rgz.WordTokenizer.train(['太阳'])"  # jieba's dictionary, which takes more than there is room
    subprocess.run([sys.executable, "-c", build], env=environment, check=True, timeout=100)
    done = subprocess.run(
        [sys.executable, "-c", STREAM, path, str(room)], env=environment, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr[-2000:]
    documents, tokens, learns, notices = done.stdout.split()
    assert (documents, learns, notices) == ("54000", "True", "1") and int(tokens) > 54_000 * 100
