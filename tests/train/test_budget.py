"""max_memory: what is chosen, in what order, and that the run then stays below it."""

import subprocess
import sys

import pytest

import rgz
from rgz.cpu import resident_bytes
from rgz.errors import RgzError
from rgz.strict import parse_bytes
from rgz.train.budget import fit_memory

BIG = {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4, "max_position_embeddings": 256}
# (sequences of 256 rows a batch, recomputed?), the fastest first.
ORDER = [(16, False), (8, False), (4, False), (16, True), (8, True), (4, True), (2, False), (1, False), (2, True)]
ORDER.append((1, True))
EXTRA = (300, 150, 90, 70, 50, 40, 30, 25, 22)  # megabytes


def fit(limit, **arguments):
    model = rgz.Model(rgz.ModelConfig(vocab_size=300, **BIG))
    args = rgz.TrainingArguments(batch_size=16, max_length=256, max_memory=limit, n_threads=1, **arguments)
    return fit_memory(model, args)


def megabytes_above_now(extra):
    return f"{resident_bytes() / 1e6 + extra:.3f}MB"


def test_plenty_of_memory_changes_nothing():
    chosen, sentence = fit("64GB")
    assert (chosen.batch_size, chosen.gradient_accumulation_steps, chosen.gradient_checkpointing) == (16, 1, False)
    assert chosen.max_memory is None and "batch_size 16" in sentence and "activations kept" in sentence


def test_less_memory_first_halves_the_batch_then_recomputes_then_halves_on():
    seen = []
    for extra in EXTRA:
        try:
            chosen, _ = fit(megabytes_above_now(extra), gradient_accumulation_steps=2)
        except RgzError:
            break
        assert chosen.batch_size * chosen.gradient_accumulation_steps == 32
        seen.append((chosen.batch_size, chosen.gradient_checkpointing))
    places = [ORDER.index(choice) for choice in seen]
    assert places == sorted(places) and len(set(places)) >= 4, seen


def test_batches_by_tokens_are_halved_down_to_one_sequence():
    seen = []
    for extra in EXTRA:
        try:
            chosen, sentence = fit(megabytes_above_now(extra), batch_tokens=4096)
        except RgzError:
            break
        assert chosen.batch_tokens * chosen.gradient_accumulation_steps == 4096 and chosen.batch_size == 16
        assert f"batch_tokens {chosen.batch_tokens} x" in sentence
        seen.append((chosen.batch_tokens // 256, chosen.gradient_checkpointing))
    places = [ORDER.index(choice) for choice in seen]
    assert places == sorted(places) and len(set(places)) >= 4 and min(seen)[0] <= 2, seen


def test_too_little_says_how_much_is_needed():
    with pytest.raises(RgzError, match=r"max_memory=1MB is too little for this model: it takes at least \d+ MB"):
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
