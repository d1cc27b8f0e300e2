"""A conversation that goes on for as long as the user likes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rgz.generate.stream import stream
from rgz.models.decoder import Decoder
from rgz.text.chat import Message, check_prompt, encode_prompt
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
        return fitting_prompt(
            self.model, self.tokenizer, [*self.messages, {"role": "user", "content": text}], self.turns
        )

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


def fitting_prompt(model: Decoder, tokenizer: Tokenizer, messages: Sequence[Message], turns: int | None) -> list[int]:
    """Ids of a dialogue to be answered: of its system message, and of at most `turns` of the latest questions.

    Of these, the oldest give way too while the prompt takes more than half of the model's positions; the last one
    stays, however long. RgzError: see `encode_prompt`.
    """
    check_prompt(messages)
    first = int(messages[0]["role"] == "system")
    lead, talk = messages[:first], messages[first:]
    room, most = model.config.max_position_embeddings // 2, len(talk) if turns is None else 2 * turns - 1
    ids = encode_prompt(tokenizer, [*lead, talk[-1]])
    for count in range(3, min(most, len(talk)) + 1, 2):  # questions and answers alternate
        longer = encode_prompt(tokenizer, [*lead, *talk[-count:]])
        if len(longer) > room:
            break
        ids = longer
    return ids
