"""Curves of runs and of learning-rate schedules as PNG, SVG or PDF. Needs the extra `plot` (matplotlib)."""

from rgz.plot.curves import METRICS, X_AXES, draw_runs
from rgz.plot.drawing import FORMATS, check_output
from rgz.plot.rates import draw_schedules

__all__ = ["FORMATS", "METRICS", "X_AXES", "check_output", "draw_runs", "draw_schedules"]
