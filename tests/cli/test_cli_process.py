"""What only a process of its own shows: exit codes, Ctrl-C, closed pipes, the module entry."""

import os
import signal
import subprocess
import time

import pytest
from cli.tiny import TINY

posix = pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")


@pytest.fixture
def training(command, texts, tmp_path):
    """A run that has reported once and would go on for long, and its directory."""
    run = tmp_path / "run"
    process = command("train", texts, "-o", run, *TINY, "--max-steps", 1_000_000, "--logging-steps", 1)
    for line in process.stderr:
        if line.startswith("["):
            break
    return process, run


@posix
def test_ctrl_c_writes_a_checkpoint_and_says_how_to_go_on(training, rgz):
    process, run = training
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert not out and f"rgz resume {run}" in err and "Traceback" not in err
    [checkpoint] = run.glob("checkpoint-*")
    assert int(checkpoint.name.rpartition("-")[2]) > 0
    assert rgz("resume", run, "--max-time", "0.1s").exit_code == 0


@posix
@pytest.mark.parametrize("pressed", [False, True])
def test_training_that_nobody_reads_any_more_can_be_gone_on_with(training, pressed):
    process, run = training
    process.stderr.close()
    if pressed:
        process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 130
    assert [path.name.rpartition("-")[0] for path in run.glob("checkpoint-*")] == ["checkpoint"]


@posix
@pytest.mark.parametrize("arguments", [["generate", "--max-new-tokens", 10_000_000, "--prompt", "太阳"], ["chat"]])
def test_ctrl_c_ends_generation_cleanly(  # greedy, so young a model repeats itself for ever
    command, trained, arguments
):
    name, *flags = arguments
    flags += ["--max-new-tokens", 10_000_000] if name == "chat" else []
    process = command(name, trained, *flags, "--greedy", stdin=subprocess.PIPE)
    if name == "chat":
        process.stdin.write("你好\n")
        process.stdin.flush()
    process.stdout.read(1)
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130 and "Traceback" not in err


@posix
def test_a_reader_that_leaves_is_no_error(command, trained):
    process = command("generate", trained, "--max-new-tokens", 10_000_000, "--greedy")
    process.stdout.read(1)
    process.stdout.close()
    err = process.stderr.read()
    assert process.wait(timeout=30) == 1 and not err


@pytest.mark.parametrize("heard", [True, False])
def test_exit_codes_are_those_of_a_shell(command, tmp_path, heard):
    for arguments, code in ((["--version"], 0), (["eval", tmp_path, tmp_path / "none"], 1), (["eval"], 2)):
        process = command(*arguments)
        if not heard:
            process.stderr.close()
        assert process.wait(timeout=30) == code
