"""From a file to its text, at once or line by line: the encoding is found out, a file that is no text is refused."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from rgz.errors import RgzError, reason_of
from rgz.files import open_regular
from rgz.messages import tr

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_BLOCK = 1 << 18  # bytes read at a time
_LONG_LINE = 1 << 20  # bytes: shorter ones take little memory
_LINE_END = re.compile(rb"\r\n|\n|\r(?!\Z)")  # the \n of a last \r may not have been read yet


class Source:
    """Text in a file, in an encoding whose lines can be told by bytes; a block at a time is held."""

    def __init__(self, file: BinaryIO, codec: str = "utf-8", start: int = 0) -> None:
        self.file, self.codec, self.start = file, codec, start

    def text(self) -> str:
        self.file.seek(self.start)
        return self.file.read().decode(self.codec)

    def lines(self, place: int) -> Iterator[tuple[int, str]]:
        r"""Yield the lines from there on, which end with \n, \r or \r\n, and where each begins."""
        self.file.seek(place)
        held = b""
        while block := self.file.read(max(_BLOCK, len(held))):  # a long line in few steps
            data, begin = held + block, 0
            for end in _LINE_END.finditer(data):
                yield place + begin, data[begin : end.start()].decode(self.codec)
                begin = end.end()
            held = data[begin:]
            place += begin
        if held:
            yield place, held.removesuffix(b"\r").decode(self.codec)

    def lines_of_json(self, place: int) -> Iterator[tuple[int, str]]:
        r"""Yield the lines from there on, which end with \n alone, and where each begins."""
        self.file.seek(place)
        for line in self.file:
            yield place, line.decode(self.codec)
            place += len(line)


def examined(file: BinaryIO, name: Path | str) -> tuple[Source, str]:
    """Return the text in a file that can be sought, and its encoding: utf-8, utf-8-sig, utf-16 (by its mark), gb18030.

    Refused by name: an empty file, a binary one (zero bytes), one that is neither UTF-8 nor GB18030. No byte is ever
    replaced or left out. A text in UTF-16 is held whole.
    """
    encoding = _encoding_of(file, name)
    if encoding == "utf-16":
        return Source(BytesIO(b"".join(text.encode() for text in _decoded(file, "utf-16")))), encoding
    codec = "gb18030" if encoding == "gb18030" else "utf-8"
    return Source(file, codec, len(codecs.BOM_UTF8) if encoding == "utf-8-sig" else 0), encoding


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file to be read; RgzError where that, or reading it, fails."""
    try:
        with open_regular(path) as file, long_lines_named(file, path):
            yield file
    except FileNotFoundError:
        raise RgzError(
            tr("{path} does not exist; check the name", path=path if str(path).strip() else f"'{path}'")
        ) from None
    except OSError as error:
        reason = reason_of(error)
        raise RgzError(tr("cannot read {path}: {reason}", path=path, reason=reason)) from error


@contextmanager
def long_lines_named(file: BinaryIO, name: Path | str) -> Iterator[None]:
    """In the block the file is read: where memory does not suffice, RgzError names it, and a line that is to blame."""
    try:
        yield
    except MemoryError as error:
        line, length = _longest_line(file)
        if length < _LONG_LINE:
            raise RgzError(
                tr("not enough memory to read {path}; give less text, or close other programs", path=name)
            ) from error
        raise RgzError(
            tr(
                "not enough memory for line {line} of {path}, which has {size} MB: cut it at lines",
                path=name,
                line=line,
                size=f"{length / 1e6:,.0f}",
            )
        ) from error


def _longest_line(file: BinaryIO) -> tuple[int, int]:
    """Return its number, and its length in bytes."""
    longest, number, length = (0, 0), 1, 0
    for block in _blocks(file):
        *whole, rest = block.split(b"\n")
        for part in whole:
            longest = max(longest, (length + len(part), -number))
            number, length = number + 1, 0
        length += len(rest)
    length, number = max(longest, (length, -number))
    return -number, length


def read_text(path: Path) -> str:
    """Return the text of a file, see `examined`."""
    with opened(path) as file:
        return examined(file, path)[0].text()


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    file.seek(0)
    while block := file.read(_BLOCK):
        yield block


def _decoded(file: BinaryIO, encoding: str, errors: str = "strict") -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    for block in _blocks(file):
        yield decoder.decode(block)
    yield decoder.decode(b"", final=True)


def _encoding_of(file: BinaryIO, name: Path | str) -> str:
    head = next(_blocks(file), b"")
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if head.startswith(mark)), "utf-8")
    if encoding != "utf-16":
        _refuse_binary(file, name)
    holds_text = False
    try:
        for text in _decoded(file, encoding):
            holds_text = holds_text or not (not text or text.isspace())
    except UnicodeDecodeError as error:
        offset = file.tell() - len(error.object) + error.start
        # Mostly good UTF-8 is damaged UTF-8. GB18030 would take many a such file and make nonsense of it.
        if encoding != "utf-8" or _is_mostly_utf8(file) or not _is_gb18030(file):
            raise _undecodable(file, name, offset) from error
        return "gb18030"
    if not holds_text:
        raise RgzError(tr("{path} is empty; give a file with text in it", path=name))
    return encoding


def _refuse_binary(file: BinaryIO, name: Path | str) -> None:
    for number, block in enumerate(_blocks(file)):
        if b"\0" in block:
            raise RgzError(
                tr(
                    "{path} is a binary file (zero byte at offset {offset}); give plain text, .json or .jsonl",
                    path=name,
                    offset=number * _BLOCK + block.index(b"\0"),
                )
            )


def _is_mostly_utf8(file: BinaryIO) -> bool:
    """Tell damaged UTF-8 from GB18030: in the latter nearly every Han character breaks UTF-8's rules."""
    broken = others = 0
    for text in _decoded(file, "utf-8", "replace"):
        broken += text.count("\ufffd")
        others += sum(not character.isascii() for character in text)
    return others - broken > 4 * broken


def _is_gb18030(file: BinaryIO) -> bool:
    try:
        for _ in _decoded(file, "gb18030"):
            pass
    except UnicodeDecodeError:
        return False
    return True


def _undecodable(file: BinaryIO, name: Path | str, offset: int) -> RgzError:
    before, left = 0, offset
    for block in _blocks(file):
        before += block.count(b"\n", 0, left)
        left -= len(block)
        if left <= 0:
            break
    return RgzError(
        tr(
            "{path}: line {line} (byte {offset} of the file) is neither UTF-8 nor GB18030; save the file as UTF-8",
            path=name,
            line=before + 1,
            offset=offset,
        )
    )
