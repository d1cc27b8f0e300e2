"""Models in bfloat16 and float16: near their float32 selves, in half the memory, with the same bits each time."""

import itertools
import math

import numpy as np
import pytest
from oracles import moment_places

import rgz
from rgz.errors import RgzError
from rgz.memory import dtype_of, widen
from rgz.optim import LossScale
from rgz.safetensors import read_header

SIZES = {"vocab_size": 300, "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
         "max_position_embeddings": 64}  # fmt: skip
FAMILIES = {
    "gpt": {"position": "learned", "norm": "layernorm", "hidden_act": "gelu", "tie_word_embeddings": True},
    "llama": {"position": "rope", "norm": "rmsnorm", "hidden_act": "swiglu", "num_key_value_heads": 2},
    "sinusoidal": {"position": "sinusoidal", "norm": "layernorm", "hidden_act": "relu", "final_norm": False},
    "dropout": {"position": "rope", "norm": "layernorm", "hidden_act": "gelu_tanh", "dropout": 0.2},
}
# A chain of roundings of relative size 2^-8 or 2^-11, some dozens between the loss and the first layer. relu lets
# through, or stops, all of what is rounded across 0: few numbers, but each by its whole size.
FAR = {"bfloat16": 0.06, "float16": 0.01}


@pytest.fixture(params=["bfloat16", "float16"])
def dtype(request):
    return request.param


def config_of(family, **more):
    return rgz.ModelConfig(**SIZES, **FAMILIES[family], **more)


def ids_of(seed=0, rows=8, time=48):
    return np.random.default_rng(seed).integers(0, 300, (rows, time))


def gradients(config, dtype, n_threads=2, recompute=False):
    """Loss and the gradient of its mean, by parameter, of a model whose every part matters."""
    model = rgz.Model(config)
    model.weights *= 2
    step = rgz.TrainStep(model, dtype=dtype, n_threads=n_threads, gradient_checkpointing=recompute, seed=5)
    ids = ids_of()
    tokens, targets = (np.ascontiguousarray(part.reshape(-1), np.int32) for part in (ids[:, :-1], ids[:, 1:]))
    boundaries = np.arange(0, len(tokens) + 1, ids.shape[1] - 1, dtype=np.int32)
    loss = step.accumulate(rgz.train.portions.Portion(tokens, targets, boundaries))
    scale = 1.0 if step.loss_scale is None else step.loss_scale / 1024
    return loss, {name: view / scale for name, view in model.layout.views(model.gradients).items()}


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_are_near_those_of_float32(family, dtype):
    far = FAR[dtype] * (3 if config_of(family).hidden_act == "relu" else 1)
    loss, want = gradients(config_of(family), "float32")
    half_loss, got = gradients(config_of(family), dtype)
    assert half_loss == pytest.approx(loss, rel=FAR[dtype] / 10) and half_loss != loss
    for name, gradient in want.items():
        off = np.linalg.norm(got[name] - gradient) / np.linalg.norm(gradient)
        assert 0 < off < far, f"{name}: {off}"


def test_bits_do_not_depend_on_threads_nor_on_recomputing(dtype):
    for family in ("llama", "dropout"):
        loss, want = gradients(config_of(family), dtype, n_threads=1)
        for other in ({"n_threads": 2}, {"n_threads": 3}, {"recompute": True}):
            other_loss, got = gradients(config_of(family), dtype, **other)
            assert other_loss == loss
            assert all(got[name].tobytes() == want[name].tobytes() for name in want), other


def test_activations_take_half_the_memory_and_the_plan_says_so(dtype):
    config, planned = config_of("gpt"), {}
    for kind in ("float32", dtype):
        step = rgz.TrainStep(rgz.Model(config), dtype=kind, plan_rows=512, plan_seqs=8)
        step(ids_of(rows=8, time=65))
        planned[kind] = step.planned_bytes
        assert step.model._arena.used == step.model._arena.capacity == planned[kind]["activations"]
    head = 4 * 512 * 300  # logits are float32, for half the rows of any model this small
    full, half = (planned[kind]["activations"] for kind in ("float32", dtype))
    # statistics and attention's scratch stay as they are; logits may lie over more of what a block works with
    assert 0.47 < (half - head) / (full - head) < 0.56
    assert planned[dtype]["parameters"] == pytest.approx(1.5 * planned["float32"]["parameters"], rel=0.02)


