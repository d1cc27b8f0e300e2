"""max_memory: what is chosen, in what order, and that the run then stays below it."""

import subprocess
import sys

import pytest
from train.fakes import InterruptAt

import rgz
from rgz.errors import RgzError
from rgz.strict import parse_bytes
from rgz.train.budget import _fastest_first, _sizes, fit_memory
from rgz.train.portions import usual_portion

BIG = {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4, "max_position_embeddings": 256}
# (tokens a portion, recomputed?), the fastest first: sequences have up to 256.
ORDER = [(1280, False), (640, False), (320, False), (256, False), (1280, True), (640, True), (320, True), (256, True)]
EXTRA = (300, 150, 90, 70, *range(60, 15, -1))  # megabytes


def fit(limit, longest=256, rows=16 * 256, **arguments):
    model = rgz.Model(rgz.ModelConfig(vocab_size=300, **BIG))
    args = rgz.TrainingArguments(batch_size=16, max_length=longest, max_memory=limit, n_threads=1, **arguments)
    return fit_memory(model, args, rows)


NOW = 100e6


@pytest.fixture(autouse=True)
def the_same_memory_every_time(monkeypatch):
    monkeypatch.setattr("rgz.train.budget.resident_bytes", lambda: NOW)
    monkeypatch.setattr("rgz.train.budget.peak_bytes", lambda: NOW)


def megabytes_above_now(extra):
    return f"{NOW / 1e6 + extra:.3f}MB"


def chosen_one_by_one(**arguments):
    """What is chosen as memory becomes less."""
    seen = []
    for extra in EXTRA:
        try:
            chosen, sentence = fit(megabytes_above_now(extra), **arguments)
        except RgzError:
            break
        assert (chosen.batch_size, chosen.gradient_accumulation_steps) == (16, 2)
        assert f"portions of up to {chosen.portion_tokens:,} tokens" in sentence
        seen.append((chosen.portion_tokens, chosen.gradient_checkpointing))
    return seen


def test_plenty_of_memory_changes_nothing():
    chosen, sentence = fit("64GB")
    assert (chosen.batch_size, chosen.gradient_accumulation_steps, chosen.gradient_checkpointing) == (16, 1, False)
    assert chosen.portion_tokens == usual_portion(128)
    assert chosen.max_memory is None and "portions of up to 1,280 tokens, activations kept" in sentence


def test_what_preparing_took_beyond_the_limit_is_not_kept_quiet(monkeypatch):
    assert "has taken" not in fit("200MB")[1]
    monkeypatch.setattr("rgz.train.budget.peak_bytes", lambda: 201e6)
    assert "; but reading and encoding the text has taken 201 MB before" in fit("200MB")[1]


def test_less_memory_first_takes_smaller_portions_then_recomputes():
    places = [ORDER.index(choice) for choice in chosen_one_by_one(gradient_accumulation_steps=2)]
    assert places == sorted(places) and len(set(places)) >= 5, places


def test_recomputing_comes_before_portions_so_small_that_they_cost_more():
    order = _fastest_first([1280, 640, 320, 160, 80, 40], False)
    assert order.index((1280, True)) == order.index((80, False)) + 1 < order.index((40, False))
    assert all(recomputed for _, recomputed in _fastest_first([1280, 640], True))


def test_a_given_size_of_portions_stays():
    assert set(chosen_one_by_one(gradient_accumulation_steps=2, portion_tokens=512)) == {(512, False), (512, True)}


def test_portions_are_not_cut_below_a_sequence_nor_where_a_batch_is_smaller():
    chosen, _ = fit(megabytes_above_now(60), longest=100, rows=300)
    assert chosen.portion_tokens == usual_portion(128)  # one portion as it is
    assert list(_sizes(rgz.Model(rgz.ModelConfig(vocab_size=300, **BIG)), 100, 300)) == [1280, 150, 100]


def test_too_little_says_how_much_is_needed():
    message = r"max_memory=1MB is too little for this model: it takes at least \d+ MB with 256 tokens at a time"
    with pytest.raises(RgzError, match=message):
        fit("1MB")


