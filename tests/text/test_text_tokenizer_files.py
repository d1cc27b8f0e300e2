"""Tokenizers survive their file; one that is none is refused with the reason."""

import json

import pytest
from tokenizer_samples import CORPUS, NASTY, TOKENIZERS

from rgz.errors import RgzError
from rgz.text import BPETokenizer, ByteTokenizer, CharTokenizer, Tokenizer, WordTokenizer, load_tokenizer


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
