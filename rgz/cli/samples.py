"""A line of the model's own Chinese at evaluations, so that one can read how it learns."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

from rgz.generate import Model, stream
from rgz.messages import tr
from rgz.text import encode_prompt
from rgz.train import Callback

if TYPE_CHECKING:
    from rgz.data import Dataset
    from rgz.train import Trainer, TrainerState

_SECONDS_BETWEEN = 5.0  # evaluations of a small model come thick and fast
_PROMPT_CHARACTERS = 5
_NEW_TOKENS = 40


class Samples(Callback):
    """Continues the beginning of a document, or with `chat` answers its question; each time another."""

    def __init__(self, dataset: Dataset, chat: bool) -> None:
        documents = dataset.documents
        if chat:  # texts among the dialogues hold no question
            documents = [d for d in documents if not isinstance(d, str)]
        self._documents = documents
        self._count = 0
        self._last: float | None = None

    def on_evaluate(self, trainer: Trainer, state: TrainerState) -> None:
        now = time.monotonic()
        early = self._last is not None and now - self._last < _SECONDS_BETWEEN and state.step < state.max_steps
        if early or not self._documents:
            return
        self._last = now
        document = self._documents[self._count % len(self._documents)]
        self._count += 1
        tokenizer = trainer.tokenizer
        if isinstance(document, str):
            lead = document[:_PROMPT_CHARACTERS]
            ids = [tokenizer.bos_id, *tokenizer.encode(lead)]
        else:
            turns = document[: 2 if document[0]["role"] == "system" else 1]
            ids, lead = encode_prompt(tokenizer, turns), turns[-1]["content"]
        pieces = stream(
            cast(Model, trainer.model),
            tokenizer,
            ids,
            max_new_tokens=_NEW_TOKENS,
            seed=0,
            greedy=not isinstance(document, str),
        )
        text = "".join(pieces)
        trainer.say(tr("  sample: {prompt} → {text}", prompt=_line(lead), text=_line(text)))


def _line(text: str) -> str:
    return text.replace("\n", "⏎")
