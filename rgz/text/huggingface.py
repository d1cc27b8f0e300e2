"""The tokenizer.json of Hugging Face's tokenizers, as far as it is byte-level BPE: read, checked, written.

Its vocabulary is spelt in characters that stand for bytes (`BYTE_CHARACTERS`). What would change the ids, and rgz does
not do, is refused by name: other models, pieces and normalizers, dropout, truncation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rgz.errors import RgzError
from rgz.messages import tr
from rgz.strict import must_be
from rgz.text.byte_level import BYTE_CHARACTERS, AddedToken, one_id, two_ids

if TYPE_CHECKING:
    from rgz.text.bpe import BPETokenizer

_BYTES = {ord(character): value for value, character in BYTE_CHARACTERS.items()}
_CHARACTERS = frozenset(BYTE_CHARACTERS.values())
_REGEX = {
    "gpt2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "qwen2": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+",
}
_MODEL = {  # what a model may say: the first value is written
    "type": ("BPE", None),
    "dropout": (None, 0, 0.0),
    "unk_token": (None,),  # any: no byte is unknown
    "continuing_subword_prefix": (None, ""),
    "end_of_word_suffix": (None, ""),
    "fuse_unk": (False, None, True),
    "byte_fallback": (False, None),
    "ignore_merges": (False, None),
}


def to_huggingface(tokenizer: BPETokenizer) -> dict[str, Any]:
    """The file of a tokenizer, as JSON values."""
    added = {(token.content.encode(), token.id) for token in tokenizer.added_tokens}

    def spelt(entry: tuple[bytes, int]) -> str:
        return entry[0].decode() if entry in added else _to_characters(entry[0])

    by_id = sorted(tokenizer.vocab.items(), key=lambda entry: entry[1])
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": token.id,
                "content": token.content,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": token.normalized,
                "special": token.special,
            }
            for token in tokenizer.added_tokens
        ],
        "normalizer": {"type": tokenizer.normalizer} if tokenizer.normalizer else None,
        "pre_tokenizer": _pre_tokenizer(tokenizer.pattern),
        "post_processor": tokenizer.post_processor,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            **{name: values[0] for name, values in _MODEL.items()},
            "vocab": {spelt(entry): entry[1] for entry in by_id},
            # "a b" is what every version reads; no spelling holds a space
            "merges": [f"{_to_characters(left)} {_to_characters(right)}" for left, right in tokenizer.merges],
        },
    }


def from_huggingface(data: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of BPETokenizer that a file stands for; RgzError for what is damaged or of another kind."""
    model = _need(data, "model", dict)
    for name, values in _MODEL.items():
        value = model.get(name)
        if name != "unk_token" and not any(value is v or (v is not None and value == v) for v in values):
            raise _must_be("model." + name, values, value)
    for name in ("truncation", "padding"):
        if data.get(name) is not None:
            raise _must_be(name, (None,), data[name])
    decoder = data.get("decoder")
    if not isinstance(decoder, dict) or decoder.get("type") != "ByteLevel":
        raise _must_be("decoder", ("ByteLevel",), decoder)
    added_tokens = [_added_token(entry) for entry in _need(data, "added_tokens", list)]
    return {
        "vocab": _vocab(_need(model, "vocab", dict), added_tokens),
        "merges": [_merge(entry) for entry in _need(model, "merges", list)],
        "added_tokens": added_tokens,
        "pattern": _pattern(data.get("pre_tokenizer")),
        "normalizer": _normalizer(data.get("normalizer")),
        "post_processor": data.get("post_processor"),
    }


def _vocab(spelt: Mapping[str, Any], added_tokens: list[AddedToken]) -> dict[bytes, int]:
    """The ids by bytes. An added token is spelt as it is: in the same bytes merges may make another one."""
    for number in spelt.values():
        if type(number) is not int:
            raise _must_be("model.vocab", ("{token: id}",), number)
    taken = set(spelt.values())
    for token in added_tokens:
        if (other := spelt.get(token.content, token.id)) != token.id:
            raise two_ids(token, other)
        if token.id in taken and token.content not in spelt:
            raise one_id(token)
    names = {token.content for token in added_tokens}
    vocab: dict[bytes, int] = {}
    for spelling, number in spelt.items():
        token_bytes = spelling.encode() if spelling in names else _to_bytes(spelling)
        if token_bytes in vocab:
            raise RgzError(
                tr(
                    "the added token {name} stands in model.vocab as it is and spelt in bytes; leave one out",
                    name=token_bytes.decode(),
                )
            )
        vocab[token_bytes] = number
    return vocab


