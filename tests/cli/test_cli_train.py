"""train, sft and resume: flags and files, the plan and whether it keeps its word, what a run leaves behind."""

import json
import os
import re
import shutil

import pytest
from cli.tiny import TINY

from rgz.cli.settings import free_directory
from rgz.cli.train import preset_for

REPORT = re.compile(r"^\[ *\d+/\d+\] Loss ")


def arguments(run):
    return json.loads((run / "training_args.json").read_text(encoding="utf-8"))["arguments"]


def config(run):
    return json.loads((run / "config.json").read_text(encoding="utf-8"))


def test_a_run_holds_what_the_next_commands_need(trained):
    names = {path.name for path in trained.iterdir()}
    assert {"config.json", "tokenizer.json", "model.safetensors", "metrics.jsonl", "training_args.json"} <= names
    assert any(name.startswith("checkpoint-") for name in names)


def test_only_the_run_directory_is_on_stdout(rgz, texts, tmp_path):
    run = tmp_path / "a run"
    result = rgz("train", texts, "-o", run, *TINY, "--max-steps", 2)
    assert result.exit_code == 0
    assert result.stdout == f"{run}\n"
    assert "documents" in result.stderr and "about" in result.stderr  # the plan comes first
    assert "sample: " in result.stderr
    assert f"rgz sft DATA --from '{run}'" in result.stderr
    assert any(REPORT.match(line) for line in result.stderr.splitlines())


def test_batches_may_be_counted_in_tokens(rgz, texts, tmp_path):
    flags = ["--batch-tokens", "100", "--max-length", "24", "--dry-run", "--no-group-by-length"]
    for mode in ("--packing", "--no-packing", "--group-by-length"):
        result = rgz("train", texts, "-o", tmp_path / "run", *flags, mode)
        assert result.exit_code == 0, result.stderr
        [rows] = re.findall(r"batches of up to (\d+) tokens", result.stdout)
        assert 80 <= int(rows) <= 100
        assert "--batch-size" not in result.stdout and "--num-train-epochs 20" in result.stdout
    result = rgz("train", texts, "-o", tmp_path / "run", *flags, "--batch-tokens", "7")
    assert result.exit_code == 1 and "batch_tokens must be at least" in result.stderr


