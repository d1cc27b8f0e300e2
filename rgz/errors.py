"""The one exception that stands for a user's mistake."""

from __future__ import annotations


class RgzError(ValueError):
    """Something the user can put right: one line that says what must hold, what came, and what to do.

    The command line prints `str(error)` and exits 1; anything else that is raised is a bug of ours.
    The text goes through `messages.tr` where it is raised, so it is already in the user's language.
    """

    def __init__(self, message: str) -> None:
        # A file name or a quoted value may hold a line break; the promise of one line is kept here, once.
        super().__init__(" ".join(message.split("\n")) if "\n" in message else message)
