"""What to do when memory does not suffice: what helps depends on what it was wanted for, and on the command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from rgz.errors import RgzError
from rgz.messages import tr

if TYPE_CHECKING:
    from rgz.data import Dataset

# Options by which a model, its batches or its answers take less; each command has some of them, or none.
_SMALLER = ("--preset", "--batch-size", "--max-length", "--max-memory", "--num-beams", "--max-new-tokens")
_LONG = 1 << 20  # characters: texts up to here take a hundred megabytes at most
_BEGINNING = 20  # characters by which a text is known


@contextmanager
def memory_for_text(*datasets: Dataset | None) -> Iterator[None]:
    """In the block text is read, learnt from or encoded, and no setting of a model matters: an RgzError says what does.

    datasets : the text, as far as it has been read. One of them that is very long is named.
    """
    try:
        yield
    except MemoryError as error:
        texts = (text for dataset in datasets if dataset is not None for text in dataset.texts())
        length, beginning = max(((len(text), text[:_BEGINNING]) for text in texts), default=(0, ""))
        if length < _LONG:
            raise RgzError(tr("not enough memory for this text; give less of it, or close other programs")) from error
        raise RgzError(
            tr(
                "not enough memory for the longest text, '{beginning}...' with {count} characters: cut it at lines",
                beginning=beginning,
                count=f"{length:,}",
            )
        ) from error


def out_of_memory(command: click.Command) -> str:
    """What a command tells that ran out of memory in anything else: those of its options that take less."""
    options = {name for param in command.params for name in param.opts}
    if flags := [name for name in _SMALLER if name in options]:
        return tr("not enough memory; try smaller values of {flags}", flags=" ".join(flags))
    return tr("not enough memory; close other programs")
