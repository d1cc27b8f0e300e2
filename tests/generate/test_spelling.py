"""A model writes whole characters only, whatever its weights."""

import itertools

import numpy as np
import pytest

import rgz
from rgz.generate.spelling import Spelling
from rgz.text.stream import begins_text, unfinished
from rgz.text.tokenizer import FIRST_BYTE_ID


def build(tokenizer):
    config = rgz.ModelConfig(vocab_size=tokenizer.vocab_size + 3, hidden_size=16, num_hidden_layers=1,
                             num_attention_heads=2, max_position_embeddings=64)  # fmt: skip
    return rgz.Model(config, seed=1)


def begins_a_character(data: bytes) -> bool:
    """By Python's own decoder: some bytes after it make it one whole character."""
    for missing in range(4):
        tails = itertools.product((0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF), repeat=missing) if missing else [()]
        for tail in tails:
            try:
                if len((data + bytes(tail)).decode()) == 1:
                    return True
            except UnicodeDecodeError:
                continue
    return False


def test_what_begins_a_text_is_what_python_can_decode_with_more():
    leads = [bytes([b]) for b in range(256) if begins_text(bytes([b]))]
    assert leads == [bytes([b]) for b in range(256) if begins_a_character(bytes([b]))]
    held = [lead for lead in leads if lead[0] >= 0xC2]
    while held:
        longer = [h + bytes([b]) for h in held for b in range(256)]
        for data in longer:
            assert begins_text(data) == begins_text("好".encode() + data) == begins_a_character(data), data
        held = [data for data in longer if begins_text(data) and unfinished(data) == data]
        held = held[:: 1 + len(held) // 12]


def test_between_characters_everything_with_text_and_the_end_may_come():
    tokenizer = rgz.WordTokenizer.train(["你好，世界"])
    spelling = Spelling(build(tokenizer), tokenizer)
    allowed = sorted(
        set(range(tokenizer.vocab_size + 3)) - set(spelling.forbidden([*tokenizer.encode("你好")]).tolist())
    )
    text_bytes = [4 + b for b in (*range(0x80), *range(0xC2, 0xF5))]
    assert allowed == [tokenizer.eos_id, *text_bytes, *range(260, tokenizer.vocab_size)]


def test_inside_a_character_only_its_bytes_may_come():
    tokenizer = rgz.ByteTokenizer()
    spelling = Spelling(build(tokenizer), tokenizer)
    ids = tokenizer.encode("a龍")
    assert len(spelling.forbidden(ids)) == tokenizer.vocab_size + 3 - (128 + 0xF5 - 0xC2 + 1)
    for cut in (-1, -2):
        allowed = set(range(263)) - set(spelling.forbidden(ids[:cut]).tolist())
        assert ids[cut] in allowed and tokenizer.eos_id not in allowed and 4 + ord("a") not in allowed
    # a special token in between ends what was unfinished
    np.testing.assert_array_equal(spelling.forbidden([ids[1], tokenizer.sep_id]), spelling.forbidden([]))


@pytest.mark.parametrize("settings", [{"temperature": 50.0, "top_k": None, "top_p": 1.0, "seed": 3}, {"num_beams": 3}])
def test_an_untrained_model_writes_no_replacement_characters(settings):
    tokenizer = rgz.ByteTokenizer()
    model = build(tokenizer)
    for length in (1, 2, 3, 50, 51, 52):
        text = model.generate(tokenizer, "春", max_new_tokens=length, **settings)
        assert "�" not in text


@pytest.mark.parametrize("name", ["temperature", "top_k", "top_p", "min_p", "seed"])
def test_beam_search_refuses_what_it_would_not_use(name):
    tokenizer = rgz.ByteTokenizer()
    with pytest.raises(rgz.RgzError, match=f"leave {name} out"):
        build(tokenizer).generate(tokenizer, "春", num_beams=2, **{name: 1})


def test_tokens_that_hold_parts_of_characters_come_where_they_fit():
    first, second, third = "好".encode()[:1], "好".encode()[1:2], "好".encode()[2:]
    merges = [(first, second), (second, third), (third, first), (third, b"a")]
    vocab = {**rgz.BPETokenizer.train([]).vocab, **{left + right: 260 + n for n, (left, right) in enumerate(merges)}}
    tokenizer = rgz.BPETokenizer(vocab, merges)
    spelling = Spelling(build(tokenizer), tokenizer)

    def allowed(*ids):
        return {i for i in set(range(260, 264)) - set(spelling.forbidden([4 + ord("a"), *ids]).tolist())}

    assert allowed() == {260}  # 好 begins with it; the others begin inside a character
    assert allowed(4 + first[0]) == {261}
    assert allowed(260) == {262, 263} == allowed(4 + first[0], 4 + second[0])
    assert allowed(260, 262) == {261}
    assert allowed(260, 263) == {260}


STRAY = [[0xC0], [0xE0, 0x80], [0xED, 0xA0], [0xF4, 0x90], [ord("a"), 0xC1]]


@pytest.mark.parametrize("stray", STRAY, ids=str)
@pytest.mark.parametrize("settings", [{"greedy": True}, {"seed": 0}, {"num_beams": 2}])
def test_after_bytes_of_a_prompt_that_nothing_makes_a_character_the_text_goes_on(stray, settings):
    tokenizer = rgz.ByteTokenizer()
    model = build(tokenizer)
    prompt = [FIRST_BYTE_ID + byte for byte in stray]
    assert set(Spelling(model, tokenizer).forbidden(prompt)) == set(Spelling(model, tokenizer).forbidden([]))
    text = model.generate(tokenizer, prompt, max_new_tokens=12, **settings)
    assert "\ufffd" not in text.lstrip("\ufffd")  # but for the stray bytes at the beginning


@pytest.mark.parametrize("num_beams", [1, 2])
def test_a_character_that_the_prompt_begins_is_whole_in_what_follows(num_beams):
    tokenizer = rgz.ByteTokenizer()
    model = build(tokenizer)
    for begun in ("好".encode()[:1], "好".encode()[:2], "😀".encode()[:3]):
        prompt = [FIRST_BYTE_ID + byte for byte in begun]
        text = model.generate(tokenizer, prompt, max_new_tokens=9, num_beams=num_beams, greedy=True)
        assert text.encode().startswith(begun) and "\ufffd" not in text
