"""Reading with a cache equals reading anew; each filter does what its paper says; beams find the best path; windows
slide; characters arrive whole."""

import itertools

import numpy as np
import pytest

import rgz
from rgz.errors import RgzError
from rgz.generate import ChatSession, Sampling, fitting_prompt, generate, stream
from rgz.generate.beam import beam_search
from rgz.generate.sampling import among_largest
from rgz.generate.stream import stream_ids
from rgz.generate.window import Window
from rgz.text import encode_prompt

FAMILIES = {
    "gpt2": {"norm": "layernorm", "position": "learned", "hidden_act": "gelu_tanh", "attention_bias": True},
    "llama": {"num_key_value_heads": 2},
    "rustgpt": {
        "position": "sinusoidal",
        "tie_word_embeddings": False,
        "lm_head_bias": True,
        "final_norm": False,
    },
}


def build(family="llama", vocab=260, positions=32, **fields):
    config = rgz.ModelConfig(
        vocab_size=vocab, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=positions, **FAMILIES[family], **fields,
    )  # fmt: skip
    model = rgz.Model(config, seed=3)
    model.weights *= 8  # far from uniform, so that mistakes show
    return model


@pytest.mark.parametrize("batch", [1, 3, 6])
@pytest.mark.parametrize("family", FAMILIES)
def test_reading_with_a_cache_equals_reading_anew(isa, family, batch):
    model = build(family)
    ids = np.random.default_rng(0).integers(0, 260, (batch, 20))
    window = Window(model, ids[0, :5].tolist(), batch=batch)
    tokens = [ids[0, :5].tolist() for _ in range(batch)]
    for column in range(5, 20):
        window.push(ids[:, column].tolist())
        tokens = [[*t, int(i)] for t, i in zip(tokens, ids[:, column], strict=True)]
    fresh = model(np.array(tokens))[:, -1]
    np.testing.assert_allclose(window.logits, fresh, atol=1e-4 * np.abs(fresh).max())


def read_on(window, count):
    """The logits after each of the tokens 10, 11 and so on."""
    logits = []
    for token in range(10, 10 + count):
        window.push([token])
        logits.append(window.logits.tobytes())
        yield logits


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("family", FAMILIES)
def test_what_the_model_does_between_two_tokens_changes_nothing(family, dtype):
    """A token is read by calls that were written down, with buffers of their own."""
    model, text = build(family, vocab=280), rgz.CharTokenizer.train(["白日依山尽，黄河入海流。"])
    model.compute_in(dtype)
    alone = list(read_on(Window(model, [5, 6]), 6))[-1]
    whole = model(np.full((3, 20), 7)).tobytes()
    between = [
        lambda: None,
        lambda: generate(model, text, "山", max_new_tokens=3),
        lambda: list(ChatSession(model, text, max_new_tokens=3).reply("日")),
        lambda: model.bind(None),
        lambda: Window(model, [8, 9], batch=3),
        lambda: None,
    ]
    first, second = read_on(Window(model, [5, 6]), 6), read_on(Window(model, [5, 6]), 6)
    for call in between:
        one, other = next(first), next(second)
        assert model(np.full((3, 20), 7)).tobytes() == whole
        call()
    assert one == other == alone


def test_a_model_that_computes_in_another_type_between_two_tokens_reads_again():
    model, ids = build(), [5, 6, 7]
    window = Window(model, ids)
    for dtype in ("bfloat16", "float16", "float32", "bfloat16"):
        window.push([8])
        ids.append(8)
        model.compute_in(dtype)
        window.push([9])
        ids.append(9)
        assert window.logits.tobytes() == Window(model, ids).logits.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_other_weights_count_from_the_next_token_on(dtype):
    """Whether they are written into the model or it is pointed at others."""
    model, prompt = build(), [5, 6]
    model.compute_in(dtype)
    window, logits = Window(model, prompt), []
    for change in (lambda: None, lambda: model.parameters()["model.norm.weight"].fill(0), lambda: model.start(4)):
        for token in (7, 8):
            window.push([token])
        change()
        window.push([9])
        logits.append(window.logits.copy())
    assert not (logits[0] == 0).any() and (logits[1] == 0).all() and not (logits[2] == 0).any()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_window_slides_past_the_last_position(family):
    model = build(family, positions=16)
    window = Window(model, [5, 6, 7])
    for token in range(10, 10 + 40):
        window.push([token])
    assert window.sequences[0] == [5, 6, 7, *range(10, 50)]
    # 3 + 13 tokens fill the window; each later one that finds it full reads the last 8 again and goes on
    held = window._cache.lengths[0]
    fresh = model([window.sequences[0][-held:]])[0, -1]
    np.testing.assert_allclose(window.logits[0], fresh, atol=1e-4 * np.abs(fresh).max())
    assert 8 <= held <= 16


