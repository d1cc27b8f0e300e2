"""Tokenizers, dictionaries, synonyms: whole files of them, and what reading one means."""

import functools
import struct
from pathlib import Path

import numpy as np

import rgz
from rgz import _kernels
from rgz.augment.synonyms import read_groups
from rgz.errors import RgzError
from rgz.text import Tokenizer, dictionary, load_tokenizer
from rgz.text.user_words import read_user_dictionary

from .format import PROBE, TEXTS, Check, made_by


def tokenizer_files() -> list[dict[str, bytes]]:
    words = rgz.WordTokenizer(characters="太阳长江", words=["太阳", "长江"], user_words=[("升起", 5)])
    made = (rgz.CharTokenizer.train(TEXTS), rgz.ByteTokenizer(), words)
    return [made_by(lambda folder, made=made: made.save(folder / "tokenizer.json")) for made in made]


def bpe_files() -> list[dict[str, bytes]]:
    tokenizers = [rgz.BPETokenizer.train(TEXTS * 3, vocab_size=280, pattern=pattern) for pattern in ("gpt2", "qwen2")]
    return [made_by(lambda folder, made=made: made.save(folder / "tokenizer.json")) for made in tokenizers]


def read_tokenizer(folder: Path, whole: bytes) -> Check:
    tokenizer = load_tokenizer(folder)
    return lambda: check_tokenizer(tokenizer)


def check_tokenizer(tokenizer: Tokenizer) -> None:
    if isinstance(tokenizer, rgz.WordTokenizer):
        return  # its words are cut with a dictionary made of jieba's 349,000: see "dictionary"
    ids = tokenizer.encode(PROBE)
    assert all(0 <= number < tokenizer.vocab_size for number in ids)
    if getattr(tokenizer, "normalizer", None) is None:
        assert tokenizer.decode(ids) == PROBE


SMALL_JIEBA = {
    "dict.txt": "太阳 500 n\n东方 80 n\n升起 30 v\n长江 200 ns\n最长 20 a\n中国 900 ns\n阳 5 n\n太 10 d\n".encode(),
    "prob_start.py": b"P={'B': -0.26, 'E': -3.14e+100, 'M': -3.14e+100, 'S': -1.46}\n",
    "prob_trans.py": b"P={'B': {'E': -0.5, 'M': -0.9}, 'E': {'B': -0.5, 'S': -0.8}, 'M': {'E': -0.3, 'M': -1.2},"
    b" 'S': {'B': -0.7, 'S': -0.6}}\n",
    "prob_emit.py": "P={'B': {'太': -3.5}, 'E': {'阳': -3.5}, 'M': {'长': -4.0}, 'S': {'河': -5.5}}\n".encode(),
}


def jieba_of(folder: Path) -> dictionary.JiebaFiles:
    return dictionary.JiebaFiles(*(folder / name for name in SMALL_JIEBA))


def words_of(cutter: _kernels.TextDictionary) -> list[list[str]]:
    return [_kernels.text_segment(text, cutter, hmm) for text in (*TEXTS, PROBE) for hmm in (False, True)]


def check_words(cutter: _kernels.TextDictionary) -> None:
    for text, words in zip((*TEXTS, PROBE), words_of(cutter)[::2], strict=True):
        assert "".join(words) == text


def read_jieba(folder: Path, whole: bytes) -> Check:
    cutter = dictionary.load(jieba_of(folder), None)
    return lambda: check_words(cutter)


def user_dictionary() -> list[dict[str, bytes]]:
    return [{"user.txt": "云计算 5 n\n东方升起 300\n长江 0\n\n太阳 9007199254740992 n\n".encode(), **SMALL_JIEBA}]


def read_user(folder: Path, whole: bytes) -> Check:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # words that can never be found
        entries = read_user_dictionary(folder / "user.txt")
    cutter = dictionary.load(jieba_of(folder), None, entries)
    return lambda: check_words(cutter)


@functools.cache
def trie_files() -> list[dict[str, bytes]]:
    def write(folder: Path) -> None:
        for name, data in SMALL_JIEBA.items():
            (folder / name).write_bytes(data)
        (folder / "cache").mkdir()
        dictionary.load(jieba_of(folder), folder / "cache")

    files = made_by(write)
    name = next(name for name in files if name.startswith("cache/"))
    return [{"f": files[name]}]


def cutter_of(path: Path) -> _kernels.TextDictionary:
    """As from the cache: what is refused there is told to nobody, but made anew."""
    data = path.read_bytes()
    if not data:
        raise RgzError("empty")
    try:
        return _kernels.TextDictionary(np.frombuffer(data, np.uint8).copy())
    except ValueError as error:
        raise RgzError(str(error)) from error


@functools.cache
def words_of_whole(whole: bytes) -> list[list[str]]:
    return words_of(_kernels.TextDictionary(np.frombuffer(whole, np.uint8).copy()))


def read_trie(folder: Path, whole: bytes) -> Check:
    """The key, by which the cache asks what it was made from, is the only part that may differ."""
    cutter = cutter_of(folder / "f")

    def check() -> None:
        assert words_of(cutter) == words_of_whole(whole)

    return check


def read_resealed_trie(folder: Path, whole: bytes) -> Check:
    """No look-up may leave the block, whatever stands in it."""
    cutter = cutter_of(folder / "f")
    return lambda: check_words(cutter)


def resealed_trie(data: bytes) -> bytes:
    """The checksum of csrc/text/trie.c, over everything behind it."""
    mask, lanes = 2**64 - 1, [1, 2, 3, 4]
    for number, (word,) in enumerate(struct.iter_unpack("<Q", data[24 : len(data) // 8 * 8])):
        mixed = (lanes[number & 3] ^ word) * 0x9E3779B97F4A7C15 & mask
        lanes[number & 3] = mixed ^ mixed >> 29
    a, b, c, d = lanes
    sealed = (a ^ b * 3 ^ c * 5 ^ d * 7) & mask
    return data[:8] + struct.pack("<QQ", len(data), sealed) + data[24:] if len(data) > 24 else data


def synonyms() -> list[dict[str, bytes]]:
    lines = "# 注释\n高兴 开心 愉快\n\nAa01A01= 人 士 人物 人士 abc\nAa01A02# 甲 乙\n漂亮 美丽\n"
    return [{"f": lines.encode()}, {"f": lines.encode("gb18030")}]


def read_synonyms(folder: Path, whole: bytes) -> None:
    assert all(len(group) > 1 and all(group) for group in read_groups(folder / "f"))
