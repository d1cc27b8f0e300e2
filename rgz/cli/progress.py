"""How much of a long piece of work is done, on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

_PATIENCE = 1.0  # seconds until the bar is shown


@contextmanager
def shown_progress(title: str, total: int) -> Iterator[Callable[..., None]]:
    """Give out what is to be told how many of `total` are done; if that takes long, a bar shows it."""
    if not sys.stderr.isatty():
        yield lambda *_: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(file=sys.stderr), transient=True, refresh_per_second=4)
    task, began = bar.add_task(title, total=total), time.monotonic()

    def tell(done: int, *_: int) -> None:
        bar.update(task, completed=done)
        if time.monotonic() - began > _PATIENCE:
            bar.start()

    try:
        yield tell
    finally:
        bar.stop()


def counted(items: Iterable[T], tell: Callable[[int], None], every: int = 1000) -> Iterator[T]:
    """Go through the items and tell now and then how many are done."""
    for number, item in enumerate(items):
        if number % every == 0:
            tell(number)
        yield item
