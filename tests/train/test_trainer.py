"""The loop: what it reports, when it evaluates, what accumulation means, what it refuses."""

import json
import math
import os
import re

import numpy as np
import pytest
from train.fakes import FakeModel, FakeStep, token_data

from rgz.data import Dataset
from rgz.text import ByteTokenizer
from rgz.train import Callback, mean_loss

KEYS = [
    "step", "epoch", "loss", "perplexity", "learning_rate", "grad_norm", "tokens_per_second",
    "samples_per_second", "eta_seconds", "num_input_tokens_seen", "skipped",
]  # fmt: skip


def test_it_learns_and_reports_what_the_interface_promises(make_trainer):
    trainer = make_trainer(num_train_epochs=10)
    history = trainer.train()
    assert all(list(report)[: len(KEYS)] == KEYS for report in history)
    assert history[-1]["val_loss"] < 0.7 * math.log(12)
    assert history[-1]["loss"] < history[0]["loss"]
    assert all(math.isclose(report["perplexity"], math.exp(report["loss"])) for report in history)
    lines = (trainer.run.path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == history
    assert history[-1]["step"] == trainer.plan.max_steps == 80
    assert history[-1]["epoch"] == 10.0
    assert history[-1]["eta_seconds"] == 0.0
    # 32 documents a 10 epochs; every document of n ids gives n - 1 rows
    assert history[-1]["num_input_tokens_seen"] == 10 * trainer.plan.train.n_targets


def test_evaluation_comes_once_an_epoch_or_every_eval_steps_and_at_the_end(make_trainer):
    def evaluated(**arguments):
        history = make_trainer(output_dir=None, **arguments).train()
        return [report["step"] for report in history if "val_loss" in report]

    assert evaluated(num_train_epochs=3) == [8, 16, 24]
    assert evaluated(eval_steps=7) == [7, 14, 16]
    assert evaluated(max_steps=5) == [5]


def test_reports_come_every_logging_steps_and_with_each_evaluation(make_trainer):
    history = make_trainer(logging_steps=5).train()
    assert [report["step"] for report in history] == [5, 8, 10, 15, 16]


def test_the_lines_are_those_of_the_guide(make_trainer):
    trainer = make_trainer(validation_split=0.0)
    trainer.train()
    number = r"\d+\.\d+"
    pattern = (
        rf"\[ 3/20\] Loss \d\.\d{{4}} \| PPL {number} \| LR \d\.\d{{6}} \| Grad \d\.\d{{4}} \| "
        rf"Speed {number} samples/s \| [\d,]+ tokens/s \| ETA \d+s"
    )
    assert re.fullmatch(pattern, trainer.output().splitlines()[0])


def test_a_terminal_gets_a_bar_and_the_same_lines(make_trainer):
    trainer = make_trainer()
    trainer._console._stream.isatty = lambda: True
    trainer.train()
    assert "[ 3/16] Loss" in trainer.output()


def test_the_last_report_of_an_epoch_covers_the_steps_since_the_one_before(make_trainer):
    """Token-weighted over reports, the losses give the mean over all tokens of all updates."""
    sums = []

    class Recording(FakeStep):
        def accumulate(self, batch):
            loss = super().accumulate(batch)
            sums.append((loss, batch.n_targets))
            return loss

    trainer = make_trainer(step_factory=Recording, logging_steps=100, num_train_epochs=1)
    [report] = trainer.train()
    assert report["loss"] == pytest.approx(sum(s for s, _ in sums) / sum(n for _, n in sums), rel=1e-12)


def test_four_batches_of_four_are_one_batch_of_sixteen(make_trainer):
    """Ragged: documents of 3 to 12 tokens; 40 documents leave a tail of half an update, which is flushed."""

    def run(**arguments):
        trainer = make_trainer(output_dir=None, validation_split=0.0, logging_steps=1, **arguments)
        return trainer.train(), trainer.model.table

    small, a = run(batch_size=4, gradient_accumulation_steps=4)
    large, b = run(batch_size=16)
    assert [r["step"] for r in small] == [r["step"] for r in large] == list(range(1, 7))
    # Sums of some 300 float32 terms in another order, over 6 updates.
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)
    assert [r["loss"] for r in small] == pytest.approx([r["loss"] for r in large], rel=1e-5)
    assert [r["grad_norm"] for r in small] == pytest.approx([r["grad_norm"] for r in large], rel=1e-4)


