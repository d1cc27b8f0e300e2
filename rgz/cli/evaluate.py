"""`rgz eval`: how well a model predicts a text."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from rgz.cli.command import Command, Flag
from rgz.cli.console import result, say_all
from rgz.cli.flags import count_flag, threads_flag, weights_flag
from rgz.cli.info import json_flag
from rgz.cli.layout import figures_table
from rgz.cli.memory import memory_for_text
from rgz.cli.runs import LoadedRun, load_run, run_argument
from rgz.cli.settings import data_argument
from rgz.errors import RgzError
from rgz.messages import tr

if TYPE_CHECKING:
    from rgz.data import Batch, TokenData
    from rgz.generate import Model

_ROWS = 2048  # of a batch: enough to keep every core busy


def build() -> Command:
    return Command(
        "eval",
        callback=evaluate,
        params=[
            run_argument(),
            data_argument(),
            count_flag("--max-length", tr("tokens a sequence [that of the training]")),
            Flag(
                ["--mask-prompts/--no-mask-prompts"],
                default=None,
                help=tr("measure the answers of dialogues only [as in training]"),
            ),
            weights_flag(),
            threads_flag(),
            json_flag(),
        ],
        help=tr(
            "Perplexity depends on the vocabulary; bits per character do not, and compare models with different ones."
        ),
        examples=(
            "rgz eval runs/my-1 held-out.txt",
            "rgz eval runs/my-1/checkpoint-200 held-out.jsonl --json",
        ),
    )


class Forward:
    """The one part of a training step that evaluation needs; no gradients, no optimizer."""

    def __init__(self, model: Model, n_threads: int | None) -> None:
        from rgz.threads import resolve_threads

        self._model = model
        self._n_threads = resolve_threads(n_threads)

    def evaluate(self, batch: Batch) -> float:
        from rgz.threads import single_threaded_blas

        with single_threaded_blas():
            p = self._model.prepare(batch.tokens, batch.cu_seqlens, training=False, n_threads=self._n_threads)
            return self._model.loss(p, batch.targets)


def evaluate(
    run: str,
    data: tuple[str, ...],
    max_length: int | None,
    mask_prompts: bool | None,
    n_threads: int | None,
    dtype: str,
    as_json: bool,
) -> None:
    from rgz.data import encode_dataset, load_dataset

    loaded = load_run(run, dtype)
    with memory_for_text():
        dataset = load_dataset(list(data))
    say_all(dataset.take_notices())
    if mask_prompts is None:
        mask_prompts = loaded.arguments is not None and loaded.arguments.mask_prompts
    with memory_for_text(dataset):
        tokens = encode_dataset(dataset, loaded.tokenizer, mask_prompts=mask_prompts, n_threads=n_threads)
    values = measure(loaded, tokens, _length(loaded, max_length), n_threads)
    if as_json:
        result(json.dumps(values))
        return
    labels = _labels()
    for line in figures_table([(labels[name], _shown(value)) for name, value in values.items()]):
        result(line)


def _length(loaded: LoadedRun, asked: int | None) -> int:
    positions = loaded.model.config.max_position_embeddings
    if asked is not None and asked > positions:
        raise RgzError(
            tr(
                "max_length must be at most {positions}, the positions of this model, got {asked}",
                positions=positions,
                asked=asked,
            )
        )
    return asked or min(positions, loaded.arguments.max_length if loaded.arguments else positions)


def measure(loaded: LoadedRun, tokens: TokenData, max_length: int, n_threads: int | None) -> dict[str, Any]:
    """loss (a token), perplexity, bits_per_character and what they were measured on."""
    from rgz.data import Batches
    from rgz.train.state import perplexity

    batches = Batches(tokens, max(1, _ROWS // max_length), max_length, shuffle=False)
    forward = Forward(loaded.model, n_threads)
    total = sum(forward.evaluate(batch) for batch in batches.epoch(0))
    loss = total / tokens.n_targets
    if not math.isfinite(loss):
        raise RgzError(tr("the model's loss is {loss}: its weights are damaged, or training diverged", loss=loss))
    characters = tokens.n_characters
    return {
        "loss": loss,
        "perplexity": perplexity(loss),
        "bits_per_character": total / math.log(2) / characters if characters else None,
        "documents": tokens.n_documents,
        "tokens": tokens.n_targets,
        "characters": characters,
    }


def _labels() -> dict[str, str]:
    return {
        "loss": tr("loss"),
        "perplexity": tr("perplexity"),
        "bits_per_character": tr("bits_per_character"),
        "documents": tr("documents"),
        "tokens": tr("tokens"),
        "characters": tr("characters"),
    }


def _shown(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
