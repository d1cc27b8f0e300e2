"""The command: see the package."""

import argparse
import faulthandler
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings

from rgz.cpu import peak_bytes

from .formats import FORMATS
from .run import fuzz, whole

SPACE = 2 << 30  # bytes of address space beyond those of a program that has read the whole files


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Damaged files of every format.")
    parser.add_argument("--count", type=int, default=10_000, help="files of each format")
    parser.add_argument("--first", type=int, default=0, help="number of the first")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--format", action="append", choices=sorted(FORMATS), help="only this one; may be repeated")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return child(options)
    # No matter whose caches, whose temporary folders: the children have their own.
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "XDG_CACHE_HOME": folder, "TMPDIR": folder, "RGZ_LANG": "en"}
        bad = [name for name in options.format or FORMATS if not watch(name, options, environment)]
    print(f"failed: {' '.join(bad)}" if bad else "all were refused or read correctly")
    return 1 if bad else 0


def watch(name: str, options: argparse.Namespace, environment: dict[str, str]) -> bool:
    """Run one format in a child; a crash, or a silence, costs the case in which it came, and is told."""
    first, last, crashes, began = options.first, options.first + options.count, [], time.perf_counter()
    summary: dict = {"counts": {}, "failures": [], "peak": 0, "resident": 0}
    while first < last:
        command = [
            sys.executable, "-m", __package__, "--child", "--format", name, "--first", str(first), "--count",
            str(last - first), "--seed", str(options.seed),
        ]  # fmt: skip
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        number, answer = first - 1, None
        for line in process.stdout:
            if line.startswith("{"):
                answer = json.loads(line)
            else:
                number = int(line)
        code = process.wait()
        if answer is None:
            crashes.append(f"{name} {number}: ended with {code}")
            first = number + 1
            continue
        for key, count in answer["counts"].items():
            summary["counts"][key] = summary["counts"].get(key, 0) + count
        summary["failures"] += answer["failures"]
        summary["peak"] = max(summary["peak"], answer["peak"])
        summary["resident"] = max(summary["resident"], answer["resident"])
        first = last
    counts = ", ".join(f"{key} {count:,}" for key, count in sorted(summary["counts"].items()))
    seconds = time.perf_counter() - began
    peak, more = f"{summary['peak'] / 1e6:.2f}", f"{summary['resident'] / 1e6:.0f}"
    print(f"{name:18} {counts}; crashed {len(crashes)}; at most {FORMATS[name].factor} x size + {peak} MB", end="; ")
    print(f"process +{more} MB; {seconds:.0f} s", flush=True)
    for failure in [*crashes, *summary["failures"][:20]]:
        print("   ", failure, flush=True)
    return not crashes and not summary["failures"]


def child(options: argparse.Namespace) -> int:
    """Read the files of one format; print each number, at last the outcome."""
    faulthandler.enable()
    faulthandler.dump_traceback_later(600, exit=True)
    warnings.simplefilter("ignore")
    (name,) = options.format
    whole(name)
    with open("/proc/self/statm") as file:
        space = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (space + SPACE, resource.RLIM_INFINITY))
    before = peak_bytes()

    def begun(number: int) -> None:
        if number % 100 == 0:
            faulthandler.dump_traceback_later(600, exit=True)  # C that does not come back, or a wait
        print(number, flush=True)

    outcome = fuzz(name, range(options.first, options.first + options.count), options.seed, alarm=True, begun=begun)
    answer = {
        "counts": outcome.counts, "failures": outcome.failures, "peak": outcome.peak,
        "resident": peak_bytes() - before,
    }  # fmt: skip
    print(json.dumps(answer), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
