"""Byte-level BPE beside Hugging Face's tokenizers: 8,000 merges learnt from laws, then the laws encoded.

    pytest benches/test_bpe.py --data FOLDER        (FOLDER holds china_laws.txt; needs `pip install tokenizers`)

Both train with the same settings on the same lines and must learn the same merges; both encode the same lines with
them and must give the same ids; these rounds alternate, so that what else the machine does falls on both.
"times_the_rival" is the ratio of the medians of this run, on as many threads as there are.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from findings import FINDINGS, TIME, record

import rgz
from rgz.text.huggingface import to_huggingface
from rgz.threads import resolve_threads

hf = pytest.importorskip("tokenizers")

MERGES = 8000
SPECIAL = ["<|pad|>", "<|bos|>", "</s>", "<|sep|>"]


@pytest.fixture(scope="module")
def lines(data_folder: Path) -> list[str]:
    return (data_folder / "china_laws.txt").read_text(encoding="utf-8").splitlines(keepends=True)


@pytest.fixture(scope="module", params=["gpt2", "qwen2"])
def pattern(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def ours(lines: list[str], pattern: str) -> rgz.BPETokenizer:
    return rgz.BPETokenizer.train(lines, 260 + MERGES, pattern=pattern)


@pytest.fixture(scope="module")
def theirs(ours: rgz.BPETokenizer) -> Any:
    return hf.Tokenizer.from_str(json.dumps(to_huggingface(ours)))


def ids_of(tokenizer: rgz.BPETokenizer, texts: list[str]) -> list[list[int]]:
    portions = tokenizer.encode_stream(texts)
    return [ids[start:stop].tolist() for ids, offsets in portions for start, stop in pairwise(offsets.tolist())]


def seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def report(benchmark: Any, lines: list[str], rival_times: list[float], finding: str) -> None:
    if benchmark.disabled:  # --benchmark-disable only checks
        return
    size = sum(len(line.encode()) for line in lines) / 1e6
    median, rival = benchmark.stats.stats.median, float(np.median(rival_times))
    benchmark.extra_info.update(
        MB_per_second=round(size / median, 1),
        rival_seconds=round(rival, 3),
        times_the_rival=round(rival / median, 2),
        n_threads=resolve_threads(),
        cpus=os.cpu_count(),
    )
    for name, time_taken in (("rgz", median), ("tokenizers", rival)):
        record(benchmark, finding, name, time_taken if FINDINGS[finding].kind == TIME else size / time_taken)


def test_training(benchmark: Any, lines: list[str], pattern: str, ours: rgz.BPETokenizer, theirs: Any) -> None:
    rival = hf.Tokenizer(hf.models.BPE())
    rival.pre_tokenizer = theirs.pre_tokenizer
    trainer = hf.trainers.BpeTrainer(
        vocab_size=260 + MERGES,
        special_tokens=SPECIAL,
        initial_alphabet=hf.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    rival_time = seconds(lambda: rival.train_from_iterator(lines, trainer))
    learnt = [" ".join(merge) for merge in json.loads(rival.to_str())["model"]["merges"]]
    assert learnt == to_huggingface(ours)["model"]["merges"] and len(learnt) == MERGES
    benchmark.pedantic(lambda: rgz.BPETokenizer.train(lines, 260 + MERGES, pattern=pattern), rounds=3)
    report(benchmark, lines, [rival_time], "bpe training")


@pytest.mark.parametrize("as_documents", [True, False], ids=["lines", "one text"])
def test_encoding(benchmark: Any, lines: list[str], ours: rgz.BPETokenizer, theirs: Any, as_documents: bool) -> None:
    texts = lines if as_documents else ["".join(lines)]

    def rival() -> list[list[int]]:
        return [encoding.ids for encoding in theirs.encode_batch(texts)]

    assert ids_of(ours, texts) == rival()
    rival_times: list[float] = []
    benchmark.pedantic(lambda: ids_of(ours, texts), setup=lambda: rival_times.append(seconds(rival)), rounds=5)
    report(benchmark, lines, rival_times, "bpe encoding")
