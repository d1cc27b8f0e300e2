"""Chinese text to words and to ids, beside jieba and its Rust port rjieba in the same run; results are checked first.

pytest benches/test_text.py --data FOLDER --benchmark-columns=median,rounds    (FOLDER: china_laws.txt, poetry_tang.txt)
"""

import logging
import warnings

import numpy as np
import pytest

import rgz
from rgz.text import Segmenter, segment
from rgz.text.tokenizer import FIRST_BYTE_ID, FIRST_CHARACTER_ID


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


def note(benchmark, texts):
    size = sum(len(text.encode()) for text in texts)
    if not benchmark.disabled:  # --benchmark-disable only checks
        benchmark.extra_info.update(megabytes=size / 1e6, mb_per_second=size / 1e6 / benchmark.stats.stats.median)


@pytest.mark.parametrize("hmm", [False, True], ids=["dictionary", "hmm"])
@pytest.mark.parametrize("rival", ["rgz", "rjieba", "jieba"])
def test_words(benchmark, laws, jieba_cut, rival, hmm):
    """Lists of words of every line of the laws (9.3 MB), on one thread."""
    cut = {"rgz": segment, "jieba": jieba_cut}.get(rival) or pytest.importorskip("rjieba").cut
    expected = [jieba_cut(text, hmm) for text in laws[::20]]
    different = sum(list(cut(text, hmm)) != words for text, words in zip(laws[::20], expected, strict=True))
    assert different <= (2 if rival == "rjieba" and hmm else 0)  # it cuts 3.236111111111111in otherwise
    benchmark.pedantic(lambda: [cut(text, hmm) for text in laws], rounds=1 if rival == "jieba" else 5)
    note(benchmark, laws)


@pytest.mark.parametrize("lines", [1, 20])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_word_boundaries(benchmark, corpus, n_threads, lines):
    """What threads can share of cutting the corpus: where words end, without making Python texts of them. Collecting
    documents of a line each, 90 characters, is a fifth of the time, and Python does it alone."""
    segmenter = Segmenter()
    documents = ["\n".join(corpus[at : at + lines]) for at in range(0, len(corpus), lines)]
    ends, offsets = segmenter.word_ends(documents, n_threads=n_threads)
    for d in range(0, len(documents), 500):
        lengths = [len(word) for word in segment(documents[d])]
        assert ends[offsets[d] : offsets[d + 1]].tolist() == np.cumsum(lengths).tolist()
    benchmark.pedantic(segmenter.word_ends, (documents,), {"n_threads": n_threads}, rounds=7, warmup_rounds=1)
    note(benchmark, documents)


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


@pytest.mark.parametrize("path", ["rgz-1-thread", "rgz-2-threads", "jieba"])
def test_ids(benchmark, corpus, jieba_cut, tokenizer, path):
    """The whole corpus to ids."""
    by_jieba = jieba_encoder(jieba_cut, tokenizer)
    if path == "jieba":
        assert [by_jieba(text) for text in corpus[::100]] == [tokenizer.encode(text) for text in corpus[::100]]
        benchmark.pedantic(lambda: [by_jieba(text) for text in corpus], rounds=1)
    else:
        n_threads = int(path[4])
        ids, offsets = tokenizer.encode_batch(corpus, n_threads)
        for d in range(0, len(corpus), 500):
            assert ids[offsets[d] : offsets[d + 1]].tolist() == by_jieba(corpus[d])
        benchmark.pedantic(tokenizer.encode_batch, (corpus, n_threads), rounds=7, warmup_rounds=1)
    note(benchmark, corpus)


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
