"""One function a file format: from a file to its documents, with file and line in every error."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from rgz.data.readers import decode, read_text
from rgz.data.records import Document, is_known_record, labelled_text, record_document, text_document
from rgz.errors import RgzError
from rgz.messages import tr
from rgz.text import parse_chat


def read_documents(path: Path, notices: list[str]) -> list[Document]:
    """Return the documents of one file; append to `notices` what the user should know about the reading."""
    reader = FORMATS.get(path.suffix.lower())
    text, encoding = read_text(path)
    _tell_encoding(path, encoding, notices)
    if reader is None:
        notices.append(tr("{path}: read as plain text, a document a line", path=path))
        reader = _read_txt
    documents = reader(text, path, notices)
    if not documents:
        raise RgzError(tr("{path} is empty; give a file with text in it", path=path))
    return documents


def read_lines(data: bytes, name: str, notices: list[str]) -> list[Document]:
    """Return the lines of `data` that are not blank, each a plain text; notices as in `read_documents`."""
    text, encoding = decode(data, name)
    _tell_encoding(name, encoding, notices)
    return [line for line in _lines(text) if line.strip()]


def _tell_encoding(name: Path | str, encoding: str, notices: list[str]) -> None:
    if encoding in ("gb18030", "utf-16"):
        notices.append(tr("{path}: read as {encoding}", path=name, encoding=encoding))


def _lines(text: str) -> list[str]:
    return re.split(r"\r\n|\r|\n", text)


def _read_txt(text: str, path: Path, notices: list[str]) -> list[Document]:
    lines = _lines(text)
    documents = [text_document(line) for line in lines if line.strip()]
    # A line that is a dialogue by itself: then the others are no parts of one either.
    if all(isinstance(document, str) for document in documents) and (dialogues := _dialogues("\n".join(lines))):
        notices.append(tr("{path}: read as dialogues over several lines: {count}", path=path, count=len(dialogues)))
        return dialogues
    return documents


def _dialogues(text: str) -> list[Document]:
    """Return the dialogues of a text of which each block between blank lines, or else the whole, is one."""
    for blocks in (re.split(r"\n\s*\n", text.strip()), [text]):
        dialogues: list[Document] = []
        for block in blocks:
            if (dialogue := parse_chat(block)) is None:
                break
            dialogues.append(dialogue)
        else:
            return dialogues
    return []


def _read_jsonl(text: str, path: Path, notices: list[str]) -> list[Document]:
    return _documents(_json_lines(text, path), lambda line: f"{path}:{line}", path, notices)


def _json_lines(text: str, path: Path) -> Iterator[tuple[int, object]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                place = f"{path}:{number}"
                raise RgzError(
                    tr("{place}: broken JSON ({reason}); repair the line", place=place, reason=_reason(error))
                ) from error


def _read_json(text: str, path: Path, notices: list[str]) -> list[Document]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        if _is_json_lines(text):
            notices.append(tr("{path}: read as JSON lines, a record a line", path=path))
            return _read_jsonl(text, path, notices)
        place = f"{path}:{error.lineno}" if isinstance(error, json.JSONDecodeError) else str(path)
        raise RgzError(
            tr("{place}: broken JSON ({reason}); repair the line", place=place, reason=_reason(error))
        ) from error
    if isinstance(value, list):
        return _documents(enumerate(value), lambda i: f"{path}:{_line_of_item(text, i)}", path, notices)
    if is_known_record(value):
        return _documents([(0, value)], lambda _: str(path), path, notices)
    return _read_object(value, path, notices)


def _is_json_lines(text: str) -> bool:
    """Tell whether the first line is an object by itself: many a .json file on the net is JSON lines."""
    try:
        return isinstance(json.loads(text.lstrip().split("\n", 1)[0]), dict)
    except (ValueError, RecursionError):
        return False


def _reason(error: Exception) -> str:
    return f"{error.msg}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)


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

    return _documents(enumerate(items, 1), place, path, notices)


def _documents(
    records: Iterable[tuple[int, object]], place: Callable[[int], str], path: Path, notices: list[str]
) -> list[Document]:
    """Turn numbered records into documents; `place(number)` says where one stands, for errors.

    Empty texts and fields that were not used are mentioned in a notice.
    """
    documents = []
    empty = 0
    unused: Counter[str] = Counter()
    for number, record in records:
        try:
            document, keys = record_document(record)
        except RgzError as error:
            raise RgzError(f"{place(number)}: {error}") from error
        if document is None:
            empty += 1
        else:
            documents.append(document)
            unused.update(keys)
    if unused:
        notices.append(tr("{path}: fields not used: {fields}", path=path, fields=", ".join(sorted(unused))))
    if empty and documents:
        notices.append(tr("{path}: empty texts left out: {count}", path=path, count=empty))
    return documents


FORMATS: dict[str, Callable[[str, Path, list[str]], list[Document]]] = {
    ".txt": _read_txt,
    ".json": _read_json,
    ".jsonl": _read_jsonl,
}
