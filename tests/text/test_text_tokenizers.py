"""Tokenizers give back any text exactly, take the vocabulary that the counts say, and survive their file."""

import json
import random
import subprocess
import sys
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jieba_oracle import ids_of, jieba_tokenizer

from rgz.errors import RgzError
from rgz.text import BPETokenizer, ByteTokenizer, CharTokenizer, Tokenizer, WordTokenizer, load_tokenizer, segment
from rgz.text.segment import default_segmenter
from rgz.text.tokenizer import count_pieces

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


@pytest.fixture(scope="module")
def jieba():
    return jieba_tokenizer()


@pytest.fixture(params=list(TOKENIZERS))
def tokenizer(request):
    return TOKENIZERS[request.param]


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

    @settings(max_examples=150, deadline=None)
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


def test_a_users_words_are_cut_counted_and_kept_with_the_tokenizer(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # not to push out the user's own
    plain = WordTokenizer.train(CORPUS)
    tokenizer = WordTokenizer.train(CORPUS, user_dictionary=[("在学习", 5000), ("太阳从东方", 9)])
    assert {"在学习", "太阳从东方"} <= set(tokenizer.words) and not {"在学习", "太阳从东方"} & set(plain.words)
    assert list(tokenizer.pieces("太阳从东方升起")) == ["太阳从东方", "升起"]
    assert tokenizer.fingerprint != WordTokenizer(tokenizer.characters, tokenizer.words).fingerprint
    tokenizer.save(tmp_path / "t.json")
    loaded = load_tokenizer(tmp_path / "t.json")
    assert loaded.fingerprint == tokenizer.fingerprint
    assert loaded.encode("".join(CORPUS)) == tokenizer.encode("".join(CORPUS))
    assert "user_words" not in plain.to_dict()


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
        (broken(user_words=["学习"]), "user_words"),
        (broken(user_words=[["学习", -1]]), "user_words"),
        (broken(user_words=[["学习", "5"]]), "user_words"),
        (broken(user_words=[["学" * 256, 5]]), "user_words"),
        (broken(type="char", words=[], user_words=[["学习", 5]]), "user_words"),
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
