"""One function a file format: from a file to its documents, with file and line in every error."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from io import BytesIO
from itertools import groupby, islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from rgz.cpu import memory_bytes
from rgz.data.readers import Source, examined, long_lines_named, opened
from rgz.data.records import Document, is_known_record, labelled_text, record_document, text_document
from rgz.data.spool import Spool
from rgz.data.stored import StoredDocuments, Walk
from rgz.errors import RgzError
from rgz.messages import mark, tr
from rgz.text import parse_chat
from rgz.text.chat import may_begin_chat

_PARSED = 4  # bytes of memory that reading a byte of JSON takes
_PLACES = 1 << 13  # noted at a time
K = TypeVar("K")


def read_documents(path: Path, notices: list[str], room: int) -> Sequence[Document]:
    """Return the documents of one file; append to `notices` what the user should know about the reading.

    room : bytes up to which a file is held in memory. The documents of a larger one stay there (`StoredDocuments`),
        but for JSON that is no lines and for text in UTF-16, which are read whole.
    """
    with opened(path) as file:
        whole = os.fstat(file.fileno()).st_size <= room
        source, encoding = examined(BytesIO(file.read()) if whole else file, path)
        _tell_encoding(path, encoding, notices)
        reader = FORMATS.get(path.suffix.lower())
        if reader is None:
            notices.append(tr("{path}: read as plain text, a document a line", path=path))
            reader = _read_txt
        found = reader(source, path, notices)
        documents: Sequence[Document]
        if isinstance(found, list):
            documents = found
        elif isinstance(source.file, BytesIO):
            documents = [document for _, document in found(source, source.start, notices)]
        else:
            documents = StoredDocuments(path, source, found, _places(found(source, source.start, notices)))
    if not documents:
        raise RgzError(tr("{path} is empty; give a file with text in it", path=path))
    return documents


def _places(found: Iterator[tuple[int, Document]]) -> NDArray[np.int64]:
    spool = Spool(np.int64)
    while some := [place for place, _ in islice(found, _PLACES)]:
        spool.append(np.array(some))
    return spool.array()


def read_lines(data: bytes, name: str, notices: list[str]) -> list[Document]:
    """Return the lines of `data` that are not blank, each a plain text; notices as in `read_documents`."""
    file = BytesIO(data)
    with long_lines_named(file, name):
        source, encoding = examined(file, name)
        _tell_encoding(name, encoding, notices)
        return [line for _, line in source.lines(source.start) if line.strip()]


def _tell_encoding(name: Path | str, encoding: str, notices: list[str]) -> None:
    if encoding in ("gb18030", "utf-16"):
        notices.append(tr("{path}: read as {encoding}", path=name, encoding=encoding))


def _read_txt(source: Source, path: Path, notices: list[str]) -> Walk:
    lines = (line for _, line in source.lines(source.start) if line.strip())
    if not may_begin_chat(next(lines, "")):
        return _walk_lines
    # A line that is a dialogue by itself: then the others are no parts of one either.
    if not any(parse_chat(line) for _, line in source.lines(source.start)):
        for blocks in (_blocks, _whole):
            if count := _count_dialogues(blocks(source, source.start)):
                notices.append(tr("{path}: read as dialogues over several lines: {count}", path=path, count=count))
                return partial(_walk_dialogues, blocks)
    return _walk_lines


def _walk_lines(source: Source, place: int, notices: list[str]) -> Iterator[tuple[int, Document]]:
    for begin, line in source.lines(place):
        if line.strip():
            yield begin, text_document(line)


def _walk_dialogues(
    blocks: Callable[[Source, int], Iterator[tuple[int, str]]], source: Source, place: int, notices: list[str]
) -> Iterator[tuple[int, Document]]:
    for begin, block in blocks(source, place):
        if dialogue := parse_chat(block):
            yield begin, dialogue


def _count_dialogues(blocks: Iterator[tuple[int, str]]) -> int:
    """Return how many they are, 0 if one is none."""
    count = 0
    for _, block in blocks:
        if parse_chat(block) is None:
            return 0
        count += 1
    return count


def _blocks(source: Source, place: int) -> Iterator[tuple[int, str]]:
    """Yield what stands between blank lines; of what cannot be a dialogue the first line only, it may be long."""
    for is_blank, lines in groupby(source.lines(place), key=lambda line: not line[1].strip()):
        if not is_blank:
            begin, first = next(lines)
            rest = (line for _, line in lines) if may_begin_chat(first) else ()
            yield begin, "\n".join((first, *rest))


def _whole(source: Source, place: int) -> Iterator[tuple[int, str]]:
    """Yield the whole text, if it is held anyway."""
    if isinstance(source.file, BytesIO):
        yield place, re.sub(r"\r\n|\r", "\n", source.text())


def _read_jsonl(source: Source, path: Path, notices: list[str]) -> Walk:
    return partial(_walk_json_lines, path)


def _walk_json_lines(path: Path, source: Source, place: int, notices: list[str]) -> Iterator[tuple[int, Document]]:
    def named(at: tuple[int, int]) -> str:
        return f"{path}:{at[0]}"

    for (_, begin), document in _documents(_json_lines(source, place, path), named, path, notices):
        yield begin, document


def _json_lines(source: Source, place: int, path: Path) -> Iterator[tuple[tuple[int, int], object]]:
    """Yield (number of the line, where it begins) and the value of every line."""
    for number, (begin, line) in enumerate(source.lines_of_json(place), 1):
        if line.strip():
            try:
                yield (number, begin), json.loads(line)
            except (ValueError, RecursionError) as error:
                raise _broken(f"{path}:{number}", error) from error


def _read_json(source: Source, path: Path, notices: list[str]) -> Walk | list[Document]:
    if _is_json_lines(source):
        notices.append(tr("{path}: read as JSON lines, a record a line", path=path))
        return _read_jsonl(source, path, notices)
    _need_memory(source, path)
    try:
        return _read_whole_json(source, path, notices)
    except MemoryError as error:
        raise RgzError(
            tr(
                "{path}: JSON that is no lines is read whole, for which memory does not suffice; write one record a "
                "line in a .jsonl file",
                path=path,
            )
        ) from error


def _read_whole_json(source: Source, path: Path, notices: list[str]) -> list[Document]:
    text = source.text()
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        place = f"{path}:{error.lineno}" if isinstance(error, json.JSONDecodeError) else str(path)
        raise _broken(place, error) from error
    if isinstance(value, list):
        found = _documents(enumerate(value), lambda i: f"{path}:{_line_of_item(text, i)}", path, notices)
    elif is_known_record(value):
        found = _documents([(0, value)], lambda _: str(path), path, notices)
    else:
        return _read_object(value, path, notices)
    return [document for _, document in found]


def _is_json_lines(source: Source) -> bool:
    """Tell whether an object stands by itself on the first line: many a .json file on the net is JSON lines."""
    lines = (line for _, line in source.lines_of_json(source.start) if line.strip())
    first = next(lines, "")
    if next(lines, None) is None:
        return False
    try:
        return isinstance(json.loads(first), dict)
    except (ValueError, RecursionError):
        return False


def _need_memory(source: Source, path: Path) -> None:
    needed, free = source.file.seek(0, os.SEEK_END) * _PARSED, memory_bytes()[1]
    if free is not None and needed > free:
        raise RgzError(
            tr(
                "{path}: JSON that is no lines is read whole, which takes about {needed} GB, and {free} GB are free; "
                "write one record a line in a .jsonl file",
                path=path,
                needed=f"{needed / 1e9:.1f}",
                free=f"{free / 1e9:.1f}",
            )
        )


def _broken(place: str, error: Exception) -> RgzError:
    reason = f"{error.msg}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
    return RgzError(tr("{place}: broken JSON ({reason}); repair the line", place=place, reason=reason))


def _line_of_item(text: str, index: int) -> int:
    """Return the line on which item `index` of the top-level list begins: asked for errors only."""
    decoder = json.JSONDecoder()
    position = text.index("[") + 1
    for number in range(index + 1):
        while text[position] in " \t\r\n,":
            position += 1
        if number < index:
            position = decoder.raw_decode(text, position)[1]
    return text.count("\n", 0, position) + 1


def _read_object(value: object, path: Path, notices: list[str]) -> list[Document]:
    """Read an object that holds exactly one list of texts or records: {"metadata": …, "data": [...]}.

    Records in no known shape but made of named texts, as in RustGPT-Chinese's file of idioms, become one text
    each, a line `name：text` a field.
    """
    lists = {}
    if isinstance(value, dict):
        for key, items in value.items():
            if isinstance(items, list) and items and all(isinstance(item, str | dict) for item in items):
                lists[key] = items
    if len(lists) != 1:
        raise RgzError(
            tr(
                "{path} must be a list of texts or records, or an object with exactly one such list in it, "
                'got {count}; write ["text", ...] or one record a line in a .jsonl file',
                path=path,
                count=len(lists),
            )
        )
    [(key, items)] = lists.items()
    if not any(isinstance(item, str) or is_known_record(item) for item in items):
        labelled = [text for item in items if (text := labelled_text(item)) is not None]
        if len(labelled) == len(items):
            notices.append(tr("{path}: the records of '{key}' are read as texts, a line a field", path=path, key=key))
            return list(labelled)

    def place(number: int) -> str:
        return tr("{path}, item {number} of '{key}'", path=path, number=number, key=key)

    return [document for _, document in _documents(enumerate(items, 1), place, path, notices)]


def _documents(
    records: Iterable[tuple[K, object]], place: Callable[[K], str], path: Path, notices: list[str]
) -> Iterator[tuple[K, Document]]:
    """Turn numbered records into documents; `place(number)` says where one stands, for errors.

    Empty texts and fields that were not used are mentioned in a notice, at the end.
    """
    found = empty = 0
    unused: Counter[str] = Counter()
    for number, record in records:
        try:
            document, keys = record_document(record)
        except RgzError as error:
            raise RgzError(f"{place(number)}{mark(': ')}{error}") from error
        if document is None:
            empty += 1
        else:
            yield number, document
            found += 1
            unused.update(keys)
    if unused:
        notices.append(tr("{path}: fields not used: {fields}", path=path, fields=", ".join(sorted(unused))))
    if empty and found:
        notices.append(tr("{path}: empty texts left out: {count}", path=path, count=empty))


FORMATS: dict[str, Callable[[Source, Path, list[str]], Walk | list[Document]]] = {
    ".txt": _read_txt,
    ".json": _read_json,
    ".jsonl": _read_jsonl,
}
