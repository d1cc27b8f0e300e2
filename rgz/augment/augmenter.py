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
_NUMBER = re.compile(r"[0-9A-Za-z.%]+|[〇零一二三四五六七八九十百千万亿]{2,}")
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
        free = [list(_sentences(segment(part))) for part in parts[::2]]
        sentences = [words for part in free for words in part]
        counts = Counter(dict.fromkeys(OPERATIONS, 0))
        self._swap_clauses(sentences, draws, counts)
        places = [self._places(words) for words in sentences]
        chances = self._chances(sentences, places)
        written = (self._rewrite(*one, chances, draws, counts) for one in zip(sentences, places, strict=True))
        parts[::2] = ["".join(next(written) for _ in part) for part in free]
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

    def _places(self, words: list[str]) -> list[tuple[int, str, str]]:
        """What can be done in a sentence: at which word, the operation, and the function word to put before it."""
        places = []
        for i, word in enumerate(words):
            if self.rates["insertion"] and (put_in := function_word(words, i)):
                places.append((i, "insertion", put_in))
            if self.rates["deletion"] and can_go(words, i):
                places.append((i, "deletion", ""))
            elif word in self._table and bears_synonym(words, i):
                places.append((i, "synonyms", ""))
        return places

    def _chances(self, sentences: list[list[str]], places: list[list[tuple[int, str, str]]]) -> dict[str, float]:
        """How likely each operation is at a place for it, so that the rates are met over the text."""
        n_words = sum(is_han(word) for words in sentences for word in words)
        n_places = Counter(operation for found in places for _, operation, _ in found)
        return {name: _chance(self.rates[name] * n_words, n_places[name]) for name in OPERATIONS[:3]}

    def _rewrite(
        self,
        words: list[str],
        places: list[tuple[int, str, str]],
        chances: dict[str, float],
        draws: random.Random,
        counts: Counter[str],
    ) -> str:
        written, done = list(words), Counter[str]()
        for i, operation, put_in in places:
            if draws.random() >= chances[operation]:
                continue
            done[operation] += 1
            if operation == "insertion":
                written[i] = put_in + written[i]
            else:
                others = self._table[words[i]] if operation == "synonyms" else ("",)
                other = others[int(draws.random() * len(others))]
                written[i] = written[i].removesuffix(words[i]) + other
        before, after = "".join(words), "".join(written)
        if _NUMBER.findall(after) != _NUMBER.findall(before):  # 第三 | 非常 has become 第三 | 十分
            return before
        counts.update(done)
        return after


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
