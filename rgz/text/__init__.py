"""Text to token ids and back, exactly, and the template of dialogues."""

from rgz.text.bpe import BPETokenizer
from rgz.text.char import ByteTokenizer, CharTokenizer
from rgz.text.chat import chat_pieces, encode_chat, encode_prompt, jinja_template, parse_chat, render_chat
from rgz.text.load import load_tokenizer
from rgz.text.segment import Segmenter, segment
from rgz.text.stream import TextStream
from rgz.text.tokenizer import Tokenizer
from rgz.text.word import WordTokenizer

__all__ = [
    "BPETokenizer",
    "ByteTokenizer",
    "CharTokenizer",
    "Segmenter",
    "TextStream",
    "Tokenizer",
    "WordTokenizer",
    "chat_pieces",
    "encode_chat",
    "encode_prompt",
    "jinja_template",
    "load_tokenizer",
    "parse_chat",
    "render_chat",
    "segment",
]
