"""Whole models of both families: the loss and every gradient against the float64 oracle, and what must not matter:
padding, threads, the size of the last batch."""

import model_oracle as oracle
import numpy as np
import pytest

from rgz import _kernels
from rgz.config import ModelConfig
from rgz.errors import RgzError
from rgz.memory import Arena
from rgz.models import Decoder, decoder
from rgz.optim import AdamW
from rgz.train.ragged import ragged_batch
from rgz.train.step import TrainStep

SMALL = {"vocab_size": 37, "num_hidden_layers": 2, "max_position_embeddings": 80}
FAMILIES = {
    "gpt2": {
        "hidden_size": 24, "num_attention_heads": 3, "norm": "layernorm", "position": "learned",
        "hidden_act": "gelu_tanh", "attention_bias": True, "mlp_bias": True,
    },
    "llama": {"hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2},
    "rustgpt": {
        "hidden_size": 20, "num_attention_heads": 2, "intermediate_size": 30, "norm": "layernorm", "mlp_bias": True,
        "position": "sinusoidal", "hidden_act": "relu", "final_norm": False, "tie_word_embeddings": False,
        "lm_head_bias": True,
    },
    "bare": {"hidden_size": 17, "num_attention_heads": 1, "position": "none", "hidden_act": "gelu"},
}  # fmt: skip
LENGTHS = [1, 9, 70, 3]


def build(family, seed=0, **overrides):
    config = ModelConfig(**{**SMALL, **FAMILIES[family], **overrides})
    model = Decoder(config, seed)
    random = np.random.default_rng(seed)
    for view in model.parameters().values():  # larger than first values, so that every part of the model matters
        view += 0.2 * random.standard_normal(view.shape, dtype=np.float32)
    return model


def ragged(seed=1, vocab=37):
    random = np.random.default_rng(seed)
    n = sum(LENGTHS)
    tokens, targets = random.integers(0, vocab, (2, n), dtype=np.int32)
    targets[::7] = -100
    return tokens, targets, np.cumsum([0, *LENGTHS]).astype(np.int32)


def in_float64(model):
    return {name: view.astype(np.float64) for name, view in model.parameters().items()}


def loss_and_gradients(model, batch, n_threads=2):
    tokens, targets, cu_seqlens = batch
    gradients = model.layout.zeros()
    model.bind(gradients)
    p = model.prepare(tokens, cu_seqlens, training=True, n_threads=n_threads)
    return model.loss_and_gradients(p, targets), model.layout.views(gradients), gradients


@pytest.mark.parametrize("family", FAMILIES)
def test_loss_agrees_with_the_float64_oracle(isa, family):
    model, (tokens, targets, cu_seqlens) = build(family), ragged()
    expected = oracle.loss(in_float64(model), model.config, tokens, targets, LENGTHS)
    got, _, _ = loss_and_gradients(model, (tokens, targets, cu_seqlens))
    assert got == pytest.approx(expected, rel=1e-5)  # ~70 losses, each of float32 sums over at most 96 terms
    p = model.prepare(tokens, cu_seqlens, training=False, n_threads=1)
    assert model.loss(p, targets) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_gradient_agrees_with_finite_differences(isa, family):
    model, batch = build(family), ragged()
    tokens, targets, _ = batch
    _, gradients, _ = loss_and_gradients(model, batch)
    params = in_float64(model)
    random = np.random.default_rng(2)
    for name, gradient in gradients.items():
        # along the gradient itself the slope is |gradient|, the largest there is; across it, a random direction
        along = gradient.astype(np.float64)
        size = np.linalg.norm(along)
        assert size > 0, name
        for direction in (along / size, random.standard_normal(along.shape) / np.sqrt(along.size)):
            slope = oracle.slope(
                lambda p: oracle.loss(p, model.config, tokens, targets, LENGTHS), params, name, direction
            )
            # float32 rounding of a chain of ~20 operations: 20 * 2^-24 = 1.2e-6 of |gradient| each way at best;
            # cancellation inside softmax and norm costs two digits more
            assert abs((along * direction).sum() - slope) < 2e-4 * size, name


def test_a_wrong_gradient_would_be_seen():
    model, batch = build("llama"), ragged()
    _, gradients, _ = loss_and_gradients(model, batch)
    params, (tokens, targets, _) = in_float64(model), batch
    name = "model.layers.0.mlp.gate_up_proj.weight"
    wrong = gradients[name].astype(np.float64) * 1.001
    direction = wrong / np.linalg.norm(wrong)
    slope = oracle.slope(lambda p: oracle.loss(p, model.config, tokens, targets, LENGTHS), params, name, direction)
    assert abs((wrong * direction).sum() - slope) > 2e-4 * np.linalg.norm(wrong)


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_agree_with_the_float64_oracle(isa, family):
    model = build(family)
    ids = np.random.default_rng(3).integers(0, 37, (3, 33))
    expected = oracle.logits(in_float64(model), model.config, ids.reshape(-1), [33] * 3).reshape(3, 33, 37)
    np.testing.assert_allclose(model(ids), expected, rtol=2e-4, atol=2e-4 * np.abs(expected).max())


@pytest.mark.parametrize("family", FAMILIES)
def test_bits_do_not_depend_on_the_thread_count(isa, family):
    results = []
    for n_threads in (1, 2, 3):
        model = build(family, dropout=0.2)
        step = TrainStep(model, AdamW(lr=1e-2), n_threads=n_threads, seed=5)
        outputs = [step(np.random.default_rng(s).integers(0, 37, (5, 65))) for s in range(3)]
        results.append((outputs, model.weights.tobytes()))
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("family", FAMILIES)
def test_instruction_sets_agree(family):
    """Each rounds differently (fused or not, other sums), so agreement is to float32 rounding, not to the bit."""
    before, results = _kernels.active_isa(), []
    try:
        for name, _, usable in _kernels.isas():
            if usable:
                _kernels.select_isa(name)
                results.append(loss_and_gradients(build(family), ragged())[::2])
    finally:
        _kernels.select_isa(before)
    for total, gradients in results[1:]:
        assert total == pytest.approx(results[0][0], rel=1e-5)
        assert np.abs(gradients - results[0][1]).max() < 1e-4 * np.abs(gradients).max()


@pytest.mark.parametrize("family", FAMILIES)
def test_padded_and_ragged_batches_are_the_same(family):
    random = np.random.default_rng(4)
    rows = [random.integers(0, 37, n) for n in (2, 30, 65, 11)]
    padded = np.full((4, 65), 36)
    for row, ids in zip(padded, rows, strict=True):
        row[: len(ids)] = ids
    lengths = [len(ids) for ids in rows]
    steps = []
    for arguments in ((rows,), (padded, None, lengths), (padded, padded, lengths)):
        model = build(family)
        step = TrainStep(model, AdamW(lr=1e-3))
        tokens, targets, cu_seqlens = ragged_batch(*arguments, *[None] * (3 - len(arguments)), 37, True)
        _, _, gradients = loss_and_gradients(model, (tokens, targets, cu_seqlens))
        out = step(*arguments)
        steps.append((out.loss, out.tokens, gradients.copy()))
    for total, tokens, gradients in steps[1:]:
        assert total == pytest.approx(steps[0][0], rel=1e-5)
        assert tokens == steps[0][1] == sum(lengths) - 4
        assert np.abs(gradients - steps[0][2]).max() < 1e-5 * np.abs(gradients).max()


def test_labels_are_the_tokens_to_predict():
    ids = np.random.default_rng(5).integers(0, 37, (3, 20))
    a = TrainStep(build("llama"))(ids[:, :-1], ids[:, 1:])
    b = TrainStep(build("llama"))(list(ids))
    assert a.loss == pytest.approx(b.loss, rel=1e-6) and a.tokens == b.tokens == 57


def test_a_batch_after_a_larger_one_gives_what_it_gives_alone():
    large, small = ragged(), ragged(9)
    small = (small[0][:10], small[1][:10], np.array([0, 1, 10], np.int32))
    model = build("gpt2")
    loss_and_gradients(model, large)
    again = loss_and_gradients(model, small)
    alone = loss_and_gradients(build("gpt2"), small)
    assert again[0] == alone[0] and again[2].tobytes() == alone[2].tobytes()


def test_planned_memory_is_exact():
    model = build("gpt2", dropout=0.1)
    tokens, _, cu_seqlens = ragged()
    for training in (False, True):
        planned = model.planned_bytes(len(tokens), len(cu_seqlens) - 1, training, 2)
        model.prepare(tokens, cu_seqlens, training=training, n_threads=2)
        assert model._arena.used == planned


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m(np.zeros((2, 81), int)), "longer than max_position_embeddings=80"),
        (lambda m: m(np.full((1, 3), 37)), r"\[0, 37\), got 37"),
        (lambda m: m(np.zeros((1, 3))), "array of integers, got float64"),
        (lambda m: TrainStep(m)([[1]]), "nothing to predict"),
        (lambda m: TrainStep(m)(np.zeros((2, 3), int), np.zeros((2, 4), int)), "shape of input_ids"),
        (lambda m: TrainStep(m)(np.zeros((2, 3), int), None, [4, 1]), "lengths must be"),
        (lambda m: TrainStep(m)([[1, 99]]), r"\[0, 37\), got 99"),
        (lambda m: TrainStep(m, dtype="float8"), "float8"),
    ],
)
def test_wrong_input_is_refused(call, message):
    with pytest.raises(RgzError, match=message):
        call(build("llama"))


