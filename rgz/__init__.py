"""rgz trains small Chinese GPT language models from scratch on a CPU.

    tok = rgz.WordTokenizer.train(texts, vocab_size=8000)
    model = rgz.Model(rgz.ModelConfig.preset("nano", vocab_size=tok.vocab_size))
    rgz.Trainer(model, tok, rgz.load_dataset("my.txt"), None, rgz.TrainingArguments(output_dir="runs/a")).train()
    print(model.generate(tok, "人工智能"))

Names are loaded when first used, so that `import rgz` costs next to nothing.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "AdamW": "rgz.optim.adamw",
    "BPETokenizer": "rgz.text",
    "ByteTokenizer": "rgz.text",
    "Callback": "rgz.train.callbacks",
    "CharTokenizer": "rgz.text",
    "EarlyStopping": "rgz.train.early_stopping",
    "Model": "rgz.generate.model",
    "ModelConfig": "rgz.config",
    "RgzError": "rgz.errors",
    "RgzWarning": "rgz.errors",
    "TrainStep": "rgz.train.step",
    "Trainer": "rgz.train.trainer",
    "TrainingArguments": "rgz.config",
    "WordTokenizer": "rgz.text",
    "info": "rgz.cpu",
    "load_dataset": "rgz.data",
    "load_tokenizer": "rgz.text",
    "train_with_cached_tokens": "rgz.train.cached",
}
__all__ = [
    "AdamW",
    "BPETokenizer",
    "ByteTokenizer",
    "Callback",
    "CharTokenizer",
    "EarlyStopping",
    "Model",
    "ModelConfig",
    "RgzError",
    "RgzWarning",
    "TrainStep",
    "Trainer",
    "TrainingArguments",
    "WordTokenizer",
    "augment",
    "compat",
    "data",
    "export",
    "generate",
    "info",
    "load_dataset",
    "load_tokenizer",
    "ops",
    "schedules",
    "text",
    "train_with_cached_tokens",
]

if TYPE_CHECKING:
    from rgz import augment, compat, data, export, generate, ops, schedules, text
    from rgz.config import ModelConfig, TrainingArguments
    from rgz.cpu import info
    from rgz.data import load_dataset
    from rgz.errors import RgzError, RgzWarning
    from rgz.generate.model import Model
    from rgz.optim.adamw import AdamW
    from rgz.text import BPETokenizer, ByteTokenizer, CharTokenizer, WordTokenizer, load_tokenizer
    from rgz.train.cached import train_with_cached_tokens
    from rgz.train.callbacks import Callback
    from rgz.train.early_stopping import EarlyStopping
    from rgz.train.step import TrainStep
    from rgz.train.trainer import Trainer


def _load_kernels() -> None:
    """Load the extension, and with it OpenMP, told how long a waiting thread may spin and what stack it needs.

    By default libgomp spins for milliseconds at the end of every kernel. On a machine with anything else to do that
    keeps the thread being waited for off its core: beside two busy processes a training step took 411 ms instead of
    121. A tenth of a millisecond does not, and spans what Python does between two kernels of a token: with less of it
    generation loses a third. musl's threads have 128 KB of stack, half of what tests/test_small_stack.py tries.
    OpenMP reads its environment once, when it is loaded; it is put back, so that nothing started later inherits it,
    and whatever the user has set stands.
    """
    waits = {"GOMP_SPINCOUNT": "20000", "KMP_BLOCKTIME": "0"}  # GNU's spins: some 100 us; LLVM's: milliseconds
    if "OMP_WAIT_POLICY" in os.environ:
        waits = {}
    ours = {name: value for name, value in {**waits, "OMP_STACKSIZE": "2M"}.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        import_module("rgz._kernels")
    except ModuleNotFoundError as error:
        raise ImportError(
            "rgz was imported from its source folder, where the extension is not built: work in another folder, or "
            "build it here with `python setup.py build_ext --inplace`"
        ) from error
    finally:
        for name in ours:
            del os.environ[name]


_load_kernels()


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    elif name in __all__:
        value = import_module(f"rgz.{name}")
    else:
        raise AttributeError(f"module 'rgz' has no attribute '{name}'")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
