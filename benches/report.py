"""The results of a run of the benchmarks as the README's table, and as a chart.

pytest benches --benchmark-json=RESULT.json
python -m benches.report RESULT.json... [--all] [--zh] [-o chart.png]

The table goes to stdout: README's rows, or all. Values are medians; ratios are within a run: of several results the
last that has a finding gives the whole row. A chart needs matplotlib.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

if __package__:
    from benches.findings import FACTOR, FINDINGS, MORE_THREADS, RATE, SIZE, SUMMARY, Finding, amdahl
else:  # beside the benchmarks, which are no package
    from findings import FACTOR, FINDINGS, MORE_THREADS, RATE, SIZE, SUMMARY, Finding, amdahl

COLUMNS = ("rgz", "torch", "torch.compile")
CHINESE_FONTS = ("CJK", "Hei", "Song", "PingFang")  # parts of their names
CHINESE = {
    "what": "内容", "PyTorch eager": "PyTorch eager", "PyTorch compiled": "PyTorch 编译", "ratio": "比较",
    "tokens/s": "词元/秒", "s": "秒", "ms": "毫秒", "x": "倍",
    "{ratio:.2f} x as fast": "速度为 {ratio:.2f} 倍", "{share} of it": "为其 {share}",
    "{ratio:.2f} x as fast ({rival}: {value})": "速度为 {ratio:.2f} 倍（{rival}：{value}）",
    "{share} of it ({rival}: {value})": "为其 {share}（{rival}：{value}）",
    "{share:.0%} of {name}": "{name} 的 {share:.0%}",
    "{threads} threads: {speed_up:.1f} x": "{threads} 线程 {speed_up:.1f} 倍",
    "copy": "内存拷贝", "; ": "；", ", ": "，",
    "by Amdahl's law {model}": "按阿姆达尔定律：{model}",
    "{cpu}, {isa}, {threads} threads, {versions}; float32, medians of one run.":
        "{cpu}，{isa}，{threads} 线程，{versions}；float32，同一次运行的中位数。",
    "times better than the better PyTorch": "相对较好的 PyTorch 的倍数",
}  # fmt: skip


class Report:
    """shown : the findings to tell of, in this order. found : entries of findings.record() by finding and rival, of
    several variants the best."""

    def __init__(
        self, results: list[dict[str, Any]], chinese: bool = False, shown: Sequence[str] = tuple(FINDINGS)
    ) -> None:
        self.chinese = chinese
        self.shown = shown
        self.machine: dict[str, Any] = {}
        self.found: dict[str, dict[str, dict[str, Any]]] = {}
        for result in results:
            self.machine |= result.get("machine_info", {}).get("rgz", {})
            self.found |= found_in(result)

    def say(self, text: str, **values: Any) -> str:
        return (CHINESE.get(text, text) if self.chinese else text).format(**values)

    def title(self, name: str) -> str:
        return FINDINGS[name].chinese if self.chinese else FINDINGS[name].english

    def value(self, entry: dict[str, Any] | None) -> str:
        if entry is None:
            return "-"
        number = entry["value"]
        text = f"{number:,.0f}" if number >= 100 else f"{number:.1f}" if number >= 10 else f"{number:.2f}"
        variant = f" ({entry['variant']})" if "variant" in entry else ""
        return f"{text} {self.say(entry['unit'])}{variant}"

    def comparison(self, name: str) -> str:
        """Against the best rival of the run, shares of the run's ceilings, what more threads would bring."""
        rivals, parts = dict(self.found[name]), []
        ours = rivals.pop("rgz", None)
        if ours is None:
            return "-"
        if rivals and FINDINGS[name].kind != FACTOR:
            parts.append(self._against(name, ours, best(name, rivals.values())))
        for ceiling, share in ours.get("share_of", {}).items():
            parts.append(self.say("{share:.0%} of {name}", share=share, name=self.say(ceiling)))
        if "serial_share" in ours:
            parts += self._model_of_more(ours)
        return self.say("; ").join(parts) or "-"

    def _against(self, name: str, ours: dict[str, Any], theirs: dict[str, Any]) -> str:
        size, named = FINDINGS[name].kind == SIZE, theirs["rival"] not in COLUMNS
        text = ("{share} of it" if size else "{ratio:.2f} x as fast") + (" ({rival}: {value})" if named else "")
        ratio = ours["value"] / theirs["value"] if size else advantage(name, ours, theirs)
        share = f"{ratio:.0%}" if ratio >= 0.01 else f"{ratio:.1%}"
        return self.say(text, ratio=ratio, share=share, rival=theirs["rival"], value=self.value(theirs))

    def _model_of_more(self, ours: dict[str, Any]) -> list[str]:
        model = [
            self.say("{threads} threads: {speed_up:.1f} x", threads=n, speed_up=amdahl(ours["serial_share"], n))
            for n in MORE_THREADS
            if n > ours["n_threads"]
        ]
        return [self.say("by Amdahl's law {model}", model=self.say(", ").join(model))] if model else []

    def heading(self) -> str:
        """What was measured on; empty where the result does not tell."""
        if not self.machine:
            return ""
        names = (("version", "rgz"), ("torch", "PyTorch"), ("numpy", "NumPy"), ("scipy", "SciPy"))
        versions = [f"{name} {self.machine[key]}" for key, name in names if key in self.machine]
        return self.say(
            "{cpu}, {isa}, {threads} threads, {versions}; float32, medians of one run.", cpu=self.machine["cpu"],
            isa=self.machine["isa"], threads=self.machine["n_threads"], versions=self.say(", ").join(versions),
        )  # fmt: skip

    def rows(self) -> list[list[str]]:
        """In the order of `shown`: title, rgz, PyTorch eager, PyTorch compiled, comparison."""
        return [
            [self.title(name), *(self.value(self.found[name].get(rival)) for rival in COLUMNS), self.comparison(name)]
            for name in self.shown
            if name in self.found
        ]

    def markdown(self) -> str:
        header = [self.say("what"), "rgz", self.say("PyTorch eager"), self.say("PyTorch compiled"), self.say("ratio")]
        lines = ["| " + " | ".join(row) + " |" for row in (header, *self.rows())]
        lines.insert(1, "|---|---:|---:|---:|---|")
        heading = [self.heading(), ""] if self.machine else []
        return "\n".join([*heading, *lines])

    def advantages(self) -> list[tuple[str, float]]:
        """Title and how many times better than the better PyTorch, of all findings that both have."""
        bars = []
        for name in self.shown:
            rivals = self.found.get(name, {})
            torch = [rivals[column] for column in COLUMNS[1:] if column in rivals]
            if torch and "rgz" in rivals and FINDINGS[name].kind != FACTOR:
                bars.append((self.title(name), advantage(name, rivals["rgz"], best(name, torch))))
        return bars

    def draw(self, path: Path) -> None:
        """The advantages as bars on a logarithmic axis. ImportError without matplotlib."""
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import font_manager, pyplot, ticker

        if self.chinese:
            fonts = [font.name for font in font_manager.fontManager.ttflist]
            chinese = [name for name in fonts if any(mark in name for mark in CHINESE_FONTS)]
            if not chinese:
                print("no font with Chinese characters is installed: the chart is in English", file=sys.stderr)
                self.chinese = False
            else:
                matplotlib.rcParams["font.sans-serif"] = chinese
                logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # of weights that it lacks
        titles, values = zip(*self.advantages(), strict=True)
        figure, axes = pyplot.subplots(figsize=(10, 1.2 + 0.32 * len(titles)), layout="constrained")
        lengths = [value - 1 for value in values]  # every bar begins where both are equal
        bars = axes.barh(titles, lengths, left=1, color=["#2a7f62" if value >= 1 else "#b5523b" for value in values])
        axes.bar_label(bars, [f"{value:.2g} x" if value < 10 else f"{value:.0f} x" for value in values], padding=3)
        axes.margins(x=0.15)
        axes.axvline(1, color="black", linewidth=0.8)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter(ticker.NullFormatter())
        axes.invert_yaxis()
        axes.set_xlabel(self.say("times better than the better PyTorch"))
        figure.suptitle(self.heading(), fontsize=8)
        figure.savefig(path, dpi=150)


