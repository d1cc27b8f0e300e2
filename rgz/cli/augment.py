"""`rgz augment`: the variants that augmentation makes of texts, beside the originals."""

from __future__ import annotations

import difflib
import json
import sys
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from rgz.cli.command import Command, Flag
from rgz.cli.console import result, say, say_all
from rgz.cli.flags import count_flag
from rgz.cli.info import json_flag
from rgz.cli.layout import figures_table
from rgz.cli.memory import memory_for_text
from rgz.messages import mark, tr

if TYPE_CHECKING:
    from rgz.augment import Variant

_USUAL = 0.1


class Rate(click.ParamType):  # type: ignore[type-arg]
    """A number from 0 to 1; with `or_file` any other text is a file."""

    name = "RATE"

    def __init__(self, or_file: bool = False) -> None:
        self.or_file = or_file

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        try:
            rate = float(value)
        except ValueError:
            if self.or_file:
                return str(value)
            rate = -1.0
        if not 0 <= rate <= 1:
            self.fail(tr("must be {wanted}, got '{value}'", wanted=tr("a rate from 0 to 1"), value=value), param, ctx)
        return rate


def build() -> Command:
    usual = f"{_USUAL:g}"
    return Command(
        "augment",
        callback=augment,
        params=[
            click.Argument(["data"], metavar="FILE...", nargs=-1, required=True),
            Flag(
                ["--synonyms"],
                type=Rate(or_file=True),
                metavar="RATE|FILE",
                multiple=True,
                help=tr(
                    "share of words to replace by a synonym, or a list of your own (a group a line, or the Cilin's "
                    "format); both may be given"
                ),
                shown_default=usual,
            ),
            _rate("--deletion", tr("share of words to leave out, where the sentence stays whole")),
            _rate("--insertion", tr("share of words to put in: 的 了 着 地 也 就 呢 and other function words")),
            _rate("--reorder", tr("share of sentences in which two clauses change places")),
            count_flag("--seed", tr("seed of the variants"), 0, least=0),
            count_flag("--multiplier", tr("variants of each text"), 1),
            count_flag("--limit", tr("documents to show"), 10, least=0),
            json_flag(),
        ],
        help=tr(
            "Shows the first texts, each with its variants below it, then figures on all of them. In a dialogue only "
            "the questions change. FILE - reads lines from stdin. Training uses it with `rgz train --augment 0.1` "
            "(other variants in every epoch) or `--augment multiplier=3` (made before training)."
        ),
        examples=(
            "rgz augment my.txt",
            "rgz augment my.txt --synonyms 0.3 --synonyms mine.txt --deletion 0 --limit 3",
        ),
    )


def _rate(name: str, help: str) -> Flag:
    return Flag([name], type=Rate(), metavar="RATE", default=_USUAL, help=help, shown_default=f"{_USUAL:g}")


def augment(
    data: tuple[str, ...],
    synonyms: tuple[float | str, ...],
    deletion: float,
    insertion: float,
    reorder: float,
    seed: int,
    multiplier: int,
    limit: int,
    as_json: bool,
) -> None:
    from rgz.augment import Augmenter
    from rgz.data import load_dataset, piped_dataset

    with memory_for_text():
        dataset = piped_dataset(sys.stdin.buffer.read()) if data == ("-",) else load_dataset(list(data))
    say_all(dataset.take_notices())
    rate = next((value for value in reversed(synonyms) if isinstance(value, float)), _USUAL)
    file = next((value for value in reversed(synonyms) if isinstance(value, str)), None)
    augmenter = Augmenter(rate, deletion, insertion, reorder, seed, dictionary=file)
    say_all(augmenter.notices)
    totals: Counter[str] = Counter(dict.fromkeys(("texts", "words", "variants", "unchanged", *augmenter.rates), 0))
    with memory_for_text(dataset):
        for number, text in enumerate(dataset.texts()):
            variants = [augmenter.vary(text, epoch, number) for epoch in range(1, multiplier + 1)]
            if number < limit and not as_json:
                _show(text, variants)
            totals.update(figures(text, variants))
    if as_json:
        result(json.dumps(totals))
        return
    labels = _labels()
    for line in figures_table([(labels[name], f"{value:,}") for name, value in totals.items()]):
        result(line)
    if len(dataset) > limit:
        say(tr("the first {count} texts were shown; more with --limit", count=limit))


def figures(text: str, variants: Iterable[Variant]) -> Counter[str]:
    """What the variants of a text add to the totals; words are counted once a variant."""
    from rgz.augment.grammar import is_han
    from rgz.text.segment import segment

    words = sum(map(is_han, segment(text)))
    totals = Counter(texts=1)
    for variant in variants:
        totals.update(variants=1, words=words, unchanged=int(variant.text == text), **variant.counts)
    return totals


def _labels() -> dict[str, str]:
    return {
        "texts": tr("texts"),
        "words": tr("words"),
        "variants": tr("variants"),
        "unchanged": tr("unchanged"),
        "synonyms": tr("synonyms"),
        "deletion": tr("deletion"),
        "insertion": tr("insertion"),
        "reorder": tr("reorder"),
    }


def _show(text: str, variants: Iterable[Variant]) -> None:
    """The text and its variants below one another, and under each variant what was done."""
    names = {
        "synonyms": tr("synonyms"),
        "deletion": tr("left out"),
        "insertion": tr("put in"),
        "reorder": tr("clauses moved"),
    }
    result("- " + _indented(text))
    for variant in variants:
        done = mark(", ").join(f"{names[name]} {times}" for name, times in variant.counts.items() if times)
        result("+ " + _indented(_marked(text, variant.text) if sys.stdout.isatty() else variant.text))
        result(f"  {mark('(')}{done or tr('as it was')}{mark(')')}")
    result("")


def _indented(text: str) -> str:
    return text.replace("\n", "\n  ")


def _marked(before: str, after: str) -> str:
    """What came in underlined and green, what went away struck out and red, in one text."""
    parts = []
    for kind, i, j, k, m in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind == "equal":
            parts.append(after[k:m])
        else:
            parts += [click.style(before[i:j], fg="red", strikethrough=True)] if j > i else []
            parts += [click.style(after[k:m], fg="green", underline=True)] if m > k else []
    return "".join(parts)
