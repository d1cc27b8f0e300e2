"""The model as users know it: the decoder, and text from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rgz.generate.stream import generate
from rgz.models.decoder import Decoder
from rgz.text.tokenizer import Tokenizer


class Model(Decoder):
    """A decoder-only transformer: Model(config, seed=0), Model.from_pretrained(folder)."""

    def generate(
        self,
        tokenizer: Tokenizer,
        prompt: str | Sequence[int],
        *,
        max_new_tokens: int = 64,
        num_beams: int = 1,
        n_threads: int | None = None,
        **sampling: Any,
    ) -> str:
        """Continue a prompt. Keywords: temperature, top_k, top_p, min_p, repetition_penalty, greedy, seed; see
        rgz.generate.Sampling. Use rgz.generate.stream to get the pieces as they come."""
        return generate(
            self,
            tokenizer,
            prompt,
            max_new_tokens=max_new_tokens,
            num_beams=num_beams,
            n_threads=n_threads,
            **sampling,
        )
