"""The arena: what one phase uses lies over what another does, and over nothing else."""

import numpy as np
import pytest

import rgz
from rgz.memory import ALIGNMENT, Arena

PHASES = ("mlp", "head", "attention")


def plan(arena):
    """Arrays as layers take them: kept, shared, of a phase."""
    return {
        "kept": arena.activation("kept", 3, 5),
        "mlp": arena.scratch("mlp", 7, 5, phase="mlp"),
        "mlp too": arena.scratch("mlp too", 2, phase="mlp"),
        "shared": arena.scratch("shared", 11),
        "head": arena.float_scratch("head", 200, phase="head"),
        "attention": arena.scratch("attention", 1, phase="attention"),
        "late": arena.ints(9),
    }


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("spare", [0, 1, 1000])
def test_phases_lie_over_one_another_and_over_nothing_else(dtype, spare):
    measured = Arena(dtype=dtype)
    plan(measured)
    arena = Arena(measured.used + spare, dtype)
    arrays = plan(arena)
    assert arena.used == measured.used
    assert all(array.ctypes.data % ALIGNMENT == 0 for array in arrays.values())
    overlaps = {
        frozenset((one, other))
        for one in arrays
        for other in arrays
        if one < other and np.may_share_memory(arrays[one], arrays[other])
    }
    assert frozenset(("mlp", "head")) in overlaps
    phase_of = {"mlp too": "mlp", **{name: name for name in PHASES}}
    for pair in overlaps:
        one, other = (phase_of.get(name) for name in pair)
        assert one and other and one != other, pair


def test_one_byte_less_than_measured_is_too_little():
    measured = Arena()
    plan(measured)
    with pytest.raises(MemoryError, match=f"{measured.used} are needed"):
        plan(Arena(measured.used - ALIGNMENT))


@pytest.mark.parametrize("recomputed", [0, 2])
@pytest.mark.parametrize("act", ["gelu", "swiglu"])
def test_an_update_does_not_depend_on_it(monkeypatch, act, recomputed):
    """The same bits as with every array in a place of its own, whatever phases leave behind."""
    config = rgz.ModelConfig(
        vocab_size=97, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, max_position_embeddings=16,
        hidden_act=act, dropout=0.1,
    )  # fmt: skip
    ids = np.random.default_rng(0).integers(0, 97, (5, 16))

    def weights():
        model = rgz.Model(config, seed=0)
        model.recompute(recomputed)
        step = rgz.TrainStep(model)
        for _ in range(3):
            step(ids)
        return {name: value.tobytes() for name, value in model.parameters().items()}

    overlaid = weights()
    take = Arena.take
    monkeypatch.setattr(Arena, "take", lambda self, *shape, phase=None, **more: take(self, *shape, **more))
    assert weights() == overlaid
