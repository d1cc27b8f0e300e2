"""Byte-level BPE: merges as the definition says, ids and merges of Hugging Face's tokenizers, for any threads."""

import itertools
import json
import threading
import unicodedata
from collections import Counter

import numpy as np
import pytest
import tokenizers as hf
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rgz import _kernels
from rgz.errors import RgzError
from rgz.text import BPETokenizer
from rgz.text.byte_level import PATTERNS
from rgz.text.huggingface import _REGEX

CORPUS = [
    "太阳从东方升起，人民在学习人工智能。人工智能是计算机科学的一个分支，学习它要有耐心。\n",
    "It's what we'll learn: the learner's learning, don't you'd think?\n  two  spaces\t\r\n\r\n",
    "2024年10月1日 ３．１４ ½ ² 第Ⅳ章 😀👨\u200d👩\u200d👧\ufe0f e\u0301 𠀀𪚥 café\u3000\u2028\xa0\x85",
] * 3
# A few of every kind: letters, numbers, spaces, line ends, marks, what contractions are made of.
MIXED = " \n\r\t\x0b'''sStTmMdDrReEvVlLſK12½Ⅳa，。、中国人\u3000\xa0\x85\u2028\u200b\ufeffé\u0301𠀀😀-_"


SAME_UNICODE = unicodedata.unidata_version == _kernels.unicode_version()  # one wheel serves many Pythons
UNICODE = unicodedata if SAME_UNICODE else unicodedata.ucd_3_2_0


def assigned(character: str) -> bool:
    """Newer versions of Unicode, one of which the rival knows, turn other code points into letters."""
    return UNICODE.category(character) not in ("Cn", "Cs")


any_assigned = st.text(st.characters(exclude_categories=("Cn", "Cs")).filter(assigned), max_size=30)
any_text = any_assigned | st.text(MIXED, max_size=30) | st.text("中国人民', \n", min_size=60, max_size=200)


def rival(pattern: str) -> hf.Tokenizer:
    """An untrained byte-level BPE of Hugging Face's."""
    tokenizer = hf.Tokenizer(hf.models.BPE())
    steps = hf.pre_tokenizers
    if pattern == "gpt2":
        tokenizer.pre_tokenizer = steps.ByteLevel(add_prefix_space=False)
    else:
        split = steps.Split(hf.Regex(_REGEX[pattern]), "isolated")
        tokenizer.pre_tokenizer = steps.Sequence([split, steps.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = hf.decoders.ByteLevel()
    return tokenizer


def train_rival(texts, pattern, vocab_size, min_frequency=1) -> list[list[str]]:
    tokenizer = rival(pattern)
    alphabet = hf.pre_tokenizers.ByteLevel.alphabet()
    special = ["<|pad|>", "<|bos|>", "</s>", "<|sep|>"]
    trainer = hf.trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        initial_alphabet=alphabet,
        special_tokens=special,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return json.loads(tokenizer.to_str())["model"]["merges"]


def merges_of(tokenizer: BPETokenizer) -> list[list[str]]:
    return [merge.split(" ") for merge in tokenizer.to_dict()["model"]["merges"]]


def merge_by_definition(piece: bytes, ranks: dict[tuple[bytes, bytes], int]) -> list[bytes]:
    """Merge the leftmost pair of the lowest rank until there is none."""
    symbols = [bytes([value]) for value in piece]
    while True:
        known = [(ranks[pair], i) for i, pair in enumerate(itertools.pairwise(symbols)) if pair in ranks]
        if not known:
            return symbols
        _, i = min(known)
        symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]


def train_by_definition(words: Counter[bytes], vocab_size: int) -> list[tuple[bytes, bytes]]:
    """Count all pairs anew before each merge; on plain ASCII, where bytes are in the order of their characters."""
    rows = {word: [word[i : i + 1] for i in range(len(word))] for word in words}
    order = {bytes([value]): value for value in range(256)}
    merges = []
    while len(merges) < vocab_size - 260:
        pairs: Counter[tuple[bytes, bytes]] = Counter()
        for word, count in words.items():
            for pair in itertools.pairwise(rows[word]):
                pairs[pair] += count
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], order[pair[0]], order[pair[1]]))
        order[best[0] + best[1]] = 256 + len(merges)
        merges.append(best)
        ranks = {pair: rank for rank, pair in enumerate(merges)}
        rows = {word: merge_by_definition(word, ranks) for word in words}
    return merges


