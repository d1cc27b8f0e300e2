"""The command line: one module a command, loaded when it is asked for; `main` is the entry point."""

from rgz.cli.app import main

__all__ = ["main"]
