"""What the model answers, as text that ends where the request says, and as the objects that OpenAI's clients read."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rgz.generate import Continuation


class Before:
    """The pieces of a text up to where the first of `stops` to be complete begins: iterate over it once.

    What may be the beginning of one is held back until that shows. reached : whether one came.
    """

    def __init__(self, pieces: Iterable[str], stops: Sequence[str]) -> None:
        self._pieces, self._stops = pieces, stops
        self.reached = False

    def __iter__(self) -> Iterator[str]:
        held = ""
        for piece in self._pieces:
            held += piece
            found = [(place + len(stop), place) for stop in self._stops if (place := held.find(stop)) >= 0]
            if found:
                self.reached = True
                if begin := min(found)[1]:
                    yield held[:begin]
                return
            keep = self._unsure(held)
            if len(held) > keep:
                yield held[: len(held) - keep]
                held = held[len(held) - keep :]
        if held:
            yield held

    def _unsure(self, text: str) -> int:
        """Characters at the end of `text` that a stop may begin with."""
        longest = min(len(text), max(map(len, self._stops), default=1) - 1)
        for count in range(longest, 0, -1):
            if any(stop.startswith(text[-count:]) for stop in self._stops):
                return count
        return 0


class Answer:
    """One answer while it is written. is_chat : as a message, not as a text that goes on."""

    def __init__(self, model: str, is_chat: bool, continuation: Continuation, stops: Sequence[str]) -> None:
        self._continuation, self._text = continuation, Before(continuation, stops)
        self._is_chat = is_chat
        prefix, self._kind = ("chatcmpl-", "chat.completion") if is_chat else ("cmpl-", "text_completion")
        self._head = {"id": prefix + secrets.token_hex(12), "created": int(time.time()), "model": model}

    def pieces(self) -> Iterator[str]:
        return iter(self._text)

    @property
    def n_tokens(self) -> int:
        return self._continuation.n_tokens

    def whole(self, text: str) -> dict[str, Any]:
        """The one object of an answer that is not streamed."""
        part = {"message": {"role": "assistant", "content": text}} if self._is_chat else {"text": text}
        return {**self._object(self._kind, part, self._reason()), "usage": self._usage()}

    def first(self) -> list[dict[str, Any]]:
        """What comes before the first piece: whose message it is."""
        return [self._chunk({"delta": {"role": "assistant", "content": ""}})] if self._is_chat else []

    def piece(self, text: str) -> dict[str, Any]:
        return self._chunk({"delta": {"content": text}} if self._is_chat else {"text": text})

    def last(self, tells_usage: bool) -> list[dict[str, Any]]:
        """What comes after the last piece: why it ended and, if asked for, the tokens."""
        end = self._chunk({"delta": {}} if self._is_chat else {"text": ""}, self._reason())
        return [end, {**end, "choices": [], "usage": self._usage()}] if tells_usage else [end]

    def _chunk(self, part: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        return self._object("chat.completion.chunk" if self._is_chat else self._kind, part, reason)

    def _object(self, kind: str, part: dict[str, Any], reason: str | None) -> dict[str, Any]:
        choice = {"index": 0, **part, "logprobs": None, "finish_reason": reason}
        return {**self._head, "object": kind, "choices": [choice]}

    def _reason(self) -> str:
        return "length" if self._continuation.is_cut and not self._text.reached else "stop"

    def _usage(self) -> dict[str, int]:
        read, written = len(self._continuation.ids), self._continuation.n_tokens
        return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