def ids_of(tokenizer: BPETokenizer, texts, **options) -> list[list[int]]:
    portions = tokenizer.encode_stream(texts, **options)
    return [ids[a:b].tolist() for ids, offsets in portions for a, b in itertools.pairwise(offsets.tolist())]


@pytest.fixture(params=PATTERNS)
def pattern(request):
    return request.param


@pytest.fixture(scope="module")
def trained():
    return {pattern: BPETokenizer.train(CORPUS, 450, pattern=pattern) for pattern in PATTERNS}


@pytest.fixture(scope="module")
def rivals(trained, tmp_path_factory):
    """The tokenizers that Hugging Face reads from the files of ours."""
    folder = tmp_path_factory.mktemp("bpe")
    found = {}
    for pattern, tokenizer in trained.items():
        tokenizer.save(folder / f"{pattern}.json")
        found[pattern] = hf.Tokenizer.from_file(str(folder / f"{pattern}.json"))
    return found


def test_a_piece_is_merged_as_the_definition_says(trained, pattern):
    tokenizer = trained[pattern]
    ranks = {pair: rank for rank, pair in enumerate(tokenizer.merges)}

    @settings(max_examples=150)
    @given(st.text("太阳人工智能学习的计算机", max_size=100) | st.text("learnigthu", max_size=400))
    def check(text):  # long ones are merged in a heap, short ones in a row
        expected = merge_by_definition(text.encode(), ranks)
        assert [tokenizer.token_bytes(i) for i in tokenizer.encode(text)] == expected

    check()


@pytest.mark.parametrize("length", [1, 2, 45, 46, 47, 158, 159, 160, 161, 162, 700])
def test_pieces_of_every_length_are_merged_alike(length):
    tokenizer = BPETokenizer.train(["a" * 37 + "b" * 11, "ab" * 9, "aab" * 20], 290)
    ranks = {pair: rank for rank, pair in enumerate(tokenizer.merges)}
    for word in ("a" * length, ("ab" * length)[:length], ("aab" * length)[:length]):
        expected = merge_by_definition(word.encode(), ranks)
        for _ in range(2):  # the second time it may be remembered
            assert [tokenizer.token_bytes(i) for i in tokenizer.encode(word)] == expected


def test_merges_are_learnt_as_the_definition_says():
    @settings(max_examples=60)
    @given(st.lists(st.text("aab", min_size=1, max_size=12) | st.text("abcdefg", min_size=1, max_size=8), max_size=12))
    def check(words):
        expected = train_by_definition(Counter(word.encode() for word in words), 290)
        assert BPETokenizer.train(words, 290).merges == expected

    check()


def test_the_pieces_are_those_of_the_rival(pattern):
    steps = rival(pattern).pre_tokenizer
    known = BPETokenizer.train([], pattern=pattern)

    def theirs(text):
        spans = [span for _, span in steps.pre_tokenize_str(text)]
        return [text[start:end] for start, end in spans if end > start]

    @settings(max_examples=600)
    @given(any_text)
    def check(text):
        assert known.pieces(text) == theirs(text)

    check()
    for first, second in itertools.product(sorted(set(MIXED)), repeat=2):
        for text in (f"a{first}{second}", f"{first} {second}{first}", f"'{first}{second}1"):
            assert known.pieces(text) == theirs(text), ascii(text)


def test_every_character_is_in_the_class_that_the_rival_puts_it_in(pattern):
    steps = rival(pattern).pre_tokenizer
    every = [chr(code) for code in range(0x110000) if code % 17 == 0 or code < 0x3000]
    text = "".join(f"a{c}{c}1{c} {c}\n" for c in every if assigned(c) and UNICODE.category(c) != "Co")
    assert BPETokenizer.train([], pattern=pattern).pieces(text) == [
        text[start:end] for _, (start, end) in steps.pre_tokenize_str(text)
    ]


