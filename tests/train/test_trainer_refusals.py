"""What the trainer refuses, before anything is written."""

import os

import pytest
from train.fakes import FakeModel, token_data

from rgz.data import Dataset
from rgz.errors import RgzError
from rgz.text import ByteTokenizer
from rgz.train import RunDirectory

KEYS = [
    "step", "epoch", "loss", "perplexity", "learning_rate", "grad_norm", "tokens_per_second",
    "samples_per_second", "eta_seconds", "num_input_tokens_seen",
]  # fmt: skip


def test_a_folder_that_holds_a_run_is_refused_unless_told(make_trainer):
    make_trainer(num_train_epochs=1).train()
    again = make_trainer(num_train_epochs=1)
    before = sorted(os.listdir(again.run.path))
    advice = r"go on with it: Trainer\(\.\.\.\)\.train\(resume_.* --overwrite \(overwrite=True\)"
    with pytest.raises(RgzError, match=f"already holds a run; {advice}"):
        again.train()
    assert sorted(os.listdir(again.run.path)) == before
    history = make_trainer(num_train_epochs=2, overwrite=True).train()
    assert RunDirectory(again.run.path).read_history() == history


def test_a_folder_that_cannot_be_written_is_refused_before_any_work(make_trainer, tmp_path):
    (tmp_path / "file").write_text("x")

    def never(*args):
        raise AssertionError("work was done")

    with pytest.raises(RgzError, match=r"cannot be a run directory: .*file is a file"):
        make_trainer(output_dir=str(tmp_path / "file" / "run"), step_factory=never).train()
    if os.path.isdir("/proc/self"):
        with pytest.raises(RgzError, match="cannot write to /proc/self/run"):
            make_trainer(output_dir="/proc/self/run", step_factory=never).train()


def test_bad_input_leaves_nothing_behind(make_trainer, tmp_path):
    for match, arguments in {
        "vocab_size of the model must be .* got 9 and 12; make the model": {"model": FakeModel(9)},
        "vocab_size of the model must be .* got 12 and 13": {"train": token_data(vocab_size=13)},
        "vocab_size of the model must be .* got 12 and 14": {"val": token_data(vocab_size=14)},
        "must be a Dataset, TokenData or a list of texts, got str; .*load_dataset": {"train": "my.txt"},
        "or a list of texts, got list": {"train": [1, 2]},
        "too short for one sequence": {"train": token_data(1, longest=4), "max_length": 16},
        r"max_length must be <= max_position_embeddings .* got 65 and 64": {"max_length": 65},
        "unknown schedule|unknown lr_scheduler": {"lr_scheduler_type": "cosin"},
    }.items():
        with pytest.raises(RgzError, match=match):
            make_trainer(**arguments).train()
    assert os.listdir(tmp_path) == []


def test_a_misspelt_validation_metric_is_named_even_without_validation_data(make_trainer):
    trainer = make_trainer(validation_split=0.0, metric_for_best_model="val_los", load_best_model_at_end=True)
    with pytest.raises(RgzError, match="unknown metric 'val_los'"):
        trainer.train()


def test_what_the_reading_of_the_data_had_to_say_is_said_once(make_trainer):
    data = Dataset(["太阳从东方升起。"] * 40, ["corpus.txt: read as GB18030"])
    outputs = []
    for _ in range(2):
        trainer = make_trainer(train=data, output_dir=None, model=FakeModel(300))
        trainer.tokenizer = ByteTokenizer()
        trainer.train()
        outputs.append(trainer.output())
    assert outputs[0].count("read as GB18030") == 1 and not data.notices
    assert "GB18030" not in outputs[1]
