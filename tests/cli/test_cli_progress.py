"""A bar for what takes long, on a terminal only, and gone at the end however that comes."""

import io
import sys

import pytest

from rgz.cli import progress
from rgz.cli.progress import counted, shown_progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(monkeypatch, stream, patience):
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(progress, "_PATIENCE", patience)
    monkeypatch.setenv("TERM", "xterm")
    with pytest.raises(RuntimeError), shown_progress("encoding", 2000) as tell:
        assert list(counted(range(2000), tell, every=500)) == list(range(2000))
        tell(1999, 12345)
        raise RuntimeError
    return stream.getvalue()


def test_a_bar_counts_what_is_done_and_leaves_the_terminal_as_it_was(monkeypatch):
    text = shown(monkeypatch, Terminal(), patience=0)
    assert "encoding" in text and "1999/2000" in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # the cursor


def test_what_is_soon_done_and_what_is_no_terminal_shows_nothing(monkeypatch):
    assert "encoding" not in shown(monkeypatch, Terminal(), patience=60)
    assert shown(monkeypatch, io.StringIO(), patience=0) == ""
