"""What users of other programs know, in terms of rgz."""

from rgz.compat import rustgpt

__all__ = ["rustgpt"]
