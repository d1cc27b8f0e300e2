"""safetensors files, read and written without the official package (which needs a Rust compiler).

    8 bytes   n, length of the header, unsigned little endian
    n bytes   JSON: {"name": {"dtype": "F32", "shape": [...], "data_offsets": [begin, end]}, ...,
                     "__metadata__": {"key": "value"}}, padded with spaces to a multiple of 8
    rest      the tensors, C order, little endian, end to end without holes; offsets count from here

Every number of the header is checked against the size of the file before a byte is allocated for it.
Source: https://github.com/huggingface/safetensors, section "Format".
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from rgz.errors import RgzError, reason_of
from rgz.files import atomic_writer, open_regular
from rgz.memory import cast
from rgz.messages import tr

MAX_HEADER = 100_000_000  # bytes; the official limit
_BLOCK = 1 << 24  # bytes converted at a time, so that a conversion needs no second copy of a tensor

# BF16 has no NumPy type: it is stored in uint16 and read as float32 (exact).
_NUMPY = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?",
}  # fmt: skip
_REALS = ("F32", "F16", "BF16")
_FLOAT16_END = 65520.0  # what is rounded to infinity
_NAMES = {np.dtype(text).newbyteorder("="): name for name, text in _NUMPY.items() if name != "BF16"}


@dataclass(frozen=True)
class TensorInfo:
    """Where one tensor stands; begin and end are positions in the file."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def save_file(
    path: str | os.PathLike[str],
    tensors: Mapping[str, np.ndarray],
    metadata: Mapping[str, str] | None = None,
    *,
    bfloat16: frozenset[str] = frozenset(),
) -> str:
    """Write `tensors` atomically and return the SHA-256 of the file in hex.

    bfloat16 : names of uint16 arrays that hold bfloat16 bits.
    """
    arrays = {name: np.ascontiguousarray(array) if array.ndim else array for name, array in tensors.items()}
    names = {name: _dtype_name(name, array, name in bfloat16) for name, array in arrays.items()}
    # Widest types first, as the official writer does: every tensor is then aligned to its own item size.
    order = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    position = 0
    for name in order:
        end = position + arrays[name].nbytes
        header[name] = {
            "dtype": names[name], "shape": list(arrays[name].shape), "data_offsets": [position, end],
        }  # fmt: skip
        position = end
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)
    digest = hashlib.sha256()
    with atomic_writer(path) as file:
        for block in (struct.pack("<Q", len(text)), text):
            digest.update(block)
            file.write(block)
        for name in order:
            for block in _little_endian_blocks(arrays[name]):
                digest.update(block)
                file.write(block)
    return digest.hexdigest()


def _dtype_name(name: str, array: np.ndarray, bfloat16: bool) -> str:
    dtype = array.dtype.newbyteorder("=")
    if bfloat16 and dtype == np.uint16:
        return "BF16"
    if bfloat16 or dtype not in _NAMES:
        raise RgzError(tr("tensor '{name}' has type {dtype}, which safetensors cannot hold", name=name, dtype=dtype))
    return _NAMES[dtype]


