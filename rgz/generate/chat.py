"""A conversation that goes on for as long as the user likes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rgz.generate.stream import stream
from rgz.models.decoder import Decoder
from rgz.text.chat import encode_prompt
from rgz.text.tokenizer import Tokenizer


class ChatSession:
    """Remembers the turns and answers the next one. Keywords: max_new_tokens and those of Sampling.

    turns : questions that the model sees at a time, the new one included; None: as many as there is room for. A small
        model that was trained on single questions only loses its way in the second.
    The oldest turns are forgotten when prompt and answer would not fit the model's positions together; the answer
    itself may run past them, because the model then reads on through a sliding window.
    """

    def __init__(self, model: Decoder, tokenizer: Tokenizer, turns: int | None = None, **settings: Any) -> None:
        self.model, self.tokenizer, self.turns = model, tokenizer, turns
        self.settings = {"max_new_tokens": 256, **settings}
        self.messages: list[dict[str, str]] = []

    def clear(self) -> None:
        self.messages = []

    def prompt_ids(self, text: str) -> list[int]:
        """Ids of as many of the latest turns as leave half of the positions to the answer, and of `text`."""
        messages = [*self.messages, {"role": "user", "content": text}]
        if self.turns is not None:
            messages = messages[-(2 * self.turns - 1) :]  # questions and answers alternate
        room = self.model.config.max_position_embeddings // 2
        ids = encode_prompt(self.tokenizer, messages)
        while len(ids) > room and len(messages) > 2:
            messages = messages[2:]  # a question and its answer
            ids = encode_prompt(self.tokenizer, messages)
        return ids

    def reply(self, text: str) -> Iterator[str]:
        """Yield the answer in pieces; it joins the conversation when the last piece has been taken."""
        pieces = []
        for piece in stream(self.model, self.tokenizer, self.prompt_ids(text), **self.settings):
            pieces.append(piece)
            yield piece
        self.messages += [
            {"role": "user", "content": text},
            {"role": "assistant", "content": "".join(pieces)},
        ]
