"""From bytes to text, exactly and without ever failing, all at once or as the bytes arrive."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable

LONE_SURROGATE = re.compile("[\ud800-\udfff]")  # the one kind of character that a UTF-8 file cannot hold


def _restore_surrogate_or_replace(error: UnicodeError) -> tuple[str, int]:
    """Turn ED A0..BF 80..BF back into the lone surrogate it stands for, anything else broken into U+FFFD."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    three = error.object[error.start : error.start + 3]
    if len(three) == 3 and three[0] == 0xED and 0xA0 <= three[1] <= 0xBF and 0x80 <= three[2] <= 0xBF:
        return three.decode("utf-8", "surrogatepass"), error.start + 3
    return "�", error.end


codecs.register_error("rgz.surrogate-or-replace", _restore_surrogate_or_replace)


def bytes_to_text(data: bytes) -> str:
    """Invert `text.encode("utf-8", "surrogatepass")`; bytes that are no text become U+FFFD."""
    return data.decode("utf-8", "rgz.surrogate-or-replace")


class TextStream:
    """Collects token bytes and hands out whole characters: a Han character may be spread over three tokens.

    The pieces that `push` and `flush` return, joined, are what decoding all ids at once gives. held : bytes of an
    unfinished character that came before these ids.
    """

    def __init__(self, token_bytes: Callable[[int], bytes], held: bytes = b"") -> None:
        self._token_bytes = token_bytes
        self._held = held

    def push(self, token_id: int) -> str:
        """Return the characters that this id completes, possibly none."""
        data = self._held + self._token_bytes(token_id)
        cut = _whole_length(data)
        self._held = data[cut:]
        return bytes_to_text(data[:cut])

    def flush(self) -> str:
        """Return what is left at the end of generation: an unfinished character is U+FFFD."""
        text, self._held = bytes_to_text(self._held), b""
        return text


def unfinished(data: bytes) -> bytes:
    """Return the bytes at the end of `data` that begin a character and need more to be one."""
    return data[_whole_length(data) :]


def begins_text(data: bytes) -> bool:
    """Tell whether `data` is UTF-8 as far as it goes: whole characters, and at most the beginning of one more."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return False
    return data[-2:-1] != b"\xed" or data[-1] < 0xA0  # the decoder waits for the third byte of a surrogate


def _whole_length(data: bytes) -> int:
    """Return how many bytes can be decoded now: all but a last sequence that may still go on."""
    for back in range(1, min(3, len(data)) + 1):
        byte = data[-back]
        if byte >= 0xC0:  # a lead byte says how many bytes its character has
            needed = 1 if byte > 0xF4 else 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2
            return len(data) - back if back < needed else len(data)
        if byte < 0x80:
            break
    return len(data)