def test_what_is_written_into_the_parameters_counts(dtype):
    model, ids = rgz.Model(config_of("gpt")), ids_of()
    step = rgz.TrainStep(model, dtype=dtype)
    step(ids)
    before = model(ids[:1])
    model.parameters()["model.embed_tokens.weight"][...] *= 2
    assert np.abs(model(ids[:1]) - before).max() > 0.01
    model.parameters()["model.embed_tokens.weight"][...] /= 2
    np.testing.assert_array_equal(model(ids[:1]), before)


def test_training_goes_on_from_saved_state_to_the_same_bits(dtype):
    def run(step, first, last):
        for t in range(first, last):
            step(ids_of(t))

    settings = {"dtype": dtype, "seed": 3}
    whole = rgz.TrainStep(rgz.Model(config_of("dropout")), **settings)
    run(whole, 0, 3)
    state = {name: tensor.copy() for name, tensor in whole.state_tensors().items()}
    weights, further, updates = whole.model.weights.copy(), whole.state_dict(), whole.n_updates
    run(whole, 3, 6)
    resumed = rgz.TrainStep(rgz.Model(config_of("dropout"), seed=9), **settings)
    resumed.model.parameters()  # tells it that they will change
    resumed.model.weights[:] = weights
    resumed.load_state(state, updates)
    resumed.load_state_dict(further)
    run(resumed, 3, 6)
    assert resumed.model.weights.tobytes() == whole.model.weights.tobytes()
    assert resumed.loss_scale == whole.loss_scale


# --- the loss scale -----------------------------------------------------------------------------------------


def test_an_overflow_halves_the_scale_and_makes_no_update():
    step = rgz.TrainStep(rgz.Model(config_of("llama")), dtype="float16")
    step._scale.value = start = 2.0**27  # 131,072 a token
    weights, seen = step.model.weights.copy(), []
    for _ in range(12):
        out = step(ids_of())
        seen.append(step.loss_scale)
        assert math.isfinite(out.loss)
        if not step.overflowed:
            break
        assert not math.isfinite(out.grad_norm) and step.n_updates == 0
        np.testing.assert_array_equal(step.model.weights, weights)
    assert len(seen) > 1 and seen[:-1] == [start / 2**k for k in range(1, len(seen))]
    assert math.isfinite(out.grad_norm) and step.n_updates == 1 and not np.array_equal(step.model.weights, weights)


def test_the_gradient_norm_does_not_depend_on_the_scale():
    norms = [rgz.TrainStep(rgz.Model(config_of("gpt")), dtype="float16", loss_scale=scale)(ids_of()).grad_norm
             for scale in (2.0**12, 2.0**16, 2.0**19)]  # fmt: skip
    assert norms == pytest.approx([norms[0]] * 3, rel=1e-3)


def test_the_scale_doubles_after_a_run_of_good_updates_and_stays_within_its_bounds():
    scale = LossScale()
    for _ in range(LossScale.PATIENCE):
        assert scale.value == 65536
        scale.succeeded()
    assert scale.value == 131072
    for _ in range(LossScale.PATIENCE - 1):
        scale.succeeded()
    assert scale.overflowed() and scale.value == 65536  # and counting begins anew
    for _ in range(40 * LossScale.PATIENCE):
        scale.succeeded()
    assert scale.value == 2**24
    lowered = [scale.overflowed() for _ in range(26)]
    assert lowered == [True] * 24 + [False] * 2 and scale.value == 1


def test_a_static_scale_stays_and_a_wrong_one_is_refused():
    scale = LossScale(128.0)
    assert not scale.overflowed() and scale.value == 128
    for _ in range(LossScale.PATIENCE + 1):
        scale.succeeded()
    assert scale.value == 128
    for wrong in (0.0, -1.0, math.nan, math.inf, 2.0**25):
        with pytest.raises(RgzError, match="loss_scale must be > 0, <= 2"):
            LossScale(wrong)


@pytest.mark.parametrize("value", [0.5, 2.0**25, 1e30, math.nan])
def test_a_saved_scale_that_no_steps_lead_to_is_refused(value):
    scale = LossScale()
    with pytest.raises(ValueError, match="loss scale"):
        scale.load_state_dict({"value": value, "good": 3})
    assert scale.state_dict() == LossScale().state_dict()


