"""What a model looks like and how a run trains it: frozen dataclasses that refuse what they cannot hold."""

from rgz.config.model import ACTIVATIONS, NORMS, POSITIONS, PRESETS, ModelConfig
from rgz.config.training import DTYPES, LR_INTERVALS, OPTIM_DTYPES, REPORTERS, SAVE_STRATEGIES, TrainingArguments

__all__ = [
    "ACTIVATIONS",
    "DTYPES",
    "LR_INTERVALS",
    "NORMS",
    "OPTIM_DTYPES",
    "POSITIONS",
    "PRESETS",
    "REPORTERS",
    "SAVE_STRATEGIES",
    "ModelConfig",
    "TrainingArguments",
]
