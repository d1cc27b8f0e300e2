"""An array that grows: in memory while it is small, then in a file without a name that is mapped into memory."""

from __future__ import annotations

import tempfile
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import DTypeLike, NDArray

from rgz.errors import RgzError, reason_of
from rgz.files import private_cache_folder
from rgz.messages import tr

IN_MEMORY = 1 << 23  # bytes


class Spool:
    """Values one after another. The file goes with the array, and with the process however that ends.

    It lies in the private cache folder, for the usual folder of temporary files is memory on many systems.
    RgzError where it cannot be written.
    """

    def __init__(self, dtype: DTypeLike) -> None:
        self._dtype = np.dtype(dtype)
        self._held = bytearray()
        self._file: BinaryIO | None = None
        self._size = 0

    def __len__(self) -> int:
        return self._size // self._dtype.itemsize

    def append(self, values: NDArray[Any]) -> None:
        data: bytes | bytearray = values.astype(self._dtype, copy=False).tobytes()
        self._size += len(data)
        if self._file is None:
            self._held += data
            if self._size <= IN_MEMORY:
                return
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=private_cache_folder())  # noqa: SIM115 - closed with the spool
                data, self._held = self._held, bytearray()
            self._file.write(data)
        except OSError as error:
            raise self._unwritable(error) from error

    def array(self) -> NDArray[Any]:
        """All values; read-only where they are in a file."""
        if self._file is None:
            return np.frombuffer(self._held, self._dtype)
        try:
            self._file.flush()
        except OSError as error:
            raise self._unwritable(error) from error
        return np.memmap(self._file, self._dtype, "r").view(np.ndarray)

    def _unwritable(self, error: OSError) -> RgzError:
        folder = private_cache_folder() or tempfile.gettempdir()
        reason = reason_of(error)
        return RgzError(
            tr("a large text needs room in {folder}, which cannot be written: {reason}", folder=folder, reason=reason)
        )
