"""rgz plot: where the picture goes, what is drawn, what is refused."""

import json
import re
import shutil
import sys

import pytest

from rgz.cli.plot import run_names
from rgz.plot import drawing


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def figures(monkeypatch):
    kept = []
    monkeypatch.setattr(drawing, "_save", lambda figure, path, kind: kept.append(figure))
    return kept


def test_the_curves_of_a_run_lie_in_it(rgz, trained, tmp_path):
    run = shutil.copytree(trained, tmp_path / "我的 run")
    result = rgz("plot", run)
    assert result.exit_code == 0
    assert not result.stderr or result.stderr.startswith("no font here has every character of 我的 run")
    assert result.stdout == f"{run}/curves.png\n"
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_several_runs_are_drawn_together(rgz, trained, tmp_path, figures):
    for name in ("a", "b"):
        shutil.copytree(trained, tmp_path / name)
    result = rgz("plot", "a", "b/", "--metrics", "loss,val-loss", "--x", "epoch")
    assert (result.exit_code, result.stdout) == (0, "curves.png\n")
    assert [axes.get_title(loc="left") for axes in figures[0].axes] == ["Loss (nats a token)", "Validation loss"]
    assert [text.get_text() for text in figures[0].legends[0].get_texts()] == ["a", "b"]


def test_a_run_that_goes_on_is_drawn_as_far_as_it_got(rgz, trained, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    with open(run / "metrics.jsonl", "a", encoding="utf-8") as file:
        file.write('{"step": 9, "loss"')
    assert rgz("plot", run, "-o", "a.svg").exit_code == 0
    assert (tmp_path / "a.svg").read_text().startswith("<?xml")


def test_runs_are_called_by_as_much_of_their_paths_as_tells_them_apart():
    assert run_names(["runs/a", "runs/b/"]) == ["a", "b"]
    assert run_names(["x/a", "y/a"]) == ["x/a", "y/a"]
    assert run_names(["a/x/r", "a/y/r", "b/y/r"]) == ["a/x/r", "a/y/r", "b/y/r"]


def test_the_guides_schedule_is_drawn(rgz, figures):
    result = rgz("plot", "--schedule", "cosine_with_restarts", "--steps", 500, "--cycles", 3, "--min-lr-ratio", 0.01)
    assert (result.exit_code, result.stdout) == (0, "schedule.png\n")
    values = figures[0].axes[0].lines[0].get_ydata()
    assert len(values) == 500 and values[0] == values[166] == values[332] == 1.0 and values[499] == 0.01


def test_settings_go_to_the_schedules_that_have_them(rgz, figures):
    line = "plot --schedule polynomial --schedule one_cycle --power 2 --pct-start 0.5 --warmup-steps 0.1 --steps 100"
    assert rgz(*line.split(), "--learning-rate", "1e-3").exit_code == 0
    polynomial, one_cycle = (line.get_ydata() for line in figures[0].axes[0].lines)
    assert polynomial[55] == pytest.approx(1e-3 * 0.25) and max(one_cycle) == one_cycle[49] == 1e-3


def test_a_schedule_by_epoch_and_one_from_json_are_drawn(rgz, figures):
    epochs = ["--lr-scheduler-interval", "epoch", "--steps-per-epoch", "10", "--steps", "40"]
    assert rgz("plot", "--schedule", "linear", *epochs).exit_code == 0
    assert list(figures[0].axes[0].lines[0].get_ydata()[::10]) == [1, 0.75, 0.5, 0.25]
    parts = json.dumps({"schedules": [{"name": "constant"}, {"name": "linear"}], "milestones": [20]})
    assert rgz("plot", "--schedule", "sequential", "--lr-scheduler-kwargs", parts, "--steps", 40).exit_code == 0
    assert list(figures[1].axes[0].lines[0].get_ydata()[[0, 19, 30]]) == [1, 1, 0.5]


@pytest.mark.parametrize(
    ("line", "code", "wanted"),
    [
        ("plot", 2, "give runs to draw, or --schedule NAME"),
        ("plot . --schedule cosine", 2, "not both"),
        ("plot . --steps 100", 2, "--steps is of schedules (--schedule NAME), not of runs"),
        ("plot . --warmup-steps 5", 2, "--warmup-steps is of schedules"),
        ("plot --schedule cosine --smooth 0.5", 2, "--smooth is of runs, not of schedules"),
        ("plot nowhere", 1, "nowhere does not exist"),
        ("plot .", 1, "metrics.jsonl"),
        ("plot . -o a.jpg", 1, "unknown format 'jpg'"),
        ("plot --schedule cosin", 1, "did you mean 'cosine'"),
        ("plot --schedule cosine --cycles 3", 1, "cycles is no setting of cosine"),
        ("plot --schedule cosine --cycels 3", 2, "did you mean '--cycles'"),
        ("plot --schedule cosine --steps 0", 2, "must be an integer >= 1"),
        ("plot --schedule cosine_with_restarts --steps 5 --cycles 9", 1, "cycles must be between 1 and"),
        ("plot --schedule cosine --min-lr-ratio 2", 1, "min_lr_ratio must be >= 0, <= 1"),
        ("plot --schedule reduce_lr_on_plateau", 1, "follows a metric"),
        ("plot --schedule sequential", 1, "a sequence needs schedules"),
        ("plot --schedule cosine --lr-scheduler-kwargs steps=3", 1, "must not hold steps"),
    ],
)
def test_wrong_use_is_one_line_and_leaves_nothing(rgz, tmp_path, line, code, wanted):
    result = rgz(*line.split())
    assert result.exit_code == code and not result.stdout
    assert wanted in result.stderr.splitlines()[0] and "Traceback" not in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_wrong_metric_is_refused_with_the_nearest(rgz, trained, tmp_path):
    result = rgz("plot", trained, "--metrics", "los", "-o", "a.png")
    assert result.exit_code == 1 and "did you mean 'loss'" in result.stderr


def test_without_matplotlib_one_line_says_what_to_install(rgz, trained, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = rgz("plot", trained, "-o", "a.png")
    assert result.exit_code == 1
    assert re.fullmatch(r"error: drawing needs a package: pip install 'rgz\[plot\]'\n", result.stderr)
