"""Raw ids, as a custom loop has them, to a ragged batch: padded arrays or lists of sequences, labels of either kind."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from rgz.data.batches import IGNORED
from rgz.errors import RgzError
from rgz.memory import Ints
from rgz.messages import tr
from rgz.models.decoder import check_tokens


def ragged_batch(
    input_ids: Any, labels: Any, lengths: Any, vocab_size: int, shift_labels: bool = False
) -> tuple[Ints, Ints, Ints]:
    """tokens (N,), targets (N,) and cu_seqlens (S+1,) of a padded or ragged batch; see TrainStep.__call__."""
    rows = _sequences("input_ids", input_ids, lengths)
    marks = None if labels is None else _sequences("labels", labels, lengths)
    if marks is not None and [len(m) for m in marks] != [len(r) for r in rows]:
        raise RgzError(tr("labels must have the shape of input_ids"))
    if marks is not None and shift_labels:
        marks = [np.append(m[1:], IGNORED) for m in marks]
    inputs, targets = [], []
    for i, row in enumerate(rows):
        if marks is None:
            row, mark = row[:-1], row[1:]  # the last token has nothing to predict
        else:
            mark = marks[i]
        if len(row):
            inputs.append(row)
            targets.append(mark)
    if not inputs:
        raise RgzError(tr("the batch has nothing to predict: every sequence needs 2 tokens, or a label >= 0"))
    target = np.concatenate(targets)
    check_tokens(target[target != IGNORED], vocab_size)
    target = target.astype(np.int32)
    cu_seqlens = np.cumsum([0, *map(len, inputs)]).astype(np.int32)
    return check_tokens(np.concatenate(inputs), vocab_size), target, cu_seqlens


def equals_input(input_ids: Any, labels: Any, lengths: Any) -> bool:
    """Whether labels are the ids themselves, wherever they are not ignored."""
    pairs = zip(_sequences("labels", labels, lengths), _sequences("input_ids", input_ids, lengths), strict=False)
    return all(m.shape == r.shape and bool(np.all((m == r) | (m == IGNORED))) for m, r in pairs)


def _sequences(name: str, values: Any, lengths: Any) -> list[np.ndarray[Any, Any]]:
    if isinstance(values, np.ndarray) and values.ndim != 2:
        raise RgzError(
            tr(
                "{name} must be (batch, time) or a list of sequences, got an array of shape {shape}",
                name=name,
                shape=values.shape,
            )
        )
    if not isinstance(values, Iterable):
        raise RgzError(
            tr(
                "{name} must be (batch, time) or a list of sequences, got {kind}",
                name=name,
                kind=type(values).__name__,
            )
        )
    rows = [_array(row) for row in values]
    for row in rows:
        if row.ndim != 1 or (row.size and not np.issubdtype(row.dtype, np.integer)):
            raise RgzError(
                tr(
                    "{name} must hold sequences of integers, got {kind} of shape {shape}",
                    name=name,
                    kind=row.dtype,
                    shape=row.shape,
                )
            )
    if lengths is None:
        return rows
    counts, widths = _array(lengths), [len(row) for row in rows]
    whole = counts.shape == (len(rows),) and np.issubdtype(counts.dtype, np.integer)
    if not whole or np.any(counts < 0) or np.any(counts > widths):
        raise RgzError(
            tr(
                "lengths must be one whole number per row of {name}, from 0 to its width, got {lengths}",
                name=name,
                lengths=f"{lengths!r:.80}",
            )
        )
    return [row[:n] for row, n in zip(rows, counts.tolist(), strict=True)]


def _array(values: Any) -> np.ndarray[Any, Any]:
    """As NumPy sees them: no sequence of numbers where they are none."""
    try:
        return np.asarray(values)
    except ValueError:  # sequences of different lengths
        return np.empty((), object)
