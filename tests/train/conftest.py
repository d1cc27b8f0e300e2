import io

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
