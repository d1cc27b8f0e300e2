"""One update: against AdamW and clipping in float64, what it does with trouble, and that it allocates no arrays."""

import math
import os
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import rgz
from rgz.train.portions import Portion, most_rows, portions, usual_portion
from rgz.train.ragged import ragged_batch
from rgz.train.step import TrainStep

CONFIG = rgz.ModelConfig(vocab_size=300, hidden_size=64, num_hidden_layers=3, num_attention_heads=4, dropout=0.1)


def batches(count, rows=8, time=64):
    return np.random.default_rng(0).integers(0, 300, (count, rows, time))


def test_update_is_adamw_with_clipping():
    model = rgz.Model(rgz.ModelConfig(vocab_size=30, hidden_size=16, num_hidden_layers=1, num_attention_heads=2))
    settings = rgz.AdamW(lr=0.01, betas=(0.8, 0.9), eps=1e-6, weight_decay=0.5)
    step = rgz.TrainStep(model, settings, max_grad_norm=0.05)
    weights = {name: view.astype(np.float64) for name, view in model.parameters().items()}
    m, v = ({name: np.zeros_like(w) for name, w in weights.items()} for _ in range(2))
    for t in range(1, 4):
        ids = np.random.default_rng(t).integers(0, 30, (2, 9))
        copy = rgz.Model(model.config)
        copy.weights[:] = model.weights
        gradients = gradients_of(copy, ids)
        norm = math.sqrt(sum((g**2).sum() for g in gradients.values()))
        assert step(ids).grad_norm == pytest.approx(norm, rel=1e-4) and norm > 0.05
        for name, w in weights.items():
            g = gradients[name] * 0.05 / norm
            m[name] = 0.8 * m[name] + 0.2 * g
            v[name] = 0.9 * v[name] + 0.1 * g**2
            decay = 0.5 if w.ndim == 2 else 0.0
            adam = m[name] / (1 - 0.8**t) / (np.sqrt(v[name] / (1 - 0.9**t)) + 1e-6)
            weights[name] = w - 0.01 * decay * w - 0.01 * adam
    for name, view in model.parameters().items():
        np.testing.assert_allclose(view, weights[name], rtol=1e-3, atol=1e-4)


def gradients_of(model, ids):
    flat = model.layout.zeros()
    model.bind(flat)
    tokens = np.ascontiguousarray(ids[:, :-1].reshape(-1), np.int32)
    targets = np.ascontiguousarray(ids[:, 1:].reshape(-1), np.int32)
    boundaries = np.arange(0, len(tokens) + 1, ids.shape[1] - 1, dtype=np.int32)
    model.loss_and_gradients(model.prepare(tokens, boundaries, training=True, n_threads=1), targets)
    return {name: view.astype(np.float64) / len(tokens) for name, view in model.layout.views(flat).items()}


def test_a_step_allocates_no_arrays_after_the_first():
    data = batches(6)
    step = rgz.TrainStep(rgz.Model(CONFIG))
    step(data[0])
    step(data[1])
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        for ids in data[2:]:
            step(ids)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    activations = step.model._arena.used
    assert activations > 4_000_000
    # the ids themselves are copied to int32 (8 * 64 * 4 bytes a few times); views and Python numbers make the rest
    assert peak - before < 64_000
    assert after - before < 16_000


def test_ragged_batches_of_changing_size_allocate_no_arrays_either():
    data = batches(8)
    ragged = [[row[: 20 + 5 * i + r] for r, row in enumerate(ids)] for i, ids in enumerate(data)]
    step = rgz.TrainStep(rgz.Model(CONFIG), plan_rows=8 * 64, plan_seqs=8)
    for ids in ragged[:2]:
        step(ids)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        for ids in ragged[2:]:
            step(ids)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak - before < 128_000  # the plan's views, while the old ones still exist


