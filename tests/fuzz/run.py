"""One damaged file after another, read and judged."""

import contextlib
import random
import shutil
import signal
import tempfile
import threading
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rgz.errors import RgzError

from .format import Format
from .formats import FORMATS
from .mutations import damaged

TOO_LONG = 20.0  # seconds of processor time for one file


class Hang(BaseException):
    """Reading one file took longer than TOO_LONG; no Exception, so that nobody catches it."""


@dataclass
class Outcome:
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    peak: int = 0  # bytes: the most beyond the format's factor times the file's size


def case(format: Format, name: str, seed: int, number: int) -> tuple[dict[str, bytes], bytes]:
    """The folder of a case, with one file of it damaged; and that file as it was."""
    rng = random.Random(f"{name} {seed} {number}")
    folder = dict(rng.choice(whole(name)))
    original = folder[format.name]
    folder[format.name] = damaged(original, rng)
    if format.seal is not None:
        folder[format.name] = format.seal(folder[format.name])
    return folder, original


_whole: dict[str, list[dict[str, bytes]]] = {}


def whole(name: str) -> list[dict[str, bytes]]:
    if name not in _whole:
        _whole[name] = FORMATS[name].files()
    return _whole[name]


def fuzz(
    name: str, numbers: range, seed: int = 0, alarm: bool = False, begun: Callable[[int], None] = lambda number: None
) -> Outcome:
    """Read the damaged files of these numbers; `begun` is told each number before."""
    format, outcome = FORMATS[name], Outcome()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "case")
        for files in whole(name):  # what is loaded once, and every whole file must be read
            _write(folder, files)
            format.read(folder, files[format.name])
        for number in numbers:
            files, original = case(format, name, seed, number)
            _write(folder, files)
            begun(number)
            taken, size = [0], len(files[format.name])
            verdict = _judge(format, folder, original, alarm, taken)
            bound = format.factor * size + format.constant
            if taken[0] > bound:  # what is made once only, such as a module, is not this file's
                verdict = _judge(format, folder, original, alarm, taken)
            outcome.peak = max(outcome.peak, taken[0] - format.factor * size)
            if taken[0] > bound:
                verdict = f"{taken[0]:,} bytes for a file of {size:,}"
            kind = verdict if verdict in ("refused", "read") else "failed"
            outcome.counts[kind] += 1
            if kind == "failed":
                outcome.failures.append(f"{name} {number}: {verdict}")
    return outcome


def _judge(format: Format, folder: Path, original: bytes, alarm: bool, taken: list[int]) -> str:
    """What became of the reading; its largest memory goes to `taken`."""
    try:
        with _no_longer_than(TOO_LONG) if alarm else contextlib.nullcontext():
            tracemalloc.start()
            try:
                check = format.read(folder, original)
            finally:
                taken[0] = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
            if check is not None:
                check()
    except RgzError as error:
        message = str(error)
        return (
            "refused" if message and "\n" not in message and len(message) <= 2000 else f"bad message: {message[:200]!r}"
        )
    except Hang:
        return f"no answer in {TOO_LONG} s"
    except Exception as error:
        place = error.__traceback__
        while place and place.tb_next:
            place = place.tb_next
        where = f"{Path(place.tb_frame.f_code.co_filename).name}:{place.tb_lineno}" if place else "?"
        return f"{type(error).__name__} at {where}: {str(error)[:200]!r}"
    return "read"


@contextlib.contextmanager
def _no_longer_than(seconds: float) -> Iterator[None]:
    assert threading.current_thread() is threading.main_thread()

    def stop(*_: object) -> None:
        raise Hang

    previous = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)


def _write(folder: Path, files: dict[str, bytes]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
