"""A tokenizer from its file."""

from __future__ import annotations

import os
from pathlib import Path

from rgz.errors import RgzError, reason_of
from rgz.files import read_json
from rgz.messages import tr
from rgz.strict import need_path
from rgz.text.bpe import BPETokenizer
from rgz.text.char import ByteTokenizer, CharTokenizer
from rgz.text.tokenizer import (
    FILE_NAME,
    FORMAT,
    LONGEST_WORD,
    SPECIAL_TOKENS,
    Tokenizer,
)
from rgz.text.user_words import checked_entry
from rgz.text.word import WordTokenizer

_KINDS: tuple[type[Tokenizer], ...] = (WordTokenizer, CharTokenizer, ByteTokenizer)
TOKENIZERS = {kind.type: kind for kind in _KINDS}


def load_tokenizer(path: str | os.PathLike[str]) -> Tokenizer:
    """Read a tokenizer from its file, or from the run folder that holds it.

    A file in the format of Hugging Face's tokenizers is read too, if it is byte-level BPE with the pieces of GPT-2
    or Qwen2. One that is missing, damaged or of another kind is an RgzError that says which.
    """
    path = need_path("path", path)
    path = path / FILE_NAME if path.is_dir() else path
    try:
        data = read_json(path)
    except OSError as error:
        raise RgzError(tr("cannot read the tokenizer {path}: {reason}", path=path, reason=reason_of(error))) from error
    except ValueError as error:
        raise _no_tokenizer(path, error) from error
    if isinstance(data, dict) and "format" not in data and "model" in data:
        try:
            return BPETokenizer.from_dict(data)
        except RgzError as error:
            raise RgzError(
                tr("{path} is a tokenizer that rgz cannot use: {reason}", path=path, reason=error)
            ) from error
    if reason := _what_is_wrong(data):
        raise _no_tokenizer(path, reason)
    try:
        return TOKENIZERS[data["type"]].from_dict(data)
    except RgzError as error:  # entries that a vocabulary may not have
        raise _no_tokenizer(path, error) from error


def _no_tokenizer(path: Path, reason: object) -> RgzError:
    return RgzError(
        tr("{path} is not a tokenizer file: {reason}; give one that rgz wrote, unchanged", path=path, reason=reason)
    )


def _what_is_wrong(data: object) -> str | None:
    """Return why `data` is no tokenizer that this version can use, None if it is one."""
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        return tr('there is no "format": "{format}" in it', format=FORMAT)
    if data.get("version") != 1:
        return tr("its version is {version}, this rgz reads version 1", version=data.get("version"))
    kind = data.get("type")
    if not isinstance(kind, str) or kind not in TOKENIZERS:
        return tr("its type {type} must be one of {types}", type=kind, types=", ".join(TOKENIZERS))
    if data.get("special_tokens") != list(SPECIAL_TOKENS):
        return tr("its special tokens must be {names}", names=" ".join(SPECIAL_TOKENS))
    characters, words = data.get("characters"), data.get("words")
    if not isinstance(characters, str):
        return tr('"characters" must be one text of non-ASCII characters')
    if not isinstance(words, list):
        return tr('"words" must be a list of texts of 2 to {longest} characters', longest=LONGEST_WORD)
    user_words = data.get("user_words", [])
    if not isinstance(user_words, list) or not all(map(_is_user_word, user_words)) or (kind != "word" and user_words):
        return tr('"user_words" must be a list of [word, frequency], of a tokenizer of words')
    if (kind != "word" and words) or (kind == "byte" and characters):
        return tr("its type {type} has no entries of that kind", type=kind)
    return None


def _is_user_word(value: object) -> bool:
    try:
        return isinstance(value, list) and len(value) == 2 and bool(checked_entry(*value))
    except RgzError:
        return False
