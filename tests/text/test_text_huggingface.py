"""tokenizer.json of Hugging Face: read in every spelling, written so that others read it, refused when damaged."""

import copy
import json
import unicodedata

import numpy as np
import pytest
import tokenizers as hf
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rgz.errors import RgzError
from rgz.text import BPETokenizer, encode_chat, load_tokenizer
from rgz.text.byte_level import AddedToken
from rgz.text.huggingface import from_huggingface

CORPUS = ["太阳从东方升起，人民在学习人工智能。", "It's what we'll learn: 12 things\n\n", "e\u0301 café Å\u030a"] * 3
OWN = BPETokenizer.train(CORPUS, 330)
GPT2 = BPETokenizer.train(CORPUS, 330, pattern="gpt2")


def added(number, content, **changes):
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {"id": number, "content": content, **flags, **changes}


def like_qwen2():
    """What Qwen2's file looks like: bytes first, then merges, then tokens that are not in the model, NFC."""
    data = copy.deepcopy(OWN.to_dict())
    spelt = [token for token in data["model"]["vocab"] if not token.startswith(("<|", "</"))]
    data["model"]["vocab"] = {token: number for number, token in enumerate(spelt)}
    data["model"] |= {"continuing_subword_prefix": "", "end_of_word_suffix": ""}
    data["model"]["merges"] = [merge.split(" ") for merge in data["model"]["merges"]]
    names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    data["added_tokens"] = [added(len(spelt) + n, name) for n, name in enumerate(names)]
    data["added_tokens"] += [added(len(spelt) + 3 + n, f"<{name}>", special=False) for n, name in enumerate("abé")]
    data["added_tokens"][-1]["normalized"] = True
    data["normalizer"] = {"type": "NFC"}
    data["post_processor"] = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    return data


def like_gpt2():
    """What GPT-2's file looks like: the one special token is the last of the model's vocabulary."""
    data = copy.deepcopy(GPT2.to_dict())
    spelt = [token for token in data["model"]["vocab"] if not token.startswith(("<|", "</"))]
    data["model"]["vocab"] = {token: number for number, token in enumerate([*spelt, "<|endoftext|>"])}
    data["added_tokens"] = [added(len(spelt), "<|endoftext|>")]
    data["post_processor"] = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}
    return data


def with_words():
    """Words added that merges make too: one that is spelt as it is has one id, another has two."""
    data, ids = like_qwen2(), OWN.vocab
    numbers, last = data["model"]["vocab"], data["added_tokens"][-1]["id"]
    assert b"ngs" in ids and "人民".encode() in ids and "太".encode() in ids and b" we" in ids
    data["added_tokens"] += [added(numbers[name], name, special=False) for name in ("ngs", "It", "2")]
    names = ("人民", "太", " we")
    data["added_tokens"] += [added(last + 1 + n, name, special=False) for n, name in enumerate(names)]
    data["added_tokens"].append(added(last + 4, "起"))
    data["added_tokens"].sort(key=lambda token: token["id"])
    return data


def with_a_decomposed_word():
    """A word that is looked for in normalized text, and is not normalized itself."""
    data = like_qwen2()
    data["added_tokens"][-1]["content"] = "<e\u0301>"
    return data


FILES = {
    "own": OWN.to_dict(),
    "own gpt2": GPT2.to_dict(),
    "qwen2": like_qwen2(),
    "gpt2": like_gpt2(),
    "words": with_words(),
    "decomposed": with_a_decomposed_word(),
}


WORDS = ["人民", "things", " we", "It", "ngs", "学习"]


def load(data, path):
    path.write_text(json.dumps(data), encoding="utf-8")
    return load_tokenizer(path), hf.Tokenizer.from_file(str(path))


