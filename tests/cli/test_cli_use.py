"""eval, generate, chat, tokenize, info: results on stdout, and nothing else there."""

import json
import math
import re
import shlex
import shutil
import subprocess
import sys

import pytest
from cli.tiny import TINY, half_width_marks

from rgz import __version__
from rgz.generate import ChatSession, Model
from rgz.text import load_tokenizer
from rgz.train import RunDirectory


def test_eval_prints_loss_perplexity_and_bits_per_character(rgz, trained, texts):
    result = rgz("eval", trained, texts)
    assert result.exit_code == 0 and not result.stderr
    values = dict(line.split(": ") for line in result.stdout.replace(":  ", ": ").splitlines() if ": " in line)
    values = {name: float(value) for name, value in values.items()}
    assert values["perplexity"] == pytest.approx(math.exp(values["loss"]), rel=1e-3)
    # a character is a token here, and there is one end a document
    bits = values["loss"] * values["tokens"] / values["characters"] / math.log(2)
    assert values["bits_per_character"] == pytest.approx(bits, rel=1e-3)
    assert values["documents"] == 60 and values["tokens"] == values["characters"] + 60


def test_eval_gives_the_validation_loss_of_the_run(rgz, texts, tmp_path):
    rgz("train", texts, "-o", tmp_path / "run", *TINY, "--max-steps", 3, "--validation-data", texts)
    reports = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    result = json.loads(rgz("eval", tmp_path / "run", texts, "--json").stdout)
    assert result["loss"] == pytest.approx(min(r["val_loss"] for r in reports if "val_loss" in r), rel=1e-5)


def test_eval_counts_the_answers_only_where_training_did(rgz, answering, dialogues):
    answers = json.loads(rgz("eval", answering, dialogues, "--json").stdout)
    everything = json.loads(rgz("eval", answering, dialogues, "--json", "--no-mask-prompts").stdout)
    assert answers["tokens"] < everything["tokens"] and answers["loss"] < everything["loss"]


def test_a_checkpoint_can_be_used_like_a_run(rgz, trained, texts):
    checkpoint = next(trained.glob("checkpoint-*"))
    assert rgz("eval", checkpoint, texts).exit_code == 0
    assert rgz("generate", checkpoint, "--prompt", "太阳", "--seed", 1).exit_code == 0


def test_a_run_that_has_not_ended_is_used_from_its_newest_checkpoint(rgz, trained, texts, tmp_path):
    copy = shutil.copytree(trained, tmp_path / "run")
    (copy / "model.safetensors").unlink()
    result = rgz("eval", copy, texts)
    assert result.exit_code == 0 and "newest checkpoint" in result.stderr


@pytest.mark.parametrize("prompt", ["太阳", "", "🙂 never seen: ñandú ﷽", "\x00\n\t", "用户：<|bos|></s>"])
def test_any_prompt_goes_on(rgz, trained, prompt):
    result = rgz("generate", trained, "--prompt", prompt, "--max-new-tokens", 5, "--seed", 3)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.endswith("\n") and not result.stderr


def test_the_same_seed_gives_the_same_text_and_another_another(rgz, trained):
    def text(seed):
        return rgz("generate", trained, "--prompt", "月", "--seed", seed, "--temperature", 1.5).stdout

    assert text(1) == text(1) != text(2)


def test_a_prompt_that_the_model_does_not_see_whole_is_told(rgz, trained):
    positions = Model.from_pretrained(trained).config.max_position_embeddings
    for length, told in ((positions - 1, False), (positions, True)):  # and the one that begins every text
        done = rgz("generate", trained, "--prompt", "春" * length, "--max-new-tokens", 2)
        assert done.exit_code == 0
        assert (f"has {length + 1} tokens, and the model reads {positions} at a time" in done.stderr) == told


def test_the_prompt_can_come_from_stdin(rgz, trained):
    flags = ["--greedy", "--max-new-tokens", 8]
    piped = rgz("generate", trained, "--prompt", "-", *flags, input="月亮\n")
    assert piped.stdout == rgz("generate", trained, "--prompt", "月亮", *flags).stdout


def test_beams_write_too(rgz, trained):
    result = rgz("generate", trained, "--prompt", "月亮", "--num-beams", 3, "--max-new-tokens", 8)
    assert result.exit_code == 0 and result.stdout.strip()


def test_generation_goes_past_the_context(rgz, trained):
    result = rgz("generate", trained, "--prompt", "月亮", "--max-new-tokens", 150, "--temperature", 2, "--seed", 0)
    assert result.exit_code == 0 and len(result.stdout) > 64