def test_ids_are_those_of_the_rival(trained, rivals, pattern):
    @settings(max_examples=600)
    @given(any_text)
    def check(text):
        assume(not any(token.content in text for token in trained[pattern].added_tokens))
        ids = trained[pattern].encode(text)
        assert ids == rivals[pattern].encode(text).ids
        assert rivals[pattern].decode(ids) == text == trained[pattern].decode(ids)

    check()
    for text in CORPUS:
        assert trained[pattern].encode(text * 50) == rivals[pattern].encode(text * 50).ids


@pytest.mark.parametrize("min_frequency", [1, 3])
def test_merges_are_those_of_the_rival(pattern, min_frequency):
    expected = train_rival(CORPUS, pattern, 600, min_frequency)
    assert merges_of(BPETokenizer.train(CORPUS, 600, min_frequency, pattern=pattern)) == expected


def test_merges_are_those_of_the_rival_on_any_texts():
    @settings(max_examples=60)
    @given(st.lists(st.text("aab", max_size=30) | st.text("中国人，a ", max_size=60), max_size=12))
    def check(texts):
        assert merges_of(BPETokenizer.train(texts, 330, pattern="gpt2")) == train_rival(texts, "gpt2", 330)

    check()


def test_results_do_not_depend_on_the_thread_count(pattern):
    texts = [text * 900 for text in CORPUS] + [text for text in CORPUS for _ in range(300)]
    assert sum(map(len, texts)) > 500_000  # several stretches, several documents
    one, two, three = (BPETokenizer.train(texts, 400, pattern=pattern, n_threads=n) for n in (1, 2, 3))
    assert one.fingerprint == two.fingerprint == three.fingerprint
    first = ids_of(one, texts, n_threads=1)
    assert first == ids_of(one, texts, n_threads=2) == ids_of(one, texts, n_threads=3)
    assert first == [one.encode(text) for text in texts]


def test_a_long_text_is_cut_for_the_threads_where_it_makes_no_difference(trained, rivals, pattern):
    lines = ["\n", "\r\n", "\n\n", " \n", "中\n", "'s\n", "1\n", "\n.", "\n 国", "\n'", "\ufeff\n"]
    text = "".join(lines[i * i % 11] + "学习a"[i % 3] for i in range(60_000))
    assert trained[pattern].encode(text) == rivals[pattern].encode(text).ids


def test_calls_of_several_python_threads_do_not_disturb_each_other(trained):
    tokenizer = trained["qwen2"]
    texts = [CORPUS[i % 3] * (i % 40 + 1) for i in range(200)]
    expected = ids_of(tokenizer, texts)
    results = [None] * 4

    def work(number):
        results[number] = [tokenizer.encode(text) for text in texts]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 4


def test_texts_may_come_one_by_one_in_any_order():
    one = BPETokenizer.train(CORPUS, 400)
    assert BPETokenizer.train(iter(CORPUS[::-1]), 400).fingerprint == one.fingerprint
    assert BPETokenizer.train(["", *CORPUS, ""], 400).fingerprint == one.fingerprint


def test_without_texts_the_vocabulary_is_the_bytes():
    tokenizer = BPETokenizer.train([])
    assert tokenizer.vocab_size == 260 and tokenizer.encode("a学") == [4 + byte for byte in "a学".encode()]
    assert ids_of(tokenizer, []) == [] and ids_of(tokenizer, ["", "a", ""]) == [[], [101], []]


def test_any_number_of_texts_goes_through_in_portions(trained, monkeypatch):
    monkeypatch.setattr("rgz.text.batch._GROUP", 200)
    told = []
    taken = []
    portions = trained["qwen2"].encode_stream(
        map(lambda text: taken.append(1) or text, CORPUS * 20), progress=lambda *n: told.append(n)
    )
    next(portions)
    assert len(taken) < 6
    list(portions)
    assert told[-1] == (len(CORPUS) * 20, sum(map(len, CORPUS)) * 20) and len(told) > 20
    assert ids_of(trained["qwen2"], CORPUS) == [trained["qwen2"].encode(text) for text in CORPUS]
    assert BPETokenizer.train(CORPUS, 450).fingerprint == trained["qwen2"].fingerprint


