"""Assemblies of layers."""

from rgz.models.decoder import Decoder
from rgz.models.vocabulary import check_vocabulary

__all__ = ["Decoder", "check_vocabulary"]
