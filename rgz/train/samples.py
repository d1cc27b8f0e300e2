"""A line of the model's own text at each evaluation, so that one can read how it learns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rgz.messages import tr
from rgz.text import encode_prompt
from rgz.train.callbacks import Callback
from rgz.train.state import TrainerState

if TYPE_CHECKING:
    from rgz.data import TokenData
    from rgz.train.trainer import Trainer

_LEAD_TOKENS = 3  # of a document, to be continued
_NEW_TOKENS = 40


class Samples(Callback):
    """Continues args.sample_prompt, or the beginning of a document of the validation text, each time another.

    Where only answers are learnt, answers it, or a question of a dialogue. Drawn with a seed of its own and from the
    weights as they are: training goes on with the same bits as without.
    """

    def on_evaluate(self, trainer: Trainer, state: TrainerState) -> None:
        chat, prompt = trainer.args.mask_prompts, trainer.args.sample_prompt
        if prompt is None:
            data = trainer.plan.val or trainer.plan.train
            ids = _lead(data, state.step // trainer.plan.eval_every, chat)
            prompt = trainer.tokenizer.decode(ids)
        elif chat:
            ids = encode_prompt(trainer.tokenizer, [{"role": "user", "content": prompt}])
        else:
            ids = [trainer.tokenizer.bos_id, *trainer.tokenizer.encode(prompt)]
        model: Any = trainer.model  # a model that generates: see Trainer
        text = model.generate(
            trainer.tokenizer, ids, max_new_tokens=_NEW_TOKENS, seed=0, greedy=chat, n_threads=trainer.args.n_threads
        )
        trainer.say(tr("  sample: {prompt} → {text}", prompt=_line(prompt), text=_line(text)))


def _lead(data: TokenData, number: int, chat: bool) -> list[int]:
    """The first ids of one of the documents: all of them before its first answer, or a few."""
    document = number % data.n_documents
    begin, end = (int(offset) for offset in data.offsets[document : document + 2])
    length = 1 + _LEAD_TOKENS
    if chat and data.mask is not None and (answers := np.flatnonzero(data.mask[begin:end])).size:
        length = int(answers[0])
    return [int(token) for token in data.ids[begin : min(begin + length, end)]]


def _line(text: str) -> str:
    return text.replace("\n", "⏎")