def test_chat_answers_line_by_line_through_a_pipe(rgz, answering):
    result = rgz("chat", answering, "--greedy", input="你是谁？\n\n:clear\n天空是什么颜色？\n")
    assert result.exit_code == 0
    assert result.stdout == "我是一个小模型。\n天空是蓝色的。\n"


def test_chat_goes_on_past_the_context(rgz, answering):
    result = rgz("chat", answering, "--max-new-tokens", 12, input="你是谁？\n" * 12)
    assert result.exit_code == 0 and len(result.stdout.splitlines()) == 12


@pytest.mark.parametrize(("turns", "seen"), [(1, 1), (2, 2), (None, 3)])
def test_a_session_sees_as_many_questions_as_it_is_told(answering, turns, seen):
    tokenizer = load_tokenizer(answering)
    session = ChatSession(Model.from_pretrained(answering), tokenizer, turns, max_new_tokens=1)
    for _ in range(2):
        list(session.reply("谁？"))
    assert tokenizer.decode(session.prompt_ids("谁？")).count("用户：") == seen


def test_chat_sees_as_many_questions_as_training_had(rgz, answering):
    assert "turns=1 " in rgz("chat", answering, input=":set\n").stderr
    assert "turns=4 " in rgz("chat", answering, "--turns", 2, input=":set turns=4\n").stderr


def test_chat_commands(rgz, answering):
    lines = (":help", ":set temperature=0.5 greedy=true", ":set", ":set temperatur=1", ":set top_p=7",
             ":set greedy=maybe", ":set seed", ":hlep", ":exit", "你是谁？")  # fmt: skip
    result = rgz("chat", answering, input="\n".join(lines) + "\n")
    assert result.exit_code == 0 and not result.stdout  # nothing after :exit
    for words in (":clear", "temperature=0.5", "greedy=true", "did you mean 'temperature'", "top_p must be in (0, 1]",
                  "greedy must be true | false", ":set seed=value", "did you mean ':help'"):  # fmt: skip
        assert words in result.stderr, words
    assert "max_new_tokens=256  turns=1  temperature=0.5" in result.stderr.splitlines()[5]


def test_chat_with_a_model_that_never_learnt_to_answer_says_so(rgz, trained):
    assert "rgz sft DATA" in rgz("chat", trained, input="").stderr


def test_tokenize_shows_the_cuts_and_the_figures(rgz, texts, tmp_path):
    result = rgz("tokenize", texts, "--limit", 2, "-o", tmp_path / "words.json")
    lines = result.stdout.splitlines()
    assert lines[0].replace("▏", "") == texts.read_text(encoding="utf-8").splitlines()[0]
    assert "▏" in lines[0] and not lines[2]
    assert "characters_per_token:" in result.stdout
    again = rgz("tokenize", texts, "--tokenizer", tmp_path / "words.json", "--json")
    assert json.loads(again.stdout)["share_of_byte_tokens"] == 0
    ids = rgz("tokenize", texts, "--tokenizer", tmp_path / "words.json", "--ids", "--limit", 1).stdout.split("\n")[0]
    assert all(number.isdecimal() for number in ids.split())


def test_what_has_no_entry_is_shown_as_text_and_counted_as_bytes(rgz, trained, tmp_path):
    file = tmp_path / "rare.txt"
    file.write_text("魑魅\n", encoding="utf-8")
    result = rgz("tokenize", file, "--tokenizer", trained)
    assert result.stdout.splitlines()[0] == "魑▏魅"
    figures = dict(line.split() for line in result.stdout.splitlines()[2:])
    assert figures["share_of_byte_tokens:"] == figures["share_of_words_in_bytes:"] == "1.000"
    assert figures["tokenizer:"] == "char" and figures["words:"] == "2"


@pytest.mark.parametrize("command", ["tokenize", "augment", "eval"])
def test_the_names_of_figures_are_in_the_users_language(rgz, trained, texts, monkeypatch, command):
    arguments = [trained, texts] if command == "eval" else [texts, "--limit", 1]
    names = json.loads(rgz(command, *arguments, "--json").stdout)
    told = {}
    for language in "en", "zh":
        monkeypatch.setenv("RGZ_LANG", language)
        told[language] = rgz(command, *arguments).stdout
    english, chinese = (text.splitlines()[-len(names) :] for text in told.values())
    assert [line.split(":")[0] for line in english] == list(names)
    labels = [line.split("：")[0] for line in chinese]
    assert len(set(labels)) == len(names) and not any(map(str.isascii, labels))
    assert not half_width_marks(told["zh"])


