"""The curves of runs: a panel for each metric, the runs over one another."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rgz.errors import RgzError
from rgz.messages import tr
from rgz.plot.drawing import COLOURS, GREY, count_ticks, drawing, short_number
from rgz.strict import unknown_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

METRICS = ("loss", "val_loss", "perplexity", "learning_rate", "grad_norm", "tokens_per_second")
X_AXES = ("step", "epoch", "tokens")
History = Sequence[Mapping[str, Any]]  # the reports of a run, as metrics.jsonl holds them
_LOGARITHMIC = ("perplexity", "grad_norm")
_NOISY = ("loss", "perplexity", "grad_norm", "tokens_per_second")
_VALIDATION = {"loss": "val_loss", "perplexity": "val_perplexity"}  # drawn in the same panel
_FEW = 20  # points that need no smoothing
_MOST = 1e250  # with its margins an axis of either scale still ends below the largest float


def draw_runs(
    runs: Mapping[str, History],
    output: str | os.PathLike[str],
    *,
    metrics: Sequence[str] = METRICS,
    x: str = "step",
    smooth: float = 0.8,
) -> list[str]:
    """Draw the reports of `runs`, by name, into one file; return notices for the user.

    metrics : of METRICS, a panel each; one that no run has is left out.
    x : "step", "epoch" or "tokens". smooth : weight of the neighbours in the running mean of noisy curves, in
        [0, 1); the curve itself stays behind it, pale. RgzError for other values, and where there is nothing to draw.
    """
    for metric in metrics:
        if metric not in METRICS:
            raise unknown_name(tr("metric"), metric, METRICS)
    if x not in X_AXES:
        raise unknown_name("x", x, X_AXES)
    if not 0 <= smooth < 1:
        raise RgzError(tr("{name} must be {wanted}, got {value}", name="smooth", wanted=">= 0, < 1", value=smooth))
    shown = [metric for metric in metrics if any(_points(history, metric, x)[0] for history in runs.values())]
    if not shown:
        raise RgzError(tr("there is nothing to draw yet: no report has {names}", names=", ".join(metrics)))
    columns = min(len(shown), 3)
    rows = math.ceil(len(shown) / columns)
    drawn = [x if x != "tokens" else "num_input_tokens_seen", *shown]
    drawn += [_VALIDATION[metric] for metric in shown if metric in _VALIDATION and _VALIDATION[metric] not in shown]
    notices = _left_out(runs, drawn)
    with drawing(output, 1.5 + 3.9 * columns, 1.1 + 2.9 * rows, notices, names=list(runs)) as figure:
        colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(runs)}
        for number, metric in enumerate(shown, 1):
            axes = figure.add_subplot(rows, columns, number)
            for name, history in runs.items():
                _draw(axes, history, metric, x, colours[name], smooth, alone=len(runs) == 1)
            _finish(axes, metric, x)
            if metric in _VALIDATION and any(_points(history, _VALIDATION[metric], x)[0] for history in runs.values()):
                _explain_lines(axes, *(COLOURS[:2] if len(runs) == 1 else (GREY, GREY)))
        if len(runs) == 1:
            [(name, history)] = runs.items()
            figure.suptitle(f"{name}   {_facts(history)}", x=0.01, ha="left", fontsize=13)
        else:
            _name_runs(figure, colours)
    return notices


def _points(history: History, metric: str, x: str) -> tuple[list[float], list[float]]:
    """Where along x the metric is a number, and the numbers."""
    key = "num_input_tokens_seen" if x == "tokens" else x
    pairs = [
        (report[key], report[metric])
        for report in history
        if _drawable(report.get(key)) and _drawable(report.get(metric))
    ]
    return [a for a, _ in pairs], [b for _, b in pairs]


def _drawable(value: float | None) -> bool:
    return value is not None and abs(value) <= _MOST  # not so of NaN; an integer may have any size


def _left_out(runs: Mapping[str, History], names: Sequence[str]) -> list[str]:
    """A sentence where there are numbers that no axis can show."""
    values = [report.get(name) for history in runs.values() for report in history for name in names]
    count = sum(value is not None and _MOST < abs(value) < math.inf for value in values)
    return [tr("numbers beyond 1e250 are left out of the drawing: {count}", count=count)] if count else []


def _draw(axes: Axes, history: History, metric: str, x: str, colour: str, smooth: float, *, alone: bool) -> None:
    steps, values = _points(history, metric, x)
    if metric == "val_loss":
        _draw_validation(axes, history, metric, x, colour, best=True)
        return
    if metric in _NOISY and len(values) > _FEW and smooth:
        axes.plot(steps, values, color=colour, alpha=0.25, linewidth=0.8)
        values = _smooth(values, smooth)
    axes.plot(steps, values, color=colour, linewidth=1.5, marker="o" if len(values) == 1 else "", markersize=4)
    if metric in _VALIDATION:
        _draw_validation(axes, history, _VALIDATION[metric], x, COLOURS[1] if alone else colour, best=False)


def _draw_validation(axes: Axes, history: History, metric: str, x: str, colour: str, *, best: bool) -> None:
    steps, values = _points(history, metric, x)
    if not values:
        return
    marker = "o" if len(values) <= 60 else ""
    style = "-" if best else "--"
    axes.plot(steps, values, style, color=colour, linewidth=1.3, marker=marker, markersize=3)
    if best:
        at = min(range(len(values)), key=values.__getitem__)
        axes.plot(steps[at], values[at], "o", color=colour, markersize=9, markerfacecolor="none", markeredgewidth=1.5)
        axes.annotate(
            f"{values[at]:.3f}", (steps[at], values[at]), xytext=(0, -14), textcoords="offset points", ha="center",
            color=colour, annotation_clip=False,
        )  # fmt: skip
        axes.margins(y=0.15)


def _running_mean(values: list[float], weight: float) -> list[float]:
    """Exponential, without the bias of its beginning."""
    mean, total, out = 0.0, 0.0, []
    for value in values:
        mean, total = weight * mean + (1 - weight) * value, weight * total + (1 - weight)
        out.append(mean / total)
    return out


def _smooth(values: list[float], weight: float) -> list[float]:
    """The mean of what went before and of what comes after: it does not lag behind."""
    before, after = _running_mean(values, weight), _running_mean(values[::-1], weight)[::-1]
    return [(a + b) / 2 for a, b in zip(before, after, strict=True)]


def _finish(axes: Axes, metric: str, x: str) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_title(_title(metric))
    axes.set_xlabel({"step": tr("step"), "epoch": tr("epoch"), "tokens": tr("tokens seen")}[x])
    count_ticks(axes)
    axes.yaxis.set_major_formatter(FuncFormatter(short_number))
    low, high = axes.dataLim.intervaly
    if metric in _LOGARITHMIC and low > 0 and high > 10 * low:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 1000 * low else (1,)))
        axes.yaxis.set_major_formatter(FuncFormatter(short_number))
        axes.yaxis.set_minor_formatter(NullFormatter())
    elif metric in ("tokens_per_second", "learning_rate", "grad_norm"):
        axes.set_ylim(bottom=0)


def _explain_lines(axes: Axes, training: str, validation: str) -> None:
    """Which line is which text; several runs have each their colour, told elsewhere."""
    from matplotlib.lines import Line2D

    lines = [
        Line2D([], [], color=training, linewidth=1.5),
        Line2D([], [], color=validation, linewidth=1.3, linestyle="--", marker="o", markersize=3),
    ]
    axes.legend(lines, [tr("training text"), tr("validation text")], loc="upper right")


def _title(metric: str) -> str:
    return {
        "loss": tr("Loss (nats a token)"),
        "val_loss": tr("Validation loss"),
        "perplexity": tr("Perplexity"),
        "learning_rate": tr("Learning rate"),
        "grad_norm": tr("Gradient norm, before clipping"),
        "tokens_per_second": tr("Tokens per second"),
    }[metric]


def _facts(history: History) -> str:
    """Where the run stands, in a few words."""
    last = history[-1]
    facts = [tr("step {step}", step=f"{last['step']:,}")] if _drawable(last["step"]) else []
    if _drawable(last.get("epoch")):
        facts.append(tr("epoch {epoch}", epoch=f"{last['epoch']:.3g}"))
    steps, values = _points(history, "val_loss", "step")
    if values:
        best = min(range(len(values)), key=values.__getitem__)
        facts.append(
            tr("best validation loss {loss} at step {step}", loss=f"{values[best]:.3f}", step=f"{steps[best]:,}")
        )
    return " · ".join(facts)


def _name_runs(figure: Any, colours: Mapping[str, str]) -> None:
    from matplotlib.lines import Line2D

    lines = [Line2D([], [], color=colour, linewidth=2.5) for colour in colours.values()]
    columns = max(1, min(len(lines), 5))
    figure.legend(lines, list(colours), loc="outside upper left", ncols=columns, fontsize=11)
