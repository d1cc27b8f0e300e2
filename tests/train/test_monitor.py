"""What a run tells: durations, the report line, JSON, remaining time, and the sentences at the end."""

import json
import math

import pytest

from rgz.train import verdicts
from rgz.train.monitor import format_duration, format_report, to_json
from rgz.train.timer import Timer

REPORT = {
    "step": 1, "loss": 4.1234, "perplexity": math.exp(4.1234), "learning_rate": 0.001, "grad_norm": 1.2345,
    "samples_per_second": 123.4, "tokens_per_second": 4567.0, "eta_seconds": 83.0,
}  # fmt: skip


@pytest.fixture(autouse=True)
def language(monkeypatch):
    monkeypatch.setenv("RGZ_LANG", "en")


def test_the_line_of_the_guide():
    assert format_report(REPORT, 500) == (
        "[  1/500] Loss 4.1234 | PPL 61.77 | LR 0.001000 | Grad 1.2345 | "
        "Speed 123.4 samples/s | 4,567 tokens/s | ETA 1m23s"
    )


def test_the_line_with_validation_small_rates_and_gaps():
    report = {
        **REPORT, "val_loss": 5.0, "val_perplexity": math.exp(5), "learning_rate": 1e-6, "grad_norm": None,
        "tokens_per_second": None, "loss": None, "perplexity": None, "eta_seconds": None,
    }  # fmt: skip
    assert format_report(report, 9) == (
        "[1/9] Loss -- | PPL -- | Val loss 5.0000 | Val PPL 148.41 | LR 1.00e-06 | Grad -- | "
        "Speed 123.4 samples/s | -- tokens/s | ETA --"
    )


@pytest.mark.parametrize(
    "seconds, text",
    [
        (0, "0s"),
        (59.4, "59s"),
        (59.6, "1m00s"),
        (83, "1m23s"),
        (7500, "2h05m"),
        (273600, "3d04h"),
        (math.inf, "--"),
    ],
)
def test_durations(seconds, text):
    assert format_duration(seconds) == text


def test_json_has_null_where_there_is_no_number():
    assert json.loads(to_json({"a": math.nan, "b": [math.inf, 1.5], "c": (2,)})) == {
        "a": None,
        "b": [None, 1.5],
        "c": [2],
    }


def test_the_timer_parts_training_evaluation_and_the_rest():
    now = [0.0]
    timer = Timer(lambda: now[0])
    assert timer.eta(5, 1) is None
    for seconds in (10.0, 1.0, 1.0):  # the first step is slow and not typical
        now[0] += seconds
        timer.step_done(100, 4)
    assert timer.speeds() == (300 / 12.0, 12 / 12.0)
    assert timer.speeds() == (None, None)
    now[0] += 5.0
    timer.evaluation_done()
    assert timer.eta(10, 2) == 10 * 1.0 + 2 * 5.0
    assert timer.save_time() == 0.0
    for seconds in (3.0, 5.0):
        now[0] += seconds
        timer.save_done()
    assert (timer.eta(10, 0), timer.saves, timer.save_time()) == (10 * 1.0, 2, 4.0)
    now[0] += 3.0
    timer.other_done()
    assert timer.eta(10, 0) == 10 * (1.0 + 3.0 / 3)
    now[0] += 7.0
    assert (timer.since_save(), timer.elapsed()) == (10.0, 35.0)


def curve(losses, vals=None, norms=None):
    history = [{"step": i + 1, "loss": loss, "grad_norm": 1.0} for i, loss in enumerate(losses)]
    for report, val in zip(history, vals or [], strict=False):
        report["val_loss"] = val
    for report, norm in zip(history, norms or [], strict=False):
        report["grad_norm"] = norm
    return history


def test_a_good_run_needs_no_words():
    assert verdicts(curve([5, 4, 3, 2.5], [5, 4, 3.2, 2.9])) == []
    assert verdicts([]) == [] and verdicts(curve([3.0])) == []


def test_overfitting_names_step_and_losses():
    [sentence] = verdicts(curve([5, 4, 3, 2], [5, 4.2, 4.4, 4.6]))
    assert "overfitting: the validation loss was best at step 2 (4.2000) and rose to 4.6000" in sentence


def test_a_validation_loss_that_only_wobbles_is_no_overfitting():
    assert verdicts(curve([5, 4, 3.9, 3.8], [5, 4.2, 4.22, 4.21])) == []


def test_both_losses_rising_is_not_called_overfitting():
    assert not any("overfitting" in s for s in verdicts(curve([5, 4, 4.5, 5], [5, 4, 4.6, 4.9])))


def test_memorising_gives_both_perplexities():
    [sentence] = verdicts(curve([5, 2, 1.0, 0.5], [5, 4, 3.5, 3.5]))
    assert "memorised: perplexity is 1.65 on the training text but 33.12 on text held out" in sentence


def test_nothing_learned():
    [sentence] = verdicts(curve([5.0, 4.99, 5.2, 4.95]))
    assert "nothing was learned: the training loss began at 5.0000 and never got below 4.9500" in sentence
    assert verdicts(curve([5.0, 4.8])) == []


def test_an_explosion_is_measured_by_the_median_before_it():
    [sentence] = verdicts(curve([5, 4, 3, 3, 3, 3, 3], norms=[1, 1, 2, 1, 1, 30, 1]))
    assert "the gradient exploded at step 6: norm 30, 30 times its median" in sentence
    assert verdicts(curve([5, 4, 3, 3, 3, 3], norms=[1, 1, 1, 1, 1, 9])) == []


def test_skipped_updates_and_gaps_are_said_and_survived():
    [sentence] = verdicts(curve([5, None, 3], [None, math.nan, 3.2], [1, None, 1]), skipped_updates=4)
    assert sentence.startswith("4 updates were skipped")
