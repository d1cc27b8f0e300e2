"""The norm of a gradient whose squares float32 cannot hold: too large for it, or so small that they vanish."""

import math

import numpy as np
import pytest
from bounds import U

import rgz

SMALLEST = 2.0**-149
VALUES = [
    [1e20], [3.4e38], [1e19, 1e20, 1e-20], [1e-25], [SMALLEST], [1e-40, SMALLEST], [2.0**-55.5], [2.0**60, 1e-30],
    [1e-18, 1e-20, 1e-22], [0.0], [0.0, -1e-25], [1.0, 1e-30],
]  # fmt: skip


@pytest.mark.parametrize("values", VALUES, ids=str)
@pytest.mark.parametrize("n", [1, 7, 255, 256, 257, 20000])
def test_numbers_of_any_size_have_a_norm(isa, values, n):
    x = np.resize(np.array(values, np.float32), n)
    want = math.sqrt(math.fsum(float(value) ** 2 for value in x))
    bound = U * (256 / 4 + 4) / 2  # of a sum of at most 64 squares a lane and then the lanes, halved by the root
    assert rgz.ops.grad_norm(x, n_threads=1) == pytest.approx(want, rel=bound, abs=0)
    assert len({rgz.ops.grad_norm(x, n_threads) for n_threads in (1, 2, 3)}) == 1


def test_chunks_of_all_sizes_add_up(isa):
    x = np.concatenate([np.full(256, size, np.float32) for size in (1e-25, 1.0, 0.0, 1e20, 1e-40, 1e20)])
    assert rgz.ops.grad_norm(x) == pytest.approx(math.sqrt(512) * 1e20, rel=1e-6)
    assert rgz.ops.grad_norm(x[:256]) == pytest.approx(16 * 1e-25, rel=1e-6)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("others", [0.0, 1.0, 1e20, 1e-25])
def test_the_norm_is_not_finite_where_a_number_is_not(isa, bad, others):
    x = np.full(1000, others, np.float32)
    x[777] = bad
    norm = rgz.ops.grad_norm(x)
    assert math.isnan(norm) if math.isnan(bad) else norm == math.inf


@pytest.mark.parametrize("size", [1e20, 1e-25])
def test_an_update_clips_by_the_same_norm(size):
    """A finite gradient is no reason to skip an update, however large."""
    config = rgz.ModelConfig(vocab_size=300, hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    step = rgz.TrainStep(rgz.Model(config), max_grad_norm=1.0)
    gradients = step.model.gradients
    gradients[:] = size
    weights = step.model.weights.copy()
    assert step.update(1e-3, 1) == pytest.approx(size * math.sqrt(len(gradients)), rel=1e-5)
    assert step.n_updates == 1 and np.isfinite(step.model.weights).all()
    if size > 1:
        assert np.abs(step.model.weights - weights).max() > 1e-4


def test_without_clipping_a_gradient_whose_square_overflows_makes_no_update():
    config = rgz.ModelConfig(vocab_size=300, hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    step = rgz.TrainStep(rgz.Model(config), max_grad_norm=math.inf)
    step.model.gradients[5] = 1e20
    assert step.update(1e-3, 1) == math.inf and step.n_updates == 0
    assert not step.model.gradients.any() and not step.state_tensors()["optimizer.v"].any()
