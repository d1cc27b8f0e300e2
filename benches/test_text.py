"""Chinese text to words and to ids, beside jieba and its Rust port rjieba in the same run; results are checked first.

pytest benches/test_text.py --data FOLDER --benchmark-columns=median,rounds    (FOLDER: china_laws.txt, poetry_tang.txt)
"""

import logging
import statistics
import time
import warnings

import numpy as np
import pytest
from findings import record

import rgz
from rgz.text import Segmenter, segment
from rgz.text.tokenizer import FIRST_BYTE_ID, FIRST_CHARACTER_ID

ALL = rgz.info()["n_threads"]


@pytest.fixture(scope="session")
def laws(data_folder):
    return (data_folder / "china_laws.txt").read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="session")
def corpus(data_folder, laws):
    """22 MB, a line a document."""
    return laws + (data_folder / "poetry_tang.txt").read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="session")
def jieba_cut():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        jieba = pytest.importorskip("jieba")
    jieba.setLogLevel(logging.CRITICAL)
    jieba.initialize()
    return lambda text, hmm: list(jieba.cut(text, HMM=hmm))


def note(benchmark, texts, finding=None, rival="rgz"):
    size = sum(len(text.encode()) for text in texts) / 1e6
    if not benchmark.disabled:  # --benchmark-disable only checks
        rate = size / benchmark.stats.stats.median
        benchmark.extra_info.update(megabytes=size, mb_per_second=rate)
        if finding:
            record(benchmark, finding, rival, rate)


def speed_up(benchmark, texts, work, finding):
    """Time work(1) and work(ALL) by turns, so that what else the machine does falls on both."""
    alone = []

    def one_thread():
        start = time.perf_counter()
        work(1)
        alone.append(time.perf_counter() - start)

    benchmark.pedantic(work, (ALL,), setup=one_thread, rounds=15, warmup_rounds=1)
    note(benchmark, texts)
    if not benchmark.disabled:
        factor = statistics.median(alone) / benchmark.stats.stats.median
        benchmark.extra_info.update(speed_up=factor, n_threads=ALL)
    if finding and not benchmark.disabled:
        record(benchmark, finding, "rgz", factor, n_threads=ALL)


@pytest.mark.parametrize("hmm", [False, True], ids=["dictionary", "hmm"])
@pytest.mark.parametrize("rival", ["rgz", "rjieba", "jieba"])
def test_words(benchmark, laws, jieba_cut, rival, hmm):
    """Lists of words of every line of the laws (9.3 MB), on one thread."""
    cut = {"rgz": segment, "jieba": jieba_cut}.get(rival) or pytest.importorskip("rjieba").cut
    expected = [jieba_cut(text, hmm) for text in laws[::20]]
    different = sum(list(cut(text, hmm)) != words for text, words in zip(laws[::20], expected, strict=True))
    assert different <= (2 if rival == "rjieba" and hmm else 0)  # it cuts 3.236111111111111in otherwise
    benchmark.pedantic(lambda: [cut(text, hmm) for text in laws], rounds=1 if rival == "jieba" else 5)
    note(benchmark, laws, "words hmm" if hmm else "words", rival)


@pytest.mark.skipif(ALL == 1, reason="one usable core, or built without OpenMP: nothing to compare")
@pytest.mark.parametrize("lines", [1, 20])
def test_word_boundaries_on_threads(benchmark, corpus, lines):
    """What threads can share of cutting the corpus: where words end, without making Python texts of them. Collecting
    documents of a line each, 90 characters, is a twelfth of one thread's time, and Python does it alone."""
    segmenter = Segmenter()
    documents = ["\n".join(corpus[at : at + lines]) for at in range(0, len(corpus), lines)]
    ends, offsets = segmenter.word_ends(documents, n_threads=ALL)
    for d in range(0, len(documents), 500):
        lengths = [len(word) for word in segment(documents[d])]
        assert ends[offsets[d] : offsets[d + 1]].tolist() == np.cumsum(lengths).tolist()

    def cut(n_threads):
        segmenter.word_ends(documents, n_threads=n_threads)

    speed_up(benchmark, documents, cut, "word ends threads" if lines == 1 else None)


