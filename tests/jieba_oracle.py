"""jieba itself, silent and without its cache in the shared temp folder; and ids as Python would look them up."""

import logging
import warnings

from rgz.text.tokenizer import FIRST_BYTE_ID, FIRST_CHARACTER_ID


def jieba_tokenizer(dictionary=None):
    """A fresh jieba.Tokenizer, of another main dictionary if one is given."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import jieba
    jieba.setLogLevel(logging.CRITICAL)
    tokenizer = jieba.Tokenizer()
    source = dictionary.open("rb") if dictionary else tokenizer.get_dict_file()
    tokenizer.FREQ, tokenizer.total = tokenizer.gen_pfdict(source)
    tokenizer.initialized = True
    return tokenizer


def forget_split_words():
    """jieba keeps words of frequency 0 for the whole process, whichever tokenizer they were given to."""
    from jieba import finalseg

    finalseg.Force_Split_Words.clear()


def ids_of(pieces, characters, words):
    """The ids of pieces: of the entry, else of its characters, else of their bytes."""
    entries = {entry: FIRST_CHARACTER_ID + number for number, entry in enumerate((*characters, *words))}
    ids = []
    for piece in pieces:
        for part in [piece] if piece in entries else piece:
            spelt = [FIRST_BYTE_ID + byte for byte in part.encode("utf-8", "surrogatepass")]
            ids += [entries[part]] if part in entries else spelt
    return ids
