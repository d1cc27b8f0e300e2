"""Where Chinese bears a change: which words can go, where a function word can stand, which clauses can change places.

Everything is decided on a sentence cut into words, from closed lists of words (`words.txt` beside this file) and from
the parts of speech in jieba's dictionary. The rules prefer missing a place to making a sentence wrong: a word that may
be left out is left alone after 不, in pairs such as 只要…就 and 连…都, before 的, and at the end of a clause.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Sequence
from pathlib import Path

from rgz.text.dictionary import jieba_files

Words = Sequence[str]

ENDS = frozenset("。！？；：!?;:…\n")  # what closes a sentence; the comma "，" alone divides it into clauses
COMMA = "，"
_HAN = re.compile(r"[\u4e00-\u9fff]+")
_LEAST_COUNT = 20  # in jieba's corpus of 60 million words: the rest is rare, and its tags are guesses
_OPENING, _CLOSING = "（(“‘「『【《", "）)”’」』】》"


def _read_lists() -> dict[str, frozenset[str]]:
    lists: dict[str, list[str]] = {}
    for line in (Path(__file__).parent / "words.txt").read_text(encoding="utf-8").splitlines():
        name, colon, words = line.rpartition(":")
        if colon and not line.startswith("#"):
            lists[name] = []
        if words and not line.startswith("#"):
            lists[next(reversed(lists))] += words.split()
    return {name: frozenset(words) for name, words in lists.items()}


_LISTS = _read_lists()


def is_han(word: str) -> bool:
    return _HAN.fullmatch(word) is not None


@functools.cache
def _tags() -> dict[str, str]:
    """Words of one to four characters -> jieba's part of speech, its first letter; w is a verb used as a noun too."""
    tags = {}
    with jieba_files().words.open(encoding="utf-8") as lines:
        for line in lines:
            word, count, tag = line.split(" ")
            if len(word) <= 4 and int(count) >= _LEAST_COUNT:
                tag = tag.rstrip("\n")
                tags[word] = {"vn": "w", "an": "n"}.get(tag, tag[0])
    return tags


def alike(word: str, other: str) -> bool:
    """Whether two words are common nouns, verbs or adjectives, the same of them, and of one length."""
    return len(word) == len(other) and _tags().get(word, "-") in "nvwa" and _tags()[word] == _tags().get(other)


def _at(words: Words, i: int) -> str:
    return words[i] if 0 <= i < len(words) else ""


def _is(words: Words, i: int, kinds: str) -> bool:
    return _tags().get(_at(words, i), "-") in kinds


def _clause(words: Words, i: int) -> tuple[int, int]:
    """Where the clause of word i begins and ends."""
    start, end = i, i
    while start and words[start - 1] != COMMA:
        start -= 1
    while end < len(words) and words[end] != COMMA and words[end] not in ENDS:
        end += 1
    return start, end


def bears_synonym(words: Words, i: int) -> bool:
    """Whether word i stands where a synonym of it means the same: not doubled, no adverb without what it belongs to."""
    word, after = words[i], _at(words, i + 1)
    if word in (after, _at(words, i - 1)) or (word == "怎么" and _is(words, i + 1, "duvc")):
        return False
    return is_han(after) and after not in ("的", "了") if _tags().get(word, "n") in "dcr" else True


def can_go(words: Words, i: int) -> bool:
    """Whether the sentence stays a sentence without word i."""
    word, before, after = words[i], _at(words, i - 1), _at(words, i + 1)
    if word in _LISTS["adverbs"]:
        return (
            is_han(after)
            and after not in _LISTS["not_after_adverb"]
            and before not in _LISTS["negations"]
            and words.count(word) == 1
            and (word != "很" or len(after) > 1)
            and _LISTS.get(f"beside {word}", frozenset()).isdisjoint(words)
        )
    if word == "的":
        return len(after) > 1 and _is(words, i + 1, "n") and (_describes(words, i - 1) or _owns(words, i - 1))
    if word == "地":
        return before in _LISTS["manners"] and len(after) > 1 and _is(words, i + 1, "vw")
    if word in ("了", "着"):
        return (
            before in (_LISTS["done"] if word == "了" else _LISTS["lasting"])
            and len(after) > 1
            and _is(words, i + 1, "nwa")
        )
    if word in _LISTS["wishes"]:
        return _acts(words, i - 1) and len(after) > 1 and _is(words, i + 1, "vw")
    if word in _LISTS["light_verbs"] or word == "所":
        done = len(after) > 1 and _is(words, i + 1, "vw")
        return done and before not in _LISTS["negations"] and (word != "所" or is_han(before))
    if word == "等":
        return _is(words, i - 1, "nw") and len(after) > 1 and _is(words, i + 1, "n")
    if _describes(words, i) and not _is(words, i - 1, "dvwc"):
        return len(after) > 1 and _is(words, i + 1, "n") and before not in _LISTS["negations"]
    if word == "呢":
        return after in ("？", "?") and _asks(words) and len(words) > 3
    return word in _LISTS["particles"] and after in ENDS and sum(map(is_han, words)) > 3


