"""What a variant may be: the same for the same numbers, whole, and Chinese."""

import re
from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rgz.augment import OPERATIONS, Augmenter
from rgz.augment.grammar import is_han
from rgz.augment.synonyms import BUILT_IN, read_groups
from rgz.errors import RgzError
from rgz.text.segment import segment

# Rich in places for every operation.
PARAGRAPH = (
    "我们可以认真学习重要知识，他们需要不断提高能力。良好的习惯非常重要，健康饮食其实改善了生活质量。"
    "阅读习惯丰富人生经验，运动方法改变身体状况。怎么提高工作效率？专家已经取得了明显成效。"
)
PIECES = (
    *PARAGRAPH.replace("，", "，|").replace("。", "。|").split("|"),
    "我们", "你", "可以", "提高", "非常", "很", "重要", "的", "了", "着", "地", "就", "也", "问题", "方法", "怎么",
    "，", "。", "？", "！", "；", "：", "\n", "、", "“", "”", "（", "）", " ", "3.14", "2024年", "50%", "GPT-4",
    "Python", "<|bos|>", "</s>", "<|mask|>", "《重要的方法》", "第三", "一百二十",
)  # fmt: skip
chinese = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)
texts = st.one_of(chinese, st.text(max_size=60))
rates = st.sampled_from([0.0, 0.1, 0.5, 1.0])
numbers = st.integers(0, 2**40)
NEVER = re.compile(
    r"[0-9][0-9.%]*|[A-Za-z][A-Za-z0-9-]*|<[^<>\s]{1,32}>|《[^》\n]*》|[〇零一二三四五六七八九十百千万]{2,}"
)


@given(chinese, rates, rates, rates, rates, numbers, numbers, numbers)
def test_a_variant_depends_on_seed_epoch_and_sample_alone(text, s, d, i, r, seed, epoch, sample):
    variant = Augmenter(s, d, i, r, seed)
    variant("别的文本", 7, 7)  # what was asked before leaves no trace
    assert variant(text, epoch, sample) == Augmenter(s, d, i, r, seed)(text, epoch, sample)


def test_other_numbers_give_other_variants():
    variants = {Augmenter(seed=seed)(PARAGRAPH, epoch, sample) for seed, epoch, sample in
                [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 12, 3), (0, 1, 23)]}  # fmt: skip
    assert len(variants) == 6


@settings(max_examples=200)
@given(texts, rates, rates, rates, rates, numbers)
@example("第三非常我们可以认真学习重要知识，", 0.1, 0.0, 0.0, 0.0, 1)  # 十分 for 非常 would make thirty of three
def test_what_is_protected_stays(text, s, d, i, r, epoch):
    variant = Augmenter(s, d, i, r)(text, epoch)
    assert Counter(NEVER.findall(variant)) == Counter(NEVER.findall(text))
    for mark in "。！？；：，、\n“”（）":
        assert variant.count(mark) == text.count(mark), mark
    assert bool(variant.strip()) == bool(text.strip())


@given(st.lists(st.tuples(chinese, chinese), min_size=1, max_size=3), chinese, numbers)
def test_of_a_dialogue_only_the_questions_change(turns, system, epoch):
    turns = [(question.replace("：", ""), answer.replace("：", "")) for question, answer in turns]
    text = f"系统：{system}" + "".join(f"用户：{question}助手：{answer}" for question, answer in turns)
    variant = Augmenter(1, 1, 1, 1)(text, epoch)
    found = re.fullmatch("系统：" + re.escape(system) + "".join(
        "用户：(.*?)助手：" + re.escape(answer) for _, answer in turns), variant, re.DOTALL)  # fmt: skip
    assert found, variant
    dialogue = [{"role": "system", "content": system}]
    for question, answer in turns:
        dialogue += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    kept = [[m for m in d if m["role"] != "user"] for d in (dialogue, Augmenter().vary_document(dialogue, epoch, 0))]
    assert kept[0] == kept[1]


def test_a_dialogue_of_messages_has_its_questions_changed():
    dialogue = [{"role": "user", "content": PARAGRAPH}, {"role": "assistant", "content": PARAGRAPH}]
    question, answer = Augmenter().vary_document(dialogue, 1, 0)
    assert question["content"] != PARAGRAPH and answer["content"] == PARAGRAPH and question["role"] == "user"


@given(texts, numbers)
def test_rates_of_zero_change_nothing(text, epoch):
    assert Augmenter(0, 0, 0, 0)(text, epoch) == text