@pytest.mark.parametrize("kind", ["word", "char", "bpe", "byte"])
def test_tokenize_tells_what_the_words_are_written_in(rgz, texts, tmp_path, kind):
    values = json.loads(rgz("tokenize", texts, "--tokenizer", kind, "-o", tmp_path / "t.json", "--json").stdout)
    shares = [values[f"share_of_words_{how}"] for how in ("whole", "in_parts", "in_bytes")]
    assert sum(shares) == pytest.approx(1) and values["tokenizer"] == kind
    assert values["characters_per_token"] == values["characters"] / values["tokens"]
    assert (
        (values["share_of_words_in_bytes"] > 0.5) == (values["share_of_characters_in_bytes"] > 0.5) == (kind == "byte")
    )
    told = rgz("info", tmp_path / "t.json").stdout.splitlines()[0]
    assert told.startswith(f"tokenizer        type {kind}  vocab_size {values['vocab_size']}")


def test_info_names_the_tokenizer_of_a_run_or_checkpoint(rgz, trained):
    expected = {"type": "char", "fingerprint": load_tokenizer(trained).fingerprint}
    for folder in (trained, next(trained.glob("checkpoint-*"))):
        assert json.loads(rgz("info", folder, "--json").stdout)["tokenizer"].items() >= expected.items()
    assert not {"tokenizer", "model", "last_report"} & json.loads(rgz("info", "--json").stdout).keys()


def test_info_tells_the_model_of_a_run_and_how_far_it_has_come(rgz, trained):
    told = json.loads(rgz("info", trained, "--json").stdout)
    reports = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert told["model"]["parameters"] == Model.from_pretrained(trained).num_parameters()
    assert told["last_report"] == reports[-1]
    losses = [report["val_loss"] for report in reports if report.get("val_loss") is not None]
    assert told["best_report"]["val_loss"] == min(losses)
    rows = {line.split("  ")[0]: line for line in rgz("info", trained).stdout.splitlines()}
    assert f"lowest val_loss {min(losses):.4f} at step" in rows["progress"]
    assert f"step {reports[-1]['step']}, epoch" in rows["progress"] and "layers of width" in rows["parameters"]


def test_info_tells_what_the_kernels_run_on(rgz):
    values = json.loads(rgz("info", "--json").stdout)
    assert values["isa"] in values["isas"] and values["n_threads"] >= 1
    assert values["packages"]["numpy"]
    assert values["isa"] in rgz("info").stdout


def test_the_version_is_printed(rgz):
    assert rgz("--version").stdout == f"rgz {__version__}\n"


def test_tokenize_reads_lines_from_stdin(rgz):
    result = rgz("tokenize", "-", input="太阳从东方升起。\n\n月亮\n")
    assert result.exit_code == 0 and "documents:" in result.stdout
    assert result.stdout.splitlines()[0].replace("▏", "") == "太阳从东方升起。"
    assert json.loads(rgz("tokenize", "-", "--json", input="太阳\n").stdout)["documents"] == 1


@pytest.mark.parametrize("command", ["tokenize", "augment"])
def test_what_is_piped_may_have_the_encodings_of_files_and_no_others(rgz, command):
    text = "太阳从东方升起。\n月亮从西方升起。\n"
    piped = rgz(command, "-", input=text.encode("gb18030"))
    assert piped.exit_code == 0 and piped.stdout == rgz(command, "-", input=text).stdout
    assert "stdin: read as gb18030" in piped.stderr
    for data, reason in ((text.encode() + b"\xff\n", "stdin: line 3 .* is neither"), (b"a\0b\n", "stdin is a binary")):
        refused = rgz(command, "-", input=data)
        assert (refused.exit_code, refused.stdout) == (1, "") and re.search(reason, refused.stderr)


def test_report_to_none_reports_nowhere(rgz, texts, tmp_path):
    result = rgz("train", texts, "-o", tmp_path / "run", "--report-to", "none", *TINY, "--max-steps", 2)
    assert result.exit_code == 0 and "Loss" not in result.stderr
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_a_damaged_newest_checkpoint_is_passed_over(rgz, trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    (run / "model.safetensors").unlink()
    whole = RunDirectory(run).checkpoints()[0]
    shutil.copytree(whole, run / "checkpoint-9999")
    (run / "checkpoint-9999" / "model.safetensors").write_bytes(b"half")
    result = rgz("generate", run, "--prompt", "春", "--max-new-tokens", 2)
    assert result.exit_code == 0, result.stderr
    assert "checkpoint-9999 is damaged" in result.stderr and f"checkpoint, {whole.name}" in result.stderr


def test_a_closed_stream_is_no_traceback(trained):
    shell = f"exec {shlex.quote(sys.executable)} -m rgz generate {shlex.quote(str(trained))} --max-new-tokens 2"
    for closed in (">&-", "--prompt - <&-"):
        child = subprocess.run(["sh", "-c", f"{shell} {closed}"], capture_output=True, text=True)
        assert child.returncode == 0 and "Traceback" not in child.stderr, child.stderr
