"""Drawings: the numbers in them, the files, and Chinese labels with a font made for the test, or without any."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen

import rgz
from rgz.errors import RgzError
from rgz.messages import language, speaking, tr
from rgz.plot import METRICS, draw_runs, draw_schedules, drawing, fonts
from rgz.plot.curves import _smooth
from rgz.plot.drawing import short_number
from rgz.schedules import Cosine, CosineWithRestarts, ReduceLROnPlateau


@pytest.fixture(autouse=True)
def english(monkeypatch):
    monkeypatch.setenv("RGZ_LANG", "en")


@pytest.fixture
def figures(monkeypatch):
    """The figures, as matplotlib holds them, instead of files."""
    kept = []
    monkeypatch.setattr(drawing, "_save", lambda figure, *rest: kept.append(figure))
    return kept


def history(n=30, start=5.0, every=10):
    reports = []
    for i in range(1, n + 1):
        loss = start / math.sqrt(i)
        report = {
            "step": every * i, "epoch": i / 10, "loss": loss, "perplexity": math.exp(loss), "learning_rate": 1e-3 / i,
            "grad_norm": None if i == 4 else 100.0 / i, "tokens_per_second": 5000.0, "num_input_tokens_seen": 1000 * i,
        }  # fmt: skip
        if i % 5 == 0:
            report |= {"val_loss": abs(i - 20) / 10 + 2, "val_perplexity": 9.0}
        reports.append(report)
    return reports


def panels(figure):
    return {axes.get_title(loc="left"): axes for axes in figure.axes}


@pytest.mark.parametrize("losses", [(1e308, -1e308, 3.0), (1e308,) * 30, (10**400, 3.0), (3.0, 1e250, -1e250, 1e-3)])
def test_numbers_beyond_any_axis_are_left_out_and_said(tmp_path, losses, recwarn):
    reports = [
        {**report, "loss": loss, "perplexity": abs(loss)} for report, loss in zip(history(), losses, strict=False)
    ]
    reports += history()
    reports[-1] |= {"epoch": 10**400}
    notices = draw_runs({"a": reports}, tmp_path / "a.png")
    count = 2 * sum(abs(loss) > 1e250 for loss in losses)
    assert notices == ([f"numbers beyond 1e250 are left out of the drawing: {count}"] if count else [])
    assert (tmp_path / "a.png").stat().st_size > 10_000 and not len(recwarn)
    assert draw_runs({"a": reports}, tmp_path / "b.png", metrics=["grad_norm"], x="epoch") == [
        "numbers beyond 1e250 are left out of the drawing: 1"
    ]


def test_every_metric_has_a_panel_with_its_numbers(figures, tmp_path):
    assert draw_runs({"a": history()}, tmp_path / "a.png", smooth=0) == []
    found = panels(figures[0])
    assert list(found) == [
        "Loss (nats a token)", "Validation loss", "Perplexity", "Learning rate", "Gradient norm, before clipping",
        "Tokens per second",
    ]  # fmt: skip
    loss, validation = found["Loss (nats a token)"].lines[:2]
    assert list(loss.get_xdata()) == list(range(10, 301, 10))
    assert list(loss.get_ydata()) == [5 / math.sqrt(i) for i in range(1, 31)]
    assert list(validation.get_xdata()) == [50, 100, 150, 200, 250, 300]
    norms = found["Gradient norm, before clipping"].lines[0]
    assert 40 not in norms.get_xdata() and len(norms.get_xdata()) == 29
    assert found["Gradient norm, before clipping"].get_yscale() == "log"
    assert found["Learning rate"].get_yscale() == "linear"


def test_the_best_validation_loss_is_marked_and_told(figures, tmp_path):
    draw_runs({"my run": history()}, tmp_path / "a.png")
    axes = panels(figures[0])["Validation loss"]
    assert [text.get_text() for text in axes.texts] == ["2.000"] and axes.texts[0].xy == (200, 2.0)
    title = figures[0].get_suptitle()
    assert title == "my run   step 300 · epoch 3 · best validation loss 2.000 at step 200"


def test_several_runs_have_each_a_colour_and_a_name(figures, tmp_path):
    draw_runs({"a": history(), "b": history(start=4.0)}, tmp_path / "a.png", smooth=0, metrics=["loss"])
    [axes] = figures[0].axes
    a, _, b, _ = axes.lines
    assert a.get_color() != b.get_color() and b.get_ydata()[0] == 4.0
    [names] = figures[0].legends
    assert [text.get_text() for text in names.get_texts()] == ["a", "b"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["training text", "validation text"]


@pytest.mark.parametrize(("x", "first"), [("step", 10), ("epoch", 0.1), ("tokens", 1000)])
def test_x_can_be_steps_epochs_or_tokens(figures, tmp_path, x, first):
    draw_runs({"a": history()}, tmp_path / "a.png", x=x)
    assert all(axes.lines[0].get_xdata()[0] == first for name, axes in panels(figures[0]).items() if "Val" not in name)


def test_a_metric_that_no_run_has_is_left_out(figures, tmp_path):
    plain = [{key: value for key, value in report.items() if "val" not in key} for report in history()]
    draw_runs({"a": plain}, tmp_path / "a.png")
    assert "Validation loss" not in panels(figures[0]) and len(figures[0].axes) == 5
    with pytest.raises(RgzError, match="nothing to draw yet: no report has val_loss"):
        draw_runs({"a": plain}, tmp_path / "b.png", metrics=["val_loss"])
    assert not (tmp_path / "b.png").exists()


def test_the_mean_of_noisy_curves_does_not_lag():
    line = [float(i) for i in range(200)]
    assert _smooth(line, 0.9)[60:140] == pytest.approx(line[60:140], abs=0.1)
    noise = np.random.default_rng(0).normal(0, 1, 1000).tolist()
    assert np.std(_smooth(noise, 0.9)) < 0.3
    assert _smooth([3.0] * 7, 0.8) == pytest.approx([3.0] * 7)


@pytest.mark.parametrize(("suffix", "begins"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_the_name_of_the_file_says_its_format(tmp_path, suffix, begins):
    path = tmp_path / "new folder" / f"曲线.{suffix.upper()}"
    draw_runs({"a": history()}, path, metrics=["loss"])
    assert path.read_bytes().startswith(begins)


def test_the_same_drawing_gives_the_same_file(tmp_path):
    for name in ("a.svg", "b.svg"):
        draw_runs({"a": history()}, tmp_path / name, metrics=["loss"])
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"metrics": ["los"]}, "unknown metric 'los'; did you mean 'loss'"),
        ({"x": "steps"}, "unknown x 'steps'; did you mean 'step'"),
        ({"smooth": 1.0}, "smooth must be >= 0, < 1, got 1.0"),
        ({"output": "curves.jpeg"}, "unknown format 'jpeg'"),
        ({"output": "curves"}, "unknown format ''"),
    ],
)
def test_what_cannot_be_drawn_is_refused(tmp_path, monkeypatch, arguments, reason):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RgzError, match=reason):
        draw_runs({"a": history()}, **{"output": "a.png", **arguments})
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RgzError, match=r"cannot write .*file/a\.png"):
        draw_runs({"a": history()}, tmp_path / "file" / "a.png")


def test_numbers_of_ticks_are_short():
    values = [0, 0.001, 2.5, 1200, 15_000, 1_200_000, 3e9]
    assert [short_number(value) for value in values] == ["0", "0.001", "2.5", "1200", "15K", "1.2M", "3B"]


# ---- schedules


def test_a_schedule_is_drawn_at_every_step(figures, tmp_path):
    schedule = CosineWithRestarts(steps=500, cycles=3)
    draw_schedules({"restarts": schedule, "cosine": Cosine(steps=500)}, 500, tmp_path / "a.png", learning_rate=0.1)
    [axes] = figures[0].axes
    assert axes.get_ylabel() == "Learning rate"
    assert list(axes.lines[0].get_ydata()) == [0.1 * schedule(step) for step in range(500)]


def test_a_long_schedule_is_drawn_at_enough_steps(figures, tmp_path):
    draw_schedules({"cosine": Cosine(steps=10**7)}, 10**7, tmp_path / "a.png")
    assert 10_000 <= len(figures[0].axes[0].lines[0].get_xdata()) <= 20_000


def test_a_schedule_that_follows_a_metric_cannot_be_drawn(tmp_path):
    with pytest.raises(RgzError, match="plateau follows a metric"):
        draw_schedules({"plateau": ReduceLROnPlateau()}, 10, tmp_path / "a.png")


# ---- Chinese


def make_font(path, characters, name="TestHan"):
    """A font whose every character is a square."""
    glyphs = [".notdef", *(f"g{i}" for i in range(len(characters)))]
    pen = TTGlyphPen(None)
    for point in ((100, 0), (100, 800), (900, 800), (900, 0)):
        (pen.lineTo if point != (100, 0) else pen.moveTo)(point)
    pen.closePath()
    square = pen.glyph()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(glyphs)
    builder.setupCharacterMap({ord(c): f"g{i}" for i, c in enumerate(characters)})
    builder.setupGlyf(dict.fromkeys(glyphs, square))
    builder.setupHorizontalMetrics(dict.fromkeys(glyphs, (1000, 100)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": name, "styleName": "Regular", "psName": f"{name}-Regular"})
    builder.setupOS2(sTypoAscender=800)
    builder.setupPost()
    builder.save(path)
    return str(path)


@pytest.fixture
def installed(monkeypatch):
    """Make these files, and matplotlib's own fonts, all that the machine has."""
    from matplotlib import font_manager

    manager = font_manager.fontManager
    own = [entry for entry in manager.ttflist if "matplotlib" in entry.fname.replace("\\", "/")]

    def install(*paths):
        monkeypatch.setattr(manager, "ttflist", list(own))
        monkeypatch.setattr(font_manager, "findSystemFonts", lambda: list(paths))
        fonts.chinese_font.cache_clear()

    yield install
    fonts.chinese_font.cache_clear()