@pytest.mark.skipif(ALL == 1, reason="one usable core, or built without OpenMP: nothing to compare")
@pytest.mark.parametrize("lines", [1, 20])
def test_ids_on_threads(benchmark, corpus, tokenizer, lines):
    """As a corpus is encoded into its file: portion after portion."""
    documents = ["\n".join(corpus[at : at + lines]) for at in range(0, len(corpus), lines)]
    portions = [list(tokenizer.encode_stream(documents, n_threads)) for n_threads in (1, ALL)]
    for a, b in zip(*portions, strict=True):
        assert np.array_equal(a[0], b[0]) and np.array_equal(a[1], b[1])

    def encode(n_threads):
        for _ in tokenizer.encode_stream(documents, n_threads):
            pass

    speed_up(benchmark, documents, encode, "ids threads" if lines == 1 else None)


def jieba_encoder(cut, tokenizer):
    """Ids by jieba and dicts: every piece is spelt once and then remembered."""
    entries = {tokenizer.token_bytes(i).decode(): i for i in range(FIRST_CHARACTER_ID, tokenizer.vocab_size)}
    known = {}

    def spell(piece):
        if piece in entries:
            return [entries[piece]]
        parts = [[entries[c]] if c in entries else [FIRST_BYTE_ID + b for b in c.encode()] for c in piece]
        return [i for part in parts for i in part]

    def encode(text):
        ids = []
        for piece in cut(text, False):
            if piece not in known:
                known[piece] = spell(piece)
            ids += known[piece]
        return ids

    return encode


@pytest.fixture(scope="session")
def tokenizer(corpus):
    return rgz.WordTokenizer.train(corpus, vocab_size=12_000)


@pytest.mark.parametrize("path", ["rgz-1-threads", f"rgz-{ALL}-threads", "jieba"])
def test_ids(benchmark, corpus, jieba_cut, tokenizer, path):
    """The whole corpus to ids."""
    by_jieba = jieba_encoder(jieba_cut, tokenizer)
    if path == "jieba":
        assert [by_jieba(text) for text in corpus[::100]] == [tokenizer.encode(text) for text in corpus[::100]]
        benchmark.pedantic(lambda: [by_jieba(text) for text in corpus], rounds=1)
    else:
        n_threads = int(path.split("-")[1])
        ids, offsets = tokenizer.encode_batch(corpus, n_threads)
        for d in range(0, len(corpus), 500):
            assert ids[offsets[d] : offsets[d + 1]].tolist() == by_jieba(corpus[d])
        benchmark.pedantic(tokenizer.encode_batch, (corpus, n_threads), rounds=7, warmup_rounds=1)
    rival = {"jieba": "jieba", f"rgz-{ALL}-threads": "rgz"}.get(path)
    note(benchmark, corpus, rival and "ids", rival)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_training(benchmark, corpus, tokenizer, n_threads):
    """A vocabulary of 12,000 from the whole corpus."""
    train = rgz.WordTokenizer.train
    trained = benchmark.pedantic(train, (corpus,), {"vocab_size": 12_000, "n_threads": n_threads}, rounds=3)
    assert trained.fingerprint == tokenizer.fingerprint
    note(benchmark, corpus)


def test_loading_the_dictionary(benchmark, tmp_path):
    """From the file kept in the cache folder, as every process does once."""
    from rgz.text.dictionary import jieba_files, load

    files = jieba_files()
    load(files, tmp_path)
    [kept] = tmp_path.iterdir()
    benchmark.extra_info.update(megabytes=kept.stat().st_size / 1e6)
    assert benchmark.pedantic(load, (files, tmp_path), rounds=20).key == load(files, None).key


def test_building_the_dictionary(benchmark):
    from rgz.text.dictionary import build, jieba_files

    assert len(benchmark.pedantic(build, (jieba_files(),), rounds=3)) > 1_000_000
