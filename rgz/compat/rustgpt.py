"""RustGPT-Chinese's four ways to train, with its defaults, on its data as it is.

    import rgz
    from rgz.compat import rustgpt
    words = rgz.WordTokenizer.train(rgz.load_dataset(["data/pretraining", "data/chat"]).texts(), vocab_size=9620)
    first = rustgpt.train_monitored("data/pretraining", tokenizer=words)
    second = rustgpt.train_monitored("data/chat", model=first.model, tokenizer=words)
    print(second.answer("你好！"))

The recipe is that of its main program: the preset rustgpt-chinese (dropout 0.1), Adam (0.9, 0.999, 1e-8), a learning
rate of 1e-4 with 5 % warmup and a cosine to 1 %, gradients clipped at 1.0, one sample an update, 500 epochs, stopping
after 30 of them that did not lower the training loss by 0.01. Every TrainingArguments field may be given besides and
wins. Better than there: no word is unknown, long texts are not cut off, the clip is that of the whole gradient, the
best weights come back at the end, and a run goes on where it stopped, bit for bit.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rgz.config import PRESETS, ModelConfig, TrainingArguments
from rgz.data import Dataset, load_dataset
from rgz.data.files import FORMATS
from rgz.data.records import text_document
from rgz.errors import RgzError
from rgz.generate import ChatSession, Model
from rgz.messages import tr
from rgz.text import Tokenizer, WordTokenizer
from rgz.train import Trainer

PRESET = "rustgpt-chinese"
EPOCHS, LEARNING_RATE = 500, 1e-4
PATIENCE, MIN_DELTA = 30, 0.01
_ONLY_EVALUATIONS = 1 << 31  # updates between reports: one comes with the end of each epoch

RECIPE: dict[str, Any] = {
    "batch_size": 1,
    "packing": False,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 0.05,
    "min_lr_ratio": 0.01,
    "weight_decay": 0.0,
    "adam_beta1": 0.9,
    "adam_beta2": 0.999,
    "adam_epsilon": 1e-8,
    "max_grad_norm": 1.0,
    "validation_split": 0.0,
    "metric_for_best_model": "loss",
    "load_best_model_at_end": False,
    "logging_steps": _ONLY_EVALUATIONS,
    "save_strategy": "no",
}

Data = str | os.PathLike[str] | Dataset | Sequence[Any]


@dataclass(frozen=True)
class Trained:
    """What a training came to.

    history : the reports, one an epoch, as `rgz.Trainer.train` returns them.
    epochs : epochs trained, those before a resume included; fewer than asked for where it stopped early.
    best_epoch, best_loss : the epoch, counted from 1, with the lowest training loss (nats a token; of another
        metric_for_best_model its best value), whose weights the model has. None from `train`, which keeps the last.
    output_dir : the run directory, None where nothing was written.
    """

    model: Model
    tokenizer: Tokenizer
    history: list[dict[str, Any]]
    epochs: int
    best_epoch: int | None
    best_loss: float | None
    output_dir: Path | None

    def generate(self, prompt: str, **options: Any) -> str:
        """The model's continuation of `prompt`; see `rgz.Model.generate`."""
        return self.model.generate(self.tokenizer, prompt, **options)

    def answer(self, question: str, **options: Any) -> str:
        """The model's answer to one question, after training on chats; options as of `generate`."""
        return "".join(ChatSession(self.model, self.tokenizer, **options).reply(question))


def train(
    data: Data,
    epochs: float = EPOCHS,
    initial_lr: float = LEARNING_RATE,
    *,
    model: Model | None = None,
    tokenizer: Tokenizer | None = None,
    **arguments: Any,
) -> Trained:
    """Train for all epochs and keep the last weights; no early stopping, no checkpoints.

    data : a .json file (a list of texts), a folder of them, several of either; or texts themselves, or a Dataset.
    tokenizer : the vocabulary; by default one of the data's words, at most 9,620 entries.
    model : to go on with, for the second stage; its tokenizer has to come with it. By default a new one of the preset.
    arguments : fields of TrainingArguments, such as output_dir, seed, max_time, dtype.
    RgzError for unreadable data, an unknown argument, and a text shorter than one sequence (max_length, 128).
    """
    return _train(data, model, tokenizer, {"num_train_epochs": epochs, "learning_rate": initial_lr, **arguments})


def train_monitored(
    data: Data,
    max_epochs: float = EPOCHS,
    initial_lr: float = LEARNING_RATE,
    patience: int | None = PATIENCE,
    accumulation_steps: int = 1,
    *,
    model: Model | None = None,
    tokenizer: Tokenizer | None = None,
    **arguments: Any,
) -> Trained:
    """Train as `train` does, but stop once the training loss has not fallen by 0.01 for `patience` epochs.

    The weights of the best epoch are back at the end. patience None never stops early.
    accumulation_steps : samples an update, weighed by their tokens.
    Otherwise as `train`; give validation_split and metric_for_best_model="val_loss" to stop on text not trained on.
    """
    own = {
        "num_train_epochs": max_epochs,
        "learning_rate": initial_lr,
        "gradient_accumulation_steps": accumulation_steps,
        **_stopping(patience),
    }
    return _train(data, model, tokenizer, {**own, **arguments})


