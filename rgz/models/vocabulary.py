"""Whether a model and a tokenizer belong together."""

from __future__ import annotations

from rgz.errors import RgzError
from rgz.messages import tr
from rgz.models.decoder import Decoder
from rgz.text import Tokenizer


def check_vocabulary(model: Decoder, tokenizer: Tokenizer) -> None:
    """Refuse a tokenizer with ids that the model does not have."""
    if tokenizer.vocab_size > model.config.vocab_size:
        raise RgzError(
            tr(
                "the tokenizer has {tokenizer} ids and the model {model}: they do not belong together",
                tokenizer=tokenizer.vocab_size,
                model=model.config.vocab_size,
            )
        )