def _little_endian_blocks(array: np.ndarray) -> Any:
    flat = array.reshape(-1)
    if array.dtype.byteorder == "<" or (array.dtype.byteorder in "=|" and sys.byteorder == "little"):
        yield flat.data.cast("B") if flat.size else b""
        return
    step = max(1, _BLOCK // array.itemsize)
    for start in range(0, flat.size, step):
        yield flat[start : start + step].astype(array.dtype.newbyteorder("<")).tobytes()


def read_header(path: str | os.PathLike[str]) -> tuple[dict[str, TensorInfo], dict[str, str]]:
    """Return the checked table of tensors and the metadata; RgzError for what the format forbids."""
    with _open(path) as file:
        return _read_header(file, path)


def _open(path: str | os.PathLike[str]) -> BinaryIO:
    try:
        return open_regular(path)
    except OSError as error:
        reason = reason_of(error)
        raise RgzError(tr("cannot read {path}: {reason}", path=path, reason=reason)) from error


def _read_header(file: BinaryIO, path: str | os.PathLike[str]) -> tuple[dict[str, TensorInfo], dict[str, str]]:
    def broken(reason: str) -> RgzError:
        return RgzError(tr("{path} is not a whole safetensors file: {reason}", path=path, reason=reason))

    size = os.fstat(file.fileno()).st_size
    start = file.read(8)
    if len(start) < 8:
        raise broken(tr("{size} bytes are too few", size=size))
    length = struct.unpack("<Q", start)[0]
    if length > min(MAX_HEADER, size - 8):
        raise broken(tr("a header of {length} bytes does not fit in {size}", length=length, size=size))
    try:
        header = json.loads(file.read(length).decode("utf-8"), object_pairs_hook=_distinct)
    except _Twice as error:
        raise broken(tr("the header has '{name}' twice", name=str(error))) from error
    except (ValueError, RecursionError) as error:
        raise broken(tr("the header is not JSON")) from error
    if not isinstance(header, dict):
        raise broken(tr("the header is not JSON"))
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise broken(tr("the metadata are not texts"))
    table = {}
    for name, entry in header.items():
        info = _parse_entry(entry, 8 + length)
        if info is None or info.end > size:
            raise broken(tr("bad entry of tensor '{name}'", name=name))
        table[name] = info
    end = 8 + length
    for info in sorted(table.values(), key=lambda info: (info.begin, info.end)):
        if info.begin != end:
            raise broken(tr("holes or overlaps between the tensors"))
        end = info.end
    if end != size:
        raise broken(tr("{size} bytes, the header tells of {expected}", size=size, expected=end))
    return table, metadata


class _Twice(ValueError):
    """A name that stands twice in one object of a header; readers differ in which counts, so the format forbids it."""


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _Twice(name)
        found[name] = value
    return found


def _parse_entry(entry: Any, data_start: int) -> TensorInfo | None:
    """The entry as a TensorInfo, or None where types, signs or the size do not fit together."""
    if not isinstance(entry, dict) or str(entry.get("dtype")) not in _NUMPY:
        return None
    shape, offsets = entry.get("shape"), entry.get("data_offsets")
    if not (isinstance(shape, list) and isinstance(offsets, list) and len(offsets) == 2):
        return None
    if not all(type(number) is int and 0 <= number < 2**63 for number in (*shape, *offsets)):
        return None
    begin, end = offsets
    if end - begin != _size(shape, end - begin) * np.dtype(_NUMPY[entry["dtype"]]).itemsize:
        return None
    return TensorInfo(entry["dtype"], tuple(shape), data_start + begin, data_start + end)


def _size(shape: list[int], most: int) -> int:
    """How many numbers a tensor of this shape has; where there are more than `most`, more than that."""
    count = 0 if 0 in shape else 1
    for length in shape:
        count *= length
        if count > most:  # a header may have room for a number of millions of digits
            break
    return count


def load_file(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Return every tensor as a new array in the machine's byte order; bfloat16 comes as float32."""
    with _open(path) as file:
        table, _ = _read_header(file, path)
        arrays = {}
        for name, info in table.items():
            native = np.dtype(_NUMPY[info.dtype]).newbyteorder("=")
            arrays[name] = np.empty(info.shape, np.float32 if info.dtype == "BF16" else native)
            _read_into(file, info, arrays[name], path)
    return arrays


def load_into(
    path: str | os.PathLike[str], tensors: Mapping[str, np.ndarray], *, bfloat16: frozenset[str] = frozenset()
) -> dict[str, str]:
    """Fill the given arrays in place from the file and return its metadata.

    bfloat16 : names of uint16 arrays that take bfloat16 bits.
    The names must be the same on both sides, the shapes too. Arrays of float32, float16 and bfloat16 take all three
    (F32, F16, BF16), rounded to nearest where they are shorter; a number that float16 cannot hold is refused. Names,
    shapes and types are checked before the first array is touched.
    """
    with _open(path) as file:
        table, metadata = _read_header(file, path)
        for name in sorted(table.keys() ^ tensors.keys()):
            where = path if name in table else tr("the model")
            raise RgzError(tr("{path} does not fit: only {where} has '{name}'", path=path, where=where, name=name))
        for name, array in tensors.items():
            info = table[name]
            native = np.dtype(_NUMPY[info.dtype]).newbyteorder("=")
            real = name in bfloat16 or array.dtype in (np.float32, np.float16)
            fits = info.dtype in _REALS if real else array.dtype == native and info.dtype != "BF16"
            if info.shape != array.shape or not fits:
                raise RgzError(
                    tr(
                        "{path}: '{name}' is {dtype} {shape}, {expected_dtype} {expected_shape} is needed",
                        path=path,
                        name=name,
                        dtype=info.dtype,
                        shape=info.shape,
                        expected_dtype=array.dtype,
                        expected_shape=array.shape,
                    )
                )
        for name, array in tensors.items():
            try:
                _read_into(file, table[name], array, path, bfloat16=name in bfloat16)
            except OverflowError:
                raise RgzError(
                    tr("{path}: '{name}' has numbers too large for float16; take bfloat16", path=path, name=name)
                ) from None
    return metadata


def _read_into(
    file: BinaryIO, info: TensorInfo, out: np.ndarray, path: str | os.PathLike[str], bfloat16: bool = False
) -> None:
    """bfloat16: out holds its bits. OverflowError where a number of the file is beyond float16."""
    if not out.size:
        return
    stored = np.dtype(_NUMPY[info.dtype])
    file.seek(info.begin)
    if out.flags.c_contiguous and out.dtype == stored and stored.isnative:
        wanted = out.reshape(-1).data.cast("B")
        if file.readinto(wanted) != len(wanted):  # type: ignore[attr-defined]
            raise RgzError(tr("{path} shrank while it was read", path=Path(path)))
        return
    values = np.empty(math.prod(info.shape), out.dtype)
    step = max(1, _BLOCK // stored.itemsize)
    for start in range(0, values.size, step):
        count = min(step, values.size - start)
        raw = file.read(count * stored.itemsize)
        if len(raw) != count * stored.itemsize:
            raise RgzError(tr("{path} shrank while it was read", path=Path(path)))
        block = np.frombuffer(raw, stored)
        if info.dtype == "BF16":
            block = (block.astype(np.uint32) << 16).view(np.float32)
        if bfloat16:
            block = cast(block.astype(np.float32), "bfloat16")
        elif out.dtype == np.float16 and (np.abs(block) >= _FLOAT16_END).any() and np.isfinite(block).all():
            raise OverflowError
        values[start : start + count] = block
    out[...] = values.reshape(info.shape)
