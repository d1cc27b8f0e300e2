"""In what forms texts may be given, and what is refused before any work."""

import numpy as np
import pytest
from tokenizer_samples import TOKENIZERS

from rgz import _kernels
from rgz.errors import RgzError
from rgz.text import Segmenter, load_tokenizer, segment


class StartsOver:
    """An iterator that begins again whenever it is asked for one, as corpus classes often do."""

    def __init__(self, texts):
        self.texts = texts

    def __iter__(self):
        self.at = 0
        return self

    def __next__(self):
        if self.at == len(self.texts):
            raise StopIteration
        self.at += 1
        return self.texts[self.at - 1]


class OnlyNext:
    """A collection whose iterator is none itself."""

    def __init__(self, texts):
        self.texts = texts

    def __iter__(self):
        given = iter(self.texts)
        return type("Iterator", (), {"__next__": lambda self: next(given)})()


@pytest.mark.parametrize("kind", ["word", "char", "byte", "bpe"])
@pytest.mark.parametrize("collection", [StartsOver, OnlyNext])
def test_every_iterator_is_asked_for_once_and_walked_to_its_end(kind, collection):
    texts = ["太阳" * 80_000, "月亮" * 80_000, np.str_("山川"), "", "水" * 5]
    ids, offsets = TOKENIZERS[kind].encode_batch(collection(texts))
    want, places = TOKENIZERS[kind].encode_batch(texts)
    assert np.array_equal(ids, want) and np.array_equal(offsets, places)


def test_two_long_texts_are_never_held_together():
    """A portion is handed over before the next text is asked for."""
    asked = []

    def texts():
        for number in range(3):
            asked.append(number)
            yield "太" * 300_000

    stream = TOKENIZERS["char"].encode_stream(texts())
    for number in range(3):
        next(stream)
        assert asked == list(range(number + 1))


def test_the_kernel_that_packs_checks_what_it_is_given():
    out, places = np.zeros(2, np.uint32), np.array([0, 2], np.int64)
    for wrong in (b"ab", None, 5):
        with pytest.raises(TypeError, match=f"text_pack: texts must be str, got {type(wrong).__name__} at 0"):
            _kernels.text_pack([wrong], out, places)
        with pytest.raises(TypeError, match=f"text_offsets: texts must be str, got {type(wrong).__name__} at 0"):
            _kernels.text_offsets([wrong], places)
    for wrong in ("a", "abc"):
        with pytest.raises(ValueError, match=f"text_pack: length of a text must be 2, got {len(wrong)}"):
            _kernels.text_pack([wrong], out, places)


def test_what_is_no_path_function_or_flag_is_refused_before_any_work(tmp_path):
    tokenizer = TOKENIZERS["word"]
    for wrong in (None, 5, b"x"):
        for call in (load_tokenizer, tokenizer.save):
            with pytest.raises(RgzError, match="path must be a path, got"):
                call(wrong)
    asked = []
    for kind in ("word", "bpe"):
        with pytest.raises(RgzError, match="progress must be a function of two numbers, got 5"):
            TOKENIZERS[kind].encode_batch(map(asked.append, ["太"]), progress=5)
    for call in (segment, lambda text, hmm: Segmenter().word_ends([text], hmm)):
        for wrong in ("x", None, 1, np.array([1, 2])):
            with pytest.raises(RgzError, match="hmm must be true or false, got"):
                call("中国", wrong)
        assert call("中国", np.bool_(True)) is not None
    assert asked == []


class Shouting(str):
    def encode(self, *settings):
        return self.upper().encode(*settings)

    def __iter__(self):
        return iter(self.upper())


@pytest.mark.parametrize("kind", ["word", "char", "byte", "bpe"])
def test_what_a_kind_of_str_does_differently_does_not_count(kind):
    tokenizer, text = TOKENIZERS[kind], "tai 太阳"
    assert (
        tokenizer.encode(Shouting(text))
        == tokenizer.encode(text)
        == tokenizer.encode_batch([Shouting(text)])[0].tolist()
    )
    assert list(tokenizer.pieces(Shouting(text))) == list(tokenizer.pieces(text))
