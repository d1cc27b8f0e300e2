"""Assemblies of layers."""

from rgz.models.decoder import Decoder

__all__ = ["Decoder"]
