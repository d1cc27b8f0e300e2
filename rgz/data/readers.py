"""From a file to its text: the encoding is found out, a file that is no text is refused by name."""

from __future__ import annotations

import codecs
from pathlib import Path

from rgz.errors import RgzError
from rgz.messages import tr

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(path: Path) -> tuple[str, str]:
    """Return the text of a file and its encoding: utf-8, utf-8-sig, utf-16 (by its mark) or gb18030.

    Refused by name: a file that cannot be read, an empty one, a binary one (zero bytes), one that is
    neither UTF-8 nor GB18030. No byte is ever replaced or left out.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise RgzError(tr("{path} does not exist; check the name", path=path)) from None
    except OSError as error:
        reason = error.strerror or error
        raise RgzError(tr("cannot read {path}: {reason}", path=path, reason=reason)) from error
    text, encoding = decode(data, path)
    if not text.strip():
        raise RgzError(tr("{path} is empty; give a file with text in it", path=path))
    return text, encoding


def decode(data: bytes, path: Path | str) -> tuple[str, str]:
    """Return the text that `data`, which came from there, is in, and its encoding; see `read_text`."""
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if data.startswith(mark)), "utf-8")
    if encoding != "utf-16" and b"\0" in data:
        raise RgzError(
            tr(
                "{path} is a binary file (zero byte at offset {offset}); give plain text, .json or .jsonl",
                path=path,
                offset=data.index(b"\0"),
            )
        )
    try:
        return data.decode(encoding), encoding
    except UnicodeDecodeError as error:
        # Mostly good UTF-8 is damaged UTF-8. GB18030 would take many a such file and make nonsense of it.
        damaged, offset = encoding != "utf-8" or _is_mostly_utf8(data), error.start
    if not damaged:
        try:
            return data.decode("gb18030"), "gb18030"
        except UnicodeDecodeError:
            pass
    raise RgzError(
        tr(
            "{path}: line {line} (byte {offset} of the file) is neither UTF-8 nor GB18030; save the file as UTF-8",
            path=path,
            line=data.count(b"\n", 0, offset) + 1,
            offset=offset,
        )
    )


def _is_mostly_utf8(data: bytes) -> bool:
    """Tell damaged UTF-8 from GB18030: in the latter nearly every Han character breaks UTF-8's rules."""
    text = data.decode("utf-8", "replace")
    broken = text.count("\ufffd")
    return sum(not character.isascii() for character in text) - broken > 4 * broken
