"""Cutting equals jieba's without HMM, is silent, and keeps its cache in a private folder or does without."""

import logging
import os
import stat
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rgz.text import segment as module
from rgz.text.segment import cache_folder, private_cache_folder, segment

posix = pytest.mark.skipif(os.name != "posix", reason="file modes are a POSIX matter")
ROOT = str(Path(module.__file__).parents[2])


@pytest.fixture(scope="module")
def jieba_cut():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import jieba
    jieba.setLogLevel(logging.CRITICAL)
    tokenizer = jieba.Tokenizer()
    tokenizer.FREQ, tokenizer.total = tokenizer.gen_pfdict(tokenizer.get_dict_file())
    tokenizer.initialized = True  # without its cache in the shared temp folder
    return lambda text: list(tokenizer.cut(text, HMM=False))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "太阳从东方升起，人民在学习人工智能。",
        "研究生命的起源，南京市长江大桥",
        "AT&T和C++程序员去看B超，穿T恤 iPhone15-Pro v1.2.3 100%",
        "a,b\r\n\r\nc\n\rd\t　e",
        "\ud800中\x00国\u2028人\x85𠀀龦鿕鿖㐀",
    ],
)
def test_words_are_those_of_jieba(jieba_cut, text):
    assert segment(text) == jieba_cut(text)
    assert "".join(segment(text)) == text


def test_words_are_those_of_jieba_on_any_text(jieba_cut):
    characters = st.sampled_from("一中国人民大学生活动物理解放心a1B-.#%+_ \r\n\t，C龦鿖㐀𠀀é\ud800\x00")

    @settings(max_examples=400, deadline=None)
    @given(st.text(characters, max_size=16))
    def check(text):
        assert segment(text) == jieba_cut(text)

    check()


def run_python(code, **environment):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "PYTHONPATH": ROOT, **environment},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
    )


CUT = "from rgz.text.segment import segment; print('|'.join(segment('人工智能学习')))"


def test_the_first_use_is_silent_and_leaves_a_private_cache(tmp_path):
    done = run_python(CUT, XDG_CACHE_HOME=str(tmp_path / "cache"), PYTHONIOENCODING="utf-8")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "人工智能|学习", "")
    folder = tmp_path / "cache" / "rgz"
    assert len(list(folder.iterdir())) == 1
    if os.name == "posix":
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_importing_the_tokenizers_loads_neither_jieba_nor_its_dictionary():
    code = "import sys, rgz.text; print('jieba' in sys.modules, sys.modules['rgz.text.segment']._dictionary)"
    done = run_python(code)
    assert done.stdout.split() == ["False", "None"], done.stderr


def test_words_are_cut_where_no_cache_can_be_kept(tmp_path):
    (tmp_path / "file").write_text("in the way")
    done = run_python(CUT, XDG_CACHE_HOME=str(tmp_path / "file"), PYTHONIOENCODING="utf-8")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "人工智能|学习", "")


@pytest.fixture
def small_dictionary(monkeypatch, tmp_path):
    source = tmp_path / "dict.txt"
    source.write_text("学习 5 v\n学 2 v\n人工智能 3 n\n", encoding="utf-8")
    monkeypatch.setattr(module, "_dictionary_file", lambda: source)
    monkeypatch.setattr(module, "_dictionary", None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return source


def load_anew(monkeypatch):
    monkeypatch.setattr(module, "_dictionary", None)
    return module._load().log_probability


def test_the_cache_is_used_the_second_time(small_dictionary, monkeypatch):
    first = load_anew(monkeypatch)
    monkeypatch.setattr(module, "_parse", None)
    assert load_anew(monkeypatch) == first


def test_prefixes_of_words_are_known_as_no_words(small_dictionary, monkeypatch):
    table = load_anew(monkeypatch)
    assert {word for word, value in table.items() if value == 0} == {"人", "人工", "人工智"}


def test_of_equally_probable_cuts_the_longer_first_word_wins_as_in_jieba(small_dictionary, monkeypatch):
    small_dictionary.write_text("甲乙 4 n\n丙 4 n\n甲 4 n\n乙丙 4 n\n", encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import jieba
    oracle = jieba.Tokenizer()
    oracle.FREQ, oracle.total = oracle.gen_pfdict(small_dictionary.open("rb"))
    oracle.initialized = True
    assert segment("甲乙丙") == list(oracle.cut("甲乙丙", HMM=False)) == ["甲乙", "丙"]


@pytest.mark.parametrize("damage", [b"", b"x" * 20, b"x" * 200])
def test_a_damaged_cache_is_rebuilt(small_dictionary, monkeypatch, damage):
    first = load_anew(monkeypatch)
    [cache] = private_cache_folder().iterdir()
    whole = cache.read_bytes()
    cache.write_bytes(damage)
    assert load_anew(monkeypatch) == first
    assert cache.read_bytes() == whole


def test_another_dictionary_gets_another_cache(small_dictionary, monkeypatch):
    load_anew(monkeypatch)
    small_dictionary.write_text("太阳 7 n\n", encoding="utf-8")
    assert "太阳" in load_anew(monkeypatch)


@posix
def test_an_existing_cache_folder_is_made_private(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "rgz").mkdir(mode=0o777)
    (tmp_path / "rgz").chmod(0o777)
    assert private_cache_folder() == tmp_path / "rgz"
    assert stat.S_IMODE((tmp_path / "rgz").stat().st_mode) == 0o700


@posix
def test_a_cache_folder_of_somebody_else_is_not_used(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(module.os, "geteuid", lambda: os.getuid() + 1)
    assert private_cache_folder() is None


@posix
def test_a_cache_folder_that_is_a_link_is_not_used(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "rgz").symlink_to(tmp_path / "elsewhere")
    assert private_cache_folder() is None


def test_a_relative_cache_home_is_ignored_as_the_xdg_standard_demands(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder().is_absolute()
