"""Texts, and tokenizers of every kind, that the tests of tokenizers share."""

from rgz.text import BPETokenizer, ByteTokenizer, CharTokenizer, WordTokenizer

CORPUS = [
    "太阳从东方升起，人民在学习人工智能。",
    "人工智能是计算机科学的一个分支，学习它要有耐心。",
    "太阳照着学习的人。\r\n今天是2024年，我用Python写程序。",
]
NASTY = [
    "",
    "\0",
    "\r\n\r\n\n\r",
    "\ud800",
    "\udfff\ud83d",
    "\ud83d\ude00",  # two lone surrogates, which are not the emoji they would be in UTF-16
    "😀👨\u200d👩\u200d👧\ufe0f",
    "𠀀𪚥㐂鿿",
    "<|pad|><|bos|></s><|sep|>",
    "\ufeffe\u0301\u2028\x85\u3000",
    "a" * 1000,
    "AB型血的人\t3.14%…——「」",
]
TOKENIZERS = {
    "word": WordTokenizer.train(CORPUS),
    "word without words": WordTokenizer.train(CORPUS, vocab_size=265),
    "char": CharTokenizer.train(CORPUS),
    "byte": ByteTokenizer(),
    "bpe": BPETokenizer.train(CORPUS, vocab_size=320),
    "bpe in the pieces of gpt2": BPETokenizer.train(CORPUS, vocab_size=320, pattern="gpt2"),
}
