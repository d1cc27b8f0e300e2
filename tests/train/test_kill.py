"""Killed at any moment, as by a phone that needs the memory: the resumed run ends with the bytes of the whole one."""

import json
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked children")

SENTENCES = (
    "太阳从东方升起，照亮了山谷。",
    "月亮在夜里反射太阳的光。",
    "长江是中国最长的河，流进东海。",
    "春天来了，花园里开满了花。",
)
MODEL = """
    --tokenizer char --hidden-size 16 --num-hidden-layers 1 --num-attention-heads 2 --num-key-value-heads 1
    --max-position-embeddings 64 --max-length 32 --batch-size 2 --n-threads 1 --dropout 0.1
"""
TIMES = ("tokens_per_second", "samples_per_second", "eta_seconds")
PHASES = {
    "starting", "before the first checkpoint", "between checkpoints", "writing a checkpoint", "dropping an old one",
}  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """request -> answer of forking.py."""
    environment = {**os.environ, "RGZ_LANG": "en", "RGZ_NUM_THREADS": "1"}
    log = str(tmp_path_factory.mktemp("log") / "log.txt")
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("forking.py"))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
    ) as process:  # fmt: skip

        def ask(folder, args, kill_after=None, kill_before=None):
            request = {
                "args": [str(arg) for arg in args], "folder": str(folder), "log": log,
                "kill_after": kill_after, "kill_before": kill_before,
            }  # fmt: skip
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())
            assert answer["status"] in (0, -9), Path(log).read_text(encoding="utf-8")[-2000:]
            return answer

        yield ask
        process.stdin.close()


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "my.txt"
    path.write_text("".join(f"{SENTENCES[i % 4]}{SENTENCES[(i * 3 + 1) % 4]}\n" for i in range(40)), encoding="utf-8")
    return path


def next_command(folder, flags):
    """What a user types who finds `folder` as it is."""
    if (folder / "training_args.json").exists():
        return ["resume", folder]
    return ["train", "-o", folder, "--overwrite", *flags]


def contents(folder):
    """Every file of a finished run, but for times."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_dir():
            found[name] = None
        elif path.name == "metrics.jsonl":
            reports = [json.loads(line) for line in path.read_text().splitlines()]
            found[name] = [{k: v for k, v in report.items() if k not in TIMES} for report in reports]
        elif path.name == "state.json":
            state = json.loads(path.read_text())
            found[name] = [state["n_updates"], state["best"], state["callbacks"], state["sha256_of_files"]]
        elif path.name == "training_args.json":
            arguments = json.loads(path.read_text())["arguments"]
            found[name] = {k: v for k, v in arguments.items() if k != "output_dir"}
        else:
            found[name] = path.read_bytes()
    return found


def phase(folder):
    """What the killed process was doing, by what it left."""
    names = os.listdir(folder) if folder.exists() else []
    if any(name.endswith(".old") for name in names):
        return "dropping an old one"
    if any(name.startswith(".checkpoint-") for name in names):
        return "writing a checkpoint"
    if "training_args.json" not in names:
        return "starting"
    if any(name.startswith("checkpoint-") for name in names):
        return "between checkpoints"
    return "before the first checkpoint"


def test_fifty_kills_at_random_moments(server, text, tmp_path):
    flags = [
        text, *MODEL.split(), "--max-steps", 150, "--save-steps", 3, "--eval-steps", 5, "--logging-steps", 2,
        "--learning-rate", 0.05, "--save-total-limit", 2,
    ]  # fmt: skip
    whole = tmp_path / "whole"
    seconds = server(whole, ["train", "-o", whole, *flags])["seconds"]
    expected, moments, hit = contents(whole), random.Random(3), Counter()
    while hit.total() < 50 or any(hit[name] == 0 for name in PHASES):
        assert hit.total() < 1000, hit
        run = tmp_path / f"run-{hit.total()}"
        while server(run, next_command(run, flags), kill_after=moments.uniform(0, seconds / 2))["status"] == -9:
            hit[phase(run)] += 1
        assert contents(run) == expected
    print(hit)


def test_a_kill_before_every_single_operation_on_a_file(server, text, tmp_path):
    flags = [
        text, *MODEL.split(), "--max-steps", 6, "--save-steps", 3, "--eval-steps", 2, "--logging-steps", 1,
        "--learning-rate", 0.05, "--save-total-limit", 1,
    ]  # fmt: skip
    whole = tmp_path / "whole"
    operations = server(whole, ["train", "-o", whole, *flags], kill_before=10**9)["operations"]
    expected, hit = contents(whole), Counter()
    assert operations > 50
    for number in range(operations):
        run = tmp_path / f"run-{number}"
        assert server(run, ["train", "-o", run, *flags], kill_before=number)["status"] == -9
        hit[phase(run)] += 1
        assert server(run, next_command(run, flags))["status"] == 0
        assert contents(run) == expected, number
    assert set(hit) == PHASES
    print(hit, operations)