def test_a_prompt_longer_than_the_window_is_read_from_its_end():
    model = build(positions=16)
    ids = list(range(20, 60))
    np.testing.assert_array_equal(Window(model, ids).logits, Window(model, ids[-16:]).logits)


LOGITS = np.array([2.0, 1.0, 0.5, -1.0, 3.0, -2.0], np.float32)

NOTHING = np.array([], int)


class Forbid:
    """Stands for a Spelling that forbids the same ids always."""

    def __init__(self, *ids):
        self.ids = np.array(ids)

    def forbidden(self, ids):
        return self.ids


def allowed(forbidden=NOTHING, seen=(), **settings):
    """Every token that 400 draws bring up."""
    sampling = Sampling(**{"top_k": None, "top_p": 1.0, "temperature": 1.0, **settings})
    random = np.random.default_rng(0)
    return {sampling.choose(LOGITS, seen, forbidden, random) for _ in range(400)}


def test_filters_keep_what_they_should():
    assert allowed() >= {0, 1, 2, 4}
    assert allowed(top_k=2) == {4, 0}
    assert allowed(top_k=99) == allowed()
    probabilities = np.exp(LOGITS) / np.exp(LOGITS).sum()  # 0.60 0.22 0.08 0.05 0.01 0.004 in order 4 0 1 2 3 5
    assert allowed(top_p=float(probabilities[4]) - 0.01) == {4}
    assert allowed(top_p=float(probabilities[4]) + 0.01) == {4, 0}
    assert allowed(min_p=0.2) == {4, 0}  # e^(2-3) = 0.37 stays, e^(1-3) = 0.14 goes
    assert allowed(greedy=True) == allowed(temperature=0) == {4}
    assert allowed(forbidden=np.array([4]), greedy=True) == {0}
    assert allowed(top_k=3, min_p=0.2, top_p=0.5) == {4}  # together: each narrows the last


def test_repetition_penalty_divides_positive_and_multiplies_negative_logits():
    assert allowed(seen=(4,), repetition_penalty=2.0, greedy=True) == {0}  # 3 / 2 < 2
    assert allowed(seen=(4,), repetition_penalty=1.4, greedy=True) == {4}  # 3 / 1.4 > 2
    negative = np.array([-1.0, -1.5], np.float32)
    choose = Sampling(greedy=True, repetition_penalty=2.0).choose
    assert choose(negative, (0,), NOTHING, np.random.default_rng()) == 1  # -1 * 2 < -1.5


def test_draws_follow_the_probabilities():
    sampling = Sampling(temperature=2.0, top_k=None, top_p=1.0)
    random = np.random.default_rng(1)
    counts = np.bincount([sampling.choose(LOGITS, (), NOTHING, random) for _ in range(20_000)], minlength=6)
    expected = np.exp(LOGITS / 2) / np.exp(LOGITS / 2).sum()
    assert np.abs(counts / 20_000 - expected).max() < 0.02  # 5 standard deviations are 0.0177


def test_the_same_seed_gives_the_same_text_and_another_gives_another():
    model, tok = build(), rgz.ByteTokenizer()
    texts = [model.generate(tok, "春", max_new_tokens=30, seed=s) for s in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_eos_ends_the_text_and_special_tokens_never_appear():
    model, tok = build(), rgz.ByteTokenizer()
    ids = list(stream_ids(model, [5], Sampling(seed=0, temperature=5.0, top_k=None, top_p=1.0), max_new_tokens=300,
                          eos_id=tok.eos_id, spelling=Forbid(0, 1, 3)))  # fmt: skip
    assert not set(ids) & set(tok.special_ids) and len(ids) < 300


@pytest.mark.parametrize("num_beams", [1, 2, 4, 64])
def test_beam_search_finds_the_best_path_when_wide_enough(num_beams):
    model = build(vocab=8, positions=16)
    best = beam_search(model, [5, 6], max_new_tokens=2, num_beams=num_beams, eos_id=2, spelling=Forbid(0, 1, 3))

    def score(path):
        total = 0.0
        for i, token in enumerate(path):
            row = model([[5, 6, *path[:i]]])[0, -1].astype(np.float64)
            row[[0, 1, 3]] = -np.inf
            total += row[token] - np.log(np.exp(row).sum())
        return total / len(path)

    paths = [(2,), *[p for p in itertools.product([4, 5, 6, 7], [2, 4, 5, 6, 7])]]
    scores = {p: score(p) for p in paths}
    ended = tuple(best) if tuple(best) in scores else (*best, 2)
    if num_beams == 64:
        assert scores[ended] == pytest.approx(max(scores.values()))
    else:
        assert scores[ended] <= max(scores.values()) + 1e-6


def test_pieces_are_whole_characters_and_join_to_the_text():
    model, tok = build(), rgz.ByteTokenizer()
    settings = {"max_new_tokens": 80, "seed": 4, "temperature": 1.5, "top_k": None, "top_p": 1.0}
    pieces = list(stream(model, tok, "太阳", **settings))
    assert "".join(pieces) == generate(model, tok, "太阳", **settings)
    assert all(pieces)


def test_chat_remembers_and_goes_on_past_its_context():
    model, tok = build(positions=64), rgz.ByteTokenizer()
    chat = ChatSession(model, tok, max_new_tokens=100, seed=0)
    for turn in range(4):
        "".join(chat.reply("你好吗"))
        assert len(chat.messages) == 2 * (turn + 1)
    assert len(chat.prompt_ids("再见")) <= 64
    chat.clear()
    assert chat.messages == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": -1}, "temperature must be 0 or >= 0.001, got -1"),
        ({"top_p": 0}, "top_p must be in"),
        ({"top_k": -1}, "top_k"),
        ({"min_p": 2}, "min_p"),
        ({"repetition_penalty": 0}, "repetition_penalty"),
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"num_beams": 0}, "num_beams"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(RgzError, match=message):
        build().generate(rgz.ByteTokenizer(), "a", **settings)


