"""Ways in which a file is damaged, by accident or on purpose. The same number gives the same damage."""

import json
import random
import re
import struct

_LENGTHS = (0, 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**63, 2**64 - 1)
_NUMBERS = ("0", "-1", "1", "1.5", "2147483648", "9223372036854775808", "1" + "0" * 400, "1e999", "-1e-999", "NaN")
_VALUES = (
    None, True, False, 0, -1, 1, 2**31, 2**64, 10**30, 0.5, -0.0, float("nan"), float("inf"), "", "x", "nan", "../x",
    "/dev/zero", "\ud800", "\u0000", "中" * 300, [], [[]], {}, {"": None}, [1, "a", None], [["a", 1]],
)  # fmt: skip
_PIECES = (b"", b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\x85", "\u2028中".encode(), b'"', b"\\", b"\r", b"\n\n")


def damaged(data: bytes, rng: random.Random) -> bytes:
    """`data` with one to three damages."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        data = rng.choice(_WAYS)(data, rng)
    return data


def _truncated(data, rng):
    return data[: rng.randrange(len(data) + 1)]


def _bits_flipped(data, rng):
    flipped = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8)) if data else 0):
        flipped[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(flipped)


def _overwritten(data, rng):
    at, length = rng.randrange(len(data) + 1), rng.choice((1, 2, 8, 64))
    return data[:at] + rng.randbytes(length) + data[at + length :]


def _cut_out(data, rng):
    at, length = rng.randrange(len(data) + 1), rng.choice((1, 2, 8, 64, 512))
    return data[:at] + data[at + length :]


def _doubled(data, rng):
    at, length = rng.randrange(len(data) + 1), rng.choice((1, 8, 64, 512))
    return data[: at + length] + data[at : at + length] * rng.choice((1, 1, 5)) + data[at + length :]


def _inserted(data, rng):
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice(_PIECES) + data[at:]


def _length_field(data, rng):
    """Eight or four bytes, aligned as fields are, become an extreme number or one near what they were."""
    width, code = rng.choice(((8, "<Q"), (4, "<I")))
    if len(data) < width:
        return data
    at = width * rng.randrange(min(len(data) // width, 64) if rng.random() < 0.7 else len(data) // width)
    old = struct.unpack_from(code, data, at)[0]
    new = rng.choice((*_LENGTHS, old + 1, old - 1, old * 2)) % 2 ** (8 * width)
    return data[:at] + struct.pack(code, new) + data[at + width :]


def _number(data, rng):
    """A number written in digits becomes another one."""
    found = list(re.finditer(rb"-?\d+(\.\d+)?", data[:100_000]))
    if not found:
        return data
    place = rng.choice(found)
    return data[: place.start()] + rng.choice(_NUMBERS).encode() + data[place.end() :]


def _nested(data, rng):
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice((b"[", b'{"a":', b"[[")) * rng.choice((50, 20_000)) + data[at:]


def _value(data, rng):
    """A value of a JSON text, or of the JSON header of safetensors, becomes another one, or goes, or gets company."""
    start = 8 if data[8:9] == b"{" else 0
    end = 8 + int.from_bytes(data[:8], "little") if start else len(data)
    text = data[start:end]
    lines = text.split(b"\n")
    chosen = rng.randrange(len(lines))
    for whole in (text, lines[chosen]):  # JSON, or JSON lines
        try:
            document = json.loads(whole)
        except (ValueError, RecursionError):
            continue
        changed = json.dumps(with_other_value(document, rng), ensure_ascii=rng.random() < 0.3)
        changed = changed.encode("utf-8", "surrogatepass")
        if whole is not text:
            changed = b"\n".join([*lines[:chosen], changed, *lines[chosen + 1 :]])
        return (struct.pack("<Q", len(changed)) if start else b"") + changed + data[end:]
    return data


def with_other_value(document, rng):
    """A JSON value with one of the values in it changed."""
    if not isinstance(document, dict | list) or not document or rng.random() < 0.1:
        return rng.choice(_VALUES)
    keys = list(document) if isinstance(document, dict) else range(len(document))
    key = rng.choice(keys)
    changed = document.copy()
    way = rng.random()
    if way < 0.1:
        del changed[key]
    elif way < 0.2 and isinstance(document, dict):
        changed[rng.choice((str(key) + "x", "", "__class__"))] = changed.pop(key)
    elif way < 0.2:
        changed.insert(key, changed[rng.choice(keys)])
    else:
        changed[key] = with_other_value(changed[key], rng)
    return changed


_WAYS = (
    _truncated, _bits_flipped, _overwritten, _cut_out, _doubled, _inserted, _length_field, _length_field, _number,
    _number, _nested, _value, _value, _value, _value,
)  # fmt: skip