CATALOG = Path(rgz.__file__).parent / "locale" / "zh" / "plot.json"
CHINESE = sorted({c for c in f"{fonts._NEEDED}训练三国{CATALOG.read_text(encoding='utf-8')}" if ord(c) > 0x2E7F})


def test_a_font_installed_since_matplotlibs_first_use_is_found(installed, tmp_path):
    few = make_font(tmp_path / "few.ttf", "训练", "FewHan")
    broken = tmp_path / "broken.ttf"
    broken.write_bytes(b"no font")
    installed(few, str(broken), make_font(tmp_path / "han.ttf", CHINESE))
    assert fonts.chinese_font() == "TestHan"
    installed(few)
    assert fonts.chinese_font() is None


def test_chinese_labels_are_drawn_in_that_font(installed, tmp_path, monkeypatch, recwarn):
    installed(make_font(tmp_path / "han.ttf", CHINESE))
    monkeypatch.setenv("RGZ_LANG", "zh")
    notices = draw_runs({"三国": history()}, tmp_path / "a.svg", metrics=["loss"])
    assert notices == [] and not [w for w in recwarn if "lyph" in str(w.message)]
    drawn = re.findall(r'<path id="(\w+)-', (tmp_path / "a.svg").read_text(encoding="utf-8"))
    assert {"TestHan", "DejaVuSans"} <= set(drawn) and not any("LastResort" in name for name in drawn)