def test_a_tokenizer_of_another_model_is_refused():
    with pytest.raises(RgzError, match="do not belong together"):
        build(vocab=100).generate(rgz.ByteTokenizer(), "a")


def test_ids_that_the_tokenizer_lacks_are_never_chosen():
    model = build(vocab=400)
    text = model.generate(rgz.ByteTokenizer(), "a", max_new_tokens=50, temperature=9.0, top_k=None, top_p=1.0, seed=0)
    assert text


@pytest.mark.parametrize("prompt", [[], [1.5, 2.0], None, ["a"]])
def test_a_prompt_that_is_none_is_refused(prompt):
    with pytest.raises(RgzError, match="a prompt must be a text"):
        build().generate(rgz.ByteTokenizer(), prompt)


@pytest.mark.parametrize("beams", [1, 2])
def test_damaged_weights_are_said(beams):
    model = build()
    model.weights[:] = np.nan
    with pytest.raises(RgzError, match="not numbers"):
        model.generate(rgz.ByteTokenizer(), "a", num_beams=beams)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("sampling", [Sampling(), Sampling(greedy=True), Sampling(top_k=None)])
def test_logits_that_are_not_finite_are_said(sampling, value):
    logits = np.zeros(300, np.float32)
    logits[7] = value
    with pytest.raises(RgzError, match="not numbers"):
        sampling.choose(logits, [], np.array([], int), sampling.generator())


def test_the_largest_number_a_generator_gives_draws_a_token():
    class Largest:
        def random(self):
            return np.nextafter(1.0, 0.0)

    for seed in range(200):
        logits = np.random.default_rng(seed).standard_normal(300).astype(np.float32)
        assert 0 <= Sampling(top_k=None, top_p=1.0).choose(logits, [], np.array([], int), Largest()) < 300


@pytest.mark.parametrize(
    "size, k", [(1, 1), (7, 3), (40, 10), (41, 10), (9620, 40), (9620, 2404), (9620, 2405), (500, 500)]
)
def test_the_largest_are_among_those_looked_at(size, k):
    random = np.random.default_rng(size + k)
    for scores in (random.standard_normal(size), random.integers(0, 3, size).astype(float), np.full(size, -np.inf)):
        found = among_largest(scores, k)
        assert sorted(scores[found])[-k:] == sorted(scores)[-k:]
        assert len(set(found.tolist())) == len(found)


def test_few_others_are_looked_at():
    assert len(among_largest(np.random.default_rng(0).standard_normal(9620), 40)) < 80


def dialogue(*texts):
    return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]


def test_the_oldest_questions_give_way_and_the_systems_message_stays():
    model, text = build(positions=80), rgz.ByteTokenizer()
    system = [{"role": "system", "content": "s"}]
    ids = {n: encode_prompt(text, [*system, *dialogue(*"abcde"[-n:])]) for n in (1, 3, 5)}
    messages = [*system, *dialogue(*"abcde")]
    assert len(ids[5]) > 40 >= len(ids[1])
    assert fitting_prompt(build(positions=2 * len(ids[5])), text, messages, None) == ids[5]
    assert fitting_prompt(build(positions=2 * len(ids[5]) - 1), text, messages, None) == ids[3]
    assert fitting_prompt(build(positions=2 * len(ids[5])), text, messages, 2) == ids[3]
    assert fitting_prompt(model, text, messages, 1) == ids[1]
    assert fitting_prompt(build(positions=8), text, messages, None) == ids[1]  # the last question stays, however long


def test_a_dialogue_is_checked_before_any_of_it_is_forgotten():
    messages = [{"role": "user", "content": "a"}, *dialogue(*"abc")]
    with pytest.raises(RgzError, match="user and assistant in turn"):
        fitting_prompt(build(), rgz.ByteTokenizer(), messages, 1)
