"""Cutting equals jieba's, with and without its hidden Markov model, for any text and any number of threads."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jieba_oracle import jieba_tokenizer

from rgz import _kernels
from rgz.errors import RgzError
from rgz.text import segment
from rgz.text.segment import Segmenter, default_segmenter

TEXTS = [
    "",
    "太阳从东方升起，人民在学习人工智能。",
    "研究生命的起源，南京市长江大桥",
    "我来到北京清华大学，小明硕士毕业于中国科学院计算所，后在日本京都大学深造",
    "他来到了网易杭研大厦。李小福是创新办主任也是云计算方面的专家",
    "AT&T和C++程序员去看B超，穿T恤 iPhone15-Pro v1.2.3 100%",
    "中a1.5%b文..--_1.x杭研3.%9",
    "a,b\r\n\r\nc\n\rd\t　e",
    "\ud800中\x00国\u2028人\x85𠀀龦鿕鿖㐀",
    "㐀𠀀𪚥𫝀𰀀龥鿕㵑",
    "曌皛𠮷鿕鿔囍龗靐齉爩纞",
]


@pytest.fixture(scope="module")
def jieba():
    return jieba_tokenizer()


def cut(tokenizer, text, hmm):
    return list(tokenizer.cut(text, HMM=hmm))


@pytest.mark.parametrize("hmm", [False, True])
@pytest.mark.parametrize("text", TEXTS)
def test_words_are_those_of_jieba(jieba, text, hmm):
    assert segment(text, hmm) == cut(jieba, text, hmm)
    assert "".join(segment(text, hmm)) == text


@pytest.mark.parametrize("hmm", [False, True])
def test_words_are_those_of_jieba_on_any_text(jieba, hmm):
    usual = st.sampled_from("一中国人民大学生活动物理解放心杭研曌鼗a1B-.#%+_ \r\n\t，C龦鿖㐀𠀀é😀\ud800\x00")
    character = usual | st.characters() | st.integers(0x4E00, 0x9FFF).map(chr) | st.integers(0x20000, 0x323AF).map(chr)

    @settings(max_examples=300)
    @given(st.text(character, max_size=24))
    def check(text):
        assert segment(text, hmm) == cut(jieba, text, hmm)

    check()


def random_texts(jieba, n, longest):
    rng = random.Random(20240607)
    words = sorted(jieba.FREQ)
    signs = ["，", "\r\n", " ", "。", "3.14%", "C++", "😀", "𠮷", "\x00", "\ud83d"]
    return [
        "".join(rng.choice(words if rng.random() < 0.7 else signs) for _ in range(rng.randrange(longest)))
        for _ in range(n)
    ]


@pytest.mark.parametrize("hmm", [False, True])
def test_words_are_those_of_jieba_on_texts_of_its_words(jieba, hmm):
    for text in random_texts(jieba, 600, 20):
        assert segment(text, hmm) == cut(jieba, text, hmm)


@pytest.mark.parametrize("hmm", [False, True])
def test_texts_longer_than_a_span_and_a_batch_are_cut_the_same(jieba, hmm):
    long = "".join(random_texts(jieba, 800, 20))
    unbroken = "中国人民大学生活动物理解放心" * 3000  # a run that no boundary divides
    for text in (long, unbroken, "\r\n" * 10_000, "a" * 20_000):
        expected = cut(jieba, text, hmm)
        assert segment(text, hmm) == expected
        assert Segmenter().segment_batch(["前", text, "", "后"], hmm) == [["前"], expected, [], ["后"]]


def test_a_text_many_times_a_batch_is_cut_in_parts():
    text = "学习，" * 300_000
    assert segment(text) == ["学习", "，"] * 300_000
    [words] = Segmenter().segment_batch([text])
    assert words == ["学习", "，"] * 300_000


@pytest.mark.parametrize("hmm", [False, True])
def test_batches_and_threads_change_nothing(jieba, hmm):
    texts = random_texts(jieba, 3000, 40)
    alone = [segment(text, hmm) for text in texts]
    results = [Segmenter().word_ends(iter(texts), hmm, n_threads=n) for n in (1, 2, 3)]
    for ends, offsets in results:
        np.testing.assert_array_equal(ends, results[0][0])
        np.testing.assert_array_equal(offsets, results[0][1])
    ends, offsets = results[0]
    assert ends.dtype == np.int32 and len(offsets) == len(texts) + 1
    for words, first, last in zip(alone, offsets, offsets[1:], strict=False):
        assert ends[first:last].tolist() == np.cumsum([len(word) for word in words]).tolist()
    assert Segmenter().segment_batch(texts, hmm, n_threads=2) == alone


def test_no_texts_have_no_words():
    assert Segmenter().segment_batch([]) == []
    ends, offsets = Segmenter().word_ends([])
    assert (len(ends), offsets.tolist()) == (0, [0])


def test_what_is_no_text_is_refused():
    with pytest.raises(RgzError, match="texts must be str, got bytes: b'bytes'"):
        segment(b"bytes")
    with pytest.raises(RgzError, match="texts must be str, got bytes: b'bytes'"):
        Segmenter().segment_batch(["a", b"bytes"])
    for cut_batch in (Segmenter().segment_batch, Segmenter().word_ends):
        with pytest.raises(RgzError, match="a list of texts is wanted, got one text"):
            cut_batch("人民")


# ---- the binding refuses what would leave the arrays


def good():
    text = np.array([0x5B66, 0x4E60, 10], np.uint32)
    return {
        "ends": np.zeros(3, np.int32),
        "counts": np.zeros(1, np.int64),
        "dictionary": default_segmenter().dictionary,
        "text": text,
        "spans": np.array([0, 3]),
        "starts": np.zeros(1, np.int32),
        "hmm": False,
        "scratch": np.zeros(_kernels.text_scratch(3, 2), np.uint8),
        "n_threads": 2,
    }


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"ends": np.zeros(2, np.int32)}, "length of ends must be at least 3, got 2"),
        ({"counts": np.zeros(2, np.int64)}, "length of counts must be 1, got 2"),
        ({"starts": np.zeros(2, np.int32)}, "length of starts must be 1, got 2"),
        ({"spans": np.array([0, 4])}, "last of spans must be 3, got 4"),
        (
            {"spans": np.array([0, 5, 3]), "counts": np.zeros(2, np.int64), "starts": np.zeros(2, np.int32)},
            "spans must rise .*, got 5, 3 at 1",
        ),
        ({"spans": np.array([], np.int64)}, "length of spans must be at least 1, got 0"),
        ({"scratch": np.zeros(64, np.uint8)}, "length of scratch must be at least 128, got 64"),
        ({"n_threads": 0}, r"n_threads must be in \[1, 1024\], got 0"),
    ],
)
def test_wrong_arrays_are_refused(changed, reason):
    assert _kernels.text_cut(**good()) == 2
    with pytest.raises(ValueError, match=reason):
        _kernels.text_cut(**(good() | changed))


def test_a_block_that_is_no_dictionary_is_refused():
    with pytest.raises(ValueError, match="the block must be one that dictionary_build has filled"):
        _kernels.TextDictionary(np.zeros(10_000_000, np.uint8))
    with pytest.raises(ValueError, match="the block must be one"):
        _kernels.TextDictionary(np.zeros(16, np.uint8))
