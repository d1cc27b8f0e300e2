"""Variants in batches: every token of every variant once, within what was planned, and the same on every look."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rgz.augment import AugmentedBatches, Augmenter, VariedTexts, expand
from rgz.data import Batches, Dataset, encode_dataset
from rgz.text import CharTokenizer

SENTENCES = (
    "我们可以认真学习重要知识，他们需要不断提高能力。",
    "良好的习惯非常重要。",
    "保持规律运动，控制每天饮食，其实改善了生活质量。",
    "怎么提高工作效率？",
    "专家已经取得了明显成效。",
    "好",
)
TOKENIZER = CharTokenizer.train([*SENTENCES, "系统：用户：助手：呢也就都所地着怎样办提升"], vocab_size=400)
QUESTION = [{"role": "user", "content": SENTENCES[3]}, {"role": "assistant", "content": SENTENCES[0]}]
texts = st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=6).map("".join)
questions = st.tuples(texts, texts).map(
    lambda turn: [{"role": "user", "content": turn[0]}, {"role": "assistant", "content": turn[1]}]
)
documents = st.lists(st.one_of(texts, questions), min_size=1, max_size=12)
layouts = st.fixed_dictionaries(
    {"batch_size": st.integers(1, 5), "packing": st.booleans(), "group_by_length": st.booleans()}
)


def batches_of(documents, max_length, mask_prompts=False, rate=1.0, **layout):
    texts = VariedTexts(documents, Augmenter(rate, rate, rate, rate, seed=3))
    return batches_of_texts(texts, max_length, mask_prompts, **layout)


def batches_of_texts(texts, max_length, mask_prompts=False, **layout):
    def make(data, length):
        return Batches(data, max_length=length, **{"batch_size": 4, **layout})

    original = encode_dataset(texts, TOKENIZER, mask_prompts=mask_prompts)
    return AugmentedBatches(texts, original, TOKENIZER, mask_prompts, max_length, make)


def shown(batches, epoch):
    """The sequences of an epoch as (tokens, targets), sorted; every batch is looked at for what must hold of each."""
    sequences = []
    for number in range(len(batches)):
        batch = batches.batch(epoch, number)
        assert 0 < len(batch.tokens) <= batches.max_rows and 0 < batch.n_sequences <= batches.max_seqs
        assert batch.n_targets == np.count_nonzero(batch.targets >= 0) > 0
        assert batch.tokens.dtype == batch.targets.dtype == batch.cu_seqlens.dtype == np.int32
        assert batch.cu_seqlens[0] == 0 and batch.cu_seqlens[-1] == len(batch.tokens) == len(batch.targets)
        assert len(batch.cu_seqlens) == batch.n_sequences + 1 and (np.diff(batch.cu_seqlens) > 0).all()
        for first, last in zip(batch.cu_seqlens, batch.cu_seqlens[1:], strict=False):
            sequences.append((batch.tokens[first:last].tolist(), batch.targets[first:last].tolist()))
    return sorted(sequences)


@settings(max_examples=60)
@given(documents, st.integers(4, 40), layouts, st.integers(1, 5))
def test_every_variant_is_shown_once_from_end_to_end(documents, max_length, layout, epoch):
    batches = batches_of(documents, max_length, **layout)
    sequences = shown(batches, epoch)
    assert max(len(tokens) for tokens, _ in sequences) <= max_length
    texts = [TOKENIZER.decode([*tokens, targets[-1]]) for tokens, targets in sequences]
    assert all(tokens[1:] == targets[:-1] for tokens, targets in sequences)
    # Each document's variant, cut into the sequences that were shown: their targets are its ids but the first.
    remaining = sorted(target for _, targets in sequences for target in targets)
    expected = []
    for document in range(len(documents)):
        ids, _ = batches._variant(document, epoch)
        expected += ids[1:].tolist()
    assert remaining == sorted(expected), texts
    assert len(sequences) == len(shown(batches, 0)) and batches.max_rows <= 9 * 5 * max_length


@settings(max_examples=40)
@given(documents, st.integers(4, 40), layouts)
def test_the_first_epoch_shows_the_originals(documents, max_length, layout):
    batches = batches_of(documents, max_length, **layout)
    length = max(1, max_length * 8 // 9)
    plain = Batches(encode_dataset(Dataset(documents), TOKENIZER), max_length=length, **layout)
    assert len(plain) == len(batches)
    for number in range(len(plain)):
        one, other = plain.batch(0, number), batches.batch(0, number)
        for field in dataclasses.fields(one):
            np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


@settings(max_examples=30)
@given(documents, st.integers(4, 40), st.lists(st.integers(0, 3), min_size=1, max_size=6))
def test_a_batch_is_a_function_of_its_epoch_and_number(documents, max_length, epochs):
    one = batches_of(documents, max_length)
    for epoch in epochs:
        fresh = batches_of(documents, max_length)
        for number in reversed(range(len(fresh))):
            a, b = one.batch(epoch, number), fresh.batch(epoch, number)
            np.testing.assert_array_equal(a.tokens, b.tokens)
            np.testing.assert_array_equal(a.targets, b.targets)


@settings(max_examples=40)
@given(st.lists(questions, min_size=1, max_size=8), st.integers(4, 200), st.integers(1, 4))
def test_the_answers_that_count_stay_the_same(documents, max_length, epoch):
    batches = batches_of(documents, max_length, mask_prompts=True)

    def counted(at):
        return sorted(target for _, targets in shown(batches, at) for target in targets if target >= 0)

    assert counted(epoch) == counted(0)


def test_answers_that_move_to_another_sequence_are_not_lost():
    # Answers of every length, then a long question: some end just where a sequence does, and with a variant behind it.
    question = {"role": "user", "content": "良好的习惯非常重要。" * 8}
    answers = [{"role": "assistant", "content": "好" * n} for n in range(1, 40)]
    documents = [[{"role": "user", "content": "学"}, answer, question, answers[0]] for answer in answers]
    batches = batches_of(documents, 18, mask_prompts=True)
    expected = sum(n + 1 for n in range(1, 40)) + 39 * 2
    for epoch in range(4):
        assert sum(target >= 0 for _, targets in shown(batches, epoch) for target in targets) == expected


def test_epochs_differ_and_long_documents_too():
    batches = batches_of(["".join(SENTENCES) * 40], max_length=64, rate=0.05)
    assert len({str(shown(batches, epoch)) for epoch in range(6)}) == 6


def test_a_text_that_only_grows_still_varies():
    batches = batches_of_texts(VariedTexts(["怎么提高工作效率？"] * 20, Augmenter(0, 0, 1, 0)), 128)
    texts = {TOKENIZER.decode(tokens) for tokens, _ in shown(batches, 1)}
    assert len(texts) == 2


def test_originals_are_kept_when_variants_are_made_ahead():
    dataset = Dataset([*SENTENCES, QUESTION], ["a notice"])
    expanded = expand(dataset, Augmenter(1, 1, 1, 1), 3)
    assert [d for d in expanded if d in dataset.documents] == dataset.documents
    assert len({str(d) for d in expanded}) == len(expanded) > 2 * len(dataset)
    assert "好" in expanded.documents and expanded.documents.count("好") == 1
    *_, last = expanded
    assert last[0]["content"] != QUESTION[0]["content"] and last[1] == QUESTION[1]
    assert f"augmentation: {len(expanded) - 7} variants of 7 texts" in expanded.notices


@pytest.mark.parametrize("times", [1, 2])
def test_no_more_variants_than_asked_for(times):
    text = "".join(SENTENCES)
    assert len(expand(Dataset([text]), Augmenter(), times)) == 1 + times
