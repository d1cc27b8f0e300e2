"""Text in columns, where a Chinese character is two columns wide and a line may break after any of them."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Sequence

from rgz.messages import mark

_MOST_COLUMNS = 100  # wider lines are hard to read
_CLOSING = "，。；：、？！）」』”’》…,.;:)]"  # never at the beginning of a line


def columns() -> int:
    """Columns to write help in: those of the terminal, within reason."""
    return min(shutil.get_terminal_size((80, 24)).columns, _MOST_COLUMNS)


def width(text: str) -> int:
    """Columns that `text` takes on a terminal."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def pad(text: str, to: int) -> str:
    return text + " " * (to - width(text))


def wrap(text: str, limit: int) -> list[str]:
    """Break `text` into lines of at most `limit` columns: at spaces, and around wide characters."""
    lines = [""]
    for piece in _pieces(text):
        if lines[-1] and width(lines[-1] + piece.rstrip()) > limit:
            lines[-1] = lines[-1].rstrip()
            lines.append(piece.lstrip())
        else:
            lines[-1] += piece
    return [line.rstrip() for line in lines]


def _pieces(text: str) -> list[str]:
    """The smallest parts that stay together: words with the space after them, wide characters one by one."""
    pieces: list[str] = []
    glue = False  # whether the next character belongs to the last piece
    for c in text:
        wide = unicodedata.east_asian_width(c) in "WF"
        if pieces and (c in _CLOSING or c == " " or (glue and not wide)):
            pieces[-1] += c
        else:
            pieces.append(c)
        glue = not wide and c != " "
    return pieces


def table(rows: Sequence[tuple[str, str]], gap: int = 2) -> list[str]:
    """`name  value` lines with the values below one another."""
    first = max((width(name) for name, _ in rows), default=0)
    return [(pad(name, first + gap) + value).rstrip() for name, value in rows]


def figures_table(rows: Sequence[tuple[str, str]]) -> list[str]:
    """`name: value` lines with the values below one another."""
    return table([(f"{name}{mark(':')}", value) for name, value in rows], gap=1)


def described(rows: Sequence[tuple[str, str]], limit: int, indent: int = 2, first: int = 30) -> list[str]:
    """A list of options: names of up to `first` columns, then what they mean; longer names stand alone."""
    first = min(first, max((width(name) for name, _ in rows), default=0))
    margin = " " * (indent + first + 2)
    lines = []
    for name, text in rows:
        paragraph = wrap(text, max(limit - len(margin), 20)) if text else []
        lead = " " * indent + name
        if width(name) > first or not paragraph:
            lines.append(lead)
        else:
            lines.append(pad(lead, len(margin)) + paragraph.pop(0))
        lines += [margin + line for line in paragraph]
    return lines