def test_a_model_saved_and_loaded_is_the_same(tmp_path):
    model = build("llama")
    model.save_pretrained(tmp_path)
    loaded = Decoder.from_pretrained(tmp_path)
    assert loaded.config == model.config and loaded.weights.tobytes() == model.weights.tobytes()
    with pytest.raises(RgzError, match="holds no model"):
        Decoder.from_pretrained(tmp_path / "nowhere")
    for folder in ("a\0b", "\ud800", 5):
        with pytest.raises(RgzError, match="folder must be a path"):
            model.save_pretrained(folder)


def test_what_labels_mean_is_settled_by_the_first_batch():
    shifted = TrainStep(build("llama"))
    shifted(np.array([[1, 2, 3, 4]]), np.array([[2, 3, 4, 5]]))
    out = shifted(np.array([[7, 7, 7, 7]]), np.array([[7, 7, 7, -100]]))  # could be read either way
    assert out.tokens == 3
    plain = TrainStep(build("llama"))
    plain(np.array([[1, 2, 3, 4]]), np.array([[1, 2, 3, 4]]))
    assert plain(np.array([[7, 7, 7, 7]]), np.array([[7, 7, 7, 8]])).tokens == 3


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_recomputed_activations_give_the_same_bits(family, dropout):
    batch = ragged()
    results, sizes = [], []
    for blocks in (0, 1, 2):
        model = build(family, dropout=dropout)
        model.recompute(blocks)
        total, _, gradients = loss_and_gradients(model, batch)
        results.append((total, gradients.tobytes()))
        sizes.append(model.planned_bytes(1000, 10, True, 1))
    assert len(model.blocks) == 2 and len(set(results)) == 1
    assert sizes[0] > sizes[1] > sizes[2]


