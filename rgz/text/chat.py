"""Dialogues: one list of messages, one template, the same tokens in training and in chat.

    系统：…\\n                     (optional, once)
    用户：question\\n助手：answer</s>用户：question\\n助手：answer</s>…

What `rgz chat` has seen when it begins to answer is, id for id, what training showed before the answer: every piece
is encoded by itself, so that no word reaches across a boundary. Byte-level BPE that has a separator among its special
tokens (`Tokenizer.joins_prompts`) encodes all that stands between two answers as one text, and closes it with
`<|sep|>`: programs that know BPE (llama.cpp, tokenizers) encode whatever lies between special tokens at once, so they
come to the same ids.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, groupby

from rgz.errors import RgzError
from rgz.messages import tr
from rgz.text.tokenizer import Tokenizer

Message = Mapping[str, str]

SYSTEM, USER, ASSISTANT = "系统：", "用户：", "\n助手："
_FIRST_QUESTION = re.compile(r"\s*(?:系统[：:](.*?)(?<!\w))?用户[：:]", re.DOTALL)
_BEGINNING = re.compile(r"\s*(?:系统|用户)[：:]")
_ANSWER = re.compile("助手[：:]")
_NEXT_QUESTION = re.compile(r"(?<!\w)用户[：:]")  # not within a word: an answer may say "普通用户：…"


def encode_chat(tokenizer: Tokenizer, messages: Sequence[Message]) -> tuple[list[int], list[int]]:
    """Return (ids, mask) of a whole dialogue; mask is 1 at the ids of an answer and at the `</s>` after it.

    Messages are {"role": "system" | "user" | "assistant", "content": text}: an optional system message, then
    questions and answers in turn, ending with an answer; else RgzError.
    """
    ids, mask = [tokenizer.bos_id], [0]
    for text, is_answer in chat_pieces(tokenizer, messages):
        if is_answer and tokenizer.joins_prompts:
            ids.append(tokenizer.sep_id)
            mask.append(0)
        piece = tokenizer.encode(text) + [tokenizer.eos_id] * is_answer
        ids += piece
        mask += [int(is_answer)] * len(piece)
    return ids, mask


def chat_pieces(tokenizer: Tokenizer, messages: Sequence[Message]) -> Iterator[tuple[str, bool]]:
    """Yield the texts of a whole dialogue that are encoded each by itself, and whether that is an answer.

    An answer is followed by `</s>`, and `<|sep|>` stands before it if the tokenizer joins prompts. The messages are
    those of `encode_chat`.
    """
    check_dialogue(messages)
    yield from _encoded_at_once(tokenizer, _pieces(messages))


def encode_prompt(tokenizer: Tokenizer, messages: Sequence[Message]) -> list[int]:
    """Return the ids after which the next answer is to be generated; the last message is the user's."""
    check_prompt(messages)
    separator = [tokenizer.sep_id] * tokenizer.joins_prompts
    ids = [tokenizer.bos_id]
    for text, is_answer in _encoded_at_once(tokenizer, chain(_pieces(messages), [(ASSISTANT, False)])):
        ids += [*separator, *tokenizer.encode(text), tokenizer.eos_id] if is_answer else tokenizer.encode(text)
    return ids + separator


def jinja_template(tokenizer: Tokenizer) -> str:
    """The template in the language in which transformers, llama.cpp and others keep it."""
    sep = tokenizer.decode([tokenizer.sep_id], skip_special_tokens=False) if tokenizer.joins_prompts else ""
    answer = json.dumps(ASSISTANT + sep, ensure_ascii=False)
    return (
        "{{ bos_token }}{% for message in messages %}"
        f'{{% if message["role"] == "system" %}}{{{{ "{SYSTEM}" + message["content"] + "\\n" }}}}'
        f'{{% elif message["role"] == "user" %}}{{{{ "{USER}" + message["content"] }}}}'
        f'{{% elif message["role"] == "assistant" %}}{{{{ {answer} + message["content"] + eos_token }}}}'
        '{% else %}{{ raise_exception("the roles are system, user and assistant") }}{% endif %}{% endfor %}'
        f"{{% if add_generation_prompt %}}{{{{ {answer} }}}}{{% endif %}}"
    )