def test_a_text_too_long_for_the_kernels_is_refused(trained, monkeypatch):
    monkeypatch.setattr("rgz.text.byte_level._LONGEST_TEXT", 10)
    for call in (trained["gpt2"].encode, lambda text: BPETokenizer.train([text])):
        with pytest.raises(RgzError, match="at most 2 GB, got 12 bytes"):
            call("学而时习")


def test_a_run_of_letters_without_end_is_trained_on_and_encoded():
    text = "学而时习之" * 40_000 + "b" * 100_000
    tokenizer = BPETokenizer.train([text], 300)
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert len(tokenizer.encode(text)) < len(text) / 4


def test_a_wrong_pattern_and_normalizer_are_named():
    with pytest.raises(RgzError, match="unknown pattern 'gpt3'; did you mean 'gpt2'"):
        BPETokenizer.train(CORPUS, pattern="gpt3")
    with pytest.raises(RgzError, match="unknown normalizer 'NFD'; did you mean 'NFC'"):
        BPETokenizer({}, [], normalizer="NFD")


# ---- what the binding refuses

BYTES = np.arange(256, dtype=np.int32)
NO_MERGES = np.empty((0, 3), np.int32)


def offsets(*values):
    return np.array(values, np.int64)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: _kernels.piece_ends(b"a", 2), "pattern"),
        (lambda: _kernels.BPETrainer(-1, 1), "pattern"),
        (lambda: _kernels.BPETrainer(0, 0), "n_threads"),
        (lambda: _kernels.BPETrainer(0, 1).add(b"abc", offsets(0, 2)), "last offset"),
        (lambda: _kernels.BPETrainer(0, 1).add(b"abc", offsets(0, 4, 3)), "a document must have"),
        (lambda: _kernels.BPETrainer(0, 1).add(b"abc", offsets()), "length of offsets"),
        (lambda: _kernels.BPETrainer(0, 1).learn(np.empty((1, 3), np.int32), BYTES, 1), "columns"),
        (lambda: _kernels.BPETrainer(0, 1).learn(np.empty((1, 2), np.int32), BYTES + 1, 1), "byte_symbols"),
        (lambda: _kernels.BPEEncoder(0, BYTES[:255], NO_MERGES), "byte_symbols"),
        (lambda: _kernels.BPEEncoder(0, BYTES * 0, NO_MERGES), "byte_symbols"),
        (lambda: _kernels.BPEEncoder(0, BYTES, NO_MERGES[:, :2].copy()), "columns"),
        (lambda: encode(ids=2), "length of ids"),
        (lambda: encode(lengths=2), "length of lengths"),
        (lambda: encode(n_threads=0), "n_threads"),
    ],
)
def test_wrong_sizes_are_refused(call, reason):
    with pytest.raises(ValueError, match=reason):
        call()


def encode(ids=3, lengths=1, n_threads=1):
    encoder = _kernels.BPEEncoder(0, BYTES, NO_MERGES)
    encoder.encode(np.empty(ids, np.int32), np.empty(lengths, np.int64), b"abc", offsets(0, 3), n_threads)


@settings(max_examples=300)
@given(st.binary(max_size=60), st.integers(0, 1))
def test_bytes_that_are_no_text_are_cut_and_encoded_too(data, pattern):
    ends = _kernels.piece_ends(data, pattern)
    assert ends == sorted(set(ends)) and (ends[-1:] or [0])[0] == len(data) and 0 not in ends
    ids, lengths = np.empty(len(data), np.int32), np.empty(1, np.int64)
    _kernels.BPEEncoder(pattern, BYTES, NO_MERGES).encode(ids, lengths, data, offsets(0, len(data)), 1)
    assert ids.tolist() == list(data) and lengths[0] == len(data)
