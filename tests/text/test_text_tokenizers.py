"""Tokenizers give back any text exactly, take the vocabulary that the counts say, and survive their file."""

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rgz.errors import RgzError
from rgz.text import BPETokenizer, ByteTokenizer, CharTokenizer, Tokenizer, WordTokenizer, load_tokenizer

CORPUS = [
    "太阳从东方升起，人民在学习人工智能。",
    "人工智能是计算机科学的一个分支，学习它要有耐心。",
    "太阳照着学习的人。\r\n今天是2024年，我用Python写程序。",
]
NASTY = [
    "",
    "\0",
    "\r\n\r\n\n\r",
    "\ud800",
    "\udfff\ud83d",
    "\ud83d\ude00",  # two lone surrogates, which are not the emoji they would be in UTF-16
    "😀👨\u200d👩\u200d👧\ufe0f",
    "𠀀𪚥㐂鿿",
    "<|pad|><|bos|></s><|sep|>",
    "\ufeffe\u0301\u2028\x85\u3000",
    "a" * 1000,
    "AB型血的人\t3.14%…——「」",
]
TOKENIZERS = {
    "word": WordTokenizer.train(CORPUS),
    "word without words": WordTokenizer.train(CORPUS, vocab_size=265),
    "char": CharTokenizer.train(CORPUS),
    "byte": ByteTokenizer(),
    "bpe": BPETokenizer.train(CORPUS, vocab_size=320),
    "bpe in the pieces of gpt2": BPETokenizer.train(CORPUS, vocab_size=320, pattern="gpt2"),
}
any_text = st.text(st.characters(), max_size=40) | st.text("太阳人工智能学习的a1 \r\n\ud800😀", max_size=40)


@pytest.fixture(params=list(TOKENIZERS))
def tokenizer(request):
    return TOKENIZERS[request.param]


@pytest.mark.parametrize("kind", [WordTokenizer, CharTokenizer, ByteTokenizer, BPETokenizer])
def test_all_kinds_are_trained_alike_and_not_on_one_text(kind):
    assert isinstance(kind.train(iter(CORPUS), vocab_size=300, min_frequency=2), kind)
    with pytest.raises(RgzError, match=r"trained on a list of texts, got one text; write \[text\]"):
        kind.train(CORPUS[0])


@pytest.mark.parametrize("text", NASTY + CORPUS)
def test_decoding_gives_back_what_was_encoded(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("name", list(TOKENIZERS))
def test_decoding_gives_back_any_text(name):
    @settings(max_examples=200, deadline=None)
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


@settings(max_examples=100, deadline=None)
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
    assert tokenizer.encode_batch(CORPUS) == [tokenizer.encode(text) for text in CORPUS]


def test_encoding_twice_gives_the_same_ids(tokenizer):
    text = "".join(CORPUS + NASTY)
    assert tokenizer.encode(text) == tokenizer.encode(text)


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
        with pytest.raises(RgzError, match=r"vocab_size must be at least 260 .*, got 259"):
            kind.train(["x"], vocab_size=259)


def test_long_runs_of_letters_are_not_kept_in_memory():
    tokenizer = WordTokenizer.train(CORPUS)
    before = len(tokenizer._cache)
    tokenizer.encode("x" * 10_000)
    assert len(tokenizer._cache) == before


# ---- the file


def test_a_tokenizer_is_the_same_after_saving_and_loading(tokenizer, tmp_path):
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    for source in (path, str(path), tmp_path):
        loaded = load_tokenizer(source)
        assert type(loaded) is type(tokenizer)
        assert loaded.fingerprint == tokenizer.fingerprint
        assert loaded.encode("".join(NASTY)) == tokenizer.encode("".join(NASTY))
    assert [file.name for file in tmp_path.iterdir()] == ["tokenizer.json"]


def test_the_file_can_be_read_by_people(tmp_path):
    TOKENIZERS["word"].save(tmp_path)
    text = (tmp_path / "tokenizer.json").read_text(encoding="utf-8")
    assert '"人工智能"' in text and "\\u4eba" not in text
    assert json.loads(text)["type"] == "word"


def test_fingerprints_differ_with_the_vocabulary_and_the_type():
    kinds = [*TOKENIZERS.values(), WordTokenizer.train(CORPUS[:2]), CharTokenizer()]
    assert len({tokenizer.fingerprint for tokenizer in kinds}) == len(kinds)
    assert all(len(t.fingerprint) == 16 and int(t.fingerprint, 16) >= 0 for t in kinds)


def test_lone_surrogates_in_the_training_text_do_not_stop_the_file_from_being_written(tmp_path):
    for kind in (WordTokenizer, CharTokenizer, BPETokenizer):
        tokenizer = kind.train(["学\ud800习"])
        tokenizer.save(tmp_path)
        assert load_tokenizer(tmp_path).encode("\ud800") == tokenizer.encode("\ud800")


def broken(**changes):
    return {**WordTokenizer.train(CORPUS).to_dict(), **changes}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ([], "format"),
        ({"version": 1, "type": "word"}, "format"),
        (broken(version=2), "version is 2"),
        (broken(type="bpe"), "type bpe must be one of word, char, byte"),
        (broken(type=["word"]), "must be one of"),
        (broken(special_tokens=["<unk>"]), "special tokens"),
        (broken(characters="a"), "characters"),
        (broken(characters=["学"]), "characters"),
        (broken(words="学习"), "words"),
        (broken(words=["学"]), "words"),
        (broken(words=["学\ud800"]), "words"),
        (broken(words=["学习", "学习"]), "twice"),
        (broken(type="byte"), "no entries"),
    ],
)
def test_a_file_that_is_no_tokenizer_is_refused_with_the_reason(tmp_path, data, reason):
    path = tmp_path / "t.json"
    path.write_text(json.dumps(data))
    with pytest.raises(RgzError, match=reason) as caught:
        load_tokenizer(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_a_file_that_is_no_json_is_refused_by_name(tmp_path, content):
    path = tmp_path / "t.json"
    path.write_bytes(content)
    with pytest.raises(RgzError, match=r"t\.json is not a tokenizer file"):
        load_tokenizer(path)


def test_a_missing_tokenizer_is_named(tmp_path):
    with pytest.raises(RgzError, match=r"cannot read the tokenizer .*tokenizer\.json: No such file"):
        load_tokenizer(tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(RgzError, match="cannot write"):
        ByteTokenizer().save(tmp_path / "missing" / "t.json")


def test_a_vocabulary_with_a_word_twice_is_refused():
    with pytest.raises(RgzError, match="once"):
        Tokenizer("学", ["学习", "学习"])
