"""`rgz tokenize`: how texts are cut, and what a vocabulary is worth."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING

import click

from rgz.cli.command import Command, Flag
from rgz.cli.console import result, say, say_all
from rgz.cli.flags import count_flag
from rgz.cli.info import json_flag
from rgz.cli.layout import figures_table
from rgz.cli.memory import memory_for_text
from rgz.cli.train import user_dict_flag
from rgz.messages import tr

if TYPE_CHECKING:
    from rgz.text import Tokenizer


def build() -> Command:
    return Command(
        "tokenize",
        callback=tokenize,
        params=[
            click.Argument(["data"], metavar="FILE...", nargs=-1, required=True),
            Flag(
                ["--tokenizer"],
                metavar="word|char|bpe|byte|FILE",
                help=tr("a new vocabulary of this kind, or that of a file or run"),
                shown_default="word",
            ),
            user_dict_flag(),
            count_flag("--vocab-size", tr("most entries of the vocabulary"), least=260),
            Flag(["-o", "--output"], metavar="FILE", help=tr("keep the vocabulary in this file")),
            count_flag("--limit", tr("documents to show"), 10, least=0),
            Flag(["--ids"], is_flag=True, help=tr("show ids instead of texts")),
            json_flag(),
        ],
        help=tr(
            "Shows the first documents cut into tokens, ▏ between them, then figures on all of them: how many "
            "characters a token stands for, and which share of the words (with bpe: of the runs that are merged by "
            "themselves) is one token, is written in several, or has characters written in bytes. "
            "Without --tokenizer FILE a vocabulary is made from the texts themselves. FILE - reads lines from stdin."
        ),
        examples=(
            "rgz tokenize my.txt",
            "rgz tokenize my.txt --tokenizer bpe -o my-tokenizer.json",
            "rgz tokenize my.txt --tokenizer runs/my-1 --limit 3 --ids",
        ),
    )


def tokenize(
    data: tuple[str, ...],
    tokenizer: str | None,
    user_dict: str | None,
    vocab_size: int | None,
    output: str | None,
    limit: int,
    ids: bool,
    as_json: bool,
) -> None:
    from rgz.cli.settings import Settings, Texts
    from rgz.cli.train import make_tokenizer
    from rgz.data import Dataset, load_dataset, piped_dataset

    with memory_for_text():
        dataset = piped_dataset(sys.stdin.buffer.read()) if data == ("-",) else load_dataset(list(data))
    say_all(dataset.take_notices())
    settings = Settings(
        {}, {"vocab_size": vocab_size} if vocab_size else {}, {"tokenizer": tokenizer or "word", "user_dict": user_dict}
    )
    with memory_for_text(dataset):
        vocabulary = make_tokenizer(settings, Texts(dataset, Dataset([])), "nano")
        if output:
            vocabulary.save(output)
            say(tr("vocabulary written to {path}", path=output))
        if not as_json:
            for text in islice(dataset.texts(), limit):
                encoded = vocabulary.encode(text)
                result(" ".join(map(str, encoded)) if ids else "▏".join(_pieces(vocabulary, encoded)))
        values = figures(vocabulary, dataset.texts())
    if as_json:
        result(json.dumps(values))
        return
    result("")
    labels = _labels()
    for line in figures_table([(labels[name], _shown(value)) for name, value in values.items()]):
        result(line)


def _pieces(tokenizer: Tokenizer, ids: list[int]) -> list[str]:
    """The text of each token; the bytes of one character together, as they are read."""
    stream = tokenizer.stream()
    pieces = [piece for i in ids if (piece := stream.push(i))]
    return [piece.replace("\n", "⏎") for piece in (*pieces, stream.flush()) if piece]


def figures(tokenizer: Tokenizer, texts: Iterable[str]) -> dict[str, float | str]:
    """What is printed, by name; shares are of 1."""
    from rgz.text.coverage import coverage

    found = coverage(tokenizer, texts)
    tokens, words = max(found.tokens, 1), max(found.words, 1)
    return {
        "tokenizer": tokenizer.type,
        "vocab_size": tokenizer.vocab_size,
        "entries_used": found.entries_used,
        "documents": found.documents,
        "characters": found.characters,
        "words": found.words,
        "tokens": found.tokens,
        "characters_per_token": found.characters / tokens,
        "share_of_byte_tokens": found.byte_tokens / tokens,
        "share_of_words_whole": found.words_whole / words,
        "share_of_words_in_parts": found.words_in_parts / words,
        "share_of_words_in_bytes": found.words_in_bytes / words,
        "share_of_characters_in_bytes": found.characters_in_bytes / max(found.characters, 1),
    }


def _labels() -> dict[str, str]:
    return {
        "tokenizer": tr("tokenizer"),
        "vocab_size": tr("vocab_size"),
        "entries_used": tr("entries_used"),
        "documents": tr("documents"),
        "characters": tr("characters"),
        "words": tr("words"),
        "tokens": tr("tokens"),
        "characters_per_token": tr("characters_per_token"),
        "share_of_byte_tokens": tr("share_of_byte_tokens"),
        "share_of_words_whole": tr("share_of_words_whole"),
        "share_of_words_in_parts": tr("share_of_words_in_parts"),
        "share_of_words_in_bytes": tr("share_of_words_in_bytes"),
        "share_of_characters_in_bytes": tr("share_of_characters_in_bytes"),
    }


def _shown(value: float | str) -> str:
    return f"{value:.3f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value
