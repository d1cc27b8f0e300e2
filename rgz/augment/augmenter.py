"""Variants of a Chinese text: synonyms, words left out, function words put in, clauses that change places.

The four operations are those of EDA (Wei, Zou 2019, arXiv:1901.11196), but where EDA takes any word at random these
take only what Chinese grammar lets go, bear or replace (`rgz.augment.grammar`), on words as jieba cuts them.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rgz.augment.grammar import COMMA, ENDS, bears_synonym, can_go, function_word, is_han, swappable
from rgz.augment.synonyms import load_table
from rgz.data import Document
from rgz.errors import RgzError
from rgz.messages import tr
from rgz.text.segment import segment

OPERATIONS = ("synonyms", "deletion", "insertion", "reorder")
# Role markers with all that is not the user's to say, special tokens, titles.
_PROTECTED = re.compile(
    r"(系统[：:].*?(?=用户[：:]|助手[：:])|助手[：:].*?(?=用户[：:]|\Z)|用户[：:]|<[^<>\s]{1,32}>|《[^《》\n]*》)",
    re.DOTALL,
)
_MOST = 0.5  # of the places for an operation: with more the variants of a text would be alike


@dataclass(frozen=True)
class Variant:
    """text, and how many times each of OPERATIONS was done to get it."""

    text: str
    counts: dict[str, int]


class Augmenter:
    """Makes variants of texts: `Augmenter(seed=0)(text)`.

    synonyms, deletion, insertion : share of a text's words to replace, leave out, put in; in [0, 1].
    reorder : share of its sentences in which two neighbouring clauses change places; in [0, 1].
    seed : with the same seed, epoch and sample a text gives the same variant.
    dictionary : a file of synonyms of the user's own, see `rgz.augment.synonyms`.
    notices : sentences for the user on the lists of synonyms in use.

    A rate is met on average as far as the text bears it: an operation takes at most half of the places that grammar
    allows it. Numbers, Latin words, special tokens, titles in 《》 and the role markers 用户：, 助手：, 系统： are
    never touched. Of a dialogue only the questions change: answers and the system message have to be learnt as they
    are. A text never becomes empty. RgzError for a rate out of range or a dictionary that cannot be read.
    """

    def __init__(
        self,
        synonyms: float = 0.1,
        deletion: float = 0.1,
        insertion: float = 0.1,
        reorder: float = 0.1,
        seed: int = 0,
        *,
        dictionary: str | None = None,
    ) -> None:
        self.rates = dict(zip(OPERATIONS, (synonyms, deletion, insertion, reorder), strict=True))
        for name, rate in self.rates.items():
            if not 0 <= rate <= 1:
                raise RgzError(tr("{name} must be {wanted}, got {value}", name=name, wanted=">= 0, <= 1", value=rate))
        self.seed = seed
        self._table, self.notices = load_table(dictionary) if synonyms else ({}, [])

    def __call__(self, text: str, epoch: int = 0, sample: int = 0) -> str:
        """Return a variant of `text`, another one for each (epoch, sample)."""
        return self.vary(text, epoch, sample).text

    def vary(self, text: str, epoch: int = 0, sample: int = 0) -> Variant:
        """As a call, with the counts of what was done."""
        return self._vary(text, _draws(self.seed, epoch, sample))

    def vary_document(self, document: Document, epoch: int, sample: int) -> Document:
        """A variant of a text, or of a dialogue's questions."""
        if isinstance(document, str):
            return self(document, epoch, sample)
        draws = _draws(self.seed, epoch, sample)
        return [{**m, "content": self._vary(m["content"], draws).text} if m["role"] == "user" else m for m in document]

    @property
    def fingerprint(self) -> str:
        """All that decides on variants but the text: rates, seed, and a digest of the lists of synonyms."""
        lists = json.dumps(sorted(self._table.items()), ensure_ascii=False)
        rates = ",".join(f"{name}={rate:g}" for name, rate in self.rates.items())
        return f"{rates},seed={self.seed},lists={hashlib.sha256(lists.encode()).hexdigest()[:12]}"

    def _vary(self, text: str, draws: random.Random) -> Variant:
        parts = _PROTECTED.split(text)  # by turns free and protected
        sentences = [list(_sentences(segment(part))) if k % 2 == 0 else [] for k, part in enumerate(parts)]
        counts = Counter(dict.fromkeys(OPERATIONS, 0))
        self._swap_clauses([s for part in sentences for s in part], draws, counts)
        chances = self._chances([s for part in sentences for s in part])
        for k in range(0, len(parts), 2):
            parts[k] = "".join(self._rewrite(words, chances, draws, counts) for words in sentences[k])
        return Variant("".join(parts), dict(counts))

    def _swap_clauses(self, sentences: list[list[str]], draws: random.Random, counts: Counter[str]) -> None:
        """Let two neighbouring clauses of some sentences change places, in place."""
        if not self.rates["reorder"]:
            return
        places = {k: pairs for k, words in enumerate(sentences) if (pairs := swappable(_clauses(words)))}
        chance = _chance(self.rates["reorder"] * len(sentences), len(places))
        for k, pairs in places.items():
            if draws.random() < chance:
                clauses = _clauses(sentences[k])
                first = pairs[int(draws.random() * len(pairs))]
                clauses[first], clauses[first + 1] = clauses[first + 1], clauses[first]
                end = sentences[k][sum(map(len, clauses)) + len(clauses) - 1 :]
                joined = [word for clause in clauses for word in (COMMA, *clause)][1:]
                sentences[k][:] = joined + end
                counts["reorder"] += 1

    def _chances(self, sentences: list[list[str]]) -> dict[str, float]:
        """How likely each operation is at a place for it, so that the rates are met over the text."""
        n_words = sum(is_han(word) for words in sentences for word in words)
        places: Counter[str] = Counter()
        for words in sentences:
            for i in range(len(words)):
                places.update(self._operations(words, i))
        return {name: _chance(self.rates[name] * n_words, places[name]) for name in OPERATIONS[:3]}

    def _operations(self, words: list[str], i: int) -> list[str]:
        """What can be done at word i."""
        found = []
        if self.rates["deletion"] and can_go(words, i):
            found.append("deletion")
        elif words[i] in self._table and bears_synonym(words, i):
            found.append("synonyms")
        if self.rates["insertion"] and function_word(words, i):
            found.append("insertion")
        return found

    def _rewrite(self, words: list[str], chances: dict[str, float], draws: random.Random, counts: Counter[str]) -> str:
        written: list[str] = []
        for i, word in enumerate(words):
            done = [name for name in self._operations(words, i) if draws.random() < chances[name]]
            counts.update(done)
            if "insertion" in done:
                written.append(function_word(words, i) or "")
            if "synonyms" in done:
                others = self._table[word]
                written.append(others[int(draws.random() * len(others))])
            elif "deletion" not in done:
                written.append(word)
        return "".join(written)


def augmenter_of(settings: dict[str, Any], seed: int) -> Augmenter:
    """The Augmenter that TrainingArguments.augment describes."""
    rates = {name: settings[name] for name in OPERATIONS}
    return Augmenter(**rates, seed=seed, dictionary=settings["dictionary"])


def _draws(*key: int) -> random.Random:
    # Python promises random() to give the same numbers for a seed in every version, and hashes a text with SHA-512.
    return random.Random(",".join(map(str, key)))


def _chance(wanted: float, places: int) -> float:
    return min(_MOST, wanted / places) if places else 0.0


def _sentences(words: list[str]) -> Iterator[list[str]]:
    """Sentences with what closes them; their words end to end are `words`."""
    start = 0
    for i, word in enumerate(words, 1):
        if word in ENDS:
            yield words[start:i]
            start = i
    if start < len(words):
        yield words[start:]


def _clauses(words: list[str]) -> list[list[str]]:
    """The clauses of a sentence, without the commas and without what closes it."""
    body = words[:-1] if words and words[-1] in ENDS else words
    clauses: list[list[str]] = [[]]
    for word in body:
        if word == COMMA:
            clauses.append([])
        else:
            clauses[-1].append(word)
    return clauses
