"""`rgz train`: pretraining on files and folders."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from rgz.cli.command import Command, Flag
from rgz.cli.flags import CHOSEN, model_flags, training_flags
from rgz.cli.memory import memory_for_text
from rgz.cli.progress import counted, shown_progress
from rgz.cli.recipe import (
    BY_CORPUS,
    BY_SIZE,
    advise_dtype,
    choose_for_small_corpus,
    choose_rate,
    choose_size,
    count_tokens,
    is_small,
)
from rgz.cli.settings import (
    Settings,
    Texts,
    check_early,
    data_argument,
    make_trainer,
    read_texts,
    refuse_unusable,
    run_flags,
    run_info,
    run_name,
    train_or_plan,
)
from rgz.config import PRESETS, ModelConfig
from rgz.errors import RgzError
from rgz.messages import tr
from rgz.strict import unknown_name

if TYPE_CHECKING:
    from rgz.text import Tokenizer

TOKENIZERS = ("word", "char", "bpe", "byte")
MOST_ENTRIES = 8000
_MOST_EPOCHS = 20
_PRESETS = ((0, "pico"), (50_000, "nano"), (5_000_000, "micro"))  # from so many characters of text


def build() -> Command:
    own = [
        Flag(["--preset"], metavar="NAME", help=tr("shape of the model: {names}", names=" ".join(PRESETS))),
        Flag(
            ["--tokenizer"],
            metavar="word|char|bpe|byte|FILE",
            help=tr("a new vocabulary of this kind, or that of a file or run"),
            shown_default="word",
        ),
        user_dict_flag(),
    ]
    return Command(
        "train",
        callback=click.pass_context(train),
        params=[
            data_argument(),
            *run_flags()[:1],
            *own,
            *run_flags()[1:],
            *training_flags({**BY_SIZE, **BY_CORPUS, "learning_rate": CHOSEN}),
            *model_flags(),
        ],
        help=tr(
            "DATA: .txt (a document a line), .json (a list of texts), .jsonl (text, messages, conversations, "
            "instruction/input/output), or folders of them; UTF-8 or GB18030."
        ),
        examples=(
            "rgz train my.txt",
            "rgz train corpus/ -o runs/novel --preset micro --num-train-epochs 10 --dry-run",
            "rgz train a.jsonl b.jsonl --config my.toml --max-time 1h30m",
        ),
    )


def user_dict_flag() -> Flag:
    """As jieba's own command calls it."""
    return Flag(
        ["--user-dict"],
        metavar="FILE",
        help=tr("words to cut with beside jieba's, for a new vocabulary of words: a line is word frequency [tag]"),
    )


def train(ctx: click.Context, data: tuple[str, ...], dry_run: bool, **_: Any) -> None:
    from rgz.cli.estimate import refuse_too_large
    from rgz.generate import Model

    settings = Settings.read(ctx)
    validation = settings.others.get("validation_data", ())
    draft = check_early(settings.training)
    preset = settings.others.get("preset")
    _refuse_shape(settings, preset)
    if draft.output_dir is not None and not dry_run:
        refuse_unusable(draft.output_dir, draft.overwrite)
    texts = read_texts(data, validation, draft.validation_split, draft.seed)
    characters = sum(map(len, texts.train.texts()))
    chosen = []
    if preset is None:
        preset = preset_for(characters)
        chosen.append(f"--preset {preset}")
    tokenizer = make_tokenizer(settings, texts, preset)
    config = _shape(settings, preset, tokenizer.vocab_size)
    settings.limit_length(config.max_position_embeddings)
    parameters, tokens = config.num_parameters(), count_tokens(texts, tokenizer)
    chosen += choose_rate(settings, parameters)
    if small := is_small(tokens, parameters):
        chosen += choose_for_small_corpus(settings, validated=texts.val is not None)
    chosen += choose_size(settings, tokens, _MOST_EPOCHS, small=small)
    args = settings.arguments(run_name(data))
    refuse_too_large(config, args)
    info = run_info("train", data, validation)
    trainer = make_trainer(Model(config, seed=args.seed), tokenizer, texts, args, info)
    train_or_plan(trainer, texts, dry_run=dry_run, chosen=chosen, advice=advise_dtype(settings))


def preset_for(characters: int) -> str:
    return [name for least, name in _PRESETS if characters >= least][-1]


def _refuse_shape(settings: Settings, preset: str | None) -> None:
    """Refuse what no preset that may be chosen can be, before the text is read."""
    refused: RgzError | None = None
    for name in [preset] if preset else [name for _, name in _PRESETS]:
        try:
            _shape(settings, name, settings.model.get("vocab_size", MOST_ENTRIES))
            return
        except RgzError as error:
            refused = refused or error
    if refused is not None:
        raise refused


def _shape(settings: Settings, preset: str, vocab_size: int) -> ModelConfig:
    return ModelConfig.preset(preset, **{**settings.model, "vocab_size": vocab_size})


def make_tokenizer(settings: Settings, texts: Texts, preset: str) -> Tokenizer:
    """Train a vocabulary on the training documents, or load one."""
    from rgz.text import BPETokenizer, ByteTokenizer, CharTokenizer, WordTokenizer, load_tokenizer

    kind = settings.others.get("tokenizer", "word")
    wanted = settings.model.get("vocab_size")
    trained: dict[str, type[WordTokenizer | CharTokenizer | BPETokenizer]] = {
        "word": WordTokenizer,
        "char": CharTokenizer,
        "bpe": BPETokenizer,
    }
    user_dict = settings.others.get("user_dict")
    if user_dict is not None and kind != "word":
        raise RgzError(tr("--user-dict is for a new vocabulary of words (--tokenizer word), got {kind}", kind=kind))
    if cls := trained.get(kind):
        size = wanted or PRESETS[preset].get("vocab_size", MOST_ENTRIES)
        # A word that is seen once cannot be learnt: it is written in characters.
        options = {} if user_dict is None else {"user_dictionary": user_dict}
        with shown_progress(tr("vocabulary"), len(texts.train)) as tell, memory_for_text(texts.train):
            return cls.train(
                counted(texts.train.texts(), tell),
                vocab_size=size,
                min_frequency=1 if wanted else 2,
                n_threads=settings.training.get("n_threads"),
                **options,
            )
    if kind != "byte" and not os.path.exists(kind) and kind.isalpha():  # no path, but a slip
        raise unknown_name(tr("tokenizer"), kind, TOKENIZERS)
    tokenizer = ByteTokenizer() if kind == "byte" else load_tokenizer(kind)
    if wanted not in (None, tokenizer.vocab_size):
        raise RgzError(tr("this tokenizer has {size} entries: leave --vocab-size out", size=tokenizer.vocab_size))
    return tokenizer