def test_the_second_run_on_a_text_reuses_its_tokens_unless_told_not_to(rgz, texts, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def train(name, *flags):
        result = rgz("train", texts, "-o", tmp_path / name, *TINY, "--max-steps", 2, *flags)
        assert result.exit_code == 0, result.stderr
        told = [line for line in result.stderr.splitlines() if line.startswith("token cache: ")]
        return told, (tmp_path / name / "model.safetensors").read_bytes()

    off, weights = train("off", "--no-token-cache")
    assert off == [] and not (tmp_path / "cache" / "rgz" / "tokens").exists()
    [kept], cold = train("cold")
    [reused], warm = train("warm")
    assert "kept for the next run" in kept and f"reused from {tmp_path}" in reused
    assert weights == cold == warm
    assert "token cache" not in rgz("resume", tmp_path / "warm", "--no-token-cache").stderr


@pytest.mark.parametrize(
    "flags",
    [
        ["--learning-rate", "5e-4", "--weight_decay=0", "--no-packing", "--save-seconds", "none", "--warmup_steps=3",
         "--lr-scheduler-type=cosine_with_restarts", "--lr_scheduler_kwargs", "cycles=2", "--report-to", "jsonl"],
    ],
)  # fmt: skip
def test_flags_reach_the_run_however_they_are_written(rgz, texts, tmp_path, flags):
    result = rgz("train", texts, "-o", tmp_path / "run", *TINY, "--max-steps", 9, *flags, "--dropout", 0.1)
    assert result.exit_code == 0, result.stderr
    saved = arguments(tmp_path / "run")
    assert (saved["learning_rate"], saved["weight_decay"], saved["packing"]) == (5e-4, 0.0, False)
    assert (saved["save_seconds"], saved["warmup_steps"], saved["max_steps"]) == (None, 3, 9)
    assert (saved["lr_scheduler_kwargs"], saved["report_to"]) == ({"cycles": 2}, ["jsonl"])
    shape = config(tmp_path / "run")
    assert (shape["dropout"], shape["hidden_size"], shape["num_hidden_layers"]) == (0.1, 16, 1)


def test_the_command_line_wins_over_the_config_file(rgz, texts, tmp_path):
    file = tmp_path / "my.toml"
    file.write_text(
        'learning-rate = 1e-4\nmax_steps = 2\nseed = 7\nhidden_size = 32\nsave_seconds = "none"\n'
        'report_to = ["jsonl"]\npacking = false\n',
        encoding="utf-8",
    )
    result = rgz("train", texts, "-o", tmp_path / "run", *TINY, "--config", file, "--seed", 8)
    assert result.exit_code == 0, result.stderr
    saved = arguments(tmp_path / "run")
    assert (saved["learning_rate"], saved["max_steps"], saved["seed"]) == (1e-4, 2, 8)
    assert (saved["save_seconds"], saved["packing"]) == (None, False)
    assert config(tmp_path / "run")["hidden_size"] == 16  # of TINY, on the command line


def test_what_was_not_given_is_chosen_for_the_text_and_said(rgz, texts):
    result = rgz("train", texts, "--dry-run")
    assert result.exit_code == 0, result.stderr
    assert (
        "chosen for this text: --preset pico --learning-rate 0.002 --augment 0.1 "
        "--early-stopping-patience 5 --batch-size 4 --num-train-epochs 20)" in result.stdout
    )
    assert [preset_for(n) for n in (0, 49_999, 50_000, 5_000_000)] == ["pico", "pico", "nano", "micro"]


def test_a_cpu_that_multiplies_bfloat16_is_told_unless_a_dtype_was_given(rgz, texts, isa):
    advice, long = "--dtype bfloat16 would take 0.5 to 0.65 of the time", ("--max-steps", 10**9, "--dry-run")
    assert (advice in rgz("train", texts, *TINY, *long).stdout) == (isa == "avx512bf16")
    assert advice not in rgz("train", texts, *TINY, *long, "--dtype", "float32").stdout
    assert advice not in rgz("train", texts, *TINY, "--max-steps", 5, "--dry-run").stdout


def test_a_dry_run_prints_the_plan_and_writes_nothing(rgz, texts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = rgz("train", texts, *TINY, "--max-steps", 5, "--dry-run")
    assert result.exit_code == 0, result.stderr
    for word in ("documents", "tokens", "sequences", "parameters", "updates", "time", "memory", "run directory"):
        assert word in result.stdout
    assert re.search(r"updates +5 \(", result.stdout)
    assert not os.listdir(tmp_path)


def test_the_plan_leaves_the_run_as_it_is(rgz, texts, tmp_path, monkeypatch):
    import rgz.cli.estimate as estimating

    rgz("train", texts, "-o", tmp_path / "a", *TINY, "--max-steps", 4)
    monkeypatch.setattr(estimating, "estimate", lambda trainer: estimating.Estimate(1.0, 1.0))
    rgz("train", texts, "-o", tmp_path / "b", *TINY, "--max-steps", 4)
    weights = [(tmp_path / run / "model.safetensors").read_bytes() for run in "ab"]
    assert weights[0] == weights[1]


def test_fine_tuning_teaches_the_answers(rgz, answering, dialogues):
    assert arguments(answering)["mask_prompts"] is True
    result = rgz("generate", answering, "--chat", "--prompt", "你是谁？", "--greedy")
    assert result.stdout == "我是一个小模型。\n"
    info = json.loads((answering / "training_args.json").read_text(encoding="utf-8"))
    assert info["command"] == "sft" and info["turns"] == 1 and info["data"] == [str(dialogues)]


def test_fine_tuning_keeps_vocabulary_and_shape(trained, answering):
    assert (trained / "tokenizer.json").read_bytes() == (answering / "tokenizer.json").read_bytes()
    assert config(trained) == config(answering)


def test_fine_tuning_on_texts_without_answers_is_refused(rgz, trained, texts, tmp_path):
    result = rgz("sft", texts, "--from", trained, "-o", tmp_path / "run")
    assert result.exit_code == 1 and "no dialogue" in result.stderr
    assert not (tmp_path / "run").exists()


def test_resuming_a_stopped_run_gives_the_bytes_of_one_that_never_stopped(rgz, texts, tmp_path):
    def train(run):
        return rgz("train", texts, "-o", run, *TINY, "--max-steps", 6, "--save-steps", 3, "--save-total-limit", 9)

    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert train(whole).exit_code == train(stopped).exit_code == 0
    shutil.rmtree(stopped / "checkpoint-6")
    (stopped / "model.safetensors").unlink()
    result = rgz("resume", stopped, "--n-threads", 1)
    assert result.exit_code == 0, result.stderr
    assert "going on after step 3 of 6" in result.stderr
    assert (whole / "model.safetensors").read_bytes() == (stopped / "model.safetensors").read_bytes()


def test_a_fine_tuning_killed_before_its_first_checkpoint_begins_from_its_source(rgz, trained, dialogues, tmp_path):
    flags = ["--from", trained, "--max-steps", 4, "--n-threads", 1]
    for run in ("whole", "killed"):
        assert rgz("sft", dialogues, "-o", tmp_path / run, *flags).exit_code == 0
    shutil.rmtree(tmp_path / "killed" / "checkpoint-4")
    (tmp_path / "killed" / "model.safetensors").unlink()
    result = rgz("resume", tmp_path / "killed")
    assert result.exit_code == 0, result.stderr
    weights = [(tmp_path / run / "model.safetensors").read_bytes() for run in ("whole", "killed")]
    assert weights[0] == weights[1]


def test_resuming_names_the_text_that_is_gone(rgz, texts, tmp_path):
    copy = tmp_path / "copy.txt"
    shutil.copy(texts, copy)
    assert rgz("train", copy, "-o", tmp_path / "run", *TINY, "--max-steps", 2).exit_code == 0
    copy.unlink()
    result = rgz("resume", tmp_path / "run")
    assert result.exit_code == 1 and str(copy) in result.stderr


def test_validation_data_of_ones_own_is_used_whole(rgz, texts, tmp_path):
    held_out = tmp_path / "held_out.txt"
    held_out.write_text("月亮照亮了山谷。\n小猫在花园里睡觉。\n", encoding="utf-8")
    result = rgz("train", texts, "--validation-data", held_out, *TINY, "--max-steps", 2, "--dry-run")
    assert "62 (2 of them held out" in result.stdout


def test_without_a_name_the_next_free_directory_is_taken(rgz, texts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert free_directory("my text?") == os.path.join("runs", "my-text-1")
    for number in (1, 2):
        result = rgz("train", texts, *TINY, "--max-steps", 1)
        assert result.stdout.strip() == os.path.join("runs", f"my-{number}")


@pytest.mark.parametrize("kind", ["word", "char", "byte"])
def test_the_vocabulary_comes_from_the_training_documents_only(rgz, texts, tmp_path, kind):
    held_out = tmp_path / "held_out.txt"
    held_out.write_text("罕见的字：魑魅魍魉\n" * 3, encoding="utf-8")
    flags = [*TINY, "--max-steps", 1, "--tokenizer", kind, "--validation-data", held_out]
    assert rgz("train", texts, "-o", tmp_path / "run", *flags).exit_code == 0
    saved = json.loads((tmp_path / "run" / "tokenizer.json").read_text(encoding="utf-8"))
    assert saved["type"] == kind and "魑" not in saved["characters"]
    assert ("太" in saved["characters"]) == (kind != "byte")


def test_a_model_of_merged_bytes_is_trained_taught_and_asked(rgz, texts, dialogues, tmp_path):
    flags = [*TINY, "--max-steps", 2, "--tokenizer", "bpe", "--vocab-size", 300]
    assert rgz("train", texts, "-o", tmp_path / "run", *flags).exit_code == 0
    saved = json.loads((tmp_path / "run" / "tokenizer.json").read_text(encoding="utf-8"))
    assert saved["model"]["type"] == "BPE" and len(saved["model"]["merges"]) == 40
    taught = rgz("sft", dialogues, "--from", tmp_path / "run", "-o", tmp_path / "chat", "--max-steps", 2)
    assert taught.exit_code == 0, taught.stderr
    for command in (["generate", "--prompt", "太阳"], ["generate", "--prompt", "太阳", "--num-beams", 2]):
        result = rgz(command[0], tmp_path / "run", *command[1:], "--max-new-tokens", 9)
        assert result.exit_code == 0 and result.stdout.strip() and "\ufffd" not in result.stdout
    assert rgz("chat", tmp_path / "chat", input="你好\n").exit_code == 0


def test_a_vocabulary_can_be_that_of_another_run(rgz, trained, texts, tmp_path):
    flags = [*TINY, "--max-steps", 1, "--tokenizer", trained]
    assert rgz("train", texts, "-o", tmp_path / "run", *flags).exit_code == 0
    assert (tmp_path / "run/tokenizer.json").read_bytes() == (trained / "tokenizer.json").read_bytes()
