"""The figures of a vocabulary, counted by hand."""

import pytest

from rgz.text import BPETokenizer, ByteTokenizer, CharTokenizer, WordTokenizer
from rgz.text.coverage import coverage


def test_words_are_counted_by_what_they_are_written_in():
    tokenizer = WordTokenizer.train(["学习。太阳"])
    found = coverage(tokenizer, ["学习，太阳龘", "阳习a"])
    assert (found.documents, found.characters) == (2, 9)
    # 学习 and 太阳 and a are entries; 阳 and 习 are characters with entries, so words of one token; ， and 龘 are bytes
    assert (found.words_whole, found.words_in_parts, found.words_in_bytes) == (5, 0, 2)
    assert found.words == 7 and found.characters_in_bytes == 2
    assert found.tokens == 5 + 6 and found.byte_tokens == 6
    assert found.entries_used == 5 + 6  # the two share no byte


def test_a_word_without_an_entry_is_written_in_parts():
    tokenizer = WordTokenizer("学习", [])
    found = coverage(tokenizer, ["学习"])
    assert (found.words_whole, found.words_in_parts, found.words_in_bytes) == (0, 1, 0)
    assert found.tokens == 2 and found.byte_tokens == found.characters_in_bytes == 0


def test_bytes_and_characters_are_words_of_their_own():
    found = coverage(ByteTokenizer(), ["学a"])
    assert (found.words_whole, found.words_in_bytes, found.characters_in_bytes, found.tokens) == (1, 1, 1, 4)
    found = coverage(CharTokenizer("学"), ["学a习"])
    assert (found.words_whole, found.words_in_bytes, found.characters_in_bytes) == (2, 1, 1)


@pytest.mark.parametrize("pattern", ["gpt2", "qwen2"])
def test_runs_of_bpe_are_whole_in_parts_or_with_parts_of_characters(pattern):
    tokenizer = BPETokenizer.train(["学习\n学习\n"], 264 + 1, pattern=pattern)  # 学习 is one token: 5 merges
    found = coverage(tokenizer, ["学习\n学习学习\n习"])
    assert (found.words_whole, found.words_in_parts, found.words_in_bytes) == (3, 1, 1)
    assert found.characters_in_bytes == 1 and found.characters == 9


def test_no_text_gives_no_figures_to_divide_by():
    found = coverage(ByteTokenizer(), [])
    assert (found.documents, found.words, found.tokens) == (0, 0, 0)
