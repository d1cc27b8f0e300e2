"""`rgz demo`: the whole way, from text to a model that answers, on the corpus that comes with rgz."""

from __future__ import annotations

import os
import shlex
import time
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Any

from rgz.cli.command import Command, Flag
from rgz.cli.console import megabytes, result, say, say_all
from rgz.cli.layout import table
from rgz.cli.settings import Texts, free_directory, make_trainer, refuse_unusable, usual_turns
from rgz.config import ModelConfig, TrainingArguments
from rgz.messages import tr

if TYPE_CHECKING:
    from rgz.generate import Model
    from rgz.text import Tokenizer
    from rgz.train import Trainer

PROMPTS = (
    "你是谁？",
    "天空为什么是蓝色的？",
    "月亮为什么会发光？",
    "鲸鱼是鱼吗？",
    "中国最长的河是哪条？",
    "中秋节吃什么？",
    "“画蛇添足”是什么意思？",
    "什么是过拟合？",
    "番茄炒蛋怎么做？",
    "今天天气怎么样？",
)
PRESET = "nano"
# Small batches: a short corpus must give many updates. Found by trying, with greedy answers.
STAGES: tuple[dict[str, Any], ...] = (
    {"num_train_epochs": 5.0, "learning_rate": 3e-3},
    {"num_train_epochs": 12.0, "learning_rate": 2e-3, "mask_prompts": True},
)
# No checkpoints: the stages hang together, and the whole takes minutes. The last weights are kept, not those
# that predict the unseen best: the demo is about knowing its small corpus.
COMMON: dict[str, Any] = {
    "batch_size": 4,
    "logging_steps": 1000,
    "save_strategy": "no",
    "token_cache": False,
    "load_best_model_at_end": False,
}


def build() -> Command:
    return Command(
        "demo",
        callback=demo,
        params=[
            Flag(
                ["-o", "--output-dir"],
                metavar="DIR",
                help=tr("run directory; none given: the next free one in runs/"),
            ),
            Flag(["--overwrite"], is_flag=True, help=tr("throw away the run that the directory holds")),
        ],
        help=tr(
            "Pretrains a small model on about 840 texts and 760 dialogues, fine-tunes it on the dialogues, "
            "asks it ten questions, and says how far to trust the answers."
        ),
        examples=("rgz demo", "RGZ_LANG=zh rgz demo -o runs/mine"),
    )


def demo(output_dir: str | None, overwrite: bool) -> None:
    from rgz.cpu import peak_bytes
    from rgz.data import Dataset
    from rgz.generate import Model
    from rgz.text import WordTokenizer

    began = time.monotonic()
    output_dir = output_dir or free_directory("demo")
    refuse_unusable(output_dir, overwrite)
    texts, dialogues = bundled()
    first = Texts(
        Dataset(texts.train.documents + dialogues.train.documents),
        Dataset(_documents(texts.val) + _documents(dialogues.val)),
    )
    tokenizer = WordTokenizer.train(first.train.texts(), min_frequency=2)
    model = Model(ModelConfig.preset(PRESET, vocab_size=tokenizer.vocab_size), seed=0)
    stages = (
        (
            tr("1. pretraining: it learns the language from texts"),
            first,
            os.path.join(output_dir, "pretrain"),
        ),
        (tr("2. fine-tuning: it learns to answer from dialogues"), dialogues, output_dir),
    )
    rows = [("", tr("training text"), tr("held-out text"))]
    for (title, documents, folder), settings in zip(stages, STAGES, strict=True):
        say(("" if len(rows) == 1 else "\n") + title)
        args = TrainingArguments(output_dir=folder, overwrite=overwrite, **COMMON, **settings)
        trainer = make_trainer(
            model, tokenizer, documents, args, {"command": "demo", "turns": usual_turns(documents.train)}
        )
        run_stage(trainer, documents)
        rows.append((tr("pretraining") if len(rows) == 1 else tr("fine-tuning"), *perplexities(trainer)))
    say("\n" + tr("3. it answers"))
    answer(model, tokenizer)
    for line in perplexity_table(rows):
        result(line)
    result(
        tr(
            "It has learnt a small corpus by heart: on the text that it was trained on it is sure, on text "
            "held out from it it is not. Questions that it knows are answered, others are guessed at. More "
            "text would help, more epochs would not."
        )
    )
    say(
        tr(
            "{minutes} min, {memory} at peak. Next:",
            minutes=f"{(time.monotonic() - began) / 60:.1f}",
            memory=megabytes(peak_bytes()),
        )
    )
    path = shlex.quote(output_dir)
    say_all(table([(f"  rgz chat {path}", tr("talk with it")), ("  rgz train my.txt", tr("train on your own text"))]))


def bundled() -> tuple[Texts, Texts]:
    """The corpus inside the package, a twentieth of each part held out from both stages."""
    from rgz.data import load_dataset

    parts = []
    corpus = files("rgz") / "corpus"
    for name in ("pretrain.jsonl", "dialogues.jsonl"):
        with as_file(corpus / name) as path:
            parts.append(Texts(*load_dataset(path).split(TrainingArguments.validation_split, seed=0)))
    return parts[0], parts[1]


def _documents(dataset: Any) -> list[Any]:
    return [] if dataset is None else dataset.documents


def run_stage(trainer: Trainer, documents: Texts) -> None:
    from rgz.cli.estimate import describe, estimate

    say_all(describe(trainer, documents, estimate(trainer)))
    try:
        trainer.train()
    except KeyboardInterrupt:
        say(tr("the demo was stopped; `rgz demo` begins it anew"))
        raise


def perplexities(trainer: Trainer) -> tuple[str, str]:
    """Perplexity of the finished stage on all of its training text, and on what was held out."""
    from rgz.data import Batches
    from rgz.train import mean_loss
    from rgz.train.state import perplexity

    plan, args = trainer.plan, trainer.args
    known = Batches(plan.train, args.batch_size, args.max_length, shuffle=False)
    losses = [mean_loss(trainer.step, known)[0]]
    if plan.val_batches is not None:
        losses.append(mean_loss(trainer.step, plan.val_batches)[0])
    known_text, unknown_text = (f"{perplexity(loss):.1f}" for loss in losses)
    return known_text, unknown_text


def perplexity_table(rows: list[tuple[str, str, str]]) -> list[str]:
    left = table([(name, known) for name, known, _ in rows])
    return [
        tr("perplexity (how many words it wavers between):"),
        *(f"  {line}" for line in table(list(zip(left, (unknown for *_, unknown in rows), strict=True)))),
    ]


def answer(model: Model, tokenizer: Tokenizer) -> None:
    """Ask the prompts and write the answers as they come."""
    from rgz.generate import stream
    from rgz.text import encode_prompt

    for question in PROMPTS:
        ids = encode_prompt(tokenizer, [{"role": "user", "content": question}])
        print(f"用户：{question}\n助手：", end="", flush=True)
        for piece in stream(model, tokenizer, ids, max_new_tokens=120, greedy=True):
            print(piece, end="", flush=True)
        print("\n", flush=True)