@pytest.mark.parametrize("where", ["plan", "measure"])
def test_an_interrupt_while_planning_leaves_a_model_that_plans_again(monkeypatch, where):
    """One block holds the buffers of the new plan by then, the other those of the old one."""
    model, ids = build("llama"), np.arange(12).reshape(2, 6)
    model(np.arange(40).reshape(2, 20) % 37)  # room for 30 rows: they are planned, not measured first
    want = model(ids)

    def interrupted(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(model.blocks[1], "plan", interrupted)
        with pytest.raises(KeyboardInterrupt):
            if where == "plan":
                model(np.arange(30).reshape(2, 15))
            else:
                model.planned_bytes(500, 5, True, 2)
    assert model(ids).tobytes() == want.tobytes()


def test_a_model_that_ran_out_of_memory_once_goes_on_with_less(monkeypatch):
    model, ids = build("gpt2"), np.arange(12).reshape(2, 6)
    want = model(ids)

    class Full(Arena):
        def __init__(self, nbytes=None, *dtype, **more):
            if nbytes:
                raise MemoryError
            super().__init__(nbytes, *dtype, **more)

    with monkeypatch.context() as context:
        context.setattr(decoder, "Arena", Full)
        with pytest.raises(MemoryError):
            model(np.ones((60, 70), int))
    assert model(ids).tobytes() == want.tobytes()
