"""`rgz info`: what the kernels run on here; of a run also its model, how far it has come and how its texts are cut."""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path
from typing import Any

import click

import rgz
from rgz import _kernels, cpu
from rgz.cli.command import Command, Flag
from rgz.cli.console import megabytes, result, shape
from rgz.cli.layout import table
from rgz.config import ModelConfig
from rgz.cores import shown
from rgz.messages import tr


def build() -> Command:
    return Command(
        "info",
        callback=info,
        params=[click.Argument(["run"], metavar="[RUN]", required=False), json_flag()],
        help=tr(
            "What the kernels run on here; of a run directory also its model, how far training has come and its "
            "tokenizer, of a tokenizer file that."
        ),
        examples=("rgz info", "rgz info runs/my-1", "RGZ_ISA=generic rgz info"),
    )


def json_flag() -> Flag:
    return Flag(["--json", "as_json"], is_flag=True, help=tr("print JSON"))


def info(run: str | None, as_json: bool) -> None:
    values = {**cpu.info(), **versions()}
    if run is not None:
        values["tokenizer"] = tokenizer_of(run)
        values |= model_of(Path(run)) | training_of(Path(run))
    if as_json:
        result(json.dumps(values, ensure_ascii=False, indent=2))
        return
    for line in table(_rows(values)):
        result(line)


def tokenizer_of(run: str) -> dict[str, Any]:
    """What tells the tokenizer of a run directory, a checkpoint or a tokenizer file from others."""
    from rgz.text import BPETokenizer, load_tokenizer

    path = Path(run)
    tokenizer = load_tokenizer(path.parent if path.name.startswith("checkpoint-") else path)
    values: dict[str, Any] = {
        "type": tokenizer.type,
        "vocab_size": len(tokenizer),
        "fingerprint": tokenizer.fingerprint,
    }
    if isinstance(tokenizer, BPETokenizer):
        values |= {"pattern": tokenizer.pattern, "normalizer": tokenizer.normalizer, "merges": len(tokenizer.merges)}
        values["unicode"] = _kernels.unicode_version()  # whose letters and numbers the pattern knows
    return values


def model_of(run: Path) -> dict[str, Any]:
    """The configuration of the model in a folder and how many parameters it has; nothing where there is none."""
    from rgz.models.folder import CONFIG, read_config

    if not (run / CONFIG).is_file():
        return {}
    config = read_config(run)
    return {"model": {"parameters": config.num_parameters(), **config.to_dict()}}


def training_of(run: Path) -> dict[str, Any]:
    """The newest report of a run, and its lowest val_loss; nothing where there is no report yet."""
    from rgz.train.rundir import RunDirectory

    history = RunDirectory(run).read_history() if run.is_dir() else []
    if not history:
        return {}
    measured = [report for report in history if report.get("val_loss") is not None]
    best = min(measured, key=lambda report: report["val_loss"], default=None)
    return {"last_report": history[-1], "best_report": best}


def versions() -> dict[str, Any]:
    import click as click_package
    import numpy

    packages = {"numpy": numpy.__version__}
    if scipy := sys.modules.get("scipy"):
        packages["scipy"] = scipy.__version__
    from importlib.metadata import PackageNotFoundError, version

    for name in ("jieba", "rich", click_package.__name__):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = "-"
    return {
        "rgz": rgz.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": packages,
    }


def _rows(values: dict[str, Any]) -> list[tuple[str, str]]:
    openmp = values["openmp"]
    count, logical, reason = (values[name] for name in ("n_threads", "logical_cpus", "n_threads_because"))
    threads = tr("{count} of {logical} logical CPUs: {reason}", count=count, logical=logical, reason=reason)
    total, free = values["memory_total"], values["memory_available"]
    memory = tr("{total}, {free} free", total=megabytes(total), free=megabytes(free)) if total and free else "?"
    others = [name for name in values["isas_compiled"] if name not in values["isas"]]
    isas = " ".join(values["isas"])
    return [
        *_rows_of_run(values),
        ("rgz", values["rgz"]),
        (tr("processor"), values["cpu"]),
        (tr("instruction set"), values["isa"]),
        (
            tr("available"),
            isas + (tr(" (this CPU cannot run: {names})", names=" ".join(others)) if others else ""),
        ),
        ("OpenMP", str(openmp) if openmp else tr("no: one thread only")),
        ("BLAS", values["blas"]),
        (tr("cores"), ", ".join(map(_cluster, values["clusters"]))),
        (tr("16-bit products"), "  ".join(f"{dtype}: {how}" for dtype, how in values["half"].items())),
        (tr("threads"), threads),
        (tr("memory"), memory),
        ("Python", f"{values['python']}  {values['platform']}"),
        (tr("packages"), "  ".join(f"{name} {version}" for name, version in values["packages"].items())),
    ]


def _rows_of_run(values: dict[str, Any]) -> list[tuple[str, str]]:
    rows = []
    if tokenizer := values.get("tokenizer"):
        pairs = "  ".join(f"{name} {value}" for name, value in tokenizer.items() if value is not None)
        rows.append((tr("tokenizer"), pairs))
    if model := values.get("model"):
        config = ModelConfig.from_dict({name: value for name, value in model.items() if name != "parameters"})
        rows.append((tr("parameters"), shape(config)))
    if last := values.get("last_report"):
        told = [tr("step {step}, epoch {epoch}", step=f"{last['step']:,}", epoch=f"{last['epoch']:.3g}")]
        told += [f"{name} {last[name]:.4f}" for name in ("loss", "val_loss") if last.get(name) is not None]
        if best := values["best_report"]:
            told.append(
                tr("lowest val_loss {loss} at step {step}", loss=f"{best['val_loss']:.4f}", step=f"{best['step']:,}")
            )
        rows.append((tr("progress"), "  ".join(told)))
    return rows


def _cluster(cluster: dict[str, Any]) -> str:
    """`4 x 2.40 GHz (CPU 4-7)`: the cores of one kind."""
    speed = f" x {cluster['mhz'] / 1000:.2f} GHz" if cluster["mhz"] else ""
    return f"{cluster['cores']}{speed} (CPU {shown(cluster['cpus'])})"
