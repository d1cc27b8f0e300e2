"""A model of a few thousand parameters, so that a run takes a fraction of a second; and how Chinese is punctuated."""

import re

_FLAGS = """
    --tokenizer char --hidden-size 16 --num-hidden-layers 1 --num-attention-heads 2 --num-key-value-heads 1
    --max-position-embeddings 64 --max-length 32 --batch-size 4 --n-threads 1
"""
TINY = _FLAGS.split()


def half_width_marks(text):
    """The places of a Chinese text where a mark of English punctuation follows, but for one that belongs to code."""
    return re.findall(r".{0,9}[一-鿿] ?[:;,()](?![.\w]).{0,9}", text)
