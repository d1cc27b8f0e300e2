"""Splitting documents, and their token ids end to end."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rgz.data import Dataset, TokenData, encode_dataset, require_dialogue
from rgz.errors import RgzError
from rgz.text import BPETokenizer, ByteTokenizer, CharTokenizer, WordTokenizer, encode_chat

CHAT = [
    {"role": "user", "content": "你好"},
    {"role": "assistant", "content": "您好吗"},
]
TOKENIZER = ByteTokenizer()


def documents_of(data):
    return [data.ids[a:b].tolist() for a, b in zip(data.offsets[:-1], data.offsets[1:], strict=True)]


def test_a_text_is_encoded_between_bos_and_eos():
    data = encode_dataset(Dataset(["ab", "太\n"]), TOKENIZER)
    assert documents_of(data) == [[1, 4 + 97, 4 + 98, 2], [1, *(4 + b for b in "太\n".encode()), 2]]
    assert (data.n_documents, data.n_tokens, data.n_targets) == (2, 10, 8)
    assert (data.ids.dtype, data.offsets.dtype, data.mask) == (np.uint16, np.int64, None)
    assert data.fingerprint == TOKENIZER.fingerprint
    assert data.n_characters == 4


def test_a_dialogue_is_encoded_by_the_template_and_counts_in_full_unless_masked():
    data = encode_dataset(Dataset([CHAT]), TOKENIZER)
    text = "<|bos|>用户：你好\n助手：您好吗</s>"
    assert TOKENIZER.decode(data.ids, skip_special_tokens=False) == text
    assert data.mask is None
    assert data.n_characters == len("用户：你好\n助手：您好吗")


def test_masking_leaves_the_answers_of_dialogues_and_all_of_texts():
    data = encode_dataset(Dataset([CHAT, "ab"]), TOKENIZER, mask_prompts=True)
    counted = data.ids[data.mask == 1]
    assert TOKENIZER.decode(counted, skip_special_tokens=False) == "您好吗</s>ab</s>"
    assert data.n_targets == len(counted) == 9 + 1 + 3
    assert data.n_characters == 5
    assert data.mask.dtype == np.uint8 and len(data.mask) == data.n_tokens


def test_a_large_vocabulary_gets_wider_ids():
    tokenizer = CharTokenizer("".join(map(chr, range(0x20000, 0x20000 + 65_300))))
    assert tokenizer.vocab_size > 1 << 16
    data = encode_dataset(Dataset([chr(0x20000 + 65_299)]), tokenizer)
    assert data.ids.dtype == np.int32
    assert data.ids.tolist() == [1, 260 + 65_299, 2]


def one_by_one(documents, tokenizer):
    """(ids, mask) of every document by itself, in Python's lists."""
    for document in documents:
        if isinstance(document, str):
            ids = [tokenizer.bos_id, *tokenizer.encode(document), tokenizer.eos_id]
            yield ids, [0] + [1] * (len(ids) - 1)
        else:
            yield encode_chat(tokenizer, document)


def characters_of(documents, mask_prompts):
    for document in documents:
        if isinstance(document, str):
            yield len(document)
        elif mask_prompts:
            yield sum(len(turn["content"]) for turn in document if turn["role"] == "assistant")
        else:
            ids, _ = encode_chat(TOKENIZER, document)
            yield len(TOKENIZER.decode(ids))


def check_all(documents, tokenizer, mask_prompts):
    data = encode_dataset(Dataset(documents), tokenizer, mask_prompts=mask_prompts)
    expected = list(one_by_one(documents, tokenizer))
    assert data.ids.tolist() == [i for ids, _ in expected for i in ids]
    assert data.offsets.tolist() == np.cumsum([0, *(len(ids) for ids, _ in expected)]).tolist()
    if mask_prompts:
        assert data.mask.tolist() == [m for _, mask in expected for m in mask]
    assert data.n_characters == sum(characters_of(documents, mask_prompts))


CORPUS = ["太阳从东方升起，人民在学习人工智能。", "It's what we'll learn: 12 e\u0301 café\n\n"]
BPE = BPETokenizer.train(CORPUS, 330)
KINDS = [
    TOKENIZER,
    CharTokenizer.train(CORPUS),
    WordTokenizer.train(CORPUS),
    BPE,
    BPETokenizer(BPE.vocab, BPE.merges, normalizer="NFC"),
    CharTokenizer("".join(map(chr, range(0x20000, 0x20000 + 65_300)))),
]
texts = st.text(max_size=20) | st.text("太阳从东方学习人工智能e\u0301 \n\ud800😀a1用户助手：", max_size=20)
contents = texts.filter(str.strip)


