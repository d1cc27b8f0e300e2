"""What all drawings share: matplotlib where it is installed, its looks, the language of the labels, the file."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rgz.errors import RgzError, reason_of
from rgz.files import atomic_writer
from rgz.messages import language, speaking, tr
from rgz.plot import fonts
from rgz.strict import unknown_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "pdf")
# Okabe and Ito's colours, told apart by the colour-blind too; yellow, too pale for lines, is left out.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
GREY = "#666666"
_LOOKS: dict[str, Any] = {
    "axes.edgecolor": "#b0b0b0",
    "axes.grid": True,
    "axes.labelcolor": GREY,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": "#222222",
    "axes.titlelocation": "left",
    "axes.titlesize": 12,
    "font.size": 9,
    "grid.color": "#e8e8e8",
    "legend.frameon": False,
    "svg.hashsalt": "rgz",  # the same drawing, the same file
    "xtick.color": GREY,
    "ytick.color": GREY,
}


def check_output(path: str | os.PathLike[str]) -> str:
    """The format that the name of a drawing's file stands for; RgzError for any but FORMATS."""
    suffix = Path(path).suffix.lower().removeprefix(".")
    if suffix not in FORMATS:
        raise unknown_name(tr("format"), suffix, FORMATS)
    return suffix


@contextlib.contextmanager
def drawing(
    output: str | os.PathLike[str], width: float, height: float, notices: list[str], names: Sequence[str] = ()
) -> Iterator[Figure]:
    """Yield a figure of so many inches that is written to `output`, whole or not at all, if the block ends well.

    In the block `tr` speaks the language of the labels: that of the user, or English where no font has Chinese
    characters, of which a sentence is added to `notices`; so is one where some of `names`, such as a run's, cannot be
    written.
    """
    kind = check_output(output)
    try:
        import matplotlib
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError as error:
        raise RgzError(tr("drawing needs a package: {command}", command="pip install 'rgz[plot]'")) from error
    chinese = fonts.chinese_font()
    spoken = language()
    if chinese is None and spoken == "zh":
        notices.append(
            tr(
                "no font with Chinese characters was found, so the labels are in English; install one: {example}",
                example="apt install fonts-noto-cjk",
            )
        )
    if boxes := fonts.unwritable(names):
        notices.append(
            tr(
                "no font here has every character of {names}, so boxes stand for some; install one: {example}",
                names=", ".join(boxes),
                example="apt install fonts-noto-cjk",
            )
        )
    looks: Any = {**_LOOKS, "font.family": [fonts.OWN, *([chinese] if chinese else [])]}
    with (
        matplotlib.rc_context(looks),
        speaking(spoken if chinese else "en"),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # of a run's name; drawn as a box
        # It would say that a Chinese font has but one weight.
        logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
        figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1))
        yield figure
        with speaking(spoken):  # what goes wrong is told to the user, whatever language the labels are in
            _save(figure, Path(output), kind)


def _save(figure: Figure, path: Path, kind: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_writer(path) as file:
            figure.savefig(file, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else None)
    except OSError as error:
        raise RgzError(tr("cannot write {path}: {reason}", path=path, reason=reason_of(error))) from error


def short_number(value: float, position: object = None) -> str:
    """1200000 as 1.2M, for ticks that count."""
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e4, "K")):
        if abs(value) >= limit:
            return f"{value / (1e3 if unit == 'K' else limit):.3g}{unit}"
    return f"{value:g}"


def count_ticks(axes: Axes, most: int = 5) -> None:
    """At most so many ticks along x, at whole numbers, written short."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(most, integer=True, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(short_number))
