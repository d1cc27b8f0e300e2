"""What byte-level BPE is made of: bytes spelt in characters, its patterns, added tokens, texts as bytes end to end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rgz.errors import RgzError
from rgz.messages import tr
from rgz.strict import must_be, need_integer, unknown_name
from rgz.text.stream import LONE_SURROGATE
from rgz.text.tokenizer import SPECIAL_TOKENS

PATTERNS = ("gpt2", "qwen2")  # in the order of the enum in csrc/text/pretokenize.h
NORMALIZERS = (None, "NFC")
_POST_PROCESSORS = ("BertProcessing", "ByteLevel", "RobertaProcessing", "Sequence", "TemplateProcessing")
# Visible bytes stand for themselves in a tokenizer.json, the others for the characters from U+0100 on.
_VISIBLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_HIDDEN = sorted(set(range(256)) - set(_VISIBLE))
BYTE_CHARACTERS = {**{b: chr(b) for b in _VISIBLE}, **{b: chr(256 + n) for n, b in enumerate(_HIDDEN)}}
_LONGEST_TEXT = 2**31 - 1


@dataclass(frozen=True)
class AddedToken:
    """A token beside the merges. special: `encode` never makes it, `decode` leaves it out. One that is not is cut out
    of a text before anything else; normalized: after the text has been normalized."""

    id: int
    content: str
    special: bool = True
    normalized: bool = False

    def __post_init__(self) -> None:
        need_integer("id", self.id, 0)
        if not isinstance(self.content, str) or LONE_SURROGATE.search(self.content):
            raise must_be("content", tr("a text"), self.content)
        if not self.content:
            raise RgzError(tr("an added token must not be empty"))


def spells_itself(token: bytes) -> bool:
    """Tell whether its bytes, spelt in characters, are its own text: then an added token and one that merges make are
    one and the same entry of a tokenizer.json."""
    return all(0x21 <= byte < 0x7F for byte in token)


def two_ids(token: AddedToken, other: int) -> RgzError:
    return RgzError(
        tr(
            "the added token {name} must have id {other}, which it has in the vocabulary, got {id}",
            name=token.content,
            other=other,
            id=token.id,
        )
    )


def one_id(token: AddedToken) -> RgzError:
    return RgzError(tr("the added token {name} and another have one id", name=token.content))


OWN_TOKENS = tuple(AddedToken(i, name) for i, name in enumerate(SPECIAL_TOKENS))


def check_pattern(pattern: str) -> None:
    """Refuse what is no name of a way to cut texts into pieces."""
    if pattern not in PATTERNS:
        raise unknown_name("pattern", pattern, PATTERNS)


def check_given(vocab: object, merges: object, added_tokens: object) -> None:
    """Refuse what is not made of bytes, ids and added tokens."""
    if not isinstance(vocab, Mapping) or not all(
        isinstance(token, bytes) and token and isinstance(number, int) for token, number in vocab.items()
    ):
        raise must_be("vocab", "{bytes: id}", vocab)
    if not isinstance(merges, Sequence) or not all(map(_is_pair, merges)):
        raise must_be("merges", "[(bytes, bytes)]", merges)
    if not isinstance(added_tokens, Sequence) or not all(isinstance(token, AddedToken) for token in added_tokens):
        raise must_be("added_tokens", "[AddedToken]", added_tokens)


def check_post_processor(value: object) -> None:
    """Refuse what Hugging Face's tokenizers could not read again: rgz hands it on as it is."""
    if value is not None and not (isinstance(value, Mapping) and value.get("type") in _POST_PROCESSORS):
        raise must_be("post_processor", " / ".join(("None", *(f'{{"type": "{t}"}}' for t in _POST_PROCESSORS))), value)


def _is_pair(merge: object) -> bool:
    return isinstance(merge, tuple | list) and len(merge) == 2 and all(isinstance(part, bytes) for part in merge)


def end_to_end(texts: list[str]) -> tuple[bytes, NDArray[np.int64]]:
    """The bytes of all texts, and where each begins and the last ends."""
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    for text in encoded:
        if len(text) > _LONGEST_TEXT:
            raise RgzError(tr("one text must have at most 2 GB, got {bytes} bytes: cut it at lines", bytes=len(text)))
    return encoded[0] if len(encoded) == 1 else b"".join(encoded), offsets_of([len(text) for text in encoded])


def offsets_of(lengths: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets
