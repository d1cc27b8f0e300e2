"""`rgz info`: what the kernels run on here."""

from __future__ import annotations

import json
import platform
import sys
from typing import Any

import rgz
from rgz import cpu
from rgz.cli.command import Command, Flag
from rgz.cli.console import megabytes, result
from rgz.cli.layout import table
from rgz.messages import tr


def build() -> Command:
    return Command("info", callback=info, params=[json_flag()], examples=("rgz info", "RGZ_ISA=generic rgz info"))


def json_flag() -> Flag:
    return Flag(["--json", "as_json"], is_flag=True, help=tr("print JSON"))


def info(as_json: bool) -> None:
    values = {**cpu.info(), **versions()}
    if as_json:
        result(json.dumps(values, ensure_ascii=False, indent=2))
        return
    for line in table(_rows(values)):
        result(line)


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
    threads = tr("{count} of {logical} logical CPUs", count=values["n_threads"], logical=values["logical_cpus"])
    total, free = values["memory_total"], values["memory_available"]
    memory = tr("{total}, {free} free", total=megabytes(total), free=megabytes(free)) if total and free else "?"
    others = [name for name in values["isas_compiled"] if name not in values["isas"]]
    isas = " ".join(values["isas"])
    return [
        ("rgz", values["rgz"]),
        (tr("processor"), values["cpu"]),
        (tr("instruction set"), values["isa"]),
        (
            tr("available"),
            isas + (tr(" (this CPU cannot run: {names})", names=" ".join(others)) if others else ""),
        ),
        ("OpenMP", str(openmp) if openmp else tr("no: one thread only")),
        ("BLAS", values["blas"]),
        (tr("threads"), threads),
        (tr("memory"), memory),
        ("Python", f"{values['python']}  {values['platform']}"),
        (tr("packages"), "  ".join(f"{name} {version}" for name, version in values["packages"].items())),
    ]
