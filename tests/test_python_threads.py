"""Several Python threads use rgz at once: each gets what it would get alone, or is refused by name."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import rgz

CONFIG = rgz.ModelConfig(
    vocab_size=260, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=64, dropout=0.1
)
TEXTS = ["太阳从东方升起，照亮了山谷。", "月亮在夜里反射太阳的光。"] * 10


def trainer(seed, model=None, folder=None, callbacks=()):
    args = rgz.TrainingArguments(
        max_steps=12, batch_size=2, max_length=32, seed=seed, report_to=(), token_cache=False, samples=False,
        output_dir=None if folder is None else str(folder), n_threads=2,
    )  # fmt: skip
    model = rgz.Model(CONFIG, seed=seed) if model is None else model
    return rgz.Trainer(model, rgz.ByteTokenizer(), TEXTS, None, args, callbacks)


def weights_after(seed):
    made = trainer(seed)
    made.train()
    return made.model.weights.copy()


def test_two_trainers_at_once_give_the_same_bits_as_alone():
    alone = [weights_after(seed) for seed in range(3)]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(weights_after, range(3)))
    for one, other in zip(alone, together, strict=True):
        assert one.tobytes() == other.tobytes()
    assert alone[0].tobytes() != alone[1].tobytes()


class Waiting(rgz.Callback):
    """Holds its trainer at the first step until it is let go."""

    def __init__(self):
        self.begun, self.go = threading.Event(), threading.Event()

    def on_step_end(self, trainer, state):
        self.begun.set()
        assert self.go.wait(60)


@pytest.mark.parametrize("shared", ["model", "folder"])
def test_two_trainers_of_one_model_or_folder_are_refused_by_name(tmp_path, shared):
    model, waiting = rgz.Model(CONFIG), Waiting()
    folder = tmp_path / "run" if shared == "folder" else None
    first = trainer(0, model, folder, [waiting])
    second = trainer(1, model if shared == "model" else None, folder)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(first.train)
        assert waiting.begun.wait(60)
        message = (
            "this model is being trained" if shared == "model" else "another Trainer of this process is writing to"
        )
        with pytest.raises(rgz.RgzError, match=message):
            second.train()
        waiting.go.set()
        assert running.result(60)
    if shared == "model":
        second.train()  # and afterwards it may
        assert second.state.step == 12


def test_two_generators_of_one_model_write_what_they_would_alone():
    model, tokenizer = rgz.Model(CONFIG, seed=4), rgz.ByteTokenizer()

    def write(number):
        prompt = "太阳月亮"[number % 4] * (1 + number)
        how = {"num_beams": 3} if number % 2 else {"seed": number}
        return model.generate(tokenizer, prompt, max_new_tokens=20, n_threads=2, **how)

    alone = [write(number) for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(write, list(range(6)) * 4)) == alone * 4


def test_a_model_is_trained_while_others_plan_train_and_write():
    expected, seen = weights_after(7), []
    other, tokenizer, stop = rgz.Model(CONFIG, seed=1), rgz.ByteTokenizer(), threading.Event()
    text = other.generate(tokenizer, "太阳", max_new_tokens=16, greedy=True)

    def write():
        while not stop.is_set():
            other.planned_bytes(50, 2, True, 2)
            seen.append(other.generate(tokenizer, "太阳", max_new_tokens=16, greedy=True))

    with ThreadPoolExecutor(2) as pool:
        writers = [pool.submit(write) for _ in range(2)]
        try:
            found = weights_after(7)
        finally:
            stop.set()
        for writer in writers:
            writer.result(60)
    assert found.tobytes() == expected.tobytes()
    assert seen and set(seen) == {text}


def test_text_is_cut_and_encoded_in_several_threads_at_once():
    tokenizer = rgz.WordTokenizer.train(TEXTS, 300)
    alone = tokenizer.encode_batch(TEXTS * 300)[0]
    with ThreadPoolExecutor(4) as pool:
        for ids, _ in pool.map(tokenizer.encode_batch, [TEXTS * 300] * 8):
            assert np.array_equal(ids, alone)