def function_word(words: Words, i: int) -> str | None:
    """The function word that may be put before word i, None where none may."""
    word, before = words[i], _at(words, i - 1)
    if word in ("？", "?"):
        return (
            "呢" if _asks(words) and is_han(before) and before not in _LISTS["closed"] and "吗" not in words else None
        )
    if not (is_han(word) and is_han(before)):
        return None
    after = _at(words, i + 1)
    if len(word) == 2 and _is(words, i, "n") and (_describes(words, i - 1) or (_has(words, i - 1) and after != "的")):
        return "的"
    kinds = "v" if before in _LISTS["adjectives"] else "vw"  # 详细研究: is it 详细的 or 详细地?
    if before in _LISTS["manners"] and len(word) == 2 and _is(words, i, kinds) and after != "的":
        return "地"
    if (
        after == "的"
        and is_han(_at(words, i + 2))
        and len(word) == 2
        and _is(words, i, "v")
        and _is(words, i - 1, "rn")
    ):
        return "所"
    start, end = _clause(words, i)
    if (
        before in _LISTS["many"]
        and _is(words, i, "v")
        and _LISTS["with_adverb"].isdisjoint(words[start:end])
        and not _asks(words)
    ):
        return "都"
    if word in _LISTS["modals"]:
        fits = _acts(words, i - 1) and not _asks(words) and is_han(after) and after not in ("和", "与", "或")
        if not fits or not _LISTS["with_adverb"].isdisjoint(words[start:end]):
            return None
        conditional = start > 0 and not _LISTS["conditions"].isdisjoint(words[:start])
        return "就" if conditional else "也"
    if before in _LISTS["done"] or before in _LISTS["lasting"]:
        real = _is(words, i - 2, "rn") and start < i - 1 and _LISTS["unreal"].isdisjoint(words[start : i - 1])
        if real and len(word) > 1 and _is(words, i, "nwa") and not _modifies(words[i:end]):
            return "了" if before in _LISTS["done"] else "着"
    return None


def _acts(words: Words, i: int) -> bool:
    """Whether word i is a pronoun or a noun that may be the subject of what follows; 光 of 光能 is neither."""
    word = words[i]
    return word not in _LISTS["questions"] and (word in _LISTS["persons"] or (len(word) > 1 and _is(words, i, "rn")))


def _describes(words: Words, i: int) -> bool:
    """Whether word i is an adjective that stands by itself, no degree before it: then 的 may follow it or not."""
    return _at(words, i) in _LISTS["adjectives"] and _at(words, i - 1) not in _LISTS["degrees"]


def _has(words: Words, i: int) -> bool:
    """Whether word i is a person to whom the noun after it may belong; not the one of 帮我, 让他."""
    return words[i] in _LISTS["persons"] and not _is(words, i - 1, "vwp")


def _owns(words: Words, i: int) -> bool:
    """Whether word i ends a plain noun phrase, not the object of a verb in a relative clause: 用户的偏好."""
    k = i
    while _is(words, k, "n") and len(words[k]) > 1:
        k -= 1
    return k < i and not _is(words, k, "vwdar") and _at(words, k) not in ("和", "与", "的")


def _asks(words: Words) -> bool:
    return bool(words) and words[-1] in ("？", "?") and not _LISTS["questions"].isdisjoint(words)


def _modifies(words: Words) -> bool:
    """Whether the words before a 的 may be a relative clause: its verb is not the sentence's."""
    return any(word == "的" and words[k - 1] not in _LISTS["adjectives"] for k, word in enumerate(words) if k)


def swappable(clauses: Sequence[Words]) -> list[int]:
    """Numbers k of clauses that may change places with clause k + 1: parallel, each a whole by itself.

    Both begin with their own subject, or both with a verb, or (not in a tale, where order is time) the first with a
    verb; neither holds a word that points to another clause.
    """
    kinds = [_parallel_kind(clause) for clause in clauses]
    told = [not _LISTS["aspects"].isdisjoint(clause) for clause in clauses]
    return [
        k
        for k, pair in enumerate(itertools.pairwise(kinds))
        if all(pair) and (pair[0] == pair[1] or (pair[0] == "verb" and not (told[k] or told[k + 1])))
    ]


def _parallel_kind(clause: Words) -> str:
    if (
        sum(map(is_han, clause)) < 3
        or clause[0] in _LISTS["dependent"]
        or clause[-1] == "的"
        or not _LISTS["links"].isdisjoint(clause)
    ):
        return ""
    if sum(map(clause.count, _OPENING)) != sum(map(clause.count, _CLOSING)):
        return ""
    kind = _tags().get(clause[0], "")
    return {"n": "subject", "v": "verb", "w": "verb"}.get(kind, "")
