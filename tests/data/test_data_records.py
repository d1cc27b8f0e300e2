"""Record shapes found in the wild, and what is wrong with those that cannot be read."""

import pytest

from rgz.data.records import record_document
from rgz.errors import RgzError

QUESTION = {"role": "user", "content": "问"}
ANSWER = {"role": "assistant", "content": "答"}
SYSTEM = {"role": "system", "content": "简短"}


@pytest.mark.parametrize(
    ("record", "document"),
    [
        ("文", "文"),
        ({"text": "文\n本"}, "文\n本"),
        ({"content": "文"}, "文"),
        ({"text": "用户：问助手：答"}, [QUESTION, ANSWER]),
        ({"messages": [SYSTEM, QUESTION, ANSWER]}, [SYSTEM, QUESTION, ANSWER]),
        (
            {"conversations": [{"from": "human", "value": "问"}, {"from": "gpt", "value": "答"}]},
            [QUESTION, ANSWER],
        ),
        ({"system": "简短", "conversations": [QUESTION, ANSWER]}, [SYSTEM, QUESTION, ANSWER]),
        ({"conversation": [{"from": "user", "value": "问"}, ANSWER]}, [QUESTION, ANSWER]),
        ({"instruction": "问", "output": "答"}, [QUESTION, ANSWER]),
        ({"instruction": "问", "input": "", "output": "答"}, [QUESTION, ANSWER]),
        ({"instruction": "问", "input": "题", "output": "答"}, [{**QUESTION, "content": "问\n题"}, ANSWER]),
        ({"instruction": "问", "output": "答", "history": []}, [QUESTION, ANSWER]),
        ({"instruction": "问", "output": "答", "history": [["问", "答"]]}, [QUESTION, ANSWER] * 2),
        ({"instruction": "问", "output": "答", "system": "简短"}, [SYSTEM, QUESTION, ANSWER]),
        ({"prompt": "问", "completion": "答"}, [QUESTION, ANSWER]),
        ({"prompt": "问", "response": "答"}, [QUESTION, ANSWER]),
        ({"question": "问", "answer": "答"}, [QUESTION, ANSWER]),
        ({"q": "问", "a": "答"}, [QUESTION, ANSWER]),
        ({"问": "问", "答": "答"}, [QUESTION, ANSWER]),
        ({"text": "  "}, None),
        ("", None),
    ],
)
def test_known_shapes_are_read(record, document):
    assert record_document(record) == (document, frozenset())


def test_fields_that_were_not_used_are_told():
    assert record_document({"text": "文", "id": 1})[1] == {"id"}
    assert record_document({"q": "问", "a": "答", "text": "x"})[1] == {"text"}
    assert record_document({"messages": [QUESTION, ANSWER], "source": "x"})[1] == {"source"}


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (3, "must be a text or an object, got 3"),
        (None, "got None"),
        (["x" * 99], r"got \['xxx.*\.\.\.$"),
        ({}, r"fields \{\}"),
        ({"title": "x"}, "fields title"),
        ({"q": "x", "answer": "y"}, "fields q, answer"),
        ({"text": 3}, "'text' must be a text, got 3"),
        ({"q": "x", "a": None}, "'a' must be a text, got None"),
        ({"q": "x", "a": ""}, "must not be empty"),
        ({"instruction": "x", "input": 3, "output": "y"}, "'input' must be a text"),
        ({"instruction": "x", "output": "y", "history": "z"}, "'history' must be"),
        ({"instruction": "x", "output": "y", "history": [["a"]]}, "'history' must be"),
        ({"messages": []}, "'messages' must be a list of messages"),
        ({"messages": "x"}, "'messages' must be a list of messages"),
        ({"messages": ["x"]}, "a message must be an object"),
        (
            {"messages": [{"role": "tool", "content": "x"}]},
            "'role' of a message must be one of .* got 'tool'",
        ),
        ({"conversations": [{"from": ["gpt"], "value": "x"}]}, "'from' of a message"),
        ({"messages": [{"role": "user"}]}, "'content' must be a text, got None"),
        ({"messages": [QUESTION]}, "end with an answer"),
        ({"messages": [ANSWER, QUESTION]}, "got assistant, user"),
    ],
)
def test_what_is_wrong_with_a_record_is_said(record, reason):
    with pytest.raises(RgzError, match=reason):
        record_document(record)