def test_the_learning_rate_follows_the_schedule_by_updates(make_trainer):
    trainer = make_trainer(logging_steps=1, gradient_accumulation_steps=2, warmup_steps=2)
    history = trainer.train()
    rates = {report["step"]: report["learning_rate"] for report in history}
    assert rates == {step: 0.5 * trainer.plan.schedule(step - 1) for step in range(1, 9)}
    assert rates[1] < rates[2] < rates[3] == 0.5 > rates[8]


def test_no_validation_is_said_and_the_run_goes_on(make_trainer):
    trainer = make_trainer(train=token_data(1, longest=60), max_length=16)
    history = trainer.train()
    assert "too few to hold one out" in trainer.output()
    assert "val_loss" not in history[-1] and trainer.best is None


def test_given_validation_data_is_used_whole(make_trainer):
    trainer = make_trainer(val=token_data(7, seed=5))
    history = trainer.train()
    assert trainer.plan.val.n_documents == 7 and trainer.plan.train.n_documents == 40
    loss, n_targets = mean_loss(trainer.step, trainer.plan.val_batches)
    assert n_targets == trainer.plan.val.n_targets
    assert min(r["val_loss"] for r in history if "val_loss" in r) == loss  # the best weights are back


def test_steps_override_epochs_and_a_part_of_an_epoch_counts(make_trainer):
    assert len(make_trainer(output_dir=None, max_steps=11, logging_steps=1).train()) == 11
    assert make_trainer(output_dir=None, num_train_epochs=0.5).train()[-1]["step"] == 4


def test_a_time_limit_ends_the_run_cleanly(make_trainer):
    trainer = make_trainer(max_time=4, num_train_epochs=100)
    history = trainer.train()
    assert 0 < history[-1]["step"] < 100 and "val_loss" in history[-1]
    assert "the time limit of 4s is reached; go on with: Trainer(...).train(" in trainer.output()
    assert trainer.run.checkpoints() and (trainer.run.path / "model.safetensors").exists()


def test_the_remaining_time_is_right_to_a_fifth_from_the_tenth_report_on(make_trainer):
    clock = type("Clock", (), {"now": 0.0, "__call__": lambda self: self.now})()

    class Slow(FakeStep):
        def accumulate(self, batch):
            clock.now += 0.5 if self.calls else 20.0  # the first step touches all memory first
            return super().accumulate(batch)

        def evaluate(self, batch):
            clock.now += 1.0
            return super().evaluate(batch)

    stamps = []

    class Stamp(Callback):
        def on_log(self, trainer, state):
            stamps.append((clock.now, state.log_history[-1]["eta_seconds"]))

    make_trainer(clock=clock, step_factory=Slow, callbacks=[Stamp()], num_train_epochs=12).train()
    for now, eta in stamps[9:]:
        assert eta == pytest.approx(clock.now - now, rel=0.2, abs=1e-9)


def test_a_tokenizer_smaller_than_the_model_is_fine(make_trainer):
    make_trainer(output_dir=None, model=FakeModel(20)).train()


def test_a_list_of_texts_is_as_good_as_a_dataset(make_trainer):
    def planned(train):
        trainer = make_trainer(output_dir=None, model=FakeModel(300), train=train)
        trainer.tokenizer = ByteTokenizer()
        return trainer.prepare().identity

    texts = ["太阳从东方升起。", "人民在学习人工智能。", "合久必分"]
    assert planned(texts) == planned(Dataset(texts))


def test_no_output_folder_writes_nothing(make_trainer, tmp_path):
    make_trainer(output_dir=None).train()
    assert os.listdir(tmp_path) == []


def test_the_run_directory_says_how_the_run_was_made(make_trainer):
    trainer = make_trainer(num_train_epochs=1)
    trainer._run_info = {"task": "train", "data": ["a.txt"]}
    trainer.train()
    args, info = trainer.run.read_arguments()
    assert args == trainer.args and info == {"task": "train", "data": ["a.txt"]}
    names = {"config.json", "tokenizer.json", "training_args.json", "metrics.jsonl", "model.safetensors"}
    assert set(os.listdir(trainer.run.path)) == names | {"checkpoint-8"}


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(make_trainer):
    def weights(seed):
        trainer = make_trainer(output_dir=None, seed=seed, model=FakeModel())
        trainer.train()
        return trainer.model.table

    np.testing.assert_array_equal(weights(1), weights(1))
    assert (weights(1) != weights(2)).any()
