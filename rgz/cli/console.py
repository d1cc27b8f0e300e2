"""Where things are written: results to stdout, everything else to stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rgz.messages import tr

if TYPE_CHECKING:
    from rgz.config import ModelConfig


def say(text: str) -> None:
    """A sentence for the user, not part of the result."""
    sys.stderr.write(
        f"{text}\n"
    )  # at once: print writes the end of the line by itself, and threads may say things, too
    sys.stderr.flush()


def say_all(lines: Iterable[str]) -> None:
    for line in lines:
        say(line)


def result(text: str) -> None:
    """A line of the result."""
    print(text, flush=True)


def megabytes(count: float) -> str:
    """Bytes as people read them: 37 MB, 1.2 GB."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def shape(config: ModelConfig) -> str:
    """Of a model: 5.03 M (4 layers of width 256, vocabulary 8,000)."""
    return tr(
        "{count} ({layers} layers of width {width}, vocabulary {vocab})",
        count=counted(config.num_parameters()),
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        vocab=f"{config.vocab_size:,}",
    )


def counted(count: float) -> str:
    """Parameters: 1,234 K or 5.03 M."""
    return f"{count / 1e6:.2f} M" if count >= 1e5 else f"{count / 1e3:.0f} K"
