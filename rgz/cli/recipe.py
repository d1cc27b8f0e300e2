"""What suits a text and a model where the user did not say: learning rate, batches, epochs, and what keeps a model from
learning a small corpus by heart. All of it is told, as flags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rgz import _kernels
from rgz.cli.flags import CHOSEN
from rgz.cli.memory import memory_for_text
from rgz.config import TrainingArguments
from rgz.messages import tr

if TYPE_CHECKING:
    from rgz.cli.settings import Settings, Texts
    from rgz.text import Tokenizer

ENOUGH_UPDATES = 3000  # fewer teach a small model little more than the commonest words
BY_SIZE = {"batch_size": CHOSEN, "num_train_epochs": CHOSEN}  # see choose_size
BY_CORPUS = {"augment": CHOSEN, "early_stopping_patience": CHOSEN}  # see choose_for_small_corpus
# Small models bear, and need, twice the usual rate. On RustGPT-Chinese's texts, in its shape: best validation loss
# 5.29 against 5.36 in pretraining; in fine-tuning, training loss 0.07 against 0.55 after the same 20 epochs.
_SMALL, _SMALL_RATE = 10_000_000, 2e-3
_UPDATES_PER_EPOCH = 100
_LEAST_BATCH = 4
_SAMPLE = 500_000  # characters that tell how many of them make a token
# A corpus with not so much as one token for so many parameters is small for the model, which knows it by heart after
# four epochs, while its loss on other text rises. What helps was looked for on RustGPT-Chinese's corpus;
# benches/recipe.py measures it ("chosen").
_PARAMETERS_A_TOKEN = 10
_SMALL_CORPUS_UPDATES = 1000
# Dropout is not among it: 0.3 gave no better best epoch than none.
SMALL_CORPUS: dict[str, Any] = {"augment": 0.1, "early_stopping_patience": 5}


def choose_rate(settings: Settings, parameters: int) -> list[str]:
    """The learning rate of a small model, where none was given; returns the flag."""
    if "learning_rate" in settings.training or parameters >= _SMALL:
        return []
    settings.training["learning_rate"] = _SMALL_RATE
    return [f"--learning-rate {_SMALL_RATE:g}"]


def advise_dtype(settings: Settings) -> list[str]:
    """That another dtype is faster on this CPU, where none was given. The user chooses: losses change a little."""
    if "dtype" in settings.training or _kernels.active_isa() != "avx512bf16":  # BFMMLA was never timed
        return []
    return [tr("(this CPU multiplies bfloat16: --dtype bfloat16 would take 0.5 to 0.65 of the time)")]


def is_small(tokens: int, parameters: int) -> bool:
    """Whether the corpus is small for the model, which shall not only learn it by heart."""
    return tokens * _PARAMETERS_A_TOKEN < parameters


def choose_for_small_corpus(settings: Settings, validated: bool) -> list[str]:
    """What keeps pretraining on a small corpus from learning it by heart, where not given; returns the flags.

    validated : there is validation text, by which training may stop early.
    """
    training, chosen = settings.training, []
    for name, value in SMALL_CORPUS.items():
        needless = name == "early_stopping_patience" and (not validated or training.get("eval_steps") is not None)
        if name not in training and not needless:  # patience is counted in epochs here
            training[name] = value
            chosen.append(f"--{name.replace('_', '-')} {value:g}")
    return chosen


def choose_size(settings: Settings, tokens: int, most_epochs: int, *, small: bool = False) -> list[str]:
    """Batch size and epochs that make about ENOUGH_UPDATES updates, where not given; returns the flags.

    A short text gets small batches and many epochs, a long one TrainingArguments' own values. small : the text is not
    to be learnt by heart, which a third of the updates would do.
    """
    training = settings.training
    usual = TrainingArguments.from_dict(training)
    if isinstance(usual.augment, dict):
        tokens *= 1 + int(usual.augment["multiplier"])  # variants made ahead are texts like the others
    chosen = []
    an_update = usual.batch_rows * usual.gradient_accumulation_steps
    if "batch_size" not in training and usual.batch_tokens is None:
        batch = usual.batch_size
        while batch > _LEAST_BATCH and tokens < _UPDATES_PER_EPOCH * an_update:
            batch //= 2
            an_update //= 2
        training["batch_size"] = batch
        chosen.append(f"--batch-size {batch}")
    if not {"num_train_epochs", "max_steps"} & set(training):
        updates = _SMALL_CORPUS_UPDATES if small else ENOUGH_UPDATES
        wanted = round(updates * an_update / max(tokens, 1))
        training["num_train_epochs"] = float(min(max(wanted, 3), most_epochs))
        chosen.append(f"--num-train-epochs {training['num_train_epochs']:g}")
    return chosen


def count_tokens(texts: Texts, tokenizer: Tokenizer) -> int:
    """Tokens of the training text, as near as `choose_size` needs: of a long one by the share of its beginning."""
    tokens = sampled = characters = 0
    with memory_for_text(texts.train):
        for text in texts.train.texts():
            characters += len(text)
            if sampled < _SAMPLE:
                tokens += len(tokenizer.encode(text)) + 1
                sampled = characters
    return round(tokens * characters / max(sampled, 1))
