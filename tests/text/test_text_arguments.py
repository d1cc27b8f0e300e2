"""Arguments of a wrong kind are refused where they are given, in a sentence that says what is wanted and what came."""

import numpy as np
import pytest
from tokenizer_samples import CORPUS, TOKENIZERS

from rgz.errors import RgzError
from rgz.text import (
    BPETokenizer,
    ByteTokenizer,
    CharTokenizer,
    Segmenter,
    WordTokenizer,
    encode_chat,
    encode_prompt,
    segment,
)
from rgz.text.byte_level import AddedToken

KINDS = (WordTokenizer, CharTokenizer, ByteTokenizer, BPETokenizer)
NO_LISTS = [
    (5, "a list of texts is wanted, got 5"),
    ("x", "got one text"),
    (None, "a list of texts is wanted, got None"),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", ["a", 1.5, -3, None, True])
def test_the_least_frequency_is_an_integer(kind, value):
    with pytest.raises(RgzError, match=f"min_frequency must be an integer, >= 0, got {value!r}"):
        kind.train(iter(()), min_frequency=value)


def test_any_kind_of_integer_is_one():
    trained = [kind.train(CORPUS, np.int64(400), np.int32(2)).fingerprint for kind in KINDS]
    assert trained == [kind.train(CORPUS, 400, 2).fingerprint for kind in KINDS]
    ids = TOKENIZERS["word"].encode(CORPUS[0])
    assert TOKENIZERS["word"].decode(np.array(ids, np.uint16)) == CORPUS[0]


@pytest.mark.parametrize("kind", [WordTokenizer, CharTokenizer, ByteTokenizer])
@pytest.mark.parametrize("value", ["a", None, float("nan"), 2])
def test_a_share_is_a_number_from_0_to_1(kind, value):
    with pytest.raises(RgzError, match=rf"character_coverage must be in \[0, 1\], got {value!r}"):
        kind.train(iter(()), character_coverage=value)


@pytest.mark.parametrize(("value", "reason"), NO_LISTS)
def test_several_texts_are_a_list(tokenizer, value, reason):
    calls = [kind.train for kind in KINDS] + [tokenizer.encode_batch]
    calls += [Segmenter().segment_batch, Segmenter().word_ends]
    for call in calls:
        with pytest.raises(RgzError, match=reason):
            call(value)


@pytest.mark.parametrize("value", [5, None, b"x", ["a"]])
def test_a_text_is_one(tokenizer, value):
    for call in (tokenizer.encode, tokenizer.pieces, segment):
        with pytest.raises(RgzError, match="texts must be str, got "):
            call(value)


def test_a_text_may_be_of_a_kind_made_from_str(tokenizer):
    text = np.str_(CORPUS[0])
    assert tokenizer.encode(text) == tokenizer.encode(CORPUS[0])
    assert [*tokenizer.pieces(text)] == [*tokenizer.pieces(CORPUS[0])]
    assert Segmenter().segment_batch([text]) == [segment(text)] == [segment(CORPUS[0])]


@pytest.mark.parametrize("value", ["a", 1.5, None, [1]])
def test_an_id_is_an_integer(tokenizer, value):
    for call in (lambda i: tokenizer.decode([i]), tokenizer.token_bytes, tokenizer.stream().push):
        with pytest.raises(RgzError) as caught:
            call(value)
        assert str(caught.value) == f"a token id must be an integer, got {value!r}"


def test_ids_are_one_list(tokenizer):
    with pytest.raises(RgzError, match="a list of token ids is wanted, got 5"):
        tokenizer.decode(5)
    with pytest.raises(RgzError, match=r"a token id must be an integer, got array\(\[4, 5\]\)"):
        tokenizer.decode(np.array([[4, 5]]))


@pytest.mark.parametrize(
    "value", [5, [3], ["ab"], [("a",)], [("a", 1, 2)], [None], {"云": 3}, b"x"], ids=lambda value: repr(value)
)
def test_a_users_words_are_pairs(value):
    for call in (
        Segmenter,
        lambda v: WordTokenizer(user_words=v),
        lambda v: WordTokenizer.train([], user_dictionary=v),
    ):
        with pytest.raises(RgzError, match=r"a user's words must be pairs of \(word, frequency\), got "):
            call(value)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: CharTokenizer(5), "characters must be a text, got 5"),
        (lambda: CharTokenizer(["学"]), "characters must be a text"),
        (lambda: WordTokenizer("", 5), "a list of texts is wanted, got 5"),
        (lambda: WordTokenizer("", "学习"), "got one text"),
        (lambda: WordTokenizer("", [5]), "texts must be str, got int: 5"),
        (lambda: WordTokenizer("a"), "one text of non-ASCII characters"),
        (lambda: CharTokenizer("\ud800"), "one text of non-ASCII characters"),
        (lambda: WordTokenizer("你", ["x" * 30]), "texts of 2 to 24 characters"),
        (lambda: WordTokenizer("你", [""]), "texts of 2 to 24 characters"),
        (lambda: WordTokenizer("你", ["a\ud800"]), "texts of 2 to 24 characters"),
        (lambda: BPETokenizer({b"": 0}, []), "vocab must be"),
        (lambda: BPETokenizer({}, [], post_processor=5), "post_processor must be None / "),
        (lambda: BPETokenizer(5, []), r"vocab must be \{bytes: id\}, got 5"),
        (lambda: BPETokenizer({"a": 1}, []), "vocab must be"),
        (lambda: BPETokenizer({b"a": "x"}, []), "vocab must be"),
        (lambda: BPETokenizer({}, 5), r"merges must be \[\(bytes, bytes\)\], got 5"),
        (lambda: BPETokenizer({}, [(b"a", "b")]), "merges must be"),
        (lambda: BPETokenizer({}, [b"ab"]), "merges must be"),
        (lambda: BPETokenizer({}, [], added_tokens=["x"]), r"added_tokens must be \[AddedToken\], got \['x'\]"),
        (lambda: AddedToken("x", "a"), "id must be an integer, >= 0, got 'x'"),
        (lambda: AddedToken(0, 5), "content must be a text, got 5"),
        (lambda: AddedToken(0, "\ud800"), "content must be a text"),
    ],
)
def test_a_tokenizer_is_made_of_the_right_things(make, reason):
    with pytest.raises(RgzError, match=reason):
        make()


@pytest.mark.parametrize("value", [5, "x", ["x"], [{}], [{"role": "user"}], [{"role": "user", "content": 5}]])
def test_a_dialogue_is_made_of_messages(value):
    for call in (encode_chat, encode_prompt):
        with pytest.raises(RgzError, match="a message must be an object with role and content, got "):
            call(TOKENIZERS["byte"], value)
