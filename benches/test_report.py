"""The report of a small result: numbers with units, ratios to the best rival, shares, both languages, bad input."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from findings import FINDINGS, SUMMARY, amdahl, serial_share
from report import CHINESE, Report

ROOT = Path(__file__).parents[1]


def entry(finding, rival, value, **more):
    return {"finding": finding, "rival": rival, "value": value, "unit": FINDINGS[finding].unit, **more}


@pytest.fixture
def result():
    entries = [
        entry("step S", "rgz", 4580.4, share_of={"sgemm": 0.861}),
        entry("step S", "torch", 2480.0),
        entry("step S", "torch.compile", 2862.75),
        entry("memory S", "rgz", 200.0),
        entry("memory S", "torch", 800.0),
        entry("epoch", "rgz", 14.0),
        entry("epoch", "torch", 21.0),
        entry("gelu", "rgz", 3.0, variant="generic", share_of={"copy": 0.3}),
        entry("gelu", "rgz", 9.0, variant="avx2", share_of={"copy": 0.9}),
        entry("import", "rgz", 50.0),
        entry("import", "scipy.linalg", 100.0),
        entry("import", "torch", 1000.0),
        entry("threads", "rgz", 1.6, serial_share=0.25, n_threads=2),
    ]
    return {"benchmarks": [{"extra_info": {"findings": [each]}} for each in entries] + [{"extra_info": {}}]}


def cells(result, **options):
    """Row by the finding's key."""
    report = Report([result], **options)
    return {name: row[1:] for name in FINDINGS for row in report.rows() if row[0] == report.title(name)}


def test_a_rate_is_compared_with_the_better_rival_and_the_ceiling(result):
    row = cells(result)["step S"]
    assert row == ["4,580 tokens/s", "2,480 tokens/s", "2,863 tokens/s", "1.60 x as fast; 86% of sgemm"]


def test_less_time_and_less_memory_are_better(result):
    rows = cells(result)
    assert rows["memory S"] == ["200 MB", "800 MB", "-", "25% of it"]
    assert rows["epoch"] == ["14.0 s", "21.0 s", "-", "1.50 x as fast"]
    assert dict(Report([result]).advantages())[FINDINGS["memory S"].english] == 4


def test_the_best_instruction_set_stands_for_the_kernel(result):
    assert cells(result)["gelu"] == ["9.00 GB/s (avx2)", "-", "-", "90% of copy"]


def test_a_rival_without_a_column_is_named(result):
    assert cells(result)["import"] == ["50.0 ms", "1,000 ms", "-", "2.00 x as fast (scipy.linalg: 100 ms)"]


def test_more_threads_are_estimated(result):
    assert cells(result)["threads"][3] == "by Amdahl's law 4 threads: 2.3 x, 8 threads: 2.9 x, 16 threads: 3.4 x"
    assert serial_share(amdahl(0.25, 2), 2) == pytest.approx(0.25)
    assert serial_share(2.1, 2) == 0


def test_of_two_results_a_row_is_of_one(result):
    later = {"benchmarks": [{"extra_info": {"findings": [entry("step S", "rgz", 5000.0)]}}]}
    report = Report([result, later])
    assert report.found["step S"].keys() == {"rgz"} and "torch" in report.found["epoch"]


def test_chinese_titles_and_units(result):
    rows = cells(result, chinese=True)
    assert rows["step S"][0] == "4,580 词元/秒" and rows["step S"][3] == "速度为 1.60 倍；sgemm 的 86%"
    for english in ("as fast", "of it", "of sgemm", "threads", "tokens", "GPT-2's"):
        assert english not in Report([result], chinese=True).markdown()
    for english, chinese in CHINESE.items():
        assert english.count("{") == chinese.count("{")


@pytest.mark.parametrize(("readme", "chinese"), [("README.md", False), ("README.zh.md", True)])
def test_readme_has_the_rows_that_the_command_prints(readme, chinese):
    rows = [line.split(" | ") for line in (ROOT / readme).read_text(encoding="utf-8").splitlines()]
    titles = [row[0].removeprefix("| ") for row in rows]
    report = Report([], chinese=chinese)
    start = titles.index(report.say("what")) + 2
    assert titles[start : start + len(SUMMARY)] == [report.title(name) for name in SUMMARY]


def run(*arguments):
    command = [sys.executable, "-m", "benches.report", *map(str, arguments)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def test_the_command_prints_one_table_and_draws_a_chart(result, tmp_path):
    (tmp_path / "result.json").write_text(json.dumps(result))
    done = run(tmp_path / "result.json")
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and len(lines) == 2 + len(Report([result], shown=SUMMARY).rows())
    assert len(run(tmp_path / "result.json", "--all").stdout.splitlines()) == 2 + len(Report([result]).found)
    assert {line.count("|") for line in lines} == {6}
    pytest.importorskip("matplotlib", reason="the chart needs it: pip install matplotlib")
    assert run(tmp_path / "result.json", "-o", tmp_path / "chart.png").returncode == 0
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("text", [None, "no json", "[]", '{"benchmarks": []}'])
def test_what_is_no_result_is_refused_in_a_line(tmp_path, text):
    path = tmp_path / "result.json"
    if text is not None:
        path.write_text(text)
    done = run(path)
    assert done.returncode == 2 and str(path) in done.stderr and "Traceback" not in done.stderr
