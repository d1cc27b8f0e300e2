"""Where things are written: results to stdout, everything else to stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterable


def say(text: str) -> None:
    """A sentence for the user, not part of the result."""
    print(text, file=sys.stderr, flush=True)


def say_all(lines: Iterable[str]) -> None:
    for line in lines:
        say(line)


def result(text: str) -> None:
    """A line of the result."""
    print(text, flush=True)


def megabytes(count: float) -> str:
    """Bytes as people read them: 37 MB, 1.2 GB."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def counted(count: float) -> str:
    """Parameters: 1,234 K or 5.03 M."""
    return f"{count / 1e6:.2f} M" if count >= 1e5 else f"{count / 1e3:.0f} K"
