"""A font of this machine that has Chinese characters."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

OWN = "DejaVu Sans"  # which matplotlib brings
_NEEDED = "训练验证损失困惑度学习率梯度范数词元"
# The usual ones, sans serif and simplified first. Any other that has the characters will do.
_KNOWN = (
    "Noto Sans CJK SC", "Source Han Sans SC", "Source Han Sans CN", "Noto Sans SC", "Microsoft YaHei", "PingFang SC",
    "Hiragino Sans GB", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Noto Sans CJK JP", "SimHei", "Heiti SC",
    "Droid Sans Fallback", "Arial Unicode MS",
)  # fmt: skip


@functools.cache
def chinese_font() -> str | None:
    """The name under which matplotlib knows it, or None where this machine has none."""
    from matplotlib import font_manager

    found: dict[str, str] = {entry.name: entry.fname for entry in font_manager.fontManager.ttflist}
    for name in (*_KNOWN, *found):
        if name in found and _has_chinese(found[name]):
            return name
    # Matplotlib remembers the fonts of its first use; those installed since then it has never seen.
    for path in sorted(set(font_manager.findSystemFonts()) - set(found.values())):
        if _has_chinese(path):
            font_manager.fontManager.addfont(path)
            newest: str = font_manager.fontManager.ttflist[-1].name
            return newest
    return None


def unwritable(texts: Sequence[str]) -> list[str]:
    """Those with a character that neither matplotlib's own font nor the Chinese one has."""
    from matplotlib import font_manager
    from matplotlib.ft2font import FT2Font

    families = [name for name in (OWN, chinese_font()) if name is not None]
    found: list[Any] = [FT2Font(font_manager.findfont(name)) for name in families]
    return [text for text in texts if not all(any(font.get_char_index(ord(c)) for font in found) for c in text)]


def _has_chinese(path: str) -> bool:
    from matplotlib.ft2font import FT2Font

    try:
        font: Any = FT2Font(path)
    except (OSError, RuntimeError):  # gone since, or of a kind that FreeType cannot read
        return False
    indices = {font.get_char_index(ord(character)) for character in _NEEDED}
    # The "last resort" fonts, of which matplotlib brings one, show one and the same box for all.
    return 0 not in indices and len(indices) == len(set(_NEEDED))
