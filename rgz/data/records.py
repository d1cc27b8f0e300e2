"""From one JSON value to one document: the record shapes found in the wild.

A document is a text, or a dialogue: a list of {"role": "system" | "user" | "assistant", "content": text}. A
text that is wholly a dialogue `用户：…助手：…` (RustGPT-Chinese's chat files) becomes one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rgz.errors import RgzError
from rgz.messages import tr
from rgz.text import parse_chat
from rgz.text.chat import check_dialogue

Document = str | list[dict[str, str]]

_ROLES = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
}
_TEXT_KEYS = ("text", "content")
_DIALOGUE_KEYS = ("messages", "conversations", "conversation")
_PAIR_KEYS = (
    ("instruction", "output"),
    ("instruction", "response"),
    ("prompt", "completion"),
    ("prompt", "response"),
    ("question", "answer"),
    ("q", "a"),
    ("query", "response"),
    ("问题", "回答"),
    ("问题", "答案"),
    ("问", "答"),
)


def text_document(text: str) -> Document:
    return parse_chat(text) or text


def record_document(record: object) -> tuple[Document | None, frozenset[str]]:
    """Return the document of one JSON value, and the keys that were not used.

    A value that holds no text (empty or white space) gives None; one in no known shape is an RgzError that
    says what is wrong with it, to which the caller adds the file and the line.
    """
    if isinstance(record, str):
        return (text_document(record) if record.strip() else None), frozenset()
    if not isinstance(record, dict):
        raise RgzError(tr("a record must be a text or an object, got {value}", value=shown(record)))
    for key in _DIALOGUE_KEYS:
        if key in record:
            messages = _system_message(record) + _messages(record[key], key)
            check_dialogue(messages)
            return messages, frozenset(record) - {key, "system"}
    for question, answer in _PAIR_KEYS:
        if question in record and answer in record:
            messages = _pair_messages(record, question, answer)
            check_dialogue(messages)
            return messages, frozenset(record) - {question, answer, "input", "system", "history"}
    for key in _TEXT_KEYS:
        if key in record:
            text = _text(record, key)
            return (text_document(text) if text.strip() else None), frozenset(record) - {key}
    raise RgzError(
        tr(
            "no text found in the fields {fields}; use text, messages, conversations, instruction + output, "
            "prompt + completion or question + answer",
            fields=", ".join(map(str, record)) or "{}",
        )
    )


def is_known_record(record: object) -> bool:
    """Tell whether an object has one of the shapes that `record_document` reads, good or bad within."""
    return isinstance(record, dict) and (
        any(key in record for key in (*_DIALOGUE_KEYS, *_TEXT_KEYS))
        or any(question in record and answer in record for question, answer in _PAIR_KEYS)
    )


def labelled_text(record: object) -> str | None:
    """Return an object of named texts as lines `name：text`, lists joined with 、; None if it is none."""
    if not isinstance(record, dict) or not record:
        return None
    lines = []
    for name, value in record.items():
        values = value if isinstance(value, list) else [value]
        if not all(isinstance(item, str | int | float) for item in values):
            return None
        if text := "、".join(map(str, values)).strip():
            lines.append(f"{name}：{text}")
    return "\n".join(lines) or None


def _messages(value: object, key: str) -> list[dict[str, str]]:
    """Read [{"role": …, "content": …}] or ShareGPT's [{"from": …, "value": …}]."""
    if not isinstance(value, list) or not value:
        raise RgzError(tr("'{key}' must be a list of messages, got {value}", key=key, value=shown(value)))
    messages = []
    for message in value:
        if not isinstance(message, dict):
            raise RgzError(tr("a message must be an object with role and content, got {value}", value=shown(message)))
        role_key, text_key = ("from", "value") if "from" in message else ("role", "content")
        role = message.get(role_key)
        if not isinstance(role, str) or role not in _ROLES:
            raise RgzError(
                tr(
                    "the '{key}' of a message must be one of {roles}, got {value}",
                    key=role_key,
                    roles=", ".join(_ROLES),
                    value=shown(role),
                )
            )
        messages.append({"role": _ROLES[role], "content": _text(message, text_key)})
    return messages


def _pair_messages(record: Mapping[str, Any], question: str, answer: str) -> list[dict[str, str]]:
    """Read one question and answer; Alpaca's `input` follows the instruction, `history` pairs come before."""
    messages = _system_message(record)
    history = record.get("history") or []
    if not isinstance(history, list):
        raise RgzError(tr("'history' must be a list of [question, answer], got {value}", value=shown(history)))
    for turn in history:
        if not (isinstance(turn, list) and len(turn) == 2 and all(isinstance(part, str) for part in turn)):
            raise RgzError(tr("'history' must be a list of [question, answer], got {value}", value=shown(turn)))
        messages.append({"role": "user", "content": turn[0]})
        messages.append({"role": "assistant", "content": turn[1]})
    asked = _text(record, question)
    if record.get("input"):
        asked = f"{asked}\n{_text(record, 'input')}"
    messages.append({"role": "user", "content": asked})
    messages.append({"role": "assistant", "content": _text(record, answer)})
    return messages


def _system_message(record: Mapping[str, Any]) -> list[dict[str, str]]:
    return [{"role": "system", "content": _text(record, "system")}] if record.get("system") else []


def _text(record: Mapping[str, Any], key: str) -> str:
    value = record.get(key)
    if not isinstance(value, str):
        raise RgzError(tr("'{key}' must be a text, got {value}", key=key, value=shown(value)))
    return value


def shown(value: object) -> str:
    """Return a value as an error quotes it: short."""
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