def _to_characters(token: bytes) -> str:
    return "".join(map(BYTE_CHARACTERS.__getitem__, token))


def _to_bytes(spelling: str) -> bytes:
    if not spelling or not _CHARACTERS.issuperset(spelling):
        raise RgzError(tr("token {token} is not spelt in bytes", token=ascii(spelling)))
    return spelling.translate(_BYTES).encode("latin-1")


def _merge(entry: object) -> tuple[bytes, bytes]:
    """A merge from "a b", as it was always written, or from ["a", "b"], as tokenizers 0.20 and later do."""
    parts = entry.split(" ") if isinstance(entry, str) else entry
    if not isinstance(parts, list) or len(parts) != 2 or not all(isinstance(part, str) for part in parts):
        raise _must_be("model.merges", ('"a b"', '["a", "b"]'), entry)
    return _to_bytes(parts[0]), _to_bytes(parts[1])


def _added_token(entry: object) -> AddedToken:
    if not isinstance(entry, dict):
        raise _must_be("added_tokens", ("{id, content, special}",), entry)
    special, normalized = entry.get("special", False), entry.get("normalized", True)
    content, number = _need(entry, "content", str), _need(entry, "id", int)
    if not isinstance(special, bool) or not isinstance(normalized, bool):
        raise _must_be("added_tokens.special", (True, False), entry)
    try:
        content.encode()
    except UnicodeEncodeError as error:
        raise _must_be("added_tokens.content", (tr("a text"),), ascii(content)) from error
    if not special and any(entry.get(flag) for flag in ("single_word", "lstrip", "rstrip")):
        raise _must_be("added_tokens.single_word, lstrip, rstrip", (False,), entry)
    return AddedToken(number, content, special, normalized)


def _pre_tokenizer(pattern: str) -> dict[str, Any]:
    if pattern == "gpt2":
        return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    split = {"type": "Split", "pattern": {"Regex": _REGEX[pattern]}, "behavior": "Isolated", "invert": False}
    bytes_only = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {"type": "Sequence", "pretokenizers": [split, bytes_only]}


def _pattern(value: object) -> str:
    """Which pieces a pre_tokenizer makes, if they are known here."""
    if _is_byte_level(value, use_regex=True):
        return "gpt2"
    steps = value.get("pretokenizers") if isinstance(value, dict) and value.get("type") == "Sequence" else None
    if isinstance(steps, list) and len(steps) == 2 and _is_byte_level(steps[1], use_regex=False):
        regex = _regex_of(steps[0])
        for name, known in _REGEX.items():
            if regex == known:
                return name
    raise _must_be("pre_tokenizer", ("ByteLevel (GPT-2)", "Split + ByteLevel (Qwen2)"), value)


def _is_byte_level(step: object, *, use_regex: bool) -> bool:
    return (
        isinstance(step, dict)
        and step.get("type") == "ByteLevel"
        and step.get("add_prefix_space") is False
        and step.get("use_regex", True) is use_regex
    )


def _regex_of(step: object) -> object:
    if not isinstance(step, dict) or (step.get("type"), step.get("behavior")) != ("Split", "Isolated"):
        return None
    pattern = step.get("pattern")
    return pattern.get("Regex") if isinstance(pattern, dict) and step.get("invert") is False else None


def _normalizer(value: object) -> str | None:
    """None or "NFC", alone or as all there is in a sequence."""
    steps = value.get("normalizers") if isinstance(value, dict) and value.get("type") == "Sequence" else [value]
    if value is None or steps == []:
        return None
    if not isinstance(steps, list) or not all(isinstance(step, dict) and step.get("type") == "NFC" for step in steps):
        raise _must_be("normalizer", (None, "NFC"), value)
    return "NFC"


def _need(data: Mapping[str, Any], name: str, kind: type) -> Any:
    value = data.get(name)
    if type(value) is not kind:
        raise _must_be(name, ({dict: "{}", list: "[]", str: '""', int: "0"}[kind],), value)
    return value


def _must_be(name: str, wanted: tuple[object, ...], got: object) -> RgzError:
    return must_be(name, " / ".join(map(str, wanted)), got)