def found_in(result: dict[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    variants: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for benchmark in result["benchmarks"]:
        for entry in benchmark.get("extra_info", {}).get("findings", ()):
            variants.setdefault(entry["finding"], {}).setdefault(entry["rival"], []).append(entry)
    return {
        name: {rival: best(name, entries) for rival, entries in rivals.items()}
        for name, rivals in variants.items()
        if name in FINDINGS  # a result of another version may have others
    }


def more_is_better(finding: Finding) -> bool:
    return finding.kind in (RATE, FACTOR)


def best(name: str, entries: Iterable[dict[str, Any]]) -> dict[str, Any]:
    choose = max if more_is_better(FINDINGS[name]) else min
    return choose(entries, key=lambda entry: entry["value"])


def advantage(name: str, ours: dict[str, Any], theirs: dict[str, Any]) -> float:
    """How many times better: above 1 whichever way is better."""
    ratio = ours["value"] / theirs["value"]
    return ratio if more_is_better(FINDINGS[name]) else 1 / ratio


def read(path: Path, parser: argparse.ArgumentParser) -> dict[str, Any]:
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        parser.error(f"cannot read {path}: {error.strerror}")
    except ValueError:
        parser.error(f"{path} is not JSON; it must be what pytest --benchmark-json=RESULT.json wrote")
    if not isinstance(result, dict) or not isinstance(result.get("benchmarks"), list):
        parser.error(f"{path} is not what pytest --benchmark-json=RESULT.json writes")
    if not found_in(result):
        parser.error(f"{path} holds no measurement: it is of other tests, or was made with --benchmark-disable")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benches.report", description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, nargs="+", help="what pytest benches --benchmark-json=RESULT.json wrote")
    parser.add_argument("-o", "--output", type=Path, help="draw a chart into this .png or .svg (needs matplotlib)")
    parser.add_argument("--all", action="store_true", help="all that was found, not README's rows only")
    parser.add_argument("--zh", action="store_true", help="in Chinese")
    arguments = parser.parse_args()
    shown = FINDINGS if arguments.all else SUMMARY
    report = Report([read(path, parser) for path in arguments.results], arguments.zh, [*shown])
    if not report.rows():
        parser.error("the results hold none of README's rows; --all prints what they have")
    print(report.markdown())
    if arguments.output:
        if not report.advantages():
            parser.error("no chart: the result holds nothing measured of both rgz and PyTorch")
        try:
            report.draw(arguments.output)
        except ImportError:
            parser.exit(1, "no chart: it needs matplotlib (pip install matplotlib)\n")
        except (OSError, ValueError) as error:
            parser.exit(1, f"no chart: {error}\n")


if __name__ == "__main__":
    main()
