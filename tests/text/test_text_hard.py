"""What text should not be and sometimes is; with the tests of dictionaries, what sanitizers have to see (`-m hard`)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jieba_oracle import ids_of, jieba_tokenizer
from tokenizer_samples import CORPUS, NASTY, TOKENIZERS

from rgz.errors import RgzError
from rgz.text import BPETokenizer, Segmenter, WordTokenizer, segment
from rgz.text import batch as module

pytestmark = pytest.mark.hard
LONG = {
    "Han without end": "太阳从东方升起" * 300_000,
    "one letter": "a" * 6_000_000,
    "zeros": "\0" * 2_000_000,
    "lone surrogates": "\ud800" * 1_000_000 + "\udc00太",
    "beyond the BMP": "𠀀😀" * 500_000,
    "returns": "\r" * 1_000_000 + "\n",
    "white space": " \t" * 1_000_000,
}


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
@pytest.mark.parametrize("kind", ["word", "bpe"])
def test_a_line_that_does_not_end_is_encoded_as_its_pieces_are(text, kind):
    tokenizer = TOKENIZERS[kind]
    [(ids, offsets)] = tokenizer.encode_stream([text], n_threads=2)
    assert offsets.tolist() == [0, len(ids)] and ids.min() >= 4
    assert b"".join(map(tokenizer.token_bytes, ids.tolist())) == text.encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
@pytest.mark.parametrize("hmm", [False, True], ids=["dictionary", "hmm"])
def test_a_line_that_does_not_end_is_cut_alike_on_any_number_of_threads(text, hmm):
    segmenter = Segmenter()
    alone, _ = segmenter.word_ends([text], hmm, n_threads=1)
    assert alone[-1] == len(text) and (np.diff(alone) > 0).all()
    assert np.array_equal(alone, segmenter.word_ends([text], hmm, n_threads=3)[0])


@pytest.mark.parametrize("kind", [WordTokenizer, BPETokenizer])
def test_a_line_that_does_not_end_is_counted(kind):
    trained = kind.train(LONG.values(), vocab_size=300, n_threads=2)
    assert trained.decode(trained.encode("太阳\0\ud800a")) == "太阳\0\ud800a"


JIEBA = jieba_tokenizer()
any_text = st.text(st.characters(codec=None), max_size=60) | st.text(
    "太阳人工智能学习的a1.%\r\n\ud800😀𠀀\0", max_size=60
)


@settings(max_examples=300)
@given(st.lists(any_text, max_size=5), st.booleans(), st.integers(1, 3))
def test_words_are_those_of_jieba_and_the_text_again(texts, hmm, n_threads):
    cut = JIEBA.cut
    expected = [list(cut(text, HMM=hmm)) for text in texts]
    segmenter = Segmenter()
    for _ in range(2):  # words made before are found again
        assert segmenter.segment_batch(texts, hmm, n_threads) == expected
        assert [segment(text, hmm) for text in texts] == expected


def test_words_that_differ_in_zeros_alone_are_told_apart():
    tokens = segment("a\0a\0\0aa\0\0\0")
    assert "".join(tokens) == "a\0a\0\0aa\0\0\0"
    assert segment("\0") == ["\0"] and segment("a") == ["a"] and segment("a\0") == ["a", "\0"]


@pytest.mark.parametrize("wrong", [5, None, b"bytes", ["a"]], ids=str)
def test_what_is_no_text_is_refused_by_its_kind(wrong):
    texts = [*CORPUS, wrong]
    calls = [kind.train for kind in (WordTokenizer, BPETokenizer)]
    calls += [TOKENIZERS[kind].encode_batch for kind in ("word", "char", "byte", "bpe")]
    calls += [Segmenter().segment_batch, Segmenter().word_ends]
    for call in calls:
        with pytest.raises(RgzError, match=f"texts must be str, got {type(wrong).__name__}"):
            call(texts)


def test_a_text_longer_than_places_can_tell_is_refused(monkeypatch):
    monkeypatch.setattr(module, "_LONGEST", 100)
    monkeypatch.setattr(module, "_GROUP", 50)  # never more than a text may have
    for kind in ("word", "bpe"):
        with pytest.raises(RgzError, match=r"one text must have fewer than 2\*\*31 characters, got 101"):
            TOKENIZERS[kind].encode_batch(["太" * 101])


def test_texts_of_all_kinds_in_one_batch_have_the_ids_of_each():
    texts = [*NASTY, *CORPUS, "太阳" * 5000, "", "a" * 9000] * 3
    tokenizer, cut = TOKENIZERS["word"], JIEBA.cut
    ids, offsets = tokenizer.encode_batch(texts, n_threads=2)
    for number, text in enumerate(texts):
        assert ids[offsets[number] : offsets[number + 1]].tolist() == ids_of(
            cut(text, HMM=False), tokenizer.characters, tokenizer.words
        )
