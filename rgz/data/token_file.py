"""Token files: the ids of a text on the disk, read back by mapping them into memory.

A safetensors file with `offsets` (I64), `ids` (U16 or I32) and, where not every id counts, `mask` (U8); its
metadata name the format, the key of what was encoded, the tokenizer's fingerprint, the counts, and the SHA-256
of all of that and of every byte of the tensors.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgz.data.encode import TokenData
from rgz.errors import RgzError, reason_of
from rgz.messages import tr
from rgz.safetensors import read_header, save_file

FORMAT = "rgz-tokens-1"
_DTYPES = {"I64": np.int64, "U16": np.uint16, "I32": np.int32, "U8": np.uint8}
_KINDS = {"offsets": ("I64",), "ids": ("U16", "I32"), "mask": ("U8",)}


def write_token_file(path: str | os.PathLike[str], data: TokenData, key: str) -> None:
    """Write `data` aside, fsync it and rename it to `path`; OSError where that fails, and nothing is left.

    key : says what was encoded, and how; `read_token_file` asks for it.
    """
    tensors: dict[str, NDArray[Any]] = {"offsets": data.offsets, "ids": data.ids}
    if data.mask is not None:
        tensors["mask"] = data.mask
    header = {
        "format": FORMAT,
        "key": key,
        "tokenizer": data.fingerprint,
        "n_tokens": str(data.n_tokens),
        "n_documents": str(data.n_documents),
        "n_characters": "" if data.n_characters is None else str(data.n_characters),
    }
    save_file(path, tensors, {**header, "sha256": _checksum(header, tensors)})


def read_token_file(path: str | os.PathLike[str], key: str) -> TokenData:
    """Map the file into memory, read-only, once every byte of it is found to be what was written.

    RgzError where it is cut short or damaged, or holds something else than `key` names.
    """
    table, metadata = read_header(path)
    try:
        whole = np.memmap(path, np.uint8, "r").view(np.ndarray)
    except (OSError, ValueError) as error:  # ValueError: emptied since
        raise RgzError(tr("cannot read {path}: {reason}", path=path, reason=reason_of(error))) from error
    if any(info.end > len(whole) or info.dtype not in _KINDS.get(name, ()) for name, info in table.items()):
        raise _damaged(path)
    if not {"ids", "offsets"} <= table.keys():
        raise _damaged(path)
    tensors = {name: whole[info.begin : info.end].view(_DTYPES[info.dtype]) for name, info in table.items()}
    checksum = metadata.pop("sha256", "")
    if checksum != _checksum(metadata, tensors) or metadata.get("format") != FORMAT or metadata.get("key") != key:
        raise _damaged(path)
    ids, offsets, mask = tensors["ids"], tensors["offsets"], tensors.get("mask")
    ends = offsets[[0, -1]].tolist() if len(offsets) else []
    n_characters = metadata.get("n_characters", "")
    if (
        ends != [0, len(ids)]
        or (np.diff(offsets) < 0).any()
        or (mask is not None and len(mask) != len(ids))
        or not re.fullmatch("[0-9]{0,18}", n_characters)
        or "tokenizer" not in metadata
    ):
        raise _damaged(path)  # whole, but written by somebody else
    return TokenData(ids, offsets, mask, metadata["tokenizer"], int(n_characters) if n_characters else None)


def _checksum(header: Mapping[str, str], tensors: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name, array in sorted(tensors.items()):
        digest.update(f"{name} {array.dtype.str} {array.size} ".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _damaged(path: str | os.PathLike[str]) -> RgzError:
    return RgzError(tr("{file} is damaged: its checksum is wrong", file=Path(path).name))
