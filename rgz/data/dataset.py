"""Documents from files and folders, and their split into training and validation."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from rgz.data.files import FORMATS, read_documents, read_lines
from rgz.data.records import Document
from rgz.data.stored import Chosen, Joined, StoredDocuments
from rgz.errors import RgzError, reason_of
from rgz.messages import tr
from rgz.strict import need_path
from rgz.text import render_chat

IN_MEMORY = 1 << 26  # bytes of files that are held

Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


class Dataset:
    """Documents in order, each a text or a dialogue (a list of {"role", "content"}).

    Those of large files stay there, see `load_dataset`: then going through them reads the files.
    documents : all of them in a list, whatever its size.
    notices : sentences for the user on how the files were read: encodings, files and fields left aside. Who tells
        them takes them (`take_notices`), so that nobody hears them twice; Trainer tells what is left.
    """

    def __init__(self, documents: Sequence[Document] | Dataset, notices: Sequence[str] = ()) -> None:
        given = documents._documents if isinstance(documents, Dataset) else documents
        self._documents: Sequence[Document] = given if isinstance(given, Joined | Chosen) else list(given)
        self.notices = list(notices)

    @property
    def documents(self) -> list[Document]:
        return self._documents if isinstance(self._documents, list) else list(self._documents)

    def __len__(self) -> int:
        return len(self._documents)

    def __iter__(self) -> Iterator[Document]:
        return iter(self._documents)

    def __getitem__(self, index: int) -> Document:
        return self._documents[index]

    def __repr__(self) -> str:
        return f"Dataset({len(self)} documents)"

    def take_notices(self) -> list[str]:
        """Return the notices, which are then no longer here."""
        taken, self.notices = self.notices, []
        return taken

    def texts(self) -> Iterator[str]:
        """Yield every document as plain text, a dialogue with its `用户：` and `助手：`."""
        for document in self:
            yield document if isinstance(document, str) else render_chat(document)

    def split(self, fraction: float, seed: int = 0) -> tuple[Dataset, Dataset]:
        """Return (the rest, a random `fraction` of the documents), both in their old order.

        fraction : in [0, 1); else RgzError. Above 0 both parts have at least one document, except that a
            single document all goes to the first, whose notices then say so.
        """
        if not 0 <= fraction < 1:
            raise RgzError(tr("the validation share must be in [0, 1), got {fraction}", fraction=fraction))
        n = len(self)
        if fraction and n < 2:
            notice = tr("there is only one document: nothing is held out for validation")
            return Dataset(self._documents, [*self.notices, notice]), Dataset([])
        count = min(max(round(n * fraction), 1), n - 1) if fraction else 0
        out = held_out(n, count, seed)
        rest, held = Chosen(self._documents, ~out), Chosen(self._documents, out)
        return Dataset(rest, self.notices), Dataset(held)


def held_out(n: int, count: int, seed: int) -> np.ndarray:
    """A mask (n,) that is True for a random `count` of the documents."""
    # Raw generator output, sorted: unlike Generator.permutation, NumPy promises it never to change.
    keys = np.random.PCG64(seed & 0xFFFFFFFFFFFFFFFF).random_raw(n)
    mask = np.zeros(n, bool)
    mask[np.argsort(keys, kind="stable")[:count]] = True
    return mask


def load_dataset(paths: Paths) -> Dataset:
    """Read files and folders in the order given; a folder in natural order (dataset2 before dataset10).

    .txt : a document a line, empty lines left out, except a file of nothing but dialogues over several lines,
        which blank lines separate. A file of any other ending, given by name, is read so too.
    .jsonl : a record a line.
    .json : a list of texts or records, one record, or an object that holds exactly one such list.
    Records: see `rgz.data.records`; encodings: see `rgz.data.readers`.

    Files of up to 64 MB together are held in memory. The documents of others stay where they are, for memory must not
    grow with the text: all are checked now, and read again from there whenever they are asked for; a file that has
    changed by then is an RgzError. Read whole, whatever their size: a list in .json, and text in UTF-16.
    What cannot be read is an RgzError that names file and line; nothing is dropped in silence
    (`Dataset.notices`).
    """
    parts: list[Sequence[Document]] = []
    notices: list[str] = []
    seen: set[str] = set()
    room = IN_MEMORY
    for path in _files(paths, notices):
        real = os.path.realpath(path)
        if real in seen:
            notices.append(tr("{path} was given twice and is read once", path=path))
            continue
        seen.add(real)
        parts.append(read_documents(path, notices, room))
        if not isinstance(parts[-1], StoredDocuments):
            room -= os.path.getsize(path)
    if not parts:
        raise RgzError(tr("no data was given; name at least one file or folder"))
    documents = Joined(parts)
    return Dataset(documents if any(isinstance(part, StoredDocuments) for part in parts) else list(documents), notices)


def piped_dataset(data: bytes) -> Dataset:
    """Return the lines of what came by stdin, each a document, in any encoding that a file may have.

    What is in none of them is an RgzError; no byte is ever replaced or left out.
    """
    notices: list[str] = []
    return Dataset(read_lines(data, "stdin", notices), notices)


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key under which digits count as numbers."""
    pairs = re.findall(r"([0-9]+)|([^0-9]+)", name.casefold())
    return tuple((0, int(digits), "") if digits else (1, 0, other) for digits, other in pairs)


def _files(paths: Paths, notices: list[str]) -> Iterator[Path]:
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if "" in given:  # which pathlib takes for the folder it stands in
        raise RgzError(tr("an empty name is neither a file nor a folder; the folder you are in is ."))
    for path in (need_path("data", path) for path in given):
        if path.is_dir():
            yield from _folder_files(path, notices)
        elif path.exists() and not path.is_file():
            raise RgzError(tr("{path} is neither a file nor a folder", path=path))
        else:
            yield path


_RUN_MARK = "training_args.json"
_RUN_FILES = frozenset({_RUN_MARK, "config.json", "tokenizer.json", "metrics.jsonl", "model.safetensors"})
_CHECKPOINT = re.compile(r"checkpoint-\d+").fullmatch


def _folder_files(folder: Path, notices: list[str]) -> list[Path]:
    """Return the readable files under `folder`; a notice names the others, hidden ones excepted."""
    found: list[Path] = []
    aside: list[str] = []

    def refuse(error: OSError) -> None:
        raise RgzError(tr("cannot read {path}: {reason}", path=error.filename, reason=reason_of(error))) from error

    visited: set[str] = set()
    for place, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        if (real := os.path.realpath(place)) in visited:  # a link back, or to what was read already
            folders.clear()
            continue
        visited.add(real)
        run = _RUN_MARK in names  # a run may stand among its data; its own files are no text
        folders[:] = sorted(
            (n for n in folders if not (n.startswith(".") or (run and _CHECKPOINT(n)))), key=natural_key
        )
        for name in sorted((name for name in names if not name.startswith(".")), key=natural_key):
            if run and name in _RUN_FILES:
                continue
            if Path(name).suffix.lower() in FORMATS:
                found.append(Path(place, name))
            else:
                aside.append(name)
    endings = " ".join(FORMATS)
    if not found:
        raise RgzError(tr("{path} holds no {endings} file; give a folder that does", path=folder, endings=endings))
    if aside:
        names_shown = ", ".join(aside[:5]) + (", ..." if len(aside) > 5 else "")
        notices.append(tr("{path}: left aside, no {endings}: {names}", path=folder, endings=endings, names=names_shown))
    return found