def _encoded_at_once(tokenizer: Tokenizer, pieces: Iterable[tuple[str, bool]]) -> Iterator[tuple[str, bool]]:
    """The pieces, those between two answers joined if the tokenizer says so."""
    if not tokenizer.joins_prompts:
        yield from pieces
        return
    for is_answer, group in groupby(pieces, lambda piece: piece[1]):
        yield "".join(text for text, _ in group), is_answer


def _pieces(messages: Sequence[Message]) -> Iterator[tuple[str, bool]]:
    lead = {"system": SYSTEM, "user": USER, "assistant": ASSISTANT}
    for message in messages:
        yield lead[message["role"]], False
        yield message["content"], message["role"] == "assistant"
        if message["role"] == "system":
            yield "\n", False


def check_dialogue(messages: Sequence[Message]) -> None:
    """Refuse what cannot be trained on: see `encode_chat`."""
    _check_order(messages)
    if messages[-1]["role"] != "assistant":
        raise RgzError(tr("a dialogue must end with an answer of the assistant"))
    if not all(message["content"].strip() for message in messages):
        raise RgzError(tr("a message of a dialogue must not be empty"))


def check_prompt(messages: Sequence[Message]) -> None:
    """Refuse what cannot be answered: see `encode_prompt`."""
    _check_order(messages)
    if messages[-1]["role"] != "user":
        raise RgzError(tr("a prompt must end with a message of the user"))


def _check_order(messages: Sequence[Message]) -> None:
    for message in messages if isinstance(messages, Sequence) else [messages]:
        if not isinstance(message, Mapping) or not all(isinstance(message.get(k), str) for k in ("role", "content")):
            raise RgzError(
                tr("a message must be an object with role and content, got {value}", value=repr(message)[:60])
            )
    roles = [message["role"] for message in messages]
    turns = roles[1:] if roles[:1] == ["system"] else roles
    if not turns or turns != (["user", "assistant"] * len(turns))[: len(turns)]:
        raise RgzError(
            tr(
                "a dialogue must be an optional system message, then user and assistant in turn, got {roles}",
                roles=", ".join(roles[:8]) + (", ..." if len(roles) > 8 else "") or "[]",
            )
        )


def render_chat(messages: Sequence[Message]) -> str:
    """Return a dialogue as plain text, a message a line: to train a tokenizer on, to display."""
    lead = {"system": SYSTEM, "user": USER, "assistant": ASSISTANT.strip()}
    return "\n".join(lead[message["role"]] + message["content"] for message in messages)


def may_begin_chat(text: str) -> bool:
    """Tell whether a text that begins like this can be one that `parse_chat` reads."""
    return _BEGINNING.match(text) is not None


def parse_chat(text: str) -> list[dict[str, str]] | None:
    """Return the messages of a text that is wholly `用户：…助手：…`, None for any other text.

    Several turns, ASCII colons and a leading `系统：…` are understood. No message may be empty, the last word
    is the assistant's. White space around a message and an `</s>` at its end are not part of it.
    """
    start = _FIRST_QUESTION.match(text)
    if start is None:
        return None
    messages = [{"role": "system", "content": start[1]}] if start[1] is not None else []
    while start is not None:
        answer = _ANSWER.search(text, start.end())
        if answer is None:
            return None
        question, start = text[start.end() : answer.start()], _NEXT_QUESTION.search(text, answer.end())
        messages.append({"role": "user", "content": question})
        reply = text[answer.end() : start.start() if start else None]
        messages.append({"role": "assistant", "content": reply})
    for message in messages:
        message["content"] = message["content"].strip().removesuffix("</s>").rstrip()
    return messages if all(message["content"] for message in messages) else None
