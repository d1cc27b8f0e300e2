import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from train.fakes import FakeClock, FakeModel, FakeStep, FakeTokenizer, token_data

from rgz.config import TrainingArguments
from rgz.train import Trainer


@pytest.fixture(autouse=True)
def english(monkeypatch):
    monkeypatch.setenv("RGZ_LANG", "en")


@pytest.fixture
def make_trainer(tmp_path):
    """Trainer on the fake model; keyword arguments are TrainingArguments, or of the fixture itself."""

    def make(*, train=None, val=None, callbacks=(), clock=None, step_factory=FakeStep, model=None, **arguments):
        defaults = {
            "output_dir": str(tmp_path / "run"), "num_train_epochs": 2, "batch_size": 4, "max_length": 16,
            "learning_rate": 0.5, "packing": False, "logging_steps": 3, "save_seconds": None,
            "validation_split": 0.2,
        }  # fmt: skip
        trainer = Trainer(
            model or FakeModel(),
            FakeTokenizer(),
            token_data() if train is None else train,
            val,
            TrainingArguments(**{**defaults, **arguments}),
            callbacks,
            step_factory=step_factory,
            clock=clock or FakeClock(),
            stream=io.StringIO(),
        )
        trainer.output = trainer._console._stream.getvalue
        return trainer

    return make


@pytest.fixture(scope="session")
def forked(tmp_path_factory):
    """forked(folder, *args, **request): run a command of rgz in a forked child; see forking.py for requests.

    The answer holds what the child printed besides, as "output".
    """
    environment = {**os.environ, "RGZ_LANG": "en", "RGZ_NUM_THREADS": "1"}
    log = tmp_path_factory.mktemp("forked") / "log.txt"
    nothing = {"kill_after": None, "kill_before": None, "full_from": None, "file_size": None}
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("forking.py"))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
    ) as process:  # fmt: skip

        def run(folder, *args, **request):
            request = {**nothing, **request, "args": [str(arg) for arg in args], "folder": str(folder), "log": str(log)}
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())
            return {**answer, "output": log.read_text(encoding="utf-8", errors="replace")}

        yield run
        process.stdin.close()