def test_without_a_chinese_font_labels_are_english_and_that_is_said(installed, figures, tmp_path, monkeypatch, recwarn):
    installed()
    monkeypatch.setenv("RGZ_LANG", "zh")
    notice, boxes = draw_runs({"三国": history()}, tmp_path / "a.png")
    assert "没有找到含汉字的字体" in notice and "fonts-noto-cjk" in notice
    assert "三国" in boxes and "方框" in boxes
    assert "Loss (nats a token)" in panels(figures[0]) and not len(recwarn)
    assert language() == "zh"


def test_without_a_chinese_font_errors_are_in_the_users_language_all_the_same(installed, tmp_path, monkeypatch):
    installed()
    monkeypatch.setenv("RGZ_LANG", "zh")
    (tmp_path / "file").write_text("in the way")
    path = tmp_path / "file" / "a.png"
    with pytest.raises(RgzError, match=f"^无法写入 {re.escape(str(path))}：已有同名的文件或文件夹$"):
        draw_runs({"a": history()}, path)


def test_a_run_whose_name_no_font_can_write_is_said(installed, figures, tmp_path):
    installed()
    runs = {"三国": history(), "a run": history(), "é": history()}
    [notice] = draw_runs(runs, tmp_path / "a.png")
    assert notice.startswith("no font here has every character of 三国, so boxes stand for some")
    installed(make_font(tmp_path / "han.ttf", CHINESE))
    assert draw_runs(runs, tmp_path / "a.png") == []
    [notice] = draw_runs({"三国 한국": history()}, tmp_path / "a.png")
    assert "三国 한국" in notice


def test_with_a_chinese_font_labels_speak_the_users_language(installed, figures, tmp_path, monkeypatch):
    installed(make_font(tmp_path / "han.ttf", CHINESE))
    draw_runs({"a": history()}, tmp_path / "a.png")
    monkeypatch.setenv("RGZ_LANG", "zh")
    draw_runs({"a": history()}, tmp_path / "a.png")
    assert "Perplexity" in panels(figures[0]) and "困惑度" in panels(figures[1])


def test_a_block_can_speak_another_language():
    with speaking("zh"):
        assert (language(), tr("Perplexity")) == ("zh", "困惑度")
        with speaking("en"):
            assert tr("Perplexity") == "Perplexity"
    assert language() == "en"


def test_all_metrics_have_titles_in_chinese(figures, tmp_path, installed, monkeypatch):
    installed(make_font(tmp_path / "han.ttf", CHINESE))
    monkeypatch.setenv("RGZ_LANG", "zh")
    draw_runs({"a": history()}, tmp_path / "a.png")
    titles = list(panels(figures[0]))
    assert len(titles) == len(METRICS) and all(re.search("[一-鿿]", title) for title in titles)
