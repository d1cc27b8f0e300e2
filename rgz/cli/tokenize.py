"""`rgz tokenize`: how texts are cut, and what a vocabulary is worth."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from rgz.cli.command import Command, Flag
from rgz.cli.console import result, say, say_all
from rgz.cli.flags import count_flag
from rgz.cli.info import json_flag
from rgz.cli.layout import table
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
                metavar="word|char|byte|FILE",
                help=tr("a new vocabulary of this kind, or that of a file or run"),
                shown_default="word",
            ),
            count_flag("--vocab-size", tr("most entries of the vocabulary"), least=260),
            Flag(["-o", "--output"], metavar="FILE", help=tr("keep the vocabulary in this file")),
            count_flag("--limit", tr("documents to show"), 10, least=0),
            Flag(["--ids"], is_flag=True, help=tr("show ids instead of texts")),
            json_flag(),
        ],
        help=tr(
            "Shows the first documents cut into tokens, ▏ between them, then figures on all of them. "
            "Without --tokenizer FILE a vocabulary is made from the texts themselves. FILE - reads lines from stdin."
        ),
        examples=("rgz tokenize my.txt", "rgz tokenize my.txt --tokenizer runs/my-1 --limit 3 --ids"),
    )


def tokenize(
    data: tuple[str, ...],
    tokenizer: str | None,
    vocab_size: int | None,
    output: str | None,
    limit: int,
    ids: bool,
    as_json: bool,
) -> None:
    from rgz.cli.settings import Settings, Texts
    from rgz.cli.train import make_tokenizer
    from rgz.data import Dataset, load_dataset

    if data == ("-",):
        dataset = Dataset([line.rstrip("\n") for line in sys.stdin if line.strip()])
    else:
        dataset = load_dataset(list(data))
    say_all(dataset.take_notices())
    settings = Settings({}, {"vocab_size": vocab_size} if vocab_size else {}, {"tokenizer": tokenizer or "word"})
    vocabulary = make_tokenizer(settings, Texts(dataset, Dataset([])), "nano")
    if output:
        vocabulary.save(output)
        say(tr("vocabulary written to {path}", path=output))
    if not as_json:
        for text in list(dataset.texts())[:limit]:
            encoded = vocabulary.encode(text)
            result(" ".join(map(str, encoded)) if ids else "▏".join(_pieces(vocabulary, encoded)))
    values = figures(vocabulary, dataset.texts())
    if as_json:
        result(json.dumps(values))
        return
    result("")
    for line in table(
        [(f"{name}:", f"{v:.3f}" if isinstance(v, float) else f"{v:,}") for name, v in values.items()], gap=1
    ):
        result(line)


def _pieces(tokenizer: Tokenizer, ids: list[int]) -> list[str]:
    """The text of each token; the bytes of one character together, as they are read."""
    stream = tokenizer.stream()
    pieces = [piece for i in ids if (piece := stream.push(i))]
    return [piece.replace("\n", "⏎") for piece in (*pieces, stream.flush()) if piece]


def figures(tokenizer: Tokenizer, texts: Iterable[str]) -> dict[str, float]:
    """Counts over all texts, and the share of tokens that are single bytes of what has no entry."""
    documents = characters = tokens = in_bytes = 0
    used = set()
    for text in texts:
        ids = tokenizer.encode(text)
        documents += 1
        characters += len(text)
        tokens += len(ids)
        in_bytes += sum(128 <= i - 4 < 256 for i in ids)
        used.update(ids)
    return {
        "vocab_size": tokenizer.vocab_size,
        "entries_used": len(used),
        "documents": documents,
        "characters": characters,
        "tokens": tokens,
        "characters_per_token": characters / max(tokens, 1),
        "share_of_byte_tokens": in_bytes / max(tokens, 1),
    }
