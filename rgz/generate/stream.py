"""Text from a prompt, whole or piece by piece."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rgz.errors import RgzError
from rgz.generate.beam import beam_search
from rgz.generate.sampling import Sampling
from rgz.generate.window import Window
from rgz.messages import tr
from rgz.models.decoder import Decoder
from rgz.text.tokenizer import Tokenizer


def stream_ids(
    model: Decoder,
    prompt: Sequence[int],
    sampling: Sampling,
    *,
    max_new_tokens: int,
    eos_id: int,
    forbidden: Sequence[int],
    n_threads: int | None = None,
) -> Iterator[int]:
    """Yield new ids one by one until eos (which is not yielded) or max_new_tokens."""
    random = sampling.generator()
    window = Window(model, prompt, n_threads=n_threads)
    for count in range(max_new_tokens):
        token = sampling.choose(window.logits[0], window.sequences[0], forbidden, random)
        if token == eos_id:
            return
        yield token
        if count + 1 < max_new_tokens:
            window.push([token])


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
    ids = prompt_ids(model, tokenizer, prompt)
    check_count("max_new_tokens", max_new_tokens)
    decoder = tokenizer.stream()
    for token in stream_ids(
        model,
        ids,
        Sampling(**sampling),
        max_new_tokens=max_new_tokens,
        eos_id=tokenizer.eos_id,
        forbidden=forbidden_ids(model, tokenizer),
        n_threads=n_threads,
    ):
        if piece := decoder.push(token):
            yield piece
    if piece := decoder.flush():
        yield piece


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
    """The continuation of a prompt as text. num_beams > 1: beam search, which uses of Sampling only the
    repetition penalty."""
    check_count("num_beams", num_beams)
    if num_beams == 1:
        return "".join(stream(model, tokenizer, prompt, max_new_tokens=max_new_tokens, n_threads=n_threads, **sampling))
    check_count("max_new_tokens", max_new_tokens)
    ids = beam_search(
        model,
        prompt_ids(model, tokenizer, prompt),
        max_new_tokens=max_new_tokens,
        num_beams=num_beams,
        eos_id=tokenizer.eos_id,
        forbidden=forbidden_ids(model, tokenizer),
        repetition_penalty=Sampling(**sampling).repetition_penalty,
        n_threads=n_threads,
    )
    return tokenizer.decode(ids)


def prompt_ids(model: Decoder, tokenizer: Tokenizer, prompt: str | Sequence[int]) -> list[int]:
    if tokenizer.vocab_size > model.config.vocab_size:
        raise RgzError(
            tr(
                "the tokenizer has {tokenizer} ids and the model {model}: they do not belong together",
                tokenizer=tokenizer.vocab_size,
                model=model.config.vocab_size,
            )
        )
    if isinstance(prompt, str):
        return [tokenizer.bos_id, *tokenizer.encode(prompt)]
    ids = np.asarray(prompt)
    if ids.ndim != 1 or ids.size == 0 or not np.issubdtype(ids.dtype, np.integer):
        raise RgzError(tr("a prompt must be a text, or a sequence of at least one id, got {value}", value=repr(prompt)))
    values: list[int] = ids.tolist()
    return values


def forbidden_ids(model: Decoder, tokenizer: Tokenizer) -> list[int]:
    """What is no part of a text: special tokens, and ids of a model whose vocabulary is larger than the tokenizer's."""
    special = [i for i in tokenizer.special_ids if i != tokenizer.eos_id]
    return [*special, *range(tokenizer.vocab_size, model.config.vocab_size)]


def check_count(name: str, value: int) -> None:
    if not isinstance(value, int) or value < 1:
        raise RgzError(tr("{name} must be {wanted}, got {value}", name=name, wanted=">= 1", value=value))
