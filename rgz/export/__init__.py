"""A trained model in the files of other programs: GGUF for llama.cpp and ollama, a folder for transformers."""

from rgz.export.gguf import export_gguf
from rgz.export.transformers import export_transformers, need_new_folder

__all__ = ["export_gguf", "export_transformers", "need_new_folder"]
