"""Accumulated micro-batches are one large batch: with clipping, a tail, resume and early stopping, on a real model."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from train.fakes import InterruptAt

import rgz
from rgz.data import Batches, token_data
from rgz.errors import RgzError
from rgz.train import EarlyStopping
from rgz.train.portions import portions

VOCABULARY, LONGEST = 40, 24
CLIP = 0.5
SETTINGS = {
    "max_length": LONGEST, "packing": False, "num_train_epochs": 3, "learning_rate": 3e-3, "max_grad_norm": CLIP,
    "logging_steps": 1, "report_to": (), "validation_split": 0.0, "save_seconds": None, "n_threads": 1,
}  # fmt: skip


def ragged(n, seed=0):
    """Documents of 2 to 24 targets that count upwards, so that there is something to learn."""
    rng = np.random.default_rng(seed)
    return [((rng.integers(VOCABULARY) + np.arange(rng.integers(3, LONGEST + 2))) % VOCABULARY) for _ in range(n)]


def new_model(**shape):
    config = rgz.ModelConfig(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=LONGEST, **shape,
    )  # fmt: skip
    return rgz.Model(config, seed=3)


def train(*, callbacks=(), resume=None, documents=54, val=None, **arguments):
    model = new_model()
    args = rgz.TrainingArguments(**{**SETTINGS, **arguments})
    trainer = rgz.Trainer(model, None, token_data(ragged(documents)), val, args, callbacks)
    return trainer.train(resume), model.weights.copy(), trainer


KINDS = {
    "shuffled": {},
    "grouped by length": {"group_by_length": True},
    "packed": {"packing": True},
    "packed, grouped by length": {"packing": True, "group_by_length": True},
    "by tokens": {"tokens": True},
    "by tokens, grouped by length": {"tokens": True, "group_by_length": True},
}


@pytest.mark.parametrize("kind", KINDS)
def test_four_batches_of_four_make_the_update_of_one_of_sixteen(kind):
    """54 documents: an epoch ends with an update of 6 sequences, or less text than the others have."""
    settings = dict(KINDS[kind])
    tokens = settings.pop("tokens", False)

    def batches(n):
        return {"batch_tokens" if tokens else "batch_size": n * (LONGEST if tokens else 1), **settings}

    small, a, trainer = train(gradient_accumulation_steps=4, **batches(4))
    large, b, whole = train(**batches(16))
    assert trainer.plan.max_rows <= 4 * LONGEST < whole.plan.max_rows
    epochs, steps = 3, [report["step"] for report in large]
    assert [report["step"] for report in small] == steps and len(steps) >= epochs * 2
    for name in ("loss", "grad_norm"):
        assert [r[name] for r in small] == pytest.approx([r[name] for r in large], rel=1e-4)
    assert all(report["grad_norm"] > CLIP for report in large[:6]), "clipping has to have something to do"
    seen = [report["num_input_tokens_seen"] for report in small]
    assert seen == [report["num_input_tokens_seen"] for report in large]
    assert seen[-1] == 3 * trainer.plan.train.n_targets
    # Adam divides by the root of the squared gradient: where that is rounding error, so is the step.
    moved = np.abs(b - new_model().weights).mean()
    assert np.abs(a - b).mean() < 1e-4 * moved and np.abs(a - b).max() < 1e-2 * np.abs(b).max()


sequences = st.lists(st.lists(st.integers(0, VOCABULARY - 1), min_size=2, max_size=9), min_size=2, max_size=7)


@settings(max_examples=25)
@given(sequences, st.data())
def test_every_token_weighs_the_same_however_sequences_are_cut_into_micro_batches(documents, data):
    cuts = data.draw(st.sets(st.integers(1, len(documents) - 1)))
    bounds = [0, *sorted(cuts), len(documents)]
    gradients = []
    for parts in ([documents], [documents[a:b] for a, b in itertools.pairwise(bounds)]):
        step = rgz.TrainStep(new_model(), n_threads=1)
        for part in parts:
            [batch] = Batches(token_data(part), len(part), LONGEST, packing=False, shuffle=False).epoch(0)
            step.accumulate(batch)
        gradients.append(step.model.gradients.copy())
    # Sums of at most 56 float32 terms in another order.
    np.testing.assert_allclose(gradients[1], gradients[0], rtol=0, atol=64 * 2**-23 * np.abs(gradients[0]).max())


@settings(max_examples=60)
@given(
    st.fixed_dictionaries({"packing": st.booleans(), "group_by_length": st.booleans(), "seed": st.integers(0, 99)}),
    st.one_of(st.none(), st.integers(10, 90)), st.integers(1, 5), st.integers(1, 5), st.integers(1, 60),
    st.integers(0, 3),
)  # fmt: skip
def test_batches_of_any_kind_are_as_large_as_they_are_accumulated(kind, tokens, batch_size, times, n, epoch):
    """And passing through in parts, which hold whole sequences and no more rows than one batch, loses no token."""
    data = token_data(ragged(n, n))
    several = Batches(data, batch_size, 10, batch_tokens=tokens, accumulation=times, **kind)
    large = Batches(data, batch_size * times, 10, batch_tokens=tokens and tokens * times, **kind)
    assert (len(several), several.max_rows) == (len(large), large.max_rows)
    seen = 0
    for batch, whole in zip(several.epoch(epoch), large.epoch(epoch), strict=True):
        np.testing.assert_array_equal(batch.tokens, whole.tokens)
        np.testing.assert_array_equal(batch.cu_seqlens, whole.cu_seqlens)
        parts = list(portions(batch, tokens or batch_size * 10))
        assert max(len(part.tokens) for part in parts) <= (tokens or batch_size * 10)
        np.testing.assert_array_equal(np.concatenate([part.targets for part in parts]), whole.targets)
        seen += len(batch.tokens)
    assert seen == data.n_targets


def test_accumulation_excuses_no_sequence_longer_than_a_batch():
    with pytest.raises(RgzError, match="batch_tokens must be at least 20, the longest sequence of this text, got 12"):
        Batches(token_data([list(range(21))] * 4), 4, 24, batch_tokens=12, accumulation=4)


@settings(max_examples=60)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 60), st.integers(0, 2**32), st.integers(0, 3))
def test_shuffled_micro_batches_are_the_large_batch_in_pieces(batch_size, times, n, seed, epoch):
    data = token_data(ragged(n, seed))
    small = Batches(data, batch_size, 10, packing=False, seed=seed)
    large = Batches(data, batch_size * times, 10, packing=False, seed=seed)
    assert -(-len(small) // times) == len(large)
    for number, whole in enumerate(large.epoch(epoch)):
        parts = [small.batch(epoch, i) for i in range(number * times, min((number + 1) * times, len(small)))]
        np.testing.assert_array_equal(np.concatenate([part.tokens for part in parts]), whole.tokens)
        np.testing.assert_array_equal(np.concatenate([part.targets for part in parts]), whole.targets)


@pytest.mark.parametrize(
    "batch",
    [{"batch_size": 4}, {"batch_size": 2, "packing": True}, {"batch_tokens": 60, "group_by_length": True}],
    ids=str,
)
def test_an_accumulating_run_stopped_at_every_step_ends_with_the_same_bytes(tmp_path, batch):
    def run(folder, **more):
        val = token_data(ragged(9, seed=5))
        stopping = EarlyStopping("val_loss", patience=1, restore_best_weights=True)
        callbacks = [stopping, *more.pop("callbacks", ())]
        more.update(output_dir=str(tmp_path / folder), report_to="jsonl", eval_steps=2, gradient_accumulation_steps=3)
        return train(val=val, callbacks=callbacks, **batch, **more)

    history, weights, whole = run("whole")
    for step in range(1, whole.state.step):
        with pytest.raises(KeyboardInterrupt):
            run("halves", callbacks=[InterruptAt(step)], resume=step > 1)
    resumed, again, trainer = run("halves", resume=True)
    np.testing.assert_array_equal(again, weights)
    assert [(r["step"], r["loss"], r["grad_norm"]) for r in resumed] == [
        (r["step"], r["loss"], r["grad_norm"]) for r in history
    ]
    assert trainer.state.step == whole.state.step and trainer.best.step == whole.best.step


def test_early_stopping_stops_an_accumulating_run_where_it_stops_that_of_large_batches():
    def stopped(**batch):
        stopping = EarlyStopping("val_loss", patience=2, min_delta=1e-3, restore_best_weights=True)
        val = token_data([document[::-1] for document in ragged(20, seed=8)])  # the more is learnt, the worse
        _, weights, trainer = train(callbacks=[stopping], val=val, eval_steps=1, num_train_epochs=20, **batch)
        return stopping.stopped_step, trainer.best.step, weights

    small, large = stopped(batch_size=4, gradient_accumulation_steps=4), stopped(batch_size=16)
    assert small[:2] == large[:2] and small[0] == small[1] + 2 < 80
    assert np.abs(small[2] - large[2]).max() < 1e-2 * np.abs(large[2]).max()
