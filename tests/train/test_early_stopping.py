"""Early stopping on given values: the traces of Keras's rule and of the guide's algorithm."""

import contextlib
import inspect
import math

import numpy as np
import pytest

from rgz.errors import RgzError
from rgz.safetensors import load_file
from rgz.train import BestWeights, Callback, EarlyStopping


def trace(values, **arguments):
    """(wait after each value, index at which it says stop or None)."""
    stopping, waits = EarlyStopping(**arguments), []
    for index, value in enumerate(values):
        stop = stopping.update(value)
        waits.append(stopping.wait)
        if stop:
            return waits, index
    return waits, None


def guide(losses, patience, min_delta):
    """The algorithm as the guide writes it down, kept apart from the code under test."""
    best, counter = math.inf, 0
    for index, loss in enumerate(losses):
        if loss < best - min_delta:
            best, counter = loss, 0
        else:
            counter += 1
            if counter >= patience:
                return index
    return None


def test_the_rule_by_hand():
    values = [3.0, 2.5, 2.495, 2.6, 2.4, 2.4, 2.4]
    assert trace(values, min_delta=0.01, patience=2) == ([0, 0, 1, 2], 3)
    assert trace(values, min_delta=0.0, patience=2) == ([0, 0, 0, 1, 0, 1, 2], 6)
    assert trace(values, patience=4) == ([0, 0, 0, 1, 0, 1, 2], None)


def test_an_improvement_of_exactly_min_delta_is_none():
    assert trace([2.0, 1.5], min_delta=0.5, patience=1) == ([0, 1], 1)


def test_patience_zero_stops_at_the_first_that_is_no_improvement():
    assert trace([2.0, 1.0, 1.0]) == ([0, 0, 1], 2)


@pytest.mark.parametrize("seed", range(20))
def test_it_stops_where_the_guide_stops(seed):
    rng = np.random.default_rng(seed)
    losses = 2 + 3 * np.exp(-np.arange(60) / 10) + rng.normal(0, 0.05, 60)
    for patience in (1, 3, 10):
        for min_delta in (0.0, 0.001, 0.05):
            expected = guide(losses, patience, min_delta)
            assert trace(losses.tolist(), patience=patience, min_delta=min_delta)[1] == expected


# The guide's algorithm by hand, patience 3, min_delta 0.25: loss, best loss, its epoch, epochs without improvement.
TRACE = [
    (4.0, 4.0, 1, 0),
    (3.5, 3.5, 2, 0),
    (3.25, 3.5, 2, 1),  # lower by exactly min_delta: not enough
    (3.375, 3.5, 2, 2),
    (3.125, 3.125, 5, 0),
    (3.0, 3.125, 5, 1),
    (2.9375, 3.125, 5, 2),  # the lowest loss of all, and still no improvement by the rule
    (4.0, 3.125, 5, 3),  # stop
]


def test_the_trace_of_the_guide_written_out_by_hand():
    stopping = EarlyStopping("loss", patience=3, min_delta=0.25)
    for epoch, (loss, best, best_epoch, wait) in enumerate(TRACE, 1):
        assert stopping.update(loss, epoch) == (epoch == len(TRACE))
        assert (stopping.best, stopping.best_epoch, stopping.wait) == (best, best_epoch, wait)


def test_a_run_follows_the_trace_and_gives_back_the_weights_of_the_lowest_loss(make_trainer):
    losses, seen = iter([loss for loss, *_ in TRACE]), []

    class Watch(Callback):
        def on_evaluate(self, trainer, state):
            seen.append((state.metrics["val_loss"], stopping.best, stopping.best_epoch, stopping.wait))
            self.weights = {**getattr(self, "weights", {}), len(seen): trainer.model.table.copy()}

    stopping, watch = EarlyStopping(patience=3, min_delta=0.25, verbose=1, restore_best_weights=True), Watch()
    trainer = make_trainer(num_train_epochs=50, callbacks=[stopping, watch])
    trainer.evaluate = lambda: {"val_loss": next(losses), "val_perplexity": 1.0}
    assert trainer.train()[-1]["epoch"] == 8
    assert seen == TRACE
    np.testing.assert_array_equal(trainer.model.table, watch.weights[7])
    said = trainer.output()
    assert said.count("val_loss has not improved for") == 5
    assert "val_loss has not improved for 2 of 3 evaluations (by more than 0.25 over 3.5000 after 2 epochs)" in said
    assert (
        "early stopping: val_loss has not improved for 3 evaluations (by more than 0.25 over 3.1250 after 5 epochs)"
        in said
    )
    assert "the weights are those of step 56: val_loss 2.9375" in said


class Fail(Callback):
    def __init__(self, error, event):
        setattr(self, event, self.fail)
        self.error = error

    def fail(self, trainer, state):
        if state.step == 6:
            raise self.error


ENDINGS = {
    "early stopping": ({"early_stopping_patience": 2}, None),
    "the last step": ({"max_steps": 7}, None),
    "the time limit": ({"max_time": 3.0}, None),
    "a callback": ({}, None),
    "ctrl-c": ({}, Fail(KeyboardInterrupt, "on_step_end")),
    "ctrl-c at an evaluation": ({}, Fail(KeyboardInterrupt, "on_evaluate")),
    "ctrl-c twice": ({}, Fail(KeyboardInterrupt, "on_step_end")),
    "an exception": ({}, Fail(MemoryError, "on_step_end")),
    "a full disk": ({"save_steps": 6}, None),
}