def test_a_non_finite_gradient_makes_no_update():
    model = rgz.Model(CONFIG)
    step = TrainStep(model)
    step(batches(1)[0])
    model.parameters()["model.layers.1.mlp.down_proj.weight"][3, 5] = np.inf
    weights, state = model.weights.copy(), {name: t.copy() for name, t in step.state_tensors().items()}
    out = step(batches(1)[0])
    assert not math.isfinite(out.loss) and not math.isfinite(out.grad_norm)
    assert model.weights.tobytes() == weights.tobytes() and step.n_updates == 1
    assert all((t == state[name]).all() for name, t in step.state_tensors().items())
    model.parameters()["model.layers.1.mlp.down_proj.weight"][3, 5] = 0.0
    assert math.isfinite(step(batches(1)[0]).grad_norm)  # nothing of the bad batch is left


def test_accumulated_micro_batches_equal_the_large_batch():
    rows = [np.random.default_rng(i).integers(0, 300, 5 + 3 * i) for i in range(16)]
    config = rgz.ModelConfig(vocab_size=300, hidden_size=64, num_hidden_layers=2, num_attention_heads=4)
    whole, parts = (rgz.TrainStep(rgz.Model(config)) for _ in range(2))
    out = whole(rows)
    micro = [Portion(*ragged_batch(rows[i : i + 4], None, None, 300)) for i in range(0, 16, 4)]
    targets = sum(b.n_targets for b in micro)
    total = sum(parts.accumulate(b) for b in micro)
    norm = parts.update(1e-3, targets)
    assert targets == out.tokens
    assert total / targets == pytest.approx(out.loss, rel=1e-6)
    assert norm == pytest.approx(out.grad_norm, rel=1e-5)
    np.testing.assert_allclose(parts.model.weights, whole.model.weights, atol=2e-5)


@pytest.mark.parametrize(
    "lengths", [[100] * 15, [100] * 16, [128] * 32, [1] * 5000, [4000], [3, 4000, 2000, 1, 1], list(range(1, 90))]
)
@pytest.mark.parametrize("most", [1, 100, 640, 1280])
def test_portions_are_the_batch_in_whole_sequences_and_even(lengths, most):
    tokens = np.arange(sum(lengths), dtype=np.int32)
    cu_seqlens = np.cumsum([0, *lengths]).astype(np.int32)
    parts = list(portions(Portion(tokens, tokens + 1, cu_seqlens), most))
    assert np.concatenate([p.tokens for p in parts]).tolist() == tokens.tolist()
    assert np.concatenate([p.targets for p in parts]).tolist() == (tokens + 1).tolist()
    assert [n for p in parts for n in np.diff(p.cu_seqlens).tolist()] == lengths
    assert all(p.cu_seqlens[0] == 0 and p.cu_seqlens[-1] == len(p.tokens) for p in parts)
    rows = [len(p.tokens) for p in parts]
    assert all(n <= most or p.n_sequences == 1 for n, p in zip(rows, parts, strict=True))
    assert max(rows) <= most_rows(len(tokens), max(lengths), most) == min(len(tokens), max(most, max(lengths)))
    assert len(parts) == 1 or len(tokens) > most
    if max(lengths) <= most:  # as few as can be, and even
        assert len(parts) <= 2 * len(tokens) / most + 1 and max(rows) - min(rows) <= 2 * max(lengths)


def test_portions_of_the_usual_size_are_even_ones_of_about_a_thousand_rows():
    assert (usual_portion(256), usual_portion(512)) == (1280, 640)
    batch = Portion(*ragged_batch([range(65)] * 32, None, None, 300))
    assert [len(p.tokens) for p in portions(batch, usual_portion(256))] == [1024, 1024]


def test_an_empty_batch_adds_nothing():
    step = rgz.TrainStep(rgz.Model(CONFIG))
    nothing = np.zeros(0, np.int32)
    batch = Portion(nothing, nothing, np.zeros(1, np.int32))
    assert step.accumulate(batch) == 0.0 and step.evaluate(batch) == 0.0


@pytest.mark.parametrize("length", [1, 100, 900, 4000])
def test_no_smaller_batch_has_a_larger_portion_than_planned(length):
    def largest(rows):
        ends = np.unique([*range(0, rows, length), rows]).astype(np.int32)
        tokens = np.zeros(rows, np.int32)
        return max(len(p.tokens) for p in portions(Portion(tokens, tokens, ends), 1280))

    sizes = [1, 1024, 1280, 1281, 1536, 1537, 1600, 1920, 2048, 3071, 3072, 3073, 3100, 4096, 4608, 6000]
    for i, rows in enumerate(sizes):
        assert max(map(largest, sizes[: i + 1])) <= most_rows(rows, length, 1280) <= rows