def test_sizes_are_read_as_people_write_them():
    assert [parse_bytes("max_memory", text) for text in ("800MB", "1.5 GB", "2g", "64k")] == [
        800_000_000, 1_500_000_000, 2_000_000_000, 64_000,
    ]  # fmt: skip
    for text in ("800", "MB", "-1GB", "1.5.0GB", ""):
        with pytest.raises(RgzError, match="800MB"):
            rgz.TrainingArguments(max_memory=text)


CHILD = """
import resource, sys
import rgz
model = rgz.Model(rgz.ModelConfig(vocab_size=300, hidden_size=256, num_hidden_layers=6, num_attention_heads=4,
                                  max_position_embeddings=256))
args = rgz.TrainingArguments(batch_size=32, max_length=256, max_steps=1, max_memory=sys.argv[1], report_to=(),
                             validation_split=0.0)
rgz.Trainer(model, rgz.ByteTokenizer(), ["太阳从东方升起，照亮了山谷。" * 8] * 400, None, args).train()
if sys.platform == "linux":  # where getrusage counts the process that started this one too
    print(int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) * 1024)
else:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the peak is read with the resource module")
def test_a_run_stays_below_its_limit():
    result = subprocess.run([sys.executable, "-c", CHILD, "300MB"], capture_output=True, text=True, check=True)
    assert int(result.stdout) < 300e6
    assert "300MB" in result.stderr


WORDS = ["太阳从东方升起", "照亮了山谷", "月亮在夜里反射太阳的光。", "长江是中国最长的河", "春天来了，花园里开满了花。"]
TEXTS = ["".join(WORDS[(i * 7 + j * j) % 5] for j in range(1 + i % 9)) for i in range(160)]


def run(limit, *, folder=None, resume=None, callbacks=(), **arguments):
    """A run on packed batches of 8 x 128 tokens, below the memory of now and so many megabytes."""
    shape = {"hidden_size": 128, "num_hidden_layers": 8, "num_attention_heads": 4, "max_position_embeddings": 256}
    model = rgz.Model(rgz.ModelConfig(vocab_size=300, **shape), seed=3)
    args = rgz.TrainingArguments(
        output_dir=folder and str(folder), batch_size=8, max_length=128, max_steps=6, learning_rate=1e-4,
        logging_steps=1, report_to="jsonl" if folder else (), validation_split=0.0, load_best_model_at_end=False,
        n_threads=1, save_seconds=None, samples=False, max_memory=limit and megabytes_above_now(limit), **arguments,
    )  # fmt: skip
    trainer = rgz.Trainer(model, rgz.ByteTokenizer(), TEXTS, None, args, callbacks)
    return trainer.train(resume), model.weights.copy(), trainer


@pytest.mark.parametrize("batch", [{}, {"packing": False}, {"batch_tokens": 1000}, {"group_by_length": True}], ids=str)
def test_an_update_sees_the_same_tokens_with_and_without_a_limit(batch):
    history, _, free = run(None, **batch)
    again, _, bound = run(46, **batch)
    assert free.args.portion_tokens is None and bound.args.portion_tokens <= 256, "the limit has to have an effect"
    assert bound.step.planned_bytes["activations"] < 0.7 * free.step.planned_bytes["activations"]
    for name in ("num_input_tokens_seen", "epoch", "learning_rate"):
        assert [r[name] for r in again] == [r[name] for r in history]
    # Sums of float32 in another order; Adam makes more of that where a gradient is little else.
    for name, first, later in (("loss", 1e-6, 1e-4), ("grad_norm", 1e-5, 1e-3)):
        assert again[0][name] == pytest.approx(history[0][name], rel=first)
        assert [r[name] for r in again] == pytest.approx([r[name] for r in history], rel=later)
    assert len(bound.plan.batches) == len(free.plan.batches)


def test_a_limited_run_that_is_resumed_goes_on_in_the_portions_that_it_began_with(tmp_path):
    """Though there is more memory by then: other portions would round otherwise."""
    history, weights, whole = run(46, folder=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(46, folder=tmp_path / "halves", callbacks=[InterruptAt(3)])
    resumed, again, trainer = run(4000, folder=tmp_path / "halves", resume=True)
    assert trainer.args.portion_tokens == whole.args.portion_tokens <= 256
    assert again.tobytes() == weights.tobytes()
    assert [(r["loss"], r["grad_norm"]) for r in resumed] == [(r["loss"], r["grad_norm"]) for r in history]
