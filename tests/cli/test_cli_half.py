"""The command line in 16 bits: training, resuming, fine-tuning and answering."""

import json

import pytest
from cli.tiny import TINY

from rgz.generate import Model


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_train_resume_fine_tune_and_answer(rgz, texts, dialogues, tmp_path, dtype):
    whole, parts, taught = tmp_path / "whole", tmp_path / "parts", tmp_path / "taught"
    flags = [texts, *TINY, "--dtype", dtype, "--optim-dtype", "bfloat16", "--max-steps", 12, "--save-steps", 4]
    assert rgz("train", "-o", whole, *flags).exit_code == 0
    assert rgz("train", "-o", parts, *flags, "--max-time", 0.001).exit_code == 0
    for _ in range(12):  # an update each time
        assert rgz("resume", parts).exit_code == 0
    weights = [(run / "model.safetensors").read_bytes() for run in (whole, parts)]
    assert weights[0] == weights[1]
    last = json.loads((whole / "metrics.jsonl").read_text().splitlines()[-1])
    assert ("loss_scale" in last) == (dtype == "float16")
    result = rgz("sft", dialogues, "--from", whole, "-o", taught, "--max-steps", 20, "--dtype", dtype)
    assert result.exit_code == 0, result.stderr
    ways = [rgz("generate", taught, "--chat", "-p", "你是谁？", "--greedy", "--dtype", way)
            for way in ("float32", dtype)]  # fmt: skip
    assert all(way.exit_code == 0 and way.stdout for way in ways)
    assert rgz("chat", taught, "--greedy", "--dtype", dtype, input="你是谁？\n").exit_code == 0
    losses = [json.loads(rgz("eval", taught, dialogues, "--json", "--dtype", way).stdout)["loss"]
              for way in ("float32", dtype)]  # fmt: skip
    assert losses[0] == pytest.approx(losses[1], rel=0.01) and losses[0] != losses[1]


def test_a_model_kept_in_16_bits_answers_and_can_be_taught(rgz, trained, dialogues, tmp_path):
    half = tmp_path / "half"
    Model.from_pretrained(trained, dtype="bfloat16").save_pretrained(half)
    (half / "tokenizer.json").write_bytes((trained / "tokenizer.json").read_bytes())
    assert (half / "model.safetensors").stat().st_size < 0.6 * (trained / "model.safetensors").stat().st_size
    assert rgz("generate", half, "-p", "太阳", "--max-new-tokens", 3).exit_code == 0
    result = rgz("sft", dialogues, "--from", half, "-o", tmp_path / "taught", "--max-steps", 2)
    assert result.exit_code == 0, result.stderr


def test_wrong_dtypes_are_refused_in_a_sentence(rgz, trained, texts, tmp_path):
    for command in (("generate", trained, "--dtype", "int8"), ("train", texts, "-o", tmp_path / "x", "--dtype", "fp8")):
        result = rgz(*command)
        assert result.exit_code in (1, 2) and "Traceback" not in result.stderr
        assert command[-1] in result.stderr and not (tmp_path / "x").exists()
    result = rgz("train", texts, "-o", tmp_path / "x", *TINY, "--loss-scale", 8)
    assert result.exit_code != 0 and "loss_scale must be none, but with dtype=float16" in result.stderr


def test_info_tells_how_16_bits_are_multiplied(rgz):
    values = json.loads(rgz("info", "--json").stdout)
    assert set(values["half"]) == {"bfloat16", "float16"}
    assert "16-bit products" in rgz("info").stdout
