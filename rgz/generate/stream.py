"""Text from a prompt, whole or piece by piece."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rgz.errors import RgzError
from rgz.generate.beam import beam_search
from rgz.generate.sampling import Sampling
from rgz.generate.spelling import Spelling
from rgz.generate.window import Window
from rgz.messages import tr
from rgz.models import check_vocabulary
from rgz.models.decoder import Decoder
from rgz.strict import need_integer
from rgz.text.tokenizer import Tokenizer


def stream_ids(
    model: Decoder,
    prompt: Sequence[int],
    sampling: Sampling,
    *,
    max_new_tokens: int,
    eos_id: int,
    spelling: Spelling,
    n_threads: int | None = None,
) -> Iterator[int]:
    """Yield new ids one by one until eos (which is not yielded) or max_new_tokens."""
    random = sampling.generator()
    window = Window(model, prompt, n_threads=n_threads)
    for count in range(max_new_tokens):
        ids = window.sequences[0]
        token = sampling.choose(window.logits[0], ids, spelling.forbidden(ids), random)
        if token == eos_id:
            return
        yield token
        if count + 1 < max_new_tokens:
            window.push([token])


class Continuation:
    """What a model writes after a prompt, in pieces of whole characters: iterate over it once.

    The keywords are those of `stream`; wrong ones are refused when it is made. ids : of the prompt; n_tokens : written
    so far.
    """

    def __init__(
        self,
        model: Decoder,
        tokenizer: Tokenizer,
        prompt: str | Sequence[int],
        *,
        max_new_tokens: int = 64,
        n_threads: int | None = None,
        **sampling: Any,
    ) -> None:
        self.ids = prompt_ids(model, tokenizer, prompt)
        need_integer("max_new_tokens", max_new_tokens, 1)
        spelling = Spelling(model, tokenizer)
        self._decoder = tokenizer.stream(held=spelling.held(self.ids))
        self._most, self.n_tokens = max_new_tokens, 0
        self._tokens = stream_ids(
            model,
            self.ids,
            Sampling(**sampling),
            max_new_tokens=max_new_tokens,
            eos_id=tokenizer.eos_id,
            spelling=spelling,
            n_threads=n_threads,
        )

    def __iter__(self) -> Iterator[str]:
        for token in self._tokens:
            self.n_tokens += 1
            if piece := self._decoder.push(token):
                yield piece
        # A character that max_new_tokens cut short is left out: the pieces are whole ones.

    @property
    def is_cut(self) -> bool:
        """Whether it ended, or will, at max_new_tokens and not where the model ends."""
        return self.n_tokens == self._most


def stream(
    model: Decoder,
    tokenizer: Tokenizer,
    prompt: str | Sequence[int],
    *,
    max_new_tokens: int = 64,
    n_threads: int | None = None,
    **sampling: Any,
) -> Iterator[str]:
    """Yield the continuation of a prompt in pieces of whole characters. Keywords: those of Sampling.

    prompt : text (a beginning-of-sequence token goes before it), or ids taken as they are.
    """
    yield from Continuation(model, tokenizer, prompt, max_new_tokens=max_new_tokens, n_threads=n_threads, **sampling)


def generate(
    model: Decoder,
    tokenizer: Tokenizer,
    prompt: str | Sequence[int],
    *,
    max_new_tokens: int = 64,
    num_beams: int = 1,
    n_threads: int | None = None,
    **sampling: Any,
) -> str:
    """The continuation of a prompt as text. num_beams > 1: beam search, which draws nothing and so takes of
    Sampling only the repetition penalty (and greedy); the others are refused."""
    need_integer("num_beams", num_beams, 1)
    if num_beams == 1:
        return "".join(stream(model, tokenizer, prompt, max_new_tokens=max_new_tokens, n_threads=n_threads, **sampling))
    need_integer("max_new_tokens", max_new_tokens, 1)
    for name in sampling:
        if name not in ("repetition_penalty", "greedy"):
            raise RgzError(tr("beam search draws nothing: leave {name} out, or num_beams", name=name))
    before, spelling = prompt_ids(model, tokenizer, prompt), Spelling(model, tokenizer)
    ids = beam_search(
        model,
        before,
        max_new_tokens=max_new_tokens,
        num_beams=num_beams,
        eos_id=tokenizer.eos_id,
        spelling=spelling,
        repetition_penalty=Sampling(**sampling).repetition_penalty,
        n_threads=n_threads,
    )
    return "".join(map(tokenizer.stream(held=spelling.held(before)).push, ids))


def prompt_ids(model: Decoder, tokenizer: Tokenizer, prompt: str | Sequence[int]) -> list[int]:
    check_vocabulary(model, tokenizer)
    if isinstance(prompt, str):
        return [tokenizer.bos_id, *tokenizer.encode(prompt)]
    try:
        ids = np.asarray(prompt)
    except ValueError:  # ragged
        ids = np.array([])
    if ids.ndim != 1 or ids.size == 0 or not np.issubdtype(ids.dtype, np.integer):
        raise RgzError(tr("a prompt must be a text, or a sequence of at least one id, got {value}", value=repr(prompt)))
    values: list[int] = ids.tolist()
    return values