def train_bucketed(
    data: Data,
    max_epochs: float = EPOCHS,
    initial_lr: float = LEARNING_RATE,
    patience: int | None = PATIENCE,
    batch_size: int = 4,
    *,
    model: Model | None = None,
    tokenizer: Tokenizer | None = None,
    **arguments: Any,
) -> Trained:
    """Train as `train_monitored` does on batches of `batch_size` samples of like length, in random order.

    A batch is one update, of its mean over tokens; there the samples of a batch are updates one after the other.
    Nothing is padded in rgz, so that grouping saves no work: it makes batches alike in their number of tokens.
    """
    own = {
        "num_train_epochs": max_epochs,
        "learning_rate": initial_lr,
        "batch_size": batch_size,
        "group_by_length": True,
        **_stopping(patience),
    }
    return _train(data, model, tokenizer, {**own, **arguments})


def train_with_checkpointing(
    data: Data,
    output_dir: str | os.PathLike[str],
    max_epochs: float = EPOCHS,
    initial_lr: float = LEARNING_RATE,
    patience: int | None = PATIENCE,
    strategy: str = "best+last",
    *,
    resume: bool = False,
    model: Model | None = None,
    tokenizer: Tokenizer | None = None,
    **arguments: Any,
) -> Trained:
    """Train as `train_monitored` does, with checkpoints in `output_dir`.

    strategy : TrainingArguments.save_strategy; "epoch" or, with save_steps, "steps" are the periodic ones.
    resume : go on from the newest whole checkpoint of output_dir, exactly as if the run had never stopped; the data
        must be the same. Without it a folder that already holds a run is refused (overwrite=True throws it away).
    After Ctrl-C a checkpoint is written and KeyboardInterrupt raised.
    """
    own = {
        "output_dir": os.fspath(output_dir),
        "num_train_epochs": max_epochs,
        "learning_rate": initial_lr,
        "save_strategy": strategy,
        **_stopping(patience),
    }
    return _train(data, model, tokenizer, {**own, **arguments}, resume=resume)


def _stopping(patience: int | None) -> dict[str, Any]:
    return {
        "early_stopping_patience": patience,
        "early_stopping_min_delta": MIN_DELTA,
        "load_best_model_at_end": True,
    }


def _train(
    data: Data,
    model: Model | None,
    tokenizer: Tokenizer | None,
    arguments: dict[str, Any],
    resume: bool = False,
) -> Trained:
    if model is not None and tokenizer is None:
        raise RgzError(tr("give the model's tokenizer too: its ids mean nothing to another"))
    args = TrainingArguments(**{**RECIPE, **arguments})
    dataset, files = _read(data)
    # What `rgz resume` needs; it knows no model but a new one of this shape to begin with.
    info = {"command": PRESET, "data": list(map(os.path.abspath, files))} if files and model is None else {}
    if tokenizer is None:
        tokenizer = WordTokenizer.train(dataset.texts(), vocab_size=PRESETS[PRESET]["vocab_size"])
    if model is None:
        model = Model(ModelConfig.preset(PRESET, vocab_size=tokenizer.vocab_size), seed=args.seed)
    trainer = Trainer(model, tokenizer, dataset, None, args, run_info=info)
    history = trainer.train(resume_from_checkpoint=resume)
    best = trainer.best
    return Trained(
        model=model,
        tokenizer=tokenizer,
        history=history,
        epochs=trainer.state.epoch_index,
        best_epoch=-(-best.step // trainer.plan.updates_per_epoch) if best and best.step else None,
        best_loss=best.value if best else None,
        output_dir=None if trainer.run is None else trainer.run.path,
    )


def _read(data: Data) -> tuple[Dataset, list[str]]:
    """The documents, and the files and folders that `data` names; none where it holds the texts themselves."""
    if isinstance(data, Dataset):
        return data, []
    if isinstance(data, str | os.PathLike):
        return load_dataset(data), [os.fspath(data)]
    if not isinstance(data, Iterable) or isinstance(data, Mapping | bytes):
        raise _no_data(data)
    items = list(data)
    if items and all(map(_is_name, items)):
        return load_dataset(items), list(map(os.fspath, items))
    for item in items:
        if not isinstance(item, str | list):
            raise _no_data(item)
    return Dataset([text_document(item) if isinstance(item, str) else item for item in items]), []


def _no_data(value: object) -> RgzError:
    return RgzError(tr("data must be files, folders or texts, got {value}", value=repr(value)))


def _is_name(item: Any) -> bool:
    """Whether an item is a file or a folder, there or misspelt."""
    if isinstance(item, str):
        return item.endswith(tuple(FORMATS)) or os.path.exists(item)
    return isinstance(item, os.PathLike)