@pytest.mark.parametrize("name", FILES)
def test_a_file_gives_the_ids_that_it_gives_the_rival(name, tmp_path):
    ours, theirs = load(FILES[name], tmp_path / "tokenizer.json")
    assert ours.vocab_size == theirs.get_vocab_size()
    misread = {token.id for token in ours.added_tokens if not token.content.isascii()}  # the rival takes é for a byte

    @settings(max_examples=200)
    @given(st.lists(st.sampled_from([*"太阳从东方升起e\u0301A\u030a<aé> b'sS1２2\n ,，", *WORDS])).map("".join))
    def check(text):
        assume(not any(token.special and token.content in text for token in ours.added_tokens))
        ids = ours.encode(text)
        assert ids == theirs.encode(text).ids
        assert misread.intersection(ids) or ours.decode(ids) == theirs.decode(ids)
        back, pieces = ours.decode(ids), "".join(ours.pieces(text))
        if name in ("words", "decomposed"):  # nothing is composed across the end of a word, nor within one
            back, pieces = unicodedata.normalize("NFC", back), unicodedata.normalize("NFC", pieces)
            text = unicodedata.normalize("NFC", text)
        assert back == pieces == (unicodedata.normalize("NFC", text) if ours.normalizer else text)

    check()
    text = "学<a>习<b>e\u0301<e\u0301><a"
    assert ours.encode(text) == theirs.encode(text).ids
    [(ids, offsets)] = ours.encode_stream([text, "", text])
    once = theirs.encode(text).ids
    assert ids.tolist() == once + once and offsets.tolist() == [0, len(once), len(once), 2 * len(once)]
    for number in set(range(ours.vocab_size)) - misread:
        assert ours.decode([number], skip_special_tokens=False) == theirs.decode([number], skip_special_tokens=False)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_read_and_written_stays_the_same_for_the_rival(name, tmp_path):
    ours, theirs = load(FILES[name], tmp_path / "tokenizer.json")
    ours.save(tmp_path / "again.json")
    again = load_tokenizer(tmp_path / "again.json")
    assert again.fingerprint == ours.fingerprint and again.to_dict() == ours.to_dict()
    written = json.loads(hf.Tokenizer.from_file(str(tmp_path / "again.json")).to_str())
    assert written == json.loads(theirs.to_str()) | {"decoder": written["decoder"]} | {"model": written["model"]}
    assert written["model"]["vocab"] == json.loads(theirs.to_str())["model"]["vocab"]
    assert written["model"]["merges"] == json.loads(theirs.to_str())["model"]["merges"]


def test_the_rival_reads_our_special_tokens_as_such(tmp_path):
    _, theirs = load(OWN.to_dict(), tmp_path / "tokenizer.json")
    ids = theirs.encode("<|bos|>学</s>").ids
    assert ids == [OWN.bos_id, *OWN.encode("学"), OWN.eos_id]
    assert theirs.decode(ids) == "学"
    assert OWN.decode(OWN.encode("<|bos|>学</s>")) == "<|bos|>学</s>"  # for us plain text is plain text


def test_special_ids_are_found_by_their_names(tmp_path):
    qwen2, _ = load(like_qwen2(), tmp_path / "a.json")
    end, start, turn = (qwen2.vocab_size - 6 + n for n in range(3))
    assert (qwen2.eos_id, qwen2.bos_id, qwen2.pad_id, qwen2.sep_id) == (end,) * 4
    assert qwen2.special_ids == {end, start, turn}
    assert qwen2.decode([end, *qwen2.encode("学"), turn]) == "学"
    ids, mask = encode_chat(
        qwen2, [{"role": "user", "content": "学?"}, {"role": "assistant", "content": "习<|im_end|>"}]
    )
    assert ids[0] == ids[-1] == end and mask[-1] == 1 and turn not in ids
    data = like_qwen2()
    data["added_tokens"][1]["content"] = "<s>"
    assert load(data, tmp_path / "b.json")[0].bos_id == start


def test_lone_surrogates_are_kept_where_the_rival_has_no_way_to_say_them(tmp_path):
    for name, data in FILES.items():
        tokenizer, _ = load(data, tmp_path / "tokenizer.json")
        assert tokenizer.decode(tokenizer.encode("学\ud800 \udfff\ud83d\ude00a")) == "学\ud800 \udfff\ud83d\ude00a", (
            name
        )


def changed(path, value, of="own"):
    data = copy.deepcopy(FILES[of])
    *folders, last = path.split(".")
    if path == "added_tokens.4":
        data["added_tokens"].append(value)
    inner = data
    for key in folders:
        inner = inner[int(key) if isinstance(inner, list) else key]
    if value is DELETED:
        del inner[last]
    else:
        inner[int(last) if isinstance(inner, list) else last] = value
    return data


