"""Killed at any moment, as by a phone that needs the memory: the resumed run ends with the bytes of the whole one."""

import os
import random
from collections import Counter

import pytest
from train.runs import FLAGS, TEXT, contents, next_command

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked children")

PHASES = {
    "starting", "before the first checkpoint", "between checkpoints", "writing a checkpoint", "dropping an old one",
}  # fmt: skip
OFTEN = ("starting", "between checkpoints", "writing a checkpoint")
KILLED = -9


def phase(folder):
    """What the killed process was at, by what it left."""
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


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "my.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_fifty_kills_at_random_moments_end_with_the_bytes_of_a_run_without(forked, text, tmp_path):
    """One run after the other, until there were fifty, several of them in the middle of a save."""
    flags = [
        text, *FLAGS, "--max-steps", 150, "--save-steps", 4, "--eval-steps", 5, "--logging-steps", 2,
        "--save-strategy", "best+steps", "--save-total-limit", 2, "--save-best-limit", 2,
    ]  # fmt: skip
    whole = tmp_path / "whole"
    seconds = forked(whole, "train", "-o", whole, *flags)["seconds"]
    expected, moments, hit = contents(whole), random.Random(3), Counter()
    while hit.total() < 50 or min(hit[name] for name in OFTEN) < 3:
        assert hit.total() < 300, hit
        run = tmp_path / f"run-{hit.total()}"
        while True:
            longest = seconds / moments.choice((2, 2, 8))  # the start is short: aim at it too
            answer = forked(run, *next_command(run, flags), kill_after=moments.uniform(0, longest))
            if answer["status"] != KILLED:
                break
            hit[phase(run)] += 1
        assert answer["status"] == 0, answer["output"]
        assert contents(run) == expected


def test_a_kill_before_each_single_operation_on_a_file_does_no_harm(forked, text, tmp_path):
    flags = [
        text, *FLAGS, "--max-steps", 4, "--save-steps", 2, "--eval-steps", 2, "--logging-steps", 1,
        "--save-total-limit", 1,
    ]  # fmt: skip
    whole = tmp_path / "whole"
    operations = forked(whole, "train", "-o", whole, *flags, kill_before=10**9)["operations"]
    expected, hit = contents(whole), Counter()
    for number in range(operations):
        run = tmp_path / f"run-{number}"
        assert forked(run, "train", "-o", run, *flags, kill_before=number)["status"] == KILLED
        hit[phase(run)] += 1
        answer = forked(run, *next_command(run, flags))
        assert answer["status"] == 0, answer["output"]
        assert contents(run) == expected, f"killed before operation {number} of {operations}"
    assert set(hit) == PHASES and operations > 50, hit
