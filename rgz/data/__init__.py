"""Documents from files, their token ids, and batches of them."""

from rgz.data.batches import Batch, Batches, require_one_sequence
from rgz.data.dataset import Dataset, held_out, load_dataset, piped_dataset
from rgz.data.encode import TokenData, encode_dataset, require_dialogue, token_data
from rgz.data.records import Document
from rgz.data.token_cache import TokenCache

__all__ = [
    "Batch",
    "Batches",
    "Dataset",
    "Document",
    "TokenCache",
    "TokenData",
    "encode_dataset",
    "held_out",
    "load_dataset",
    "piped_dataset",
    "require_dialogue",
    "require_one_sequence",
    "token_data",
]
