"""Beam search: the likeliest whole continuation rather than the likeliest next token."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rgz.errors import RgzError
from rgz.generate.sampling import penalized, refuse_not_finite
from rgz.generate.spelling import Spelling
from rgz.generate.window import Window
from rgz.messages import tr
from rgz.models.decoder import Decoder

MOST_BEAMS = 1024  # each holds keys and values of its own; a search gains little beyond a dozen


def beam_search(
    model: Decoder,
    prompt: Sequence[int],
    *,
    max_new_tokens: int,
    num_beams: int,
    eos_id: int,
    spelling: Spelling,
    repetition_penalty: float = 1.0,
    length_penalty: float = 1.0,
    n_threads: int | None = None,
) -> list[int]:
    """Ids of the best continuation found, without eos.

    A hypothesis is scored by the sum of its log-probabilities / length ** length_penalty. The search ends when
    num_beams hypotheses have ended and no open one can beat the worst of them, or after max_new_tokens.
    """
    if num_beams > MOST_BEAMS:
        wanted = f"<= {MOST_BEAMS}"
        raise RgzError(tr("{name} must be {wanted}, got {value}", name="num_beams", wanted=wanted, value=num_beams))
    window = Window(model, prompt, batch=num_beams, n_threads=n_threads)
    totals = np.full(num_beams, -np.inf)
    totals[0] = 0.0  # all beams start equal: only the first may branch
    ended: list[tuple[float, list[int]]] = []
    for length in range(1, max_new_tokens + 1):
        candidates = totals[:, None] + _log_probabilities(window, spelling, repetition_penalty)
        flat = candidates.reshape(-1)
        best = np.argsort(-flat, kind="stable")[: 2 * num_beams]  # at most num_beams of them are eos
        beams: list[int] = []
        tokens: list[int] = []
        scores: list[float] = []
        for index in best.tolist():
            beam, token = divmod(index, candidates.shape[1])
            if not np.isfinite(flat[index]):
                continue
            if token == eos_id:
                ended.append((flat[index] / length**length_penalty, window.sequences[beam][len(prompt) :]))
            elif len(beams) < num_beams:
                beams.append(beam)
                tokens.append(token)
                scores.append(flat[index])
        ended = sorted(ended, key=lambda hypothesis: -hypothesis[0])[:num_beams]
        if not beams or (len(ended) == num_beams and max(scores) / length**length_penalty <= ended[-1][0]):
            break
        while len(beams) < num_beams:  # a vocabulary smaller than the beam: idle beams follow the first
            beams.append(beams[0])
            tokens.append(tokens[0])
            scores.append(-np.inf)
        window.reorder(beams)
        totals = np.array(scores)
        if length == max_new_tokens:
            for ids, token, score in zip(window.sequences, tokens, scores, strict=True):
                ended.append((score / length**length_penalty, [*ids[len(prompt) :], token]))
            break
        window.push(tokens)
    return max(ended, key=lambda hypothesis: hypothesis[0])[1] if ended else []


def _log_probabilities(window: Window, spelling: Spelling, penalty: float) -> np.ndarray:
    rows: np.ndarray = np.stack(
        [penalized(row, ids, penalty) for row, ids in zip(window.logits, window.sequences, strict=True)]
    )
    refuse_not_finite(rows)
    for row, ids in zip(rows, window.sequences, strict=True):
        row[spelling.forbidden(ids)] = -np.inf
    rows -= rows.max(axis=1, keepdims=True)
    rows -= np.log(np.exp(rows).sum(axis=1, keepdims=True))
    return rows
