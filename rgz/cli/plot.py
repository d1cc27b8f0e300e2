"""`rgz plot`: the curves of runs, or the course of a learning-rate schedule, as a picture."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from rgz.cli.command import Command, Flag, given
from rgz.cli.console import result, say_all
from rgz.cli.flags import count_flag, field_flags, training_flags
from rgz.cli.runs import need_run_folder
from rgz.config import TrainingArguments
from rgz.errors import RgzError
from rgz.messages import mark, tr
from rgz.plot import METRICS, X_AXES, check_output, draw_runs, draw_schedules
from rgz.schedules import SCHEDULES, Schedule, argument_names, get_schedule, refuse_reserved

_STEPS = 1000
_SHARED = ("learning_rate", "warmup_steps", "min_lr_ratio", "lr_scheduler_interval", "lr_scheduler_kwargs")
_BY_RUN = ("steps", "floor", "warmup")  # which the shared options and --steps set
_DRAWN = [name for name in SCHEDULES if name not in ("reduce_lr_on_plateau", "sequential")]  # from plain options


def schedule_helps() -> dict[str, str]:
    """Of the fields that only some schedules have."""
    return {
        "cycles": tr("cosine_with_restarts: how many falls"),
        "restart_remainder": tr("cosine_with_restarts: begin one more in the steps left over"),
        "first_cycle": tr("cosine_with_restarts: steps of the first fall, instead of cycles"),
        "cycle_factor": tr("cosine_with_restarts: how many times longer each fall is than the last"),
        "num_cycles": tr("cosine, warmup_stable_decay: waves of the cosine; half a one only falls"),
        "power": tr("polynomial: 1 is a line"),
        "gamma": tr("exponential: factor in decay_steps"),
        "decay_steps": tr("exponential: steps in which gamma is reached"),
        "timescale": tr("inverse_sqrt: steps after which it has fallen to 0.71"),
        "pct_start": tr("one_cycle: share of the steps in which it rises"),
        "anneal_strategy": tr("one_cycle: cos or linear"),
        "div_factor": tr("one_cycle: highest over first"),
        "final_div_factor": tr("one_cycle: first over last"),
        "three_phase": tr("one_cycle: fall as fast as it rose, then on"),
        "decay": tr("warmup_stable_decay: steps of decay, or below 1 a share"),
        "stable": tr("warmup_stable_decay: steps at the top; none: what is left"),
        "warmup_type": tr("warmup_stable_decay: linear, cosine or 1-sqrt"),
        "decay_type": tr("warmup_stable_decay: cosine, linear or 1-sqrt"),
    }


def build() -> Command:
    return Command(
        "plot",
        callback=click.pass_context(plot),
        params=[
            click.Argument(["runs"], metavar="RUN...", nargs=-1),
            Flag(["-o", "--output"], metavar="FILE", help=tr("picture to write: .png, .svg or .pdf; see below")),
            Flag(
                ["--metrics"],
                metavar="NAMES",
                help=tr("panels, separated by commas") + mark(": ") + " ".join(METRICS),
            ),
            Flag(
                ["--x"],
                metavar="NAME",
                help=tr("what runs along x: {names}", names=" ".join(X_AXES)),
                default="step",
                shown_default="step",
            ),
            Flag(
                ["--smooth"],
                metavar="X",
                type=float,
                default=0.8,
                shown_default="0.8",
                help=tr("weight of the neighbours in the mean of noisy curves; 0: no mean"),
            ),
            *_schedule_flags(),
        ],
        help=tr(
            "Loss, validation loss, perplexity, learning rate, gradient norm and tokens per second of one run, or of "
            "several over one another; also of runs that go on. Without -o: RUN/curves.png of one run, curves.png of "
            "several, schedule.png of schedules. Needs matplotlib: pip install 'rgz[plot]'."
        ),
        examples=(
            "rgz plot runs/my-1",
            "rgz plot runs/my-1 runs/my-2 -o compare.svg --metrics loss,val_loss",
            "rgz plot --schedule cosine_with_restarts --steps 500 --cycles 3",
            "rgz plot --schedule cosine --schedule one_cycle --learning-rate 1e-3",
            "rgz plot --schedule sequential --lr-scheduler-kwargs \\",
            """  '{"schedules": [{"name": "linear"}, {"name": "cosine"}], "milestones": [0.3]}'""",
        ),
    )


def _schedule_flags() -> list[Flag]:
    section = tr("Drawing a schedule, before any training:")
    flags = [
        Flag(["--schedule"], metavar="NAME", multiple=True, section=section,
             help=tr("its name; several are drawn over one another: {names}", names=" ".join(SCHEDULES))),
        count_flag("--steps", tr("updates of the run"), default=_STEPS),
        count_flag("--steps-per-epoch", tr("updates of an epoch, where the interval is that"), default=100),
        *training_flags({"learning_rate": None, "warmup_steps": 0.0, "min_lr_ratio": 0.0}, only=_SHARED),
    ]  # fmt: skip
    known = set(_BY_RUN)
    for name in _DRAWN:
        only = tuple(field for field in argument_names(name) if field not in known)
        if only:
            flags += field_flags(SCHEDULES[name], schedule_helps(), section, only=only)
            known.update(only)
    for flag in flags:
        flag.section = section
    return flags


def plot(ctx: click.Context, runs: tuple[str, ...], output: str | None, schedule: tuple[str, ...], **_: Any) -> None:
    if bool(runs) == bool(schedule):
        raise click.UsageError(tr("give runs to draw, or --schedule NAME, not both"), ctx)
    of_schedules = {flag.name for flag in _schedule_flags()}
    for name in given(ctx):
        option = f"--{name.replace('_', '-')}"
        if runs and name in of_schedules:
            raise click.UsageError(tr("{name} is of schedules (--schedule NAME), not of runs", name=option), ctx)
        if schedule and name in ("metrics", "x", "smooth"):
            raise click.UsageError(tr("{name} is of runs, not of schedules", name=option), ctx)
    if output is not None:
        check_output(output)
    if runs:
        output = output or (os.path.join(runs[0], "curves.png") if len(runs) == 1 else "curves.png")
        notices = _plot_runs(ctx, runs, output)
    else:
        output = output or "schedule.png"
        notices = _plot_schedules(ctx, schedule, output)
    say_all(notices)
    result(output)


def _plot_runs(ctx: click.Context, runs: Sequence[str], output: str) -> list[str]:
    from rgz.train import RunDirectory

    histories = {}
    for name, path in zip(run_names(runs), runs, strict=True):
        need_run_folder(path)
        histories[name] = RunDirectory(path).read_history()
        if not histories[name]:
            raise RgzError(
                tr("{path} holds no reports: metrics.jsonl, which --report-to jsonl writes, is missing or empty",
                   path=path)
            )  # fmt: skip
    options = ctx.params
    metrics = METRICS
    if options["metrics"] is not None:
        metrics = tuple(name.strip().replace("-", "_") for name in options["metrics"].split(",") if name.strip())
    return draw_runs(histories, output, metrics=metrics, x=options["x"], smooth=options["smooth"])


def run_names(paths: Sequence[str]) -> list[str]:
    """The last parts of the paths, as many as it takes to tell the runs apart."""
    parts = [Path(os.path.abspath(path)).parts for path in paths]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(set(parts)):
            break
    return names


def _plot_schedules(ctx: click.Context, names: Sequence[str], output: str) -> list[str]:
    values = given(ctx)
    usual = {name: values[name] for name in _SHARED if name in values and name != "lr_scheduler_kwargs"}
    TrainingArguments.from_dict(usual)  # refuses what training would refuse
    more = dict(values.get("lr_scheduler_kwargs", {}))
    refuse_reserved("lr_scheduler_kwargs", more)
    own = {name: value for name, value in values.items() if name in schedule_helps()}
    taken = {name: [*argument_names(name)] for name in names}
    for name in own:
        if not any(name in fields for fields in taken.values()):
            raise RgzError(tr("{name} is no setting of {schedule}", name=name, schedule=", ".join(names)))
    steps = ctx.params["steps"]
    schedules: dict[str, Schedule] = {}
    for name in names:
        schedules[name] = get_schedule(
            name,
            total_steps=steps,
            warmup_steps=usual.get("warmup_steps", 0),
            min_lr_ratio=usual.get("min_lr_ratio", 0.0),
            interval=usual.get("lr_scheduler_interval", "step"),
            steps_per_epoch=ctx.params["steps_per_epoch"],
            learning_rate=usual.get("learning_rate"),
            **{key: value for key, value in own.items() if key in taken[name]},
            **more,
        )
    return draw_schedules(schedules, steps, output, learning_rate=usual.get("learning_rate"))
