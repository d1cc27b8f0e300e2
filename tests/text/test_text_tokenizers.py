"""Tokenizers give back any text exactly, and give the ids that Python looks up."""

import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jieba_oracle import ids_of, jieba_tokenizer
from tokenizer_samples import CORPUS, NASTY, TOKENIZERS

from rgz.errors import RgzError
from rgz.text import BPETokenizer, ByteTokenizer, CharTokenizer, WordTokenizer

any_text = st.text(st.characters(), max_size=40) | st.text("太阳人工智能学习的a1 \r\n\ud800😀", max_size=40)


@pytest.fixture(scope="module")
def jieba():
    return jieba_tokenizer()


@pytest.mark.parametrize("kind", [WordTokenizer, CharTokenizer, ByteTokenizer, BPETokenizer])
def test_all_kinds_are_trained_alike_and_not_on_one_text(kind):
    options = {} if kind is BPETokenizer else {"character_coverage": 0.9}
    assert isinstance(kind.train(iter(CORPUS), vocab_size=300, min_frequency=2, n_threads=2, **options), kind)
    with pytest.raises(RgzError, match=r"a list of texts is wanted, got one text; write \[text\]"):
        kind.train(CORPUS[0])


@pytest.mark.parametrize("kind", [WordTokenizer, CharTokenizer, BPETokenizer])
def test_what_training_and_encoding_are_given_is_checked(kind):
    for vocab_size in (300.5, "300"):
        with pytest.raises(RgzError, match=r"vocab_size must be an integer of at least 260 .*, got '?300"):
            kind.train(CORPUS, vocab_size=vocab_size)
    tokenizer = kind.train(CORPUS, min_frequency=10**30)
    with pytest.raises(RgzError, match=r"a list of texts is wanted, got one text"):
        tokenizer.encode_batch(CORPUS[0])
    with pytest.raises(RgzError, match=r"n_threads must be an integer in 1\.\."):
        tokenizer.encode_batch(CORPUS, n_threads=0)


@pytest.mark.parametrize("text", NASTY + CORPUS)
def test_decoding_gives_back_what_was_encoded(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("name", list(TOKENIZERS))
def test_decoding_gives_back_any_text(name):
    @settings(max_examples=200)
    @given(any_text)
    def check(text):
        tokenizer = TOKENIZERS[name]
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids) == text
        assert tokenizer.decode(ids, skip_special_tokens=False) == text
        assert not tokenizer.special_ids & set(ids)
        assert all(0 <= i < tokenizer.vocab_size for i in ids)
        assert b"".join(map(tokenizer.token_bytes, ids)) == text.encode("utf-8", "surrogatepass")

    check()


@settings(max_examples=100)
@given(st.lists(st.integers(4, TOKENIZERS["word"].vocab_size - 1), max_size=30))
def test_decoding_any_ids_gives_a_text_that_round_trips(ids):
    tokenizer = TOKENIZERS["word"]
    text = tokenizer.decode(ids)
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_ids_are_where_they_were_promised(tokenizer):
    assert (tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id, tokenizer.sep_id) == (0, 1, 2, 3)
    assert tokenizer.special_ids == {0, 1, 2, 3}
    assert tokenizer.decode([0, 1, 2, 3], skip_special_tokens=False) == "<|pad|><|bos|></s><|sep|>"
    assert [tokenizer.token_bytes(4 + value) for value in range(256)] == [bytes([v]) for v in range(256)]
    assert len(tokenizer) == tokenizer.vocab_size >= 260


def test_special_tokens_are_left_out_of_text_on_request_only(tokenizer):
    ids = [tokenizer.bos_id, *tokenizer.encode("你好"), tokenizer.eos_id]
    assert tokenizer.decode(ids) == "你好"
    assert tokenizer.decode(ids, skip_special_tokens=False) == "<|bos|>你好</s>"


def test_ids_may_be_a_numpy_array(tokenizer):
    assert tokenizer.decode(np.array(tokenizer.encode("太阳🌞"), np.int32)) == "太阳🌞"


@pytest.mark.parametrize("wrong", [-1, 10**6])
def test_an_id_outside_the_vocabulary_is_refused(tokenizer, wrong):
    with pytest.raises(RgzError, match=f"token id {wrong} must be in 0..{tokenizer.vocab_size - 1}"):
        tokenizer.decode([wrong])


def test_a_batch_is_encoded_like_its_texts(tokenizer):
    texts = ["", *CORPUS, *NASTY, "", "太阳" * 200_000, "学习"]
    alone = [tokenizer.encode(text) for text in texts]
    told = []
    for n_threads in (1, 2, 3):
        ids, offsets = tokenizer.encode_batch(iter(texts), n_threads, lambda *done: told.append(done))
        assert (ids.dtype, offsets.dtype) == (np.int32, np.int64)
        assert ids.tolist() == [i for text in alone for i in text]
        assert offsets.tolist() == np.cumsum([0, *map(len, alone)]).tolist()
    assert told == told[:3] * 3 and len(told) == 9
    assert told[2] == (len(texts), sum(map(len, texts)))
    ids, offsets = tokenizer.encode_batch([])
    assert (ids.tolist(), offsets.tolist()) == ([], [0])
    with pytest.raises(RgzError, match="got one text"):
        tokenizer.encode_batch("太阳")


@pytest.mark.parametrize("name", ["word", "word without words"])
def test_ids_are_those_that_python_looks_up(jieba, name):
    tokenizer = TOKENIZERS[name]

    @settings(max_examples=150)
    @given(any_text)
    def check(text):
        expected = ids_of(jieba.cut(text, HMM=False), tokenizer.characters, tokenizer.words)
        assert tokenizer.encode(text) == expected

    check()


def test_a_corpus_of_any_size_is_encoded_in_bounded_memory():
    tokenizer = TOKENIZERS["word"]
    text = "太阳从东方升起，人民在学习人工智能。\n" * 50

    def encode(n):
        """The most bytes that were allocated while n times 950 characters went through."""
        tracemalloc.start()
        tokens = sum(len(ids) for ids, _ in tokenizer.encode_stream(text + str(i) for i in range(n)))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert tokens > 500 * n
        return peak

    encode(300)
    assert encode(12_000) < min(1.2 * encode(600), 16_000_000) < 3 * 12_000 * len(text)  # bytes of it in UTF-8


ENCODE_FILE = """
import resource, sys
from rgz.text import WordTokenizer
tokenizer = WordTokenizer.train(["太阳从东方升起，人民在学习人工智能。"])
tokenizer.encode_batch(["太阳，" * 200_000], n_threads=2)
pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + int(sys.argv[2]),) * 2)
tokens = 0
with open(sys.argv[1], encoding="utf-8") as lines:
    for ids, _ in tokenizer.encode_stream(lines, n_threads=2):
        tokens += len(ids)
print(tokens)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux to ask for the memory in use")
def test_a_file_larger_than_the_memory_that_is_left_is_encoded(tmp_path):
    path, line = tmp_path / "large.txt", "太阳从东方升起，人民在学习人工智能。\n"
    path.write_text(line * 900_000, encoding="utf-8")
    free = path.stat().st_size // 2
    done = subprocess.run(
        [sys.executable, "-c", ENCODE_FILE, str(path), str(free)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 900_000 * len(WordTokenizer.train([line]).encode(line))


def test_encoding_twice_gives_the_same_ids(tokenizer):
    text = "".join(CORPUS + NASTY)
    assert tokenizer.encode(text) == tokenizer.encode(text)
