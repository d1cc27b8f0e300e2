"""What `rgz train` says of memory before it takes any: the plan, and the refusal of a model that cannot fit."""

import os
import re
import subprocess
import sys

import pytest

import rgz.cli.estimate as estimating
from rgz.config import ModelConfig, TrainingArguments
from rgz.errors import RgzError
from rgz.models import Decoder
from rgz.train.plan import make_step

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads the resident memory that Linux tells")


def planned_megabytes(text):
    return float(re.search(r"memory +about (\d+) MB", text)[1])


# Starts a command from a small process: the peak that Linux tells of a process is that of who started it at least.
MEASURED = """
import os, sys
process = os.spawnv(os.P_NOWAIT, sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(process, 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


@linux
def test_the_planned_memory_is_what_the_run_takes(texts, tmp_path):
    """In processes of their own, with a model whose arrays weigh as much as the interpreter: about 150 MB."""
    flags = ["--tokenizer", "char", "--hidden-size", "512", "--num-hidden-layers", "4", "--num-attention-heads", "8",
             "--batch-size", "16", "--max-length", "64", "--max-steps", "2", "--warmup-steps", "0"]  # fmt: skip
    base = [sys.executable, "-m", "rgz", "train", str(texts), "-o", str(tmp_path / "run"), *flags]
    environment = {**os.environ, "RGZ_LANG": "en"}
    dry = subprocess.run([*base, "--dry-run"], capture_output=True, text=True, env=environment, check=True)
    planned = planned_megabytes(dry.stdout) * 1e6
    run = subprocess.run(
        [sys.executable, "-c", MEASURED, *base], capture_output=True, text=True, env=environment, check=True
    )
    taken = int(run.stdout.split()[-1]) * 1024
    assert planned == pytest.approx(taken, rel=0.15)
    assert taken > 2.5e8, "the arrays must weigh enough for a wrong sum of them to show"


@linux
def test_what_making_the_dictionary_takes_is_told_apart_from_the_plan(texts, tmp_path):
    """Building jieba's dictionary takes more memory than a small model, once: that is told apart. Of it stays what the
    allocator cannot give back."""
    command = [sys.executable, "-m", "rgz", "train", str(texts), "--preset", "pico", "--dry-run"]
    environment = {**os.environ, "RGZ_LANG": "en", "XDG_CACHE_HOME": str(tmp_path)}
    plans = [
        subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout for _ in range(2)
    ]
    assert planned_megabytes(plans[0]) == pytest.approx(planned_megabytes(plans[1]), abs=30)
    told = [re.search(r"of training; reading and encoding the text took (\d+) MB", plan) for plan in plans]
    assert told[0] is not None and float(told[0][1]) > 1.2 * planned_megabytes(plans[0])
    assert told[1] is None


@pytest.mark.parametrize("optim_dtype", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_model_too_large_is_refused_by_what_would_be_allocated(monkeypatch, dtype, optim_dtype):
    config = ModelConfig(vocab_size=500, hidden_size=64, num_hidden_layers=2, num_attention_heads=4)
    args = TrainingArguments(dtype=dtype, optim_dtype=optim_dtype)
    planned = make_step(Decoder(config), args, 8, 1).planned_bytes
    needed = estimating.bytes_before_training(config, args)
    assert needed == pytest.approx(sum(planned.values()) - planned["activations"], rel=0.01)
    monkeypatch.setattr(estimating, "memory_bytes", lambda: (2 * needed, needed))
    estimating.refuse_too_large(config, args)
    monkeypatch.setattr(estimating, "memory_bytes", lambda: (2 * needed, needed - 1))
    with pytest.raises(RgzError, match=r"before its first step \(weights") as refused:
        estimating.refuse_too_large(config, args)
    assert ("copy in 16 bits" in str(refused.value)) == (dtype != "float32")
