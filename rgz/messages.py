"""Every sentence a user reads, in English or Chinese.

The English template is the key, as in gettext; the Chinese text stands in `locale/zh/*.json`, one flat object
a file, merged. A template without a translation is shown in English: a missing entry must never stop a run
(`tests/test_messages.py` finds it instead).
"""

from __future__ import annotations

import contextlib
import functools
import json
import locale
import os
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

_FOLDER = Path(__file__).parent / "locale"
_FULL_WIDTH = {": ": "：", ":": "：", "; ": "；", ", ": "，", "(": "（", ")": "）"}
_chosen: ContextVar[str | None] = ContextVar("language", default=None)


def language() -> str:
    """Return "zh" or "en": by RGZ_LANG, LC_ALL, LC_MESSAGES, LANG, the first that is set; else by the system.

    Read at each call, so that a test or a notebook can switch.
    """
    if chosen := _chosen.get():
        return chosen
    for name in ("RGZ_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        if value := os.environ.get(name):
            break
    else:
        value = locale.getlocale()[0] or ""  # Windows sets none of them: "Chinese (Simplified)_China"
    return "zh" if value.lower().startswith(("zh", "chinese")) else "en"


@contextlib.contextmanager
def speaking(name: str) -> Iterator[None]:
    """Within the block the language is `name`, "zh" or "en", whatever the user's is."""
    token = _chosen.set(name)
    try:
        yield
    finally:
        _chosen.reset(token)


def tr(template: str, /, **values: object) -> str:
    """Return `template` in the user's language with its `{name}` places filled from `values`."""
    if language() == "zh":
        template = _catalog().get(template, template)
    return template.format(**values)


def mark(sign: str) -> str:
    """A punctuation mark between two parts of a message, one of ": " ":" "; " ", " "(" ")", in the user's language."""
    return _FULL_WIDTH[sign] if language() == "zh" else sign


@functools.cache
def _catalog() -> dict[str, str]:
    merged: dict[str, str] = {}
    for path in sorted((_FOLDER / "zh").glob("*.json")):
        merged.update(json.loads(path.read_text(encoding="utf-8")))
    return merged
