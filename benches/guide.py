"""RustGPT-Chinese's training guide, item by item: off and on, on the same work.

python -m benches.guide --data FOLDER [--json RESULT.json] [--zh] [--only ITEM,...] [--part time|loss] [--seeds 0,1]

FOLDER holds rustgpt-chinese/; a tenth of its 2,477 texts is held out by seed. Every setting trains in a process of its
own. Time is that of the quicker of two epochs (of the slowest settings: of the only one) without validation. Validation
loss is that of the weights which a run of EPOCHS epochs leaves, in nats a token, the mean over the seeds. With --json
what was measured is kept, and only what is missing there is run: a long comparison may be made in pieces. The table
goes to stdout.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from benches.guide_items import EPOCHS, ITEMS, LOSS, NONE, TIME, Item
from benches.setting import in_a_process, key_of

TIMED_EPOCHS = 2  # of the slowest settings only one
CHINESE = {
    "item": "项目", "off": "关", "on": "开", "time an epoch": "每轮用时", "validation loss": "验证损失",
    "the guide's estimate": "指南的估计", "{off} -> {on} s ({change})": "{off} -> {on} 秒（{change}）",
    "{off} -> {on} ({change})": "{off} -> {on}（{change}）", "the same": "相同",
    "{loss}; {epochs} epochs": "{loss}；{epochs} 轮",
    "{epochs} epochs, seeds {seeds}; {cpu}, {isa}, {threads} threads, rgz {version}.":
        "{epochs} 轮，种子 {seeds}；{cpu}，{isa}，{threads} 线程，rgz {version}。",
}  # fmt: skip


class Results:
    """Outcomes by part and setting, kept in a file as they come. limit : runs that may be made."""

    def __init__(self, data: Path, path: Path | None, limit: int | None = None) -> None:
        self._data, self._path, self._left = data, path, limit
        self.outcomes: dict[str, dict[str, Any]] = {TIME: {}, LOSS: {}}
        if path is not None and path.exists():
            self.outcomes |= json.loads(path.read_text(encoding="utf-8"))["outcomes"]

    def run(self, part: str, setting: dict[str, Any]) -> None:
        key = key_of(setting)
        if key in self.outcomes[part] or self._left == 0:
            return
        if self._left is not None:
            self._left -= 1
        print(f"{part}: {key}", file=sys.stderr, flush=True)
        self.outcomes[part][key] = in_a_process(self._data, setting)
        if self._path is not None:
            import rgz

            machine = {name: rgz.info()[name] for name in ("cpu", "isa", "n_threads")}
            content = {"machine": {**machine, "version": rgz.__version__}, "outcomes": self.outcomes}
            self._path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")

    def of(self, part: str, setting: dict[str, Any]) -> dict[str, Any] | None:
        return self.outcomes[part].get(key_of(setting))


def timed(setting: Any) -> dict[str, Any]:
    """The setting as its time is measured: without validation, except where that is part of what is compared."""
    validate = setting.get("validate_time", False)
    rest = {name: value for name, value in setting.items() if name != "validate_time"}
    slow = setting["arguments"]["batch_size"] == 1 or "environment" in setting
    epochs = 1 if slow else TIMED_EPOCHS
    return {**rest, "epochs": epochs, "validate": validate, "seed": 0}


def trained(item: Item, setting: Any, seed: int) -> dict[str, Any]:
    rest = {name: value for name, value in setting.items() if name not in ("environment", "encode_anew")}
    return {**rest, "epochs": EPOCHS * item.epochs, "seed": seed}


def measure(results: Results, items: list[Item], parts: list[str], seeds: list[int]) -> None:
    for item in items:
        for setting in (item.before, item.after):
            if TIME in parts and TIME in item.parts:
                results.run(TIME, timed(setting))
            for seed in seeds:
                if LOSS in parts and LOSS in item.parts:
                    results.run(LOSS, trained(item, setting, seed))


class Table:
    def __init__(self, results: Results, seeds: list[int], chinese: bool) -> None:
        self._results, self._seeds, self._chinese = results, seeds, chinese

    def say(self, text: str, **values: Any) -> str:
        return (CHINESE.get(text, text) if self._chinese else text).format(**values)

    def time(self, item: Item) -> str:
        """Of runs made for their time; without such, of those made for their loss, which validate both off and on."""
        seconds = []
        for setting in (item.before, item.after):
            timings = [self._results.of(TIME, timed(setting))] if TIME in item.parts else []
            if item.parts == (TIME, LOSS):
                timings.append(self._results.of(LOSS, trained(item, setting, 0)))
            seconds.append([outcome and min(outcome["seconds"]) for outcome in timings])
        for off, on in zip(*seconds, strict=True):
            if off and on:
                return self.say("{off} -> {on} s ({change})", off=f"{off:.1f}", on=f"{on:.1f}", change=_change(off, on))
        return "-"

    def loss(self, item: Item) -> str:
        if LOSS not in item.parts:
            return self.say("the same")
        sides = []
        for setting in (item.before, item.after):
            found = [self._results.of(LOSS, trained(item, setting, seed)) for seed in self._seeds]
            if None in found:
                return "-"
            outcomes = [outcome for outcome in found if outcome]
            sides.append((_mean([o["left"] for o in outcomes]), _mean([len(o["losses"]) for o in outcomes])))
        (off, long), (on, short) = sides
        texts = [f"{off:.3f}", f"{on:.3f}"]
        if long != short:
            texts = [
                self.say("{loss}; {epochs} epochs", loss=loss, epochs=f"{epochs:.0f}")
                for loss, epochs in zip(texts, (long, short), strict=True)
            ]
        return self.say("{off} -> {on} ({change})", off=texts[0], on=texts[1], change=f"{on - off:+.3f}")

    def rows(self, items: list[Item]) -> list[list[str]]:
        here = int(self._chinese)
        return [
            [
                " ".join(filter(None, (item.number, item.name[here]))),
                item.off[here],
                item.on[here],
                self.time(item),
                self.loss(item),
                item.estimate[here] if item.estimate != NONE else "-",
            ]
            for item in items
        ]

    def markdown(self, items: list[Item]) -> str:
        import rgz

        header = [
            self.say(text) for text in ("item", "off", "on", "time an epoch", "validation loss", "the guide's estimate")
        ]
        lines = ["| " + " | ".join(row) + " |" for row in (header, *self.rows(items))]
        lines.insert(1, "|---|---|---|---:|---:|---|")
        info = rgz.info()
        seeds = ", ".join(map(str, self._seeds))
        heading = self.say(
            "{epochs} epochs, seeds {seeds}; {cpu}, {isa}, {threads} threads, rgz {version}.", epochs=EPOCHS,
            seeds=seeds, cpu=info["cpu"], isa=info["isa"], threads=info["n_threads"], version=rgz.__version__,
        )  # fmt: skip
        return "\n".join([heading, "", *lines])


def _change(off: float, on: float) -> str:
    return f"{100 * (on / off - 1):+.0f} %"


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def chosen_items(names: str | None, parser: argparse.ArgumentParser) -> list[Item]:
    if names is None:
        return list(ITEMS)
    wanted = [name.strip() for name in names.split(",")]
    known = {item.number for item in ITEMS} | {item.name[0] for item in ITEMS}
    for name in wanted:
        if name not in known:
            parser.error(f"no item '{name}'; there are: {', '.join(sorted(known - {''}))}")
    return [item for item in ITEMS if item.number in wanted or item.name[0] in wanted]


def common_arguments(prog: str, description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description=description)
    data = os.environ.get("RGZ_BENCH_DATA")
    parser.add_argument("--data", type=Path, default=data, help="folder that holds rustgpt-chinese/ (RGZ_BENCH_DATA)")
    parser.add_argument("--json", type=Path, help="keep what was measured here; what is there already is not run again")
    parser.add_argument("--zh", action="store_true", help="in Chinese")
    parser.add_argument("--seeds", default="0", help="of split, order and first weights, separated by commas")
    return parser


def data_of(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> Path:
    folder = arguments.data
    if folder is None:
        parser.error("no text given: --data FOLDER or RGZ_BENCH_DATA")
    if not Path(folder, "rustgpt-chinese").is_dir():
        parser.error(f"{folder} holds no folder rustgpt-chinese")
    return Path(folder)


def seeds_of(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> list[int]:
    try:
        return [int(seed) for seed in arguments.seeds.split(",")]
    except ValueError:
        parser.error(f"--seeds must be integers separated by commas, got '{arguments.seeds}'")


def main() -> None:
    parser = common_arguments("python -m benches.guide", __doc__.splitlines()[0])
    parser.add_argument("--only", metavar="ITEM,...", help="items by number or name")
    parser.add_argument("--part", choices=(TIME, LOSS), help="measure this only")
    parser.add_argument("--limit", type=int, metavar="N", help="make N runs of those missing in --json; 0 for a table")
    arguments = parser.parse_args()
    items, seeds = chosen_items(arguments.only, parser), seeds_of(arguments, parser)
    results = Results(data_of(arguments, parser), arguments.json, arguments.limit)
    measure(results, items, [arguments.part] if arguments.part else [TIME, LOSS], seeds)
    print(Table(results, seeds, arguments.zh).markdown(items))


if __name__ == "__main__":
    main()