def test_an_update_in_portions_is_that_of_the_whole_batch():
    rows = [np.random.default_rng(i).integers(0, 300, 5 + 3 * i) for i in range(16)]
    config = rgz.ModelConfig(vocab_size=300, hidden_size=64, num_hidden_layers=2, num_attention_heads=4)
    whole = rgz.TrainStep(rgz.Model(config))
    out = whole(rows)
    parts = rgz.TrainStep(rgz.Model(config), portion_tokens=100)
    again = parts(rows)
    assert again.tokens == out.tokens
    assert again.loss == pytest.approx(out.loss, rel=1e-6) and again.grad_norm == pytest.approx(out.grad_norm, rel=1e-5)
    np.testing.assert_allclose(parts.model.weights, whole.model.weights, atol=2e-5)
    batch = Portion(*ragged_batch(rows, None, None, 300))
    assert parts.evaluate(batch) == pytest.approx(whole.evaluate(batch), rel=1e-4)


def test_state_saved_and_loaded_goes_on_with_the_same_bits():
    data = batches(4)
    through = rgz.TrainStep(rgz.Model(CONFIG))
    for ids in data[:2]:
        through(ids)
    weights, updates = through.model.weights.copy(), through.n_updates
    tensors = {name: t.copy() for name, t in through.state_tensors().items()}
    for ids in data[2:]:
        through(ids)
    resumed = rgz.TrainStep(rgz.Model(CONFIG, seed=9))
    resumed.model.weights[:] = weights
    resumed.load_state(tensors, updates)
    for ids in data[2:]:
        resumed(ids)
    assert resumed.model.weights.tobytes() == through.model.weights.tobytes()


def test_shift_labels_says_how_to_read_them():
    ids, labels = np.array([[3, 7, 7, 9]]), np.array([[-100, 7, -100, -100]])
    model = rgz.Model(rgz.ModelConfig(vocab_size=20, hidden_size=16, num_hidden_layers=1, num_attention_heads=2))
    logits = model(ids)[0].astype(np.float64)
    losses = np.log(np.exp(logits).sum(1)) - logits[:, 7]

    def loss(**options):
        copy = rgz.Model(model.config)
        return rgz.TrainStep(copy)(ids, labels, **options).loss

    assert loss(shift_labels=False) == pytest.approx(losses[1], rel=1e-5)
    assert loss(shift_labels=True) == loss() == pytest.approx(losses[0], rel=1e-5)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_step_made_before_a_fork_runs_in_the_child():
    code = (
        "import os, rgz, numpy as np, warnings\n"
        "warnings.simplefilter('ignore')\n"
        "c = rgz.ModelConfig(vocab_size=50, hidden_size=64, num_hidden_layers=1, num_attention_heads=2)\n"
        "s = rgz.TrainStep(rgz.Model(c), n_threads=2)\n"
        "ids = np.arange(600).reshape(10, 60) % 50\n"
        "s(ids)\n"
        "pid = os.fork()\n"
        "if pid == 0: s(ids); os._exit(7)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "7", done.stderr


def test_several_python_threads_take_turns():
    model, ids = rgz.Model(CONFIG), batches(4)[:, 0]
    alone = [model(ids[i : i + 1, : 10 + 9 * i]) for i in range(4)]
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(model, ids[i % 4 : i % 4 + 1, : 10 + 9 * (i % 4)]) for i in range(40)]
    for i, future in enumerate(futures):
        assert (future.result() == alone[i % 4]).all()


def test_ids_that_would_wrap_around_are_refused():
    model = rgz.Model(CONFIG)
    with pytest.raises(rgz.RgzError, match="got 4294967301"):
        model(np.array([[2**32 + 5]]))
    with pytest.raises(rgz.RgzError, match="got 4294967301"):
        rgz.TrainStep(model)(np.array([[1, 2]]), np.array([[2**32 + 5, 3]]))
