"""One tiny trained run for all tests of the command line, and the command itself, in process and out of it."""

import json
import os
import subprocess
import sys

import pytest
from cli.tiny import TINY
from click.testing import CliRunner

from rgz.cli.app import build_app

SENTENCES = (
    "太阳从东方升起，照亮了山谷。",
    "月亮在夜里反射太阳的光。",
    "长江是中国最长的河，流进东海。",
    "春天来了，花园里开满了花。",
    "读书使人明白道理。",
    "小猫在窗台上睡觉。",
)
QUESTIONS = (
    ("你是谁？", "我是一个小模型。"),
    ("天空是什么颜色？", "天空是蓝色的。"),
    ("谁照亮了山谷？", "太阳照亮了山谷。"),
)


@pytest.fixture(autouse=True)
def english_on_one_thread(monkeypatch):
    monkeypatch.setenv("RGZ_LANG", "en")
    monkeypatch.setenv("RGZ_NUM_THREADS", "1")  # for such small models more would only wait for one another


@pytest.fixture
def rgz():
    """Run a command in this process: .exit_code, .stdout, .stderr."""

    def run(*args, **options):
        return CliRunner().invoke(build_app(), [str(arg) for arg in args], **options)

    return run


@pytest.fixture
def command():
    """Start a command in a process of its own; the caller waits."""

    def start(*args, environment=(), **options):
        environment = {**os.environ, "RGZ_LANG": "en", "PYTHONIOENCODING": "utf-8", **dict(environment)}
        return subprocess.Popen(
            [sys.executable, "-m", "rgz", *map(str, args)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", env=environment, **options,
        )  # fmt: skip

    return start


@pytest.fixture(scope="session")
def texts(tmp_path_factory):
    """A text of 60 lines."""
    path = tmp_path_factory.mktemp("texts") / "my.txt"
    lines = [f"{SENTENCES[i % 6]}{SENTENCES[(i * 5 + 1) % 6]}" for i in range(50)]
    # Every character of the dialogues, so that none has to be written in bytes.
    lines += [f"{question}用户问，助手说：{answer}" for question, answer in QUESTIONS] * 3 + [SENTENCES[0]]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def dialogues(tmp_path_factory):
    path = tmp_path_factory.mktemp("dialogues") / "chat.jsonl"
    lines = [
        {"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]} for q, a in QUESTIONS * 8
    ]
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def trained(tmp_path_factory, texts):
    """A finished run of `rgz train`; tests read it and do not write to it."""
    folder = tmp_path_factory.mktemp("runs") / "trained"
    result = CliRunner().invoke(build_app(), ["train", str(texts), "-o", str(folder), *TINY, "--max-steps", "8"])
    assert result.exit_code == 0, result.stderr
    return folder


@pytest.fixture(scope="session")
def answering(tmp_path_factory, trained, dialogues):
    """A finished run of `rgz sft`."""
    folder = tmp_path_factory.mktemp("runs") / "answering"
    args = ["sft", str(dialogues), "--from", str(trained), "-o", str(folder), "--max-steps", "150"]
    result = CliRunner().invoke(build_app(), [*args, "--learning-rate", "1e-2", "--n-threads", "1"])
    assert result.exit_code == 0, result.stderr
    return folder
