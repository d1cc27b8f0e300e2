"""The course of a learning-rate schedule, before any training."""

from __future__ import annotations

import os
from collections.abc import Mapping

from rgz.errors import RgzError
from rgz.messages import tr
from rgz.plot.drawing import COLOURS, count_ticks, drawing, short_number
from rgz.schedules import Schedule

_MOST_POINTS = 20_000
_FEW = 100  # points that are seen one by one


def draw_schedules(
    schedules: Mapping[str, Schedule],
    steps: int,
    output: str | os.PathLike[str],
    *,
    learning_rate: float | None = None,
) -> list[str]:
    """Draw schedules, by name, over `steps` updates into one file; return notices for the user.

    learning_rate : the highest; without it the multiplier is drawn. RgzError for a schedule that follows a metric.
    """
    for name, schedule in schedules.items():
        if schedule.watches is not None:
            raise RgzError(
                tr(
                    "the schedule {name} follows a metric: it cannot be drawn ahead; "
                    "`rgz plot RUN --metrics learning_rate` draws what it did",
                    name=name,
                )
            )
    if steps < 1:
        raise RgzError(tr("a schedule needs at least 1 step, got {steps}", steps=steps))
    notices: list[str] = []
    at = range(0, steps, -(-steps // _MOST_POINTS))
    with drawing(output, 8, 4, notices) as figure:
        from matplotlib.ticker import FuncFormatter

        axes = figure.add_subplot()
        for (name, schedule), colour in zip(schedules.items(), COLOURS * len(schedules), strict=False):
            values = [(learning_rate or 1.0) * schedule(step) for step in at]
            style = "steps-post" if len(at) <= _FEW else "default"
            axes.plot(at, values, color=colour, linewidth=1.8, drawstyle=style, label=name)
        axes.set_xlabel(tr("step"))
        axes.set_ylabel(tr("multiplier of the learning rate") if learning_rate is None else tr("Learning rate"))
        axes.set_ylim(0, 1.05 * (learning_rate or 1.0))
        axes.margins(x=0.01)
        count_ticks(axes, 10)
        axes.yaxis.set_major_formatter(FuncFormatter(short_number))
        if len(schedules) == 1:
            axes.set_title(next(iter(schedules)))
        else:
            figure.legend(loc="outside upper left", ncols=6)
    return notices