@st.composite
def dialogues(draw):
    turns = [
        {"role": role, "content": draw(contents)}
        for _ in range(draw(st.integers(1, 3)))
        for role in ("user", "assistant")
    ]
    return [{"role": "system", "content": draw(contents)}, *turns] if draw(st.booleans()) else turns


@settings(max_examples=200)
@given(st.lists(texts | dialogues(), max_size=6), st.sampled_from(KINDS), st.booleans())
def test_a_corpus_is_encoded_like_its_documents(documents, tokenizer, mask_prompts):
    check_all(documents, tokenizer, mask_prompts)


@pytest.mark.parametrize("n_threads", ["1", "2", "3"])
@pytest.mark.parametrize("tokenizer", KINDS[:5], ids=["byte", "char", "word", "bpe", "bpe after NFC"])
def test_a_corpus_of_several_portions_is_encoded_like_its_documents(monkeypatch, tokenizer, n_threads):
    monkeypatch.setenv("RGZ_NUM_THREADS", n_threads)
    system = {"role": "system", "content": "要礼貌。" * 300}
    documents = ["", *CORPUS, "太阳" * 3000, CHAT, [system, *CHAT * 150], "学习，" * 30_000, ""] * 4
    portions = list(tokenizer.encode_stream(document for document in documents if isinstance(document, str)))
    assert len(portions) > 1
    check_all(documents, tokenizer, mask_prompts=True)


def test_a_dialogue_without_an_answer_is_refused():
    with pytest.raises(RgzError, match="must end with an answer"):
        encode_dataset(Dataset(["文", CHAT, CHAT[:1]]), TOKENIZER)


def test_targets_are_counted_without_the_first_of_a_document_even_if_it_is_marked():
    mask = np.array([1, 0, 1, 1, 1], np.uint8)
    data = TokenData(np.zeros(5, np.uint16), np.array([0, 3, 5]), mask)
    assert data.n_targets == 2


def test_no_documents_give_no_tokens():
    data = encode_dataset(Dataset([]), TOKENIZER)
    assert (data.n_documents, data.n_tokens, data.n_targets) == (0, 0, 0)


def test_data_without_a_dialogue_can_be_refused():
    require_dialogue(Dataset(["文", CHAT]))
    with pytest.raises(RgzError, match="no dialogue"):
        require_dialogue(Dataset(["文"]))


def test_texts_of_a_dataset_hold_dialogues_as_text():
    assert list(Dataset(["文", CHAT]).texts()) == ["文", "用户：你好\n助手：您好吗"]


@given(st.integers(2, 60), st.floats(0.001, 0.999), st.integers(-3, 2**70))
def test_a_split_is_a_partition_in_order_with_both_parts_filled(n, fraction, seed):
    train, val = Dataset([str(i) for i in range(n)], ["said"]).split(fraction, seed=seed)
    assert sorted([*train.documents, *val.documents], key=int) == [str(i) for i in range(n)]
    assert len(train) >= 1 and len(val) >= 1
    assert abs(len(val) - n * fraction) <= 1
    for part in (train, val):
        assert part.documents == sorted(part.documents, key=int)
    assert train.notices == ["said"]


def test_a_split_depends_on_the_seed_alone():
    data = Dataset([str(i) for i in range(100)])
    splits = [tuple(data.split(0.1, seed=seed)[1].documents) for seed in (0, 0, 1, 2)]
    assert splits[0] == splits[1]
    assert len(set(splits)) == 3


def test_a_single_document_is_not_split_and_it_is_said():
    train, val = Dataset(["文"]).split(0.05)
    assert (train.documents, val.documents) == (["文"], [])
    assert "only one document" in train.notices[0]


def test_nothing_is_held_out_on_request():
    train, val = Dataset(["一", "二"]).split(0)
    assert (len(train), len(val), train.notices) == (2, 0, [])


@pytest.mark.parametrize("fraction", [-0.1, 1, 1.5, float("nan")])
def test_an_impossible_share_is_refused(fraction):
    with pytest.raises(RgzError, match="must be in"):
        Dataset(["一", "二"]).split(fraction)
