"""Dialogues: the template id for id, what counts as an answer, and which texts are dialogues."""

import pytest

from rgz.errors import RgzError
from rgz.text import (
    BPETokenizer,
    ByteTokenizer,
    CharTokenizer,
    WordTokenizer,
    encode_chat,
    encode_prompt,
    parse_chat,
    render_chat,
)


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


def system(text):
    return {"role": "system", "content": text}


TWO_TURNS = [user("你好"), assistant("您好！"), user("再见"), assistant("慢走。")]
TOKENIZERS = [
    ByteTokenizer(),
    CharTokenizer.train(["你好"]),
    WordTokenizer.train(["用户助手你好再见慢走"]),
    BPETokenizer.train(["用户：你好\n助手：您好！再见慢走。"] * 2),
]


@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=lambda t: t.type)
def test_a_dialogue_is_written_by_the_template(tokenizer):
    ids, _ = encode_chat(tokenizer, [system("要礼貌。"), *TWO_TURNS])
    sep = "<|sep|>" if tokenizer.type == "bpe" else ""
    assert tokenizer.decode(ids, skip_special_tokens=False) == (
        f"<|bos|>系统：要礼貌。\n用户：你好\n助手：{sep}您好！</s>用户：再见\n助手：{sep}慢走。</s>"
    )


@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=lambda t: t.type)
def test_the_mask_marks_the_answers_and_their_ends(tokenizer):
    ids, mask = encode_chat(tokenizer, TWO_TURNS)
    assert len(ids) == len(mask) and set(mask) == {0, 1}
    marked = [i for i, counts in zip(ids, mask, strict=True) if counts]
    assert tokenizer.decode(marked, skip_special_tokens=False) == "您好！</s>慢走。</s>"
    rest = [i for i, counts in zip(ids, mask, strict=True) if not counts]
    sep = "<|sep|>" if tokenizer.type == "bpe" else ""
    shown = tokenizer.decode(rest, skip_special_tokens=False)
    assert shown == f"<|bos|>用户：你好\n助手：{sep}用户：再见\n助手：{sep}"


@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=lambda t: t.type)
@pytest.mark.parametrize("first", [[], [system("简短。")]])
def test_a_prompt_is_what_training_showed_before_each_answer(tokenizer, first):
    messages = [*first, *TWO_TURNS]
    ids, mask = encode_chat(tokenizer, messages)
    for turns in (len(first) + 1, len(first) + 3):
        prompt = encode_prompt(tokenizer, messages[:turns])
        assert ids[: len(prompt)] == prompt
        assert mask[len(prompt)] == 1 and mask[len(prompt) - 1] == 0


def test_byte_pairs_reach_across_the_parts_of_a_prompt_but_not_into_an_answer():
    tokenizer = TOKENIZERS[-1]
    ids, _ = encode_chat(tokenizer, [user("你好"), assistant("您好！")])
    joined, answer = tokenizer.encode("用户：你好\n助手："), tokenizer.encode("您好！")
    assert ids == [tokenizer.bos_id, *joined, tokenizer.sep_id, *answer, tokenizer.eos_id]
    apart = [i for part in ("用户：", "你好", "\n助手：") for i in tokenizer.encode(part)]
    assert joined != apart and tokenizer.encode("\n助手：您好！") != tokenizer.encode("\n助手：") + answer


def test_words_do_not_reach_across_the_template():
    tokenizer = WordTokenizer.train(["用户：手机\n助手：机器", "用户：手\n助手：手机"])
    ids, _ = encode_chat(tokenizer, [user("手"), assistant("机器")])
    assert encode_prompt(tokenizer, [user("手")]) == ids[: -len(tokenizer.encode("机器")) - 1]


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([], r"got \[\]"),
        ([system("x")], "got system"),
        ([assistant("x")], "got assistant"),
        ([user("a"), user("b"), assistant("c")], "got user, user, assistant"),
        ([user("a"), assistant("b"), system("c")], "got user, assistant, system"),
        ([{"role": "tool", "content": "x"}, assistant("y")], "got tool"),
        ([user("a")], "end with an answer"),
        ([user("a"), assistant("  ")], "not be empty"),
        ([user(""), assistant("b")], "not be empty"),
    ],
)
def test_what_is_no_dialogue_is_refused(messages, reason):
    with pytest.raises(RgzError, match=reason):
        encode_chat(ByteTokenizer(), messages)


def test_a_prompt_must_end_with_a_question():
    with pytest.raises(RgzError, match="end with a message of the user"):
        encode_prompt(ByteTokenizer(), TWO_TURNS)


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("用户：你好！助手：你好！", [user("你好！"), assistant("你好！")]),
        ("用户：你好\n助手：好\n", [user("你好"), assistant("好")]),
        ("用户:hi 助手:hello</s>", [user("hi"), assistant("hello")]),
        ("用户：你好助手：您好！用户：再见助手：慢走。", TWO_TURNS),
        ("系统：简短。\n用户：a\n助手：b", [system("简短。"), user("a"), assistant("b")]),
        ("用户：列清单。助手：清单：\n1) 米\n2) 面", [user("列清单。"), assistant("清单：\n1) 米\n2) 面")]),
        (
            "用户：分？助手：普通用户：少。操作系统：旧。",
            [user("分？"), assistant("普通用户：少。操作系统：旧。")],
        ),
    ],
)
def test_texts_that_are_wholly_a_dialogue_become_messages(text, messages):
    assert parse_chat(text) == messages


@pytest.mark.parametrize(
    "text",
    [
        "",
        "太阳从东方升起",
        "他说：用户：你好助手：好",
        "用户：只有问题",
        "助手：只有回答",
        "用户：助手：没有问题",
        "用户：没有回答助手：",
        "用户：一。助手：二。用户：没有回答",
        "用户：一。助手：二。用户：三。助手：",
        "系统：没有对话",
        "系统：用户：a助手：b",
        "用户体验：好。助手：好",
    ],
)
def test_other_texts_stay_texts(text):
    assert parse_chat(text) is None


def test_a_rendered_dialogue_is_read_back():
    messages = [system("简短。"), *TWO_TURNS]
    assert render_chat(messages) == "系统：简短。\n用户：你好\n助手：您好！\n用户：再见\n助手：慢走。"
    assert parse_chat(render_chat(messages)) == messages
