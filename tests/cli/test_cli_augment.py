"""`rgz augment`, and augmentation in `rgz train` and `rgz sft`."""

import json

import pytest
from cli.tiny import TINY

from rgz.cli.recipe import choose_size
from rgz.cli.settings import Settings

LINES = "怎么提高效率？\n我们可以耐心等待重要的消息。\n好\n"


@pytest.fixture
def lines(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text(LINES, encoding="utf-8")
    return path


def test_each_text_stands_above_its_variants(rgz, lines):
    result = rgz("augment", lines, "--synonyms", 1, "--insertion", 1, "--multiplier", 2)
    assert result.exit_code == 0, result.stderr
    assert "groups of rgz" in result.stderr and "groups" not in result.stdout
    before = [line[2:] for line in result.stdout.splitlines() if line.startswith("- ")]
    after = [line[2:] for line in result.stdout.splitlines() if line.startswith("+ ")]
    assert before == LINES.split() and len(after) == 6 and after[4:] == ["好", "好"]
    assert result.stdout.count("(as it was)") >= 2 and after[0] != before[0]
    assert rgz("augment", lines, "--synonyms", 1, "--insertion", 1, "--multiplier", 2).stdout == result.stdout


def test_the_figures_count_what_was_done_to_all_texts(rgz, lines):
    shown = rgz("augment", lines, "--limit", 0, "--multiplier", 50)
    values = json.loads(rgz("augment", lines, "--json", "--multiplier", 50).stdout)
    assert values["texts"] == 3 and values["variants"] == 150 and 50 <= values["unchanged"] < 150
    assert all(values[name] > 0 for name in ("synonyms", "deletion", "insertion")) and values["reorder"] == 0
    printed = dict(line.replace(",", "").split(":") for line in shown.stdout.splitlines())
    assert {name: int(value) for name, value in printed.items()} == values
    assert "the first 0 texts were shown" in shown.stderr


def test_without_rates_nothing_changes(rgz, lines):
    result = rgz("augment", lines, *["--synonyms", "0", "--deletion", "0", "--insertion", "0", "--reorder", "0"])
    assert result.stdout.count("(as it was)") == 3 and not result.stderr


def test_a_list_and_a_rate_may_both_be_given(rgz, lines, tmp_path):
    (tmp_path / "mine.txt").write_text("重要 要紧\n", encoding="utf-8")
    options = ["--synonyms", tmp_path / "mine.txt", "--synonyms", 0.5, "--multiplier", 9]
    result = rgz("augment", lines, *options)
    assert "要紧" in result.stdout and "1 groups of" in result.stderr


def test_a_dialogue_changes_in_its_question_only(rgz, tmp_path):
    record = {"question": "怎么提高效率？", "answer": "我们可以认真学习重要的知识。"}
    (tmp_path / "qa.jsonl").write_text(json.dumps(record, ensure_ascii=False), encoding="utf-8")
    result = rgz("augment", tmp_path / "qa.jsonl", "--multiplier", 20)
    assert result.stdout.count("  助手：我们可以认真学习重要的知识。") == 21
    assert result.stdout.count("用户：怎么提高效率？") < 21


def test_lines_come_from_stdin_too(rgz):
    result = rgz("augment", "-", input="方法\n\n好\n")
    assert result.stdout.count("- ") == 2


@pytest.mark.parametrize(
    "args, code, message",
    [
        (["--deletion", "2"], 2, "--deletion: must be a rate from 0 to 1, got '2'"),
        (["--reorder", "x"], 2, "--reorder: must be a rate from 0 to 1, got 'x'"),
        (["--synonyms", "none.txt"], 1, "none.txt does not exist"),
        (["--multiplier", "0"], 2, "--multiplier: must be an integer >= 1"),
        (["--deletoin", "0"], 2, "did you mean '--deletion'?"),
    ],
)
def test_wrong_options_are_one_line(rgz, lines, args, code, message):
    result = rgz("augment", lines, *args)
    assert result.exit_code == code and message in result.stderr and not result.stdout


def test_training_with_variants_resumes_to_the_same_bytes(rgz, texts, tmp_path):
    options = [*TINY, "--augment", "0.3", "--num-train-epochs", "3"]
    for name in ("whole", "cut"):
        result = rgz("train", texts, "-o", tmp_path / name, *options, *["--max-time", "0.001"] * (name == "cut"))
        assert result.exit_code == 0, result.stderr
        assert "another variant of each text in every epoch" in result.stderr
    assert "the time limit of" in result.stderr
    assert rgz("resume", tmp_path / "cut", "--max-time", "none").exit_code == 0
    whole, cut = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "cut"))
    assert whole == cut


def test_variants_made_ahead_are_in_the_plan(rgz, texts, tmp_path):
    plain = rgz("train", texts, "-o", tmp_path / "a", *TINY, "--dry-run")
    ahead = rgz("train", texts, "-o", tmp_path / "b", *TINY, "--dry-run", "--augment", "multiplier=2,synonyms=0.5")
    assert "variants of 57 texts" in ahead.stderr

    def tokens(result):
        return int(
            next(line for line in result.stdout.splitlines() if "to learn from" in line).split()[1].replace(",", "")
        )

    assert tokens(ahead) > 1.5 * tokens(plain)


def test_variants_made_ahead_count_as_text_when_epochs_are_chosen():
    def epochs(**training):
        settings = Settings({"batch_size": 4, **training}, {}, {})
        choose_size(settings, 20_000, 100)
        return settings.training["num_train_epochs"]

    assert epochs() == epochs(augment=0.1) == pytest.approx(4 * epochs(augment="multiplier=3"), abs=3)


def test_fine_tuning_varies_the_questions(rgz, trained, dialogues, tmp_path):
    args = ["--from", trained, "-o", tmp_path / "sft", "--max-steps", 20, "--augment", 0.5]
    result = rgz("sft", dialogues, *args)
    assert result.exit_code == 0 and "another variant of each text in every epoch" in result.stderr


@pytest.mark.parametrize(
    "value, message",
    [
        ("x", "augment must be a rate or name=number,..., got 'x'"),
        ("synonims=0.1", "unknown augment 'synonims'; did you mean 'synonyms'?"),
        ("deletion=7", "augment: deletion must be >= 0, <= 1, got 7.0"),
        ("dictionary=none.txt", "none.txt does not exist"),
    ],
)
def test_wrong_settings_leave_no_run(rgz, texts, tmp_path, value, message):
    result = rgz("train", texts, "-o", tmp_path / "run", *TINY, "--augment", value)
    assert result.exit_code == 1 and message in result.stderr
    assert not (tmp_path / "run").exists()


def test_the_config_file_may_hold_a_table(rgz, texts, tmp_path):
    (tmp_path / "a.toml").write_text("augment = { synonyms = 0.3, multiplier = 1 }\n")
    result = rgz("train", texts, "-o", tmp_path / "run", *TINY, "--dry-run", "--config", tmp_path / "a.toml")
    assert result.exit_code == 0 and "variants of 57 texts" in result.stderr