def test_gradients_too_small_for_float16_are_learnt_from_with_the_scale_and_lost_without():
    """The text repeats after 16 tokens, so only attention can tell what follows. The static scale is that of a mean
    over a million tokens: what comes back through the output layer is below float16's smallest number."""

    def loss_after(updates, scale):
        step = rgz.TrainStep(rgz.Model(config_of("llama")), rgz.AdamW(lr=3e-3), dtype="float16", loss_scale=scale)
        random = np.random.default_rng(0)
        for _ in range(updates):
            piece = random.integers(0, 12, (16, 16))
            loss = step(np.hstack([piece, piece, piece, piece])).loss
        return loss

    assert loss_after(120, None) < 1.3 < 1.9 < loss_after(120, 2.0**-10)


# --- conversions and moments --------------------------------------------------------------------------------


def test_ops_convert_and_refuse():
    x = np.random.default_rng(0).standard_normal((3, 5, 7), dtype=np.float32)
    for kind, far in (("bfloat16", 2.0**-8), ("float16", 2.0**-11)):
        half = rgz.ops.to_half(x, kind)
        assert half.shape == x.shape and half.itemsize == 2
        np.testing.assert_allclose(rgz.ops.from_half(half), x, rtol=far)
    with pytest.raises(RgzError, match="unknown dtype 'float8'"):
        rgz.ops.to_half(x, "float8")
    for wrong in (lambda: rgz.ops.to_half(x.astype(float)), lambda: rgz.ops.from_half(x)):
        with pytest.raises(RgzError, match="x must be a"):
            wrong()


def moments_of(step):
    """m and v as numbers, whatever they are kept in."""
    kept = {name.removeprefix("optimizer."): tensor for name, tensor in step.state_tensors().items()}
    if kept["m"].dtype != np.int8:
        return {name: widen(tensor) for name, tensor in kept.items()}
    places = moment_places(len(kept["m"]), step.model.layout.n_decayed)
    m, v = kept["m"].astype(float), kept["v"].astype(float)
    for n, place in enumerate(places):
        m[place] *= np.abs(m[place]) * kept["m_units"][n]
        v[place] = v[place] ** 4 * kept["v_units"][n]
    return {"m": m, "v": v}


@pytest.mark.parametrize(("kept_in", "far"), [("bfloat16", 0.05), ("int8", 0.1)])
def test_rounded_moments_follow_those_of_float32_without_a_drift(kept_in, far):
    """With beta2 = 0.999 a step of v is a thousandth: rounded to the nearest number it would never move."""

    def after(kind, n_threads=2):
        settings = rgz.AdamW(lr=1e-4, betas=(0.9, 0.999))
        step = rgz.TrainStep(rgz.Model(config_of("gpt")), settings, optim_dtype=kind, n_threads=n_threads)
        for t in range(40):
            step(ids_of(t))
        return moments_of(step), step.model.weights

    (want, weights), (got, _), (again, same) = after("float32"), after(kept_in), after(kept_in, 3)
    moved = np.abs(weights - rgz.Model(config_of("gpt")).weights).mean()
    assert np.abs(same - weights).mean() < far * moved
    for name in want:
        assert got[name].tobytes() == again[name].tobytes()
        assert np.linalg.norm(got[name] - want[name]) < far * np.linalg.norm(want[name])
    assert got["v"].sum(dtype=float) == pytest.approx(want["v"].sum(dtype=float), rel=0.005)


def test_the_state_of_another_type_of_moments_is_refused():
    steps = {
        kind: rgz.TrainStep(rgz.Model(config_of("gpt")), optim_dtype=kind) for kind in ("float32", "bfloat16", "int8")
    }
    for kind, other in itertools.permutations(steps, 2):
        before = moments_of(steps[kind])
        with pytest.raises(RgzError, match=r"of another optim_dtype: optimizer.m"):
            steps[kind].load_state(steps[other].state_tensors(), 3)
        assert steps[kind].n_updates == 0
        np.testing.assert_equal(moments_of(steps[kind]), before)


def test_an_unknown_type_of_moments_is_refused():
    with pytest.raises(RgzError, match="unknown optim_dtype 'float16'"):
        rgz.TrainStep(rgz.Model(config_of("gpt")), optim_dtype="float16")


