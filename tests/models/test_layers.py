"""One table walks every layer: its output against the float64 oracle, the gradients of its input and of every
parameter against finite differences, the same bits for any thread count, and nothing outside its outputs written."""

import model_oracle as oracle
import numpy as np
import pytest

from rgz.config import ModelConfig
from rgz.memory import Arena, ParameterLayout
from rgz.nn.attention import Attention
from rgz.nn.block import Block
from rgz.nn.embedding import Embedding, rotations
from rgz.nn.head import LMHead
from rgz.nn.layer import Pass
from rgz.nn.linear import Linear
from rgz.nn.mlp import MLP
from rgz.nn.norm import Norm

LENGTHS = [1, 5, 66, 2]
N, C, V = sum(LENGTHS), 20, 23
POSITIONS = oracle.positions_of(LENGTHS).astype(np.int32)
TOKENS = np.random.default_rng(7).integers(0, V, N, dtype=np.int32)
TARGETS = np.where(np.arange(N) % 5 == 0, -100, np.roll(TOKENS, 3)).astype(np.int32)


def config_for(**fields):
    return ModelConfig(vocab_size=V, hidden_size=C, num_attention_heads=2, intermediate_size=31, **fields)


def attention(position="rope", kv_heads=2, bias=False):
    rotation = rotations(80, C // 2, 10000.0) if position == "rope" else None
    return Attention("a", 0, C, 2, kv_heads, bias, 0.3, 0.3, rotation)


def mlp(act, bias):
    return MLP("m", C, 31, act, bias, 0.3, 0.3)


def block(**fields):
    c = config_for(**fields)
    return Block(
        Norm("b.input_layernorm", c.norm, C, c.norm_eps),
        Attention("b.self_attn", 0, C, 2, c.kv_heads, c.attention_bias, 0.3, 0.3, rotations(80, C // 2, 10000.0)),
        Norm("b.post_attention_layernorm", c.norm, C, c.norm_eps),
        MLP("b.mlp", C, 31, c.hidden_act, c.mlp_bias, 0.3, 0.3),
        0.0,
    )


def oracle_attention(**fields):
    c = config_for(**fields)
    return lambda x, p: oracle.attention_layer(x, p, "a", c, POSITIONS, LENGTHS)


def oracle_block(**fields):
    c = config_for(**fields)
    return lambda x, p: oracle.block(x, p, "b", c, POSITIONS, LENGTHS)


# name: (layer, oracle of (x, parameters)); each maps (N, C) to (N, C_out)
CASES = {
    "linear": (lambda: Linear("l", C, 17, False, 0.3), lambda x, p: oracle.linear(x, p, "l")),
    "linear with bias": (lambda: Linear("l", C, 17, True, 0.3), lambda x, p: oracle.linear(x, p, "l")),
    "layernorm": (
        lambda: Norm("n", "layernorm", C, 1e-5),
        lambda x, p: oracle.layer_norm(x, p["n.weight"], p["n.bias"], 1e-5),
    ),
    "rmsnorm": (lambda: Norm("n", "rmsnorm", C, 1e-5), lambda x, p: oracle.rms_norm(x, p["n.weight"], 1e-5)),
    "attention": (lambda: attention("learned", 2, True), oracle_attention(position="learned")),
    "attention with rope": (attention, oracle_attention()),
    "grouped-query attention": (lambda: attention(kv_heads=1), oracle_attention(num_key_value_heads=1)),
    **{
        f"mlp {act}": (
            lambda act=act: mlp(act, True),
            lambda x, p, act=act: oracle.mlp(x, p, "m", config_for(hidden_act=act)),
        )
        for act in oracle.ACTIVATIONS
    },
    "block layernorm gelu": (
        lambda: block(norm="layernorm", hidden_act="gelu", mlp_bias=True, attention_bias=True),
        oracle_block(norm="layernorm", hidden_act="gelu", mlp_bias=True, attention_bias=True),
    ),
    "block rmsnorm swiglu": (block, oracle_block()),
}  # fmt: skip


class Built:
    """A layer with random parameters (norm weights and biases too), gradients and planned buffers."""

    def __init__(self, layer, n_threads=2):
        self.layer = layer
        layout = ParameterLayout(layer.parameters())
        self.weights, self.gradients = layout.zeros(), layout.zeros()
        layout.initialize(self.weights, 0)
        random = np.random.default_rng(1)
        for view in layout.views(self.weights).values():
            view += 0.3 * random.standard_normal(view.shape, dtype=np.float32)
        layer.bind(layout.views(self.weights), layout.views(self.gradients))
        arena = Arena(1 << 22)
        layer.plan(arena, N, True)
        for part in (layer, getattr(layer, "attention", None)):
            if hasattr(part, "plan_threads"):
                part.plan_threads(arena, n_threads)
        cu_seqlens = np.cumsum([0, *LENGTHS]).astype(np.int32)
        self.p = Pass(TOKENS, POSITIONS, cu_seqlens, n_threads, True)
        self.params = {name: view.astype(np.float64) for name, view in layout.views(self.weights).items()}
        self.views = layout.views(self.gradients)

    def forward(self, x, width):
        """Output with a guard row after it."""
        y = np.full((N + 1, width), np.nan, np.float32)
        arguments = (self.p, x, y[:N])
        self.layer.forward(*arguments, *([None] if isinstance(self.layer, Attention | MLP) else []))
        assert np.isnan(y[N]).all() and not np.isnan(y[:N]).any()
        return y[:N]

    def backward(self, x, dy):
        dx = np.full((N + 1, x.shape[1]), np.nan, np.float32)
        if isinstance(self.layer, Norm):
            self.layer.backward(self.p, dy, x, dx[:N], accumulate=False)
        elif isinstance(self.layer, Block):
            dx[:N] = dy
            self.layer.backward(self.p, x, dx[:N])
        else:
            self.layer.backward(self.p, dy, x, dx[:N])
        assert np.isnan(dx[N]).all() and not np.isnan(dx[:N]).any()
        return dx[:N]


def inputs(width):
    random = np.random.default_rng(2)
    return random.standard_normal((N, C), dtype=np.float32), random.standard_normal((N, width), dtype=np.float32)


@pytest.mark.parametrize("name", CASES)
def test_layer_agrees_with_oracle_and_finite_differences(isa, name):
    make, formula = CASES[name]
    built = Built(make())
    x, _ = inputs(1)
    x64 = x.astype(np.float64)
    expected = formula(x64, built.params)
    x_kept, (_, dy) = x.copy(), inputs(expected.shape[1])
    y = built.forward(x, expected.shape[1])
    # sums of at most 66 float32 products, a few one after another
    assert np.abs(y - expected).max() < 66 * 2**-23 * np.abs(expected).max()
    assert not built.gradients.any()  # forward leaves gradients alone
    dx = built.backward(x, dy)
    assert (x == x_kept).all()  # inputs are read only
    gradients = {"x": dx, **built.views}
    random = np.random.default_rng(3)
    for parameter, gradient in gradients.items():
        g = gradient.astype(np.float64)
        for direction in (g / np.linalg.norm(g), random.standard_normal(g.shape) / np.sqrt(g.size)):
            slope = oracle.slope(
                lambda p: (formula(p["x"], p) * dy).sum(), {"x": x64, **built.params}, parameter, direction
            )
            assert abs((g * direction).sum() - slope) < 1e-4 * np.linalg.norm(g), parameter
    once = {parameter: view.copy() for parameter, view in built.views.items()}
    built.forward(x, expected.shape[1])  # a block's backward consumes what forward kept
    built.backward(x, dy)
    for parameter, view in built.views.items():  # ADDS: a second pass doubles what the first left
        np.testing.assert_allclose(view, 2 * once[parameter], rtol=1e-4, atol=1e-4 * np.abs(view).max())


@pytest.mark.parametrize("name", CASES)
def test_bits_do_not_depend_on_the_thread_count(isa, name):
    make, formula = CASES[name]
    x, _ = inputs(1)
    results = set()
    for n_threads in (1, 2, 3):
        built = Built(make(), n_threads)
        width = formula(x.astype(np.float64), built.params).shape[1]
        y = built.forward(x, width)
        dx = built.backward(x, inputs(width)[1])
        results.add((y.tobytes(), dx.tobytes(), built.gradients.tobytes()))
    assert len(results) == 1


@pytest.mark.parametrize("position", ["learned", "sinusoidal", "none"])
def test_embedding_agrees_with_oracle_and_finite_differences(isa, position):
    built = Built(Embedding(V, C, position, 80, 0.3))
    dx = inputs(C)[1]
    config = config_for(position=position)
    y = np.empty((N, C), np.float32)
    built.layer.forward(built.p, y)
    np.testing.assert_allclose(y, oracle.embed(TOKENS, built.params, config, POSITIONS), atol=1e-6)
    built.layer.backward(built.p, dx)
    for name, gradient in built.views.items():
        direction = np.random.default_rng(4).standard_normal(gradient.shape)
        slope = oracle.slope(
            lambda p: (oracle.embed(TOKENS, p, config, POSITIONS) * dx).sum(), built.params, name, direction
        )
        assert (gradient * direction).sum() == pytest.approx(slope, rel=1e-4)


@pytest.mark.parametrize("bias", [False, True])
def test_head_agrees_with_oracle_and_finite_differences(isa, bias):
    built = Built(LMHead(V, C, False, bias, 0.3))
    built.layer.plan_loss(Arena(1 << 20), N)
    x, _ = inputs(1)

    def formula(p):
        return oracle.losses_of(p["x"] @ p["lm_head.weight"].T + p.get("lm_head.bias", 0.0), TARGETS).sum()

    params = {"x": x.astype(np.float64), **built.params}
    dx = np.full_like(x, np.nan)
    assert built.layer.loss(built.p, x, TARGETS, dx) == pytest.approx(formula(params), rel=1e-6)
    assert built.layer.loss(built.p, x, TARGETS, None) == pytest.approx(formula(params), rel=1e-6)
    for name, gradient in {"x": dx, **built.views}.items():
        g = gradient.astype(np.float64)
        for direction in (
            g / np.linalg.norm(g),
            np.random.default_rng(5).standard_normal(g.shape) / np.sqrt(g.size),
        ):
            slope = oracle.slope(formula, params, name, direction)
            assert abs((g * direction).sum() - slope) < 1e-4 * np.linalg.norm(g), name


@pytest.mark.parametrize(
    ("vocab", "rows", "kept"),
    [(50257, 1000, 264), (50257, 512, 264), (50257, 256, 132), (50257, 100, 64), (50257, 16, 16), (6400, 512, 512)],
)
def test_logits_of_a_large_vocabulary_are_kept_of_few_rows_at_a_time(vocab, rows, kept):
    head = LMHead(vocab, C, False, False, 0.3)
    head.plan_loss(Arena(), rows)
    assert head.slice.shape == (kept, vocab)
