"""Streaming: whole characters only, and together exactly what decoding at once gives."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rgz.text import BPETokenizer, ByteTokenizer, CharTokenizer, WordTokenizer

BYTES = ByteTokenizer()
WORDS = WordTokenizer.train(["人工智能，学习。"])
# 学 and 习 begin alike: there are tokens of parts of characters
MERGED = BPETokenizer.train(["学习字宇孥孧 of a 😀😁"] * 3 + ["习学字"], vocab_size=300)
ALL = [BYTES, WORDS, MERGED, CharTokenizer.train(["学习"])]


def as_ids(data):
    return [4 + byte for byte in data]


def test_a_character_appears_when_its_last_byte_has_come():
    stream = BYTES.stream()
    assert [stream.push(i) for i in as_ids("中😀é!".encode())] == [
        *["", "", "中"],
        *["", "", "", "😀"],
        *["", "é"],
        "!",
    ]
    assert stream.flush() == ""


def test_a_word_appears_at_once_and_special_tokens_never():
    stream = WORDS.stream()
    [word] = WORDS.encode("人工智能")
    assert [stream.push(i) for i in (WORDS.bos_id, word, WORDS.eos_id)] == ["", "人工智能", ""]


def test_special_tokens_appear_on_request():
    stream = WORDS.stream(skip_special_tokens=False)
    assert stream.push(WORDS.eos_id) == "</s>"


def test_an_unfinished_character_is_replaced_when_flushed_and_only_once():
    stream = BYTES.stream()
    assert [stream.push(i) for i in as_ids("中".encode()[:2])] == ["", ""]
    assert (stream.flush(), stream.flush()) == ("\ufffd", "")


def test_a_broken_character_does_not_hold_up_what_follows():
    stream = BYTES.stream()
    assert [stream.push(i) for i in as_ids(b"\xe4A\xffB")] == ["", "\ufffdA", "\ufffd", "B"]


@settings(max_examples=300)
@given(st.lists(st.integers(0, 259), max_size=20))
@example(as_ids(b"\xed\xa0\x80\xed\xb0\x80"))
@example(as_ids(b"\xed\xa0\xf0\x9f\x98"))
@example(as_ids(b"\xe0\x80\x80\xc0\xaf\xf8\x88"))
@example([*as_ids(b"\xe4\xb8"), 2, *as_ids(b"\xad")])
def test_the_pieces_together_are_the_text_decoded_at_once(ids):
    stream = BYTES.stream()
    assert "".join([*map(stream.push, ids), stream.flush()]) == BYTES.decode(ids)


@settings(max_examples=300)
@given(st.text(st.characters(), max_size=12))
def test_no_piece_of_any_text_holds_a_broken_character(text):
    stream = BYTES.stream()
    pieces = [stream.push(i) for i in BYTES.encode(text)]
    assert "".join(pieces) == text
    assert all(len(piece) <= 1 for piece in pieces)


@settings(max_examples=300)
@given(st.binary(max_size=24))
def test_bytes_without_surrogates_decode_as_pythons_replacement_does(data):
    if not any(data[i] == 0xED and data[i + 1] >= 0xA0 for i in range(len(data) - 1)):
        assert BYTES.decode(as_ids(data)) == data.decode("utf-8", "replace")


@pytest.mark.parametrize("tokenizer", ALL, ids=lambda t: t.type)
def test_every_tokenizer_streams_whole_characters_that_join_to_the_text(tokenizer):
    @settings(max_examples=200)
    @given(st.text(st.characters(), max_size=12) | st.text("学习字宇孥 a😀\ud800\r\n", max_size=20))
    def check(text):
        stream, ids = tokenizer.stream(), tokenizer.encode(text)
        pieces = list(map(stream.push, ids))
        assert "".join(pieces) == text and stream.flush() == ""
        assert "\ufffd" in text or not any("\ufffd" in piece for piece in pieces)

    check()


@pytest.mark.parametrize("tokenizer", ALL, ids=lambda t: t.type)
def test_every_tokenizer_streams_any_ids_as_it_decodes_them(tokenizer):
    @settings(max_examples=200)
    @given(st.lists(st.integers(0, tokenizer.vocab_size - 1), max_size=20))
    def check(ids):
        stream = tokenizer.stream()
        assert "".join([*map(stream.push, ids), stream.flush()]) == tokenizer.decode(ids)

    check()


def test_a_stream_of_merged_bytes_holds_back_what_is_no_character_yet():
    token = next(i for i in range(260, MERGED.vocab_size) if len(MERGED.token_bytes(i)) == 2)
    stream = MERGED.stream()
    assert stream.push(token) == "" and stream.flush() == "\ufffd"