@settings(max_examples=20)
@given(st.sampled_from(OPERATIONS[:3]), st.sampled_from([0.01, 0.02, 0.04]), numbers)
def test_rates_are_shares_of_the_words(operation, rate, epoch):
    text = PARAGRAPH * 60
    n_words = sum(map(is_han, segment(text)))
    counts = Augmenter(**{**dict.fromkeys(OPERATIONS, 0.0), operation: rate}).vary(text, epoch).counts
    # Binomial: five standard deviations on either side.
    assert abs(counts[operation] - rate * n_words) < 5 * (rate * n_words) ** 0.5
    assert sum(counts.values()) == counts[operation]


def test_the_rate_of_reordering_is_a_share_of_the_sentences():
    counts = [Augmenter(0, 0, 0, 0.1).vary(PARAGRAPH * 60, epoch).counts["reorder"] for epoch in range(5)]
    assert abs(sum(counts) / 5 - 0.1 * 5 * 60) < 5 * 30**0.5


def test_no_more_than_half_of_the_places_are_taken():
    counts = Augmenter(1, 0, 0, 0).vary("方法。" * 1000, 1).counts
    assert 400 < counts["synonyms"] < 600


def test_the_counts_are_what_was_done():
    words = [word for group in read_groups(BUILT_IN)[100:150] for word in group]
    variant = Augmenter(1, 0, 0, 0).vary("。".join(words), 3)
    changed = sum(a != b for a, b in zip(words, variant.text.split("。"), strict=True))
    assert changed == variant.counts["synonyms"] > 0


def variants_of(text, **rates):
    augmenter = Augmenter(**{**dict.fromkeys(OPERATIONS, 0.0), **rates})
    return {augmenter(text, epoch) for epoch in range(40)}


@pytest.mark.parametrize(
    "operation, text, variant",
    [
        ("synonyms", "方法很好。", "办法很好。"),
        ("deletion", "这非常重要。", "这重要。"),
        ("deletion", "良好的习惯。", "良好习惯。"),
        ("deletion", "专家取得了成效。", "专家取得成效。"),
        ("deletion", "他认真地学习。", "他认真学习。"),
        ("deletion", "你怎么学习呢？", "你怎么学习？"),
        ("deletion", "我们可以学习。", "我们学习。"),
        ("deletion", "对数据进行分析。", "对数据分析。"),
        ("insertion", "复杂问题很多。", "复杂的问题很多。"),
        ("insertion", "专家获得成果。", "专家获得了成果。"),
        ("insertion", "压力影响健康。", "压力影响着健康。"),
        ("insertion", "他耐心等待。", "他耐心地等待。"),
        ("insertion", "怎么提高效率？", "怎么提高效率呢？"),
        ("insertion", "我们可以帮忙。", "我们也可以帮忙。"),
        ("insertion", "如果下雨，我们可以等。", "如果下雨，我们就可以等。"),
        ("insertion", "你需要的东西。", "你所需要的东西。"),
        ("reorder", "保持规律运动，控制每天饮食。", "控制每天饮食，保持规律运动。"),
    ],
)
def test_a_sentence_has_the_variant_that_one_would_write(operation, text, variant):
    assert variants_of(text, **{operation: 1.0}) == {text, variant}


@pytest.mark.parametrize(
    "text",
    [
        "他不太重要。",  # a negation holds on to its adverb
        "最重要的问题。",  # a degree needs 的
        "只要努力就行。",
        "连孩子都知道。",
        "你去吗？",
        "他又高又瘦。",
        "2024年GPT-4。",
        "因为下雨，所以没去。",
        "他推开了门，走进了屋。",
        "河水很清，它流向大海。",
        "坚持到底。",
        "你研究研究。",
        "提高效率的方法。",
        "怎么会。",
    ],
)
def test_where_grammar_forbids_it_nothing_changes(text):
    assert variants_of(text, synonyms=1.0, deletion=1.0, insertion=1.0, reorder=1.0) <= {text, *allowed(text)}


def allowed(text):
    """The same with synonyms alone: those may stand in all of these sentences."""
    return {variant for variant in variants_of(text, synonyms=1.0) if len(segment(variant)) == len(segment(text))}


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("rate", [-0.1, 1.5, float("nan")])
def test_a_rate_out_of_range_is_refused(name, rate):
    with pytest.raises(RgzError, match=f"{name} must be >= 0, <= 1, got"):
        Augmenter(**{name: rate})
