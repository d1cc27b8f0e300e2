"""The guide's table from made-up outcomes, in both languages; settings that train; bad input."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benches import guide, recipe  # noqa: E402  (benches is found by the line above)
from benches.guide_items import ITEMS, LOSS, TIME  # noqa: E402
from benches.setting import key_of, merged, outcome, per_character  # noqa: E402


@pytest.fixture
def data(tmp_path):
    for name in ("pretraining", "chat"):
        folder = tmp_path / "rustgpt-chinese" / name
        folder.mkdir(parents=True)
        texts = [f"第{i}天，太阳从东方升起，照亮了山谷和河流，{name}的渡船开始过江。" for i in range(30)]
        (folder / "a.json").write_text(json.dumps(texts, ensure_ascii=False), encoding="utf-8")
    return tmp_path


@pytest.fixture
def results(tmp_path):
    """Every setting took as many seconds, and left as much loss, as its place in ITEMS says."""
    outcomes = {TIME: {}, LOSS: {}}
    for place, item in enumerate(ITEMS, 1):
        for side, setting in enumerate((item.before, item.after)):
            outcomes[TIME].setdefault(key_of(guide.timed(setting)), {"seconds": [30.0, 10.0 * place - side]})
            for seed in (0, 1):
                left = {"left": place - side / 2 + seed, "losses": [1.0] * (4 - side), "seconds": [99.0]}
                outcomes[LOSS].setdefault(key_of(guide.trained(item, setting, seed)), left)
    path = tmp_path / "result.json"
    path.write_text(json.dumps({"outcomes": outcomes}))
    return guide.Results(tmp_path, path)


def test_a_row_has_the_better_epoch_and_the_mean_over_the_seeds(results):
    rows = guide.Table(results, [0, 1], chinese=False).rows(list(ITEMS))
    assert rows[0][:4] == ["1 token cache", "encoded before every epoch", "encoded once", "10.0 -> 9.0 s (-10 %)"]
    assert rows[0][4] == "the same"
    assert rows[1][4] == "2.500; 4 epochs -> 2.000; 3 epochs (-0.500)"
    assert all(len(row) == 6 and "" not in row for row in rows)


def test_what_is_not_measured_is_left_open(results):
    rows = guide.Table(results, [7], chinese=False).rows(list(ITEMS))
    assert {row[4] for row in rows} == {"-", "the same"}


def test_without_runs_for_the_time_it_is_that_of_the_runs_for_the_loss(results):
    for key in results.outcomes[LOSS]:
        results.outcomes[LOSS][key]["seconds"] = [9.0, 8.0]
    results.outcomes[TIME].clear()
    rows = guide.Table(results, [0, 1], chinese=False).rows(list(ITEMS))
    of_both = [item.parts for item in ITEMS].index((TIME, LOSS))
    assert (rows[0][3], rows[of_both][3]) == ("-", "8.0 -> 8.0 s (+0 %)")


def test_the_chinese_table_has_no_english_words(results):
    table = guide.Table(results, [0, 1], chinese=True).markdown(list(ITEMS)).split("\n\n")[1]
    words = {word for word in re.findall("[A-Za-z]+", table) if len(word) > 1}
    assert words <= {"TensorBoard", "CSV", "CPU", "BLAS", "SIMD", "dropout", "epoch"}, words


def test_no_two_settings_of_an_item_are_the_same():
    for item in ITEMS:
        assert key_of(item.before) != key_of(item.after), item.name


def test_a_run_counts_its_epochs_and_leaves_its_last_weights(data):
    setting = {"epochs": 2, "arguments": {"batch_size": 8, "packing": False, "load_best_model_at_end": False}}
    got = outcome(data, setting)
    assert len(got["seconds"]) == len(got["losses"]) == 2 and got["left"] == got["losses"][-1]
    anew = outcome(data, {**setting, "encode_anew": True, "files": True})
    assert anew["losses"] == got["losses"] and got["tokens"] > 54 * 10
    assert per_character(got["left"], got) < 9999


def test_settings_are_laid_over_one_another_table_by_table():
    base = {"epochs": 1, "arguments": {"seed": 1, "dtype": "float32"}}
    assert merged(base, {"arguments": {"seed": 2}, "model": {}}) == {
        "epochs": 1, "arguments": {"seed": 2, "dtype": "float32"}, "model": {},
    }  # fmt: skip
    assert base["arguments"]["seed"] == 1


@pytest.mark.parametrize(
    ("module", "arguments", "message"),
    [
        ("guide", ["--data", "nowhere"], "nowhere holds no folder rustgpt-chinese"),
        ("guide", ["--only", "cash"], "no item 'cash'; there are: 1, "),
        ("recipe", ["--data", "nowhere"], "nowhere holds no folder rustgpt-chinese"),
        ("recipe", ["--data", "nowhere", "--seeds", "a"], "--seeds must be integers separated by commas, got 'a'"),
    ],
)
def test_a_slip_is_told_in_one_line(module, arguments, message):
    command = [sys.executable, "-m", f"benches.{module}", *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    child = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert child.returncode == 2 and message in child.stderr and "Traceback" not in child.stderr


def test_the_recipes_are_compared_by_perplexity_a_character():
    runs = {
        name: [{"losses": losses, "left": losses[-1], "characters_per_token": 1.0, "tokens": 10, "parameters": 1}]
        for name, losses in {"rustgpt": [3.0, 2.0, 4.0], "same words": [3.0, 1.5, 2.5], "rgz": [2.0, 1.0, 1.5]}.items()
    }
    rows = recipe.rows(runs, recipe.ENGLISH)
    assert rows[0][1:] == ["7.39 after 2.0 epochs", "54.60", "-", "-"]
    assert rows[2][1:] == ["2.72 after 2.0 epochs", "4.48", "-63.2 %", "-91.8 %"]