@pytest.mark.parametrize("by", ["arguments", "callback"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_the_best_weights_come_back_however_training_ends(make_trainer, monkeypatch, ending, by):
    import rgz.train.checkpoint as module

    settings, callback = ENDINGS[ending]
    losses, best = iter([3.0, 1.0] + [2.0] * 50), {}

    class Watch(Callback):
        def on_evaluate(self, trainer, state):
            best[state.step] = trainer.model.table.copy()

        def on_step_end(self, trainer, state):
            if ending == "a callback" and state.step == 6:
                trainer.stop("enough")

    def failing(path, tensors, metadata):
        raise KeyboardInterrupt if ending == "ctrl-c twice" else OSError(28, "No space left on device")

    if ending in ("ctrl-c twice", "a full disk"):
        monkeypatch.setattr(module, "save_file", failing)
    stopping = [EarlyStopping(patience=99, restore_best_weights=True)] if by == "callback" else []
    fail = [callback] if callback else []
    trainer = make_trainer(
        num_train_epochs=50, eval_steps=2, load_best_model_at_end=by == "arguments",
        callbacks=[Watch(), *fail, *stopping], **settings,
    )  # fmt: skip
    trainer.evaluate = lambda: {"val_loss": next(losses), "val_perplexity": 1.0}
    with contextlib.suppress(KeyboardInterrupt, MemoryError, RgzError):
        trainer.train()
    assert 5 < trainer.state.step < 60
    np.testing.assert_array_equal(trainer.model.table, best[4])
    if ending != "ctrl-c twice":
        np.testing.assert_array_equal(load_file(trainer.run.path / "model.safetensors")["table"], best[4])


def test_any_metric_that_is_logged_can_be_watched_and_no_other(make_trainer):
    history = make_trainer(num_train_epochs=1).train()
    logged = [name for name in history[-1] if name not in ("step", "epoch")]
    assert {"loss", "val_loss", "val_perplexity", "learning_rate", "grad_norm", "tokens_per_second"} <= set(logged)
    for name in logged:
        stopping = EarlyStopping(name, patience=9)
        make_trainer(output_dir=None, num_train_epochs=3, callbacks=[stopping]).train()
        assert stopping.best is not None
    with pytest.raises(RgzError, match="unknown metric 'accuracy'; known are: loss, "):
        make_trainer(output_dir=None, callbacks=[EarlyStopping("accuracy", patience=9)]).train()


def test_nan_is_never_an_improvement():
    assert trace([math.nan, 2.0, math.nan, None], patience=3) == ([1, 0, 1, 2], None)


def test_a_higher_speed_is_better():
    assert trace([10.0, 12.0, 11.0], monitor="tokens_per_second", patience=1) == ([0, 0, 1], 2)
    assert trace([1.0, 2.0, 3.0], mode="max", patience=1) == ([0, 0, 0], None)


def test_below_the_baseline_waiting_goes_on_as_in_keras():
    assert trace([3.0, 2.5, 1.9, 1.8], baseline=2.0, patience=9) == ([1, 2, 0, 0], None)
    # An improvement never stops, even out of patience; the next value that is none does.
    assert trace([3.0, 2.5, 2.4, 2.4], baseline=2.0, patience=2) == ([1, 2, 3, 4], 3)


def test_an_unknown_mode_is_refused():
    with pytest.raises(RgzError, match="did you mean 'max'"):
        EarlyStopping(mode="maxx")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"patience": True}, "patience must be >= 0, got True"),
        ({"start_from_epoch": False}, "start_from_epoch must be >= 0, got False"),
        ({"min_delta": True}, "min_delta must be a finite number, got True"),
        ({"restore_best_weights": "no"}, "restore_best_weights must be true or false, got 'no'"),
        ({"restore_best_weights": 1}, "restore_best_weights must be true or false, got 1"),
        ({"patience": -1}, "patience must be >= 0, got -1"),
        ({"patience": 1.5}, "patience must be >= 0, got 1.5"),
        ({"start_from_epoch": -1}, "start_from_epoch must be >= 0, got -1"),
        ({"min_delta": math.nan}, "min_delta must be a finite number, got nan"),
        ({"baseline": "2"}, "baseline must be a finite number, got '2'"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(arguments, message):
    with pytest.raises(RgzError, match=message):
        EarlyStopping(**arguments)


def test_the_arguments_are_those_of_keras_in_its_order():
    names = list(inspect.signature(EarlyStopping).parameters)
    assert names == [
        "monitor", "min_delta", "patience", "verbose", "mode", "baseline", "restore_best_weights", "start_from_epoch",
    ]  # fmt: skip


def test_its_state_comes_back_for_the_same_metric_only():
    first = EarlyStopping(patience=5)
    for value in (2.0, 3.0, 3.0):
        first.update(value, 1.5)
    second = EarlyStopping(patience=5)
    second.load_state_dict(first.state_dict())
    assert (second.wait, second.best, second.best_epoch) == (2, 2.0, 1.5)
    other = EarlyStopping("loss", patience=5)
    other.load_state_dict(first.state_dict())
    assert (other.wait, other.best) == (0, None)


def test_best_weights_are_those_of_the_best_raw_value_in_memory_of_their_own():
    weights = {"w": np.zeros(3, np.float32)}
    keeper = BestWeights("val_loss")
    assert not keeper.restore(weights), "nothing was ever measured"
    for step, value in enumerate([2.0, 1.999, math.nan, 2.5], start=1):
        weights["w"][:] = step
        keeper.offer(value, step, weights)
    copy = keeper.tensors["w"]
    assert keeper.restore(weights) and (weights["w"] == 2).all() and keeper.step == 2
    weights["w"][:] = 9
    keeper.offer(1.0, 5, weights)
    assert keeper.tensors["w"] is copy and (copy == 9).all()
