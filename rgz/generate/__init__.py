"""From a trained model to text: reading through a window, choosing tokens, streaming whole characters."""

from rgz.generate.chat import ChatSession, fitting_prompt
from rgz.generate.model import Model
from rgz.generate.sampling import Sampling
from rgz.generate.stream import Continuation, generate, stream

__all__ = [
    "ChatSession",
    "Continuation",
    "Model",
    "Sampling",
    "fitting_prompt",
    "generate",
    "stream",
]
