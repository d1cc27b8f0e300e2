"""Trained vocabularies are those that the counts say, and the encoder reaches every entry."""

import random
from collections import Counter

import pytest
from tokenizer_samples import CORPUS, NASTY

from rgz.errors import RgzError
from rgz.text import BPETokenizer, CharTokenizer, WordTokenizer, segment
from rgz.text.segment import default_segmenter
from rgz.text.tokenizer import count_pieces


def test_known_words_are_one_id_unknown_words_are_characters_unknown_characters_are_bytes():
    tokenizer = WordTokenizer.train(["人工智能", "学", "生"])
    assert len(tokenizer.encode("人工智能")) == 1
    assert [tokenizer.token_bytes(i).decode() for i in tokenizer.encode("学生")] == ["学", "生"]
    assert tokenizer.encode("龘") == [4 + byte for byte in "龘".encode()]


def test_a_word_vocabulary_holds_the_characters_by_frequency_then_the_words_by_frequency():
    # 学习 3 times, 太阳 twice, 今天 once; cut at full stops, so that no dictionary can join them
    tokenizer = WordTokenizer.train(["学习。太阳。学习。", "今天。太阳。学习。"])
    counts = Counter("学习。太阳。学习。今天。太阳。学习。")
    expected = sorted(counts, key=lambda c: (-counts[c], c))
    assert list(tokenizer.characters) == expected
    assert tokenizer.words == ("学习", "太阳", "今天")
    assert tokenizer.vocab_size == 260 + len(expected) + 3


def test_characters_come_before_words_when_there_is_little_room():
    texts = ["学习。太阳。学习。"]
    assert WordTokenizer.train(texts, vocab_size=265).words == ()
    assert WordTokenizer.train(texts, vocab_size=266).words == ("学习",)
    assert WordTokenizer.train(texts, vocab_size=262).characters == "。习"  # 3 times, then 2: 习 < 学
    assert WordTokenizer.train(texts, vocab_size=260).vocab_size == 260


def test_equals_are_taken_in_the_order_of_their_code_points_whatever_the_order_of_the_texts():
    texts = ["今天。", "学习。", "太阳。"]
    one, two = WordTokenizer.train(texts), WordTokenizer.train(texts[::-1])
    assert one.words == tuple(sorted(["今天", "学习", "太阳"]))
    assert one.fingerprint == two.fingerprint


def test_rare_pieces_are_left_out_by_min_frequency():
    tokenizer = WordTokenizer.train(["学习。学习。太阳。"], min_frequency=2)
    assert (set(tokenizer.characters), tokenizer.words) == (set("学习。太阳"), ("学习",))
    # without room for all, a word that recurs comes before a character that does not
    tokenizer = WordTokenizer.train(["学习。学习。太阳。"], min_frequency=2, vocab_size=260 + 4)
    assert (set(tokenizer.characters), tokenizer.words) == (set("学习。"), ("学习",))
    assert CharTokenizer.train(["学学习"], min_frequency=2).characters == "学"


def test_every_word_of_the_vocabulary_is_used_on_the_training_text():
    tokenizer = WordTokenizer.train(CORPUS)
    used = {i for text in CORPUS for i in tokenizer.encode(text)}
    words = set(range(260 + len(tokenizer.characters), tokenizer.vocab_size))
    assert words and words <= used


def test_nothing_of_the_training_text_is_written_in_bytes_but_ascii():
    tokenizer = WordTokenizer.train(CORPUS)
    assert all(i < 4 + 128 or i >= 260 for text in CORPUS for i in tokenizer.encode(text))


def test_a_character_vocabulary_gives_an_id_a_character():
    tokenizer = CharTokenizer.train(["学习学"])
    assert tokenizer.characters == "学习"
    assert tokenizer.encode("学习a") == [260, 261, 4 + ord("a")]


def test_a_vocabulary_too_small_for_the_bytes_is_refused():
    for kind in (WordTokenizer, CharTokenizer, BPETokenizer):
        with pytest.raises(RgzError, match=r"vocab_size must be an integer of at least 260 .*, got 259"):
            kind.train(["x"], vocab_size=259)


def test_pieces_longer_than_an_entry_count_as_their_characters():
    long = "a" * 24, "b" * 25
    assert WordTokenizer.train(long).words == (long[0],)
    assert CharTokenizer.train(["学" * 30, "习"]).characters == "学习"
    expected = Counter({"a": 25, "学": 2})
    assert count_pieces(["a" * 25 + "。学", "学"], default_segmenter().dictionary) == expected | {"。": 1}


@pytest.mark.parametrize("kind", [WordTokenizer, CharTokenizer])
def test_every_entry_is_reached_by_the_encoder(kind):
    rng = random.Random(1)
    texts = ["".join(rng.choice(CORPUS + NASTY)[rng.randrange(9) :] for _ in range(20)) for _ in range(50)]
    for size in (300, 400, 8000):
        tokenizer = kind.train(texts, vocab_size=size)
        used = set(tokenizer.encode_batch(texts)[0].tolist())
        used |= {i for character in tokenizer.characters for i in tokenizer.encode(character)}
        assert set(range(260, tokenizer.vocab_size)) <= used


def test_the_vocabulary_is_what_counting_in_python_gives_for_any_number_of_threads():
    rng = random.Random(2)
    texts = [
        "".join(rng.choices("太阳从东方升起人民在学习工智能ab1，。 \n😀", k=rng.randrange(60))) for _ in range(3000)
    ]
    counts = Counter(word for text in texts for word in segment(text))
    assert count_pieces(texts, default_segmenter().dictionary, 1) == counts
    trained = [WordTokenizer.train(texts, vocab_size=350, min_frequency=3, n_threads=n) for n in (1, 2, 3)]
    characters = Counter(c for text in texts for c in text if not c.isascii())
    assert list(trained[0].characters) == sorted(characters, key=lambda c: (-characters[c], c))
    words = sorted((w for w, n in counts.items() if len(w) > 1 and n >= 3), key=lambda w: (-counts[w], w))
    assert list(trained[0].words) == words[: 350 - 260 - len(characters)]
    assert len({tokenizer.fingerprint for tokenizer in trained}) == 1


def test_rare_characters_leave_room_for_words_where_less_coverage_is_asked_for():
    texts = ["学习学习太阳学习学习学习"]  # 学 and 习 are 10 of 12 characters
    for share, characters in ((1.0, "习学太阳"), (10 / 12, "习学"), (0.8, "习学"), (0.1, "习"), (0.0, "")):
        assert WordTokenizer.train(texts, character_coverage=share).characters == characters
        assert CharTokenizer.train(texts, character_coverage=share).characters == characters
    tokenizer = WordTokenizer.train(texts, vocab_size=264, character_coverage=0.8)
    assert (tokenizer.characters, tokenizer.words) == ("习学", ("学习", "太阳"))
    for share in (-0.1, 1.1, float("nan")):
        with pytest.raises(RgzError, match=r"character_coverage must be in \[0, 1\], got"):
            WordTokenizer.train(texts, character_coverage=share)