# --- answering ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["gpt", "llama", "sinusoidal"])
def test_a_model_read_in_half_precision_answers_like_the_whole_one(tmp_path, family, dtype):
    model = rgz.Model(config_of(family))
    model.weights *= 2
    model.save_pretrained(tmp_path)
    half = rgz.Model.from_pretrained(tmp_path, dtype=dtype)
    assert half.weights.nbytes < 0.05 * model.weights.nbytes and half.half.nbytes <= model.weights.nbytes / 2
    want, got = model(ids_of(rows=2)), half(ids_of(rows=2))
    assert got.dtype == np.float32
    assert 0 < np.linalg.norm(got - want) < FAR[dtype] * np.linalg.norm(want)
    cache = half.new_cache(2, 48)
    assert dtype_of(cache.keys) == dtype
    prompt = [row for row in ids_of(rows=2, time=9).astype(np.int32)]
    read = half.read([row[:-1] for row in prompt], cache, 2)
    half.advance(np.array([row[-1] for row in prompt], np.int32), cache, read, 2)
    off = read - half(np.stack(prompt))[:, -1]
    assert np.linalg.norm(off) < FAR[dtype] * np.linalg.norm(read)


def test_it_is_written_as_it_is_and_read_again_to_the_same_bits(tmp_path, dtype):
    model = rgz.Model(config_of("gpt"))
    model.save_pretrained(tmp_path / "whole")
    half = rgz.Model.from_pretrained(tmp_path / "whole", dtype=dtype)
    half.save_pretrained(tmp_path / "half")
    header, _ = read_header(tmp_path / "half/model.safetensors")
    kinds = {name: info.dtype for name, info in header.items()}
    assert kinds["model.embed_tokens.weight"] == {"bfloat16": "BF16", "float16": "F16"}[dtype]
    assert kinds["model.norm.weight"] == "F32"
    again = rgz.Model.from_pretrained(tmp_path / "half", dtype=dtype)
    assert again.half.tobytes() == half.half.tobytes() and again.weights.tobytes() == half.weights.tobytes()
    wide = rgz.Model.from_pretrained(tmp_path / "half")
    np.testing.assert_array_equal(
        wide.parameters()["model.embed_tokens.weight"], widen(half.parameters()["model.embed_tokens.weight"])
    )


def test_it_cannot_be_trained_and_says_so(tmp_path, dtype):
    rgz.Model(config_of("gpt")).save_pretrained(tmp_path)
    half = rgz.Model.from_pretrained(tmp_path, dtype=dtype)
    for kind in ("float32", dtype):
        with pytest.raises(RgzError, match=f"loaded with weights in {dtype} only; load it without dtype to train"):
            rgz.TrainStep(half, dtype=kind)


def test_a_weight_that_float16_cannot_hold_is_refused(tmp_path):
    model = rgz.Model(config_of("gpt"))
    model.parameters()["model.embed_tokens.weight"][7, 3] = 7e4
    model.save_pretrained(tmp_path)
    with pytest.raises(RgzError, match=r"'model.embed_tokens.weight' has numbers too large for float16"):
        rgz.Model.from_pretrained(tmp_path, dtype="float16")
    rgz.Model.from_pretrained(tmp_path, dtype="bfloat16")


def test_an_unknown_dtype_is_refused(tmp_path):
    rgz.Model(config_of("gpt")).save_pretrained(tmp_path)
    for call in (lambda: rgz.Model.from_pretrained(tmp_path, dtype="bfloat"),
                 lambda: rgz.TrainStep(rgz.Model(config_of("gpt")), dtype="bfloat")):  # fmt: skip
        with pytest.raises(RgzError, match="unknown dtype 'bfloat'; did you mean 'bfloat16'"):
            call()


DAMAGE = [
    ("float32", "m", np.nan), ("float32", "m", -np.inf), ("float32", "v", -1e-9), ("float32", "v", np.inf),
    ("bfloat16", "m", 0x7FC0), ("bfloat16", "m", 0xFF80), ("bfloat16", "v", 0x7F80), ("bfloat16", "v", 0x8001),
    ("int8", "m", -128), ("int8", "m_units", -1e-9), ("int8", "m_units", np.nan), ("int8", "v_units", np.inf),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "name", "value"), DAMAGE)
def test_moments_that_no_update_leaves_are_refused(kind, name, value):
    step = rgz.TrainStep(rgz.Model(config_of("gpt")), optim_dtype=kind)
    step(ids_of())
    tensors = {key: tensor.copy() for key, tensor in step.state_tensors().items()}
    step.load_state(tensors, 1)
    tensors[f"optimizer.{name}"][-1] = value
    before = moments_of(step)
    with pytest.raises(RgzError, match="numbers that no update leaves"):
        step.load_state(tensors, 2)
    assert step.n_updates == 1
    np.testing.assert_equal(moments_of(step), before)