DELETED = object()
VOCAB, OWN_ADDED = FILES["own"]["model"]["vocab"], FILES["own"]["added_tokens"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (changed("model.type", "WordPiece"), r"model\.type must be BPE / None, got 'WordPiece'"),
        (changed("model.type", "Unigram"), "model.type"),
        (changed("model.byte_fallback", True), "byte_fallback"),
        (changed("model.dropout", 0.1), "dropout"),
        (changed("model.ignore_merges", True), "ignore_merges"),
        (changed("model.end_of_word_suffix", "</w>"), "end_of_word_suffix"),
        (changed("model.vocab", DELETED), r"vocab must be \{\}, got None"),
        (changed("model.vocab", []), "vocab must be"),
        (changed("model.vocab", VOCAB | {"a": True}), "model.vocab"),
        (changed("model.vocab", VOCAB | {"a": "7"}), "model.vocab"),
        (changed("model.vocab", VOCAB | {"学": 330}), r"'\\u5b66' is not spelt in bytes"),
        (changed("model.vocab", VOCAB | {"": 330}), "is not spelt in bytes"),
        (changed("model.vocab", VOCAB | {"a b": 330}), "is not spelt in bytes"),
        (changed("model.vocab", VOCAB | {"aqzx": 10**12}), "ids must be 0 to 330, each once"),
        (changed("model.vocab", VOCAB | {"aqzx": -1}), "ids must be 0 to 330, each once"),
        (changed("model.vocab", VOCAB | {"aqzx": 300}), "each once"),
        (changed("model.vocab", {k: v for k, v in VOCAB.items() if k != "a"}), "ids must be|that of 97 is missing"),
        (changed("model.merges", DELETED), "merges must be"),
        (changed("model.merges", ["a"]), r'model\.merges must be "a b"'),
        (changed("model.merges", ["a b c"]), "model.merges"),
        (changed("model.merges", [["a", "b", "c"]]), "model.merges"),
        (changed("model.merges", [["a", 1]]), "model.merges"),
        (changed("model.merges", [7]), "model.merges"),
        (changed("model.merges", ["q z"]), "merge 0 must be of tokens and make one"),
        (changed("model.merges", ["qz a"]), "merge 0 must be of tokens"),
        (changed("added_tokens", DELETED), "added_tokens must be"),
        (changed("added_tokens", []), "end-of-text token"),
        (changed("added_tokens.0", "x"), "added_tokens"),
        (changed("added_tokens.0.id", "0"), "id must be"),
        (changed("added_tokens.4", added(OWN.vocab["人民".encode()], "人民", special=False)), "人民 .* have one id"),
        (changed("added_tokens.4", added(OWN.vocab[b" we"], " we", special=False)), "we and another have one id"),
        (changed("added_tokens.4", added(330, "ngs", special=False)), f"ngs must have id {OWN.vocab[b'ngs']}, .*330"),
        (changed("added_tokens.4", added(330, "é", special=False)), r"é must have id \d+, .*got 330"),
        (changed("added_tokens.4", added(OWN.vocab[b"ngs"], "ngs")), "special token ngs must not be one that plain"),
        (changed("added_tokens.4", added(OWN.vocab[b"a"], "a")), "special token a must not be one that plain text"),
        (
            changed("model.vocab", VOCAB | {"人民": 330}) | {"added_tokens": [*OWN_ADDED, added(330, "人民")]},
            "人民 stands in model.vocab as it is and spelt in bytes",
        ),
        (changed("added_tokens.0.id", 5), "<|pad|> must have id 0, which it has in the vocabulary, got 5"),
        (changed("added_tokens.0.content", ""), "must not be empty"),
        (changed("added_tokens.0.content", "\ud800"), "content"),
        (changed("added_tokens.0.content", "<|bos|>"), "<|bos|> must have id 1, which"),
        (changed("added_tokens.4", added(0, "<|pad|>")), "an added token stands in it twice"),
        (changed("added_tokens.0.special", 1), "special"),
        (changed("added_tokens.3.lstrip", True, "qwen2"), "lstrip"),
        (changed("pre_tokenizer", None), "pre_tokenizer must be"),
        (changed("pre_tokenizer.pretokenizers.0.pattern.Regex", r"\d"), "pre_tokenizer"),
        (changed("pre_tokenizer.pretokenizers.0.pattern", []), "pre_tokenizer"),
        (changed("pre_tokenizer.pretokenizers.0.behavior", "Removed"), "pre_tokenizer"),
        (changed("pre_tokenizer.pretokenizers.1.use_regex", True), "pre_tokenizer"),
        (changed("pre_tokenizer.pretokenizers", 3), "pre_tokenizer"),
        (changed("pre_tokenizer.add_prefix_space", True, "gpt2"), "pre_tokenizer"),
        (changed("normalizer", {"type": "NFKC"}), "normalizer must be None / NFC"),
        (changed("normalizer", "NFC"), "normalizer"),
        (changed("normalizer", {"type": "Sequence", "normalizers": {}}), "normalizer"),
        (changed("decoder", None), "decoder must be ByteLevel"),
        (changed("truncation", {"max_length": 5}), "truncation"),
        (changed("padding", {}), "padding"),
        (changed("post_processor", 5), "post_processor"),
        (changed("post_processor", {"type": "zzz"}), "post_processor must be None / "),
        (changed("model", []), r"model must be \{\}"),
    ],
)
def test_what_is_damaged_or_of_another_kind_is_refused_by_name(data, reason, tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(RgzError, match=reason) as caught:
        load_tokenizer(path)
    assert str(caught.value).startswith(f"{path} is a tokenizer that rgz cannot use: ")


def test_a_merge_that_makes_a_special_token_is_refused():
    vocab = {**OWN.vocab, b"<|": OWN.vocab_size, b"pad|>": OWN.vocab_size + 1}
    with pytest.raises(RgzError, match=r"special token <\|pad\|> must not be one that plain text is written with"):
        BPETokenizer(vocab, [(b"<|", b"pad|>")])


def test_added_tokens_given_in_python_are_held_to_what_a_file_can_say():
    def given(*tokens):
        return BPETokenizer(OWN.vocab, OWN.merges, added_tokens=[*OWN.added_tokens, *tokens])

    with pytest.raises(RgzError, match=f"ngs must have id {OWN.vocab[b'ngs']}, .* got 330"):
        given(AddedToken(330, "ngs", special=False))
    with pytest.raises(RgzError, match="人民 and another have one id"):
        given(AddedToken(OWN.vocab["人民".encode()], "人民", special=False))
    words = given(AddedToken(330, "人民", special=False))
    assert words.encode("人民") == [330] and words.decode([330]) == "人民"
    assert BPETokenizer.from_dict(words.to_dict()).fingerprint == words.fingerprint


def test_of_a_merge_that_stands_twice_the_later_rank_counts_as_for_the_rival(tmp_path):
    data = copy.deepcopy(FILES["own"])
    data["model"]["merges"].append(data["model"]["merges"][0])
    ours, theirs = load(data, tmp_path / "tokenizer.json")
    for text in CORPUS:
        assert ours.encode(text) == theirs.encode(text).ids


@pytest.mark.parametrize("name", FILES)
def test_a_file_with_flipped_bits_is_refused_or_read(name, tmp_path):
    whole = json.dumps(FILES[name], ensure_ascii=name.startswith("own")).encode()
    path = tmp_path / "tokenizer.json"
    random = np.random.default_rng(0)
    read = refused = 0
    for _ in range(150):
        data = bytearray(whole)
        for place in random.integers(0, len(data), random.integers(1, 4)):
            data[place] ^= 1 << random.integers(8)
        if random.random() < 0.2:
            del data[random.integers(len(data)) :]
        path.write_bytes(data)
        try:
            tokenizer = load_tokenizer(path)
        except RgzError:
            refused += 1
        else:
            read += 1
            text = "太阳从东方升起 It's 12\n"
            assert tokenizer.decode(tokenizer.encode(text)) == text
    assert read and refused


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2**40) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=400)
@given(st.data())
def test_a_file_with_any_value_replaced_is_refused_or_read(data):
    content = copy.deepcopy(FILES[data.draw(st.sampled_from(sorted(FILES)))])
    inner = content
    while True:
        keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
        if not keys:
            return
        key = data.draw(st.sampled_from(keys))
        if isinstance(inner[key], dict | list) and data.draw(st.booleans()):
            inner = inner[key]
            continue
        inner[key] = data.draw(json_values)
        break
    try:
        tokenizer = BPETokenizer(**from_huggingface(content))
    except RgzError:
        return
    assert tokenizer.decode(tokenizer.encode("太阳 It's 12\n")) == "太阳 It's 12\n"
