"""Documents to token ids, once before training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgz.data.dataset import Dataset
from rgz.data.records import shown
from rgz.data.spool import Spool
from rgz.errors import RgzError
from rgz.messages import tr
from rgz.text import Tokenizer, chat_pieces
from rgz.text.tokenizer import Progress


@dataclass(frozen=True, eq=False)
class TokenData:
    """The ids of all documents end to end.

    ids : (T,) uint16, or int32 for a vocabulary above 65,536; like all arrays here read-only where it comes from
        the token cache.
    offsets : (D + 1,) int64; document d is ids[offsets[d] : offsets[d + 1]], beginning with bos.
    mask : (T,) uint8, 1 where an id counts as a target; None if all do. A document's first id never is one.
    fingerprint : of the tokenizer; "" if unknown.
    n_characters : characters of text that the targets stand for, special tokens not counted: what a loss is
        divided by to compare tokenizers. None if unknown.
    """

    ids: NDArray[np.uint16] | NDArray[np.int32]
    offsets: NDArray[np.int64]
    mask: NDArray[np.uint8] | None = None
    fingerprint: str = ""
    n_characters: int | None = None

    @property
    def n_documents(self) -> int:
        return len(self.offsets) - 1

    @property
    def n_tokens(self) -> int:
        return int(self.offsets[-1])

    @property
    def n_targets(self) -> int:
        """Tokens that a training epoch learns to predict."""
        lengths = np.diff(self.offsets)
        if self.mask is None:
            return int(np.maximum(lengths - 1, 0).sum())
        first = self.offsets[:-1][lengths > 0]
        return int(np.count_nonzero(self.mask)) - int(np.count_nonzero(self.mask[first]))

    def select(self, documents: NDArray[np.bool_]) -> TokenData:
        """Return those documents, (D,), in their order; of large data in a file like those of `encode_dataset`."""
        lengths = np.diff(self.offsets)
        # Where documents that are wanted begin to follow one another, and where such a run ends.
        edges = np.flatnonzero(np.diff(documents, prepend=False, append=False))
        runs = self.offsets[edges].reshape(-1, 2).tolist()
        return replace(
            self,
            ids=_joined(self.ids, runs),
            offsets=np.concatenate([[0], np.cumsum(lengths[documents])]).astype(np.int64),
            mask=None if self.mask is None else _joined(self.mask, runs),
            n_characters=None,  # ids do not say how long their text was
        )


def _joined(values: NDArray[Any], runs: list[list[int]]) -> NDArray[Any]:
    spool = Spool(values.dtype)
    for begin, end in runs:
        spool.append(values[begin:end])
    return spool.array()


def encode_dataset(
    dataset: Dataset,
    tokenizer: Tokenizer,
    *,
    mask_prompts: bool = False,
    n_threads: int | None = None,
    progress: Progress | None = None,
) -> TokenData:
    """Encode every document: a text as bos + ids + eos, a dialogue as `rgz.text.encode_chat` does.

    All goes through `Tokenizer.encode_stream` at once, on n_threads threads. Neither the texts nor their ids are ever
    all in memory: of a large dataset the ids are in a file without a name, mapped, that goes with them.

    mask_prompts : of dialogues only the answers (each with its eos) count as targets; texts count in full.
    progress : is told how many documents, and how many of their characters that count, are done.
    """
    small = tokenizer.vocab_size <= 1 << 16
    ids, counts, offsets = Spool(np.uint16 if small else np.int32), Spool(np.uint8), Spool(np.int64)
    edges = bytearray()  # two a piece: what stands before it, of `before`; whether it is a target, with an eos behind
    nothing, bos, sep = range(3)
    before = (-1, tokenizer.bos_id, tokenizer.sep_id)
    n_characters = 0

    def texts() -> Iterator[str]:
        nonlocal n_characters
        for document in dataset:
            pieces = [(document, True)] if isinstance(document, str) else chat_pieces(tokenizer, document)
            for number, (text, is_target) in enumerate(pieces):
                inner = sep if is_target and tokenizer.joins_prompts else nothing
                edges.extend((inner if number else bos, is_target))
                if is_target or not mask_prompts:
                    n_characters += len(text)
                yield text

    for part, bounds in tokenizer.encode_stream(texts(), n_threads):
        n, lengths = len(bounds) - 1, np.diff(bounds)
        edge = np.frombuffer(bytes(edges[: 2 * n]), np.uint8).reshape(n, 2)
        del edges[: 2 * n]
        sizes = lengths + (edge > 0).sum(axis=1)
        starts = len(ids) + np.cumsum(sizes) - sizes
        offsets.append(starts[edge[:, 0] == bos])
        narrow = part.astype(np.uint16) if small else part
        ids.append(_framed(narrow, bounds, edge, before, tokenizer.eos_id))
        if mask_prompts:
            counts.append(_framed(np.repeat(edge[:, 1], lengths), bounds, edge, (0, 0, 0), 1))
        if progress:
            progress(len(offsets), n_characters)
    offsets.append(np.array([len(ids)]))
    return TokenData(
        ids=ids.array(),
        offsets=offsets.array(),
        mask=counts.array() if mask_prompts else None,
        fingerprint=tokenizer.fingerprint,
        n_characters=n_characters,
    )


def _framed(
    values: NDArray[Any], bounds: NDArray[np.int64], edge: NDArray[np.uint8], before: tuple[int, ...], behind: int
) -> NDArray[Any]:
    """Return the values of pieces, which lie end to end, with something at their edges, (pieces, 2), where not 0:
    before[edge[:, 0]] before a piece, `behind` behind it."""
    places = np.stack((bounds[:-1], bounds[1:]), axis=1)
    frame = np.stack((np.array(before)[edge[:, 0]], np.full(len(edge), behind)), axis=1)
    return np.insert(values, places[edge > 0], frame[edge > 0])


def token_data(documents: Any) -> TokenData:
    """Make TokenData of ids that are there already, which are taken as they are.

    documents : sequences of ids, one a document; or the ids of a single one; or TokenData, which is returned.
    RgzError where something else than an integer >= 0 is among them.
    """
    if isinstance(documents, TokenData):
        return documents
    if not isinstance(documents, Sequence | np.ndarray) or isinstance(documents, str | bytes):
        raise _no_ids(documents)
    single = len(documents) > 0 and isinstance(documents[0], Integral)
    parts = [_ids(part) for part in ([documents] if single else documents)]
    offsets = np.zeros(len(parts) + 1, np.int64)
    np.cumsum([len(part) for part in parts], out=offsets[1:])
    ids = np.concatenate([np.empty(0, np.int64), *parts])
    small = not len(ids) or int(ids.max()) < 1 << 16
    return TokenData(ids.astype(np.uint16) if small else ids.astype(np.int32), offsets)


def _ids(document: Any) -> NDArray[np.int64]:
    try:
        ids = np.asarray(document)
    except ValueError as error:  # nested sequences of several lengths
        raise _no_ids(document) from error
    if not ids.size:
        return np.empty(0, np.int64)
    if ids.ndim != 1 or not np.issubdtype(ids.dtype, np.integer) or ids.min() < 0 or ids.max() >= 1 << 31:
        raise _no_ids(document)
    return ids.astype(np.int64)


def _no_ids(given: object) -> RgzError:
    return RgzError(
        tr(
            "documents must be sequences of token ids (integers >= 0), got {value}; a text is encoded by "
            "tokenizer.encode(text)",
            value=shown(given),
        )
    )


def require_dialogue(dataset: Dataset) -> None:
    """Refuse data for instruction tuning that holds no answer to learn from."""
    if all(isinstance(document, str) for document in dataset):
        raise RgzError(
            tr(
                "there is no dialogue in the data, so no answer to learn from; give 用户：…助手：… texts or "
                "records with messages or instruction + output, or use rgz train"
            )
        )
