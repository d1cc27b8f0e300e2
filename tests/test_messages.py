"""Every message that the code can show has a Chinese text with the same places; no text is left over."""

import ast
import errno
import json
import os
from pathlib import Path
from string import Formatter

import pytest

import rgz
from rgz.errors import RgzError, reason_of
from rgz.messages import language, tr
from rgz.safetensors import load_file
from rgz.train import RunDirectory

PACKAGE = Path(rgz.__file__).parent
CATALOGS = sorted((PACKAGE / "locale" / "zh").glob("*.json"))
LANGUAGE_VARIABLES = ("RGZ_LANG", "LC_ALL", "LC_MESSAGES", "LANG")


def translated_calls(source, name="<test>"):
    """Yield (line, first argument or None if it is no literal) of each call of `tr` in `source`."""
    for node in ast.walk(ast.parse(source, name)):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        function = node.func
        called = function.id if isinstance(function, ast.Name) else getattr(function, "attr", None)
        if called == "tr":
            first = node.args[0]
            literal = isinstance(first, ast.Constant) and isinstance(first.value, str)
            yield node.lineno, first.value if literal else None


def templates_in_the_package():
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for line, template in translated_calls(path.read_text(encoding="utf-8"), str(path)):
            place = f"{path.relative_to(PACKAGE)}:{line}"
            assert template is not None, f"{place}: tr() needs a literal template, or nobody can translate it"
            found.setdefault(template, place)
    return found


def places(template):
    return {field for _, field, _, _ in Formatter().parse(template) if field is not None}


def chinese_entries():
    entries = {}
    for path in CATALOGS:
        for template, text in json.loads(path.read_text(encoding="utf-8")).items():
            assert entries.get(template, text) == text, f"{path.name}: {template!r} has two Chinese texts"
            entries[template] = text
    return entries


def test_every_message_has_a_chinese_text():
    entries = chinese_entries()
    used = templates_in_the_package()
    missing = [f"{place}: {template}" for template, place in used.items() if template not in entries]
    assert not missing, "no entry in rgz/locale/zh/*.json for:\n" + "\n".join(missing)


def test_no_chinese_text_is_left_over():
    used = templates_in_the_package()
    assert not [template for template in chinese_entries() if template not in used]


def test_chinese_texts_fill_the_same_places():
    wrong = [key for key, text in chinese_entries().items() if places(key) != places(text)]
    assert not wrong


def test_chinese_texts_are_chinese():
    wrong = [text for text in chinese_entries().values() if not any("一" <= c <= "鿿" for c in text)]
    assert not wrong


def test_the_collector_sees_calls_however_they_are_written():
    source = 'tr("a {x}", x=1)\nmessages.tr("b" " c")\ntr(variable)\nother("d")'
    assert set(translated_calls(source)) == {(1, "a {x}"), (2, "b c"), (3, None)}


def test_the_places_of_a_template_are_found_whatever_their_format():
    assert places("{a!r} and {b:,} but not {{c}}") == {"a", "b"}


@pytest.fixture
def speak(monkeypatch):
    def set_variables(**values):
        for name in LANGUAGE_VARIABLES:
            monkeypatch.delenv(name, raising=False)
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return set_variables


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh-TW"}, "zh"),
        ({"LANG": "en_US.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "LC_MESSAGES": "en_GB"}, "en"),
        ({"LC_MESSAGES": "en_GB", "LC_ALL": "zh_CN"}, "zh"),
        ({"RGZ_LANG": "zh", "LC_ALL": "en_US.UTF-8"}, "zh"),
        ({"RGZ_LANG": "en", "LC_ALL": "zh_CN.UTF-8"}, "en"),
        ({"RGZ_LANG": "", "LANG": "zh_CN.UTF-8"}, "zh"),
    ],
)
def test_the_language_is_the_first_variable_that_is_set(speak, variables, expected):
    speak(**variables)
    assert language() == expected


def test_a_message_follows_the_language_at_each_call(speak):
    template, text = next((key, value) for key, value in chinese_entries().items() if not places(key))
    speak(RGZ_LANG="zh")
    assert tr(template) == text
    speak(RGZ_LANG="en")
    assert tr(template) == template


def test_a_message_without_a_translation_is_shown_in_english(speak):
    speak(RGZ_LANG="zh")
    english = tr
    assert english("never {what}", what="{translated}") == "never {translated}"


@pytest.mark.parametrize(
    ("name", "chinese"),
    [
        ("ENOENT", "文件或文件夹不存在"),
        ("ENOSPC", "磁盘空间不足"),
        ("EACCES", "没有权限"),
        ("EISDIR", "它是一个文件夹"),
        ("ENOTDIR", "路径中有一段不是文件夹"),
        ("EROFS", "文件系统是只读的"),
        ("EFBIG", "文件大小超过了系统的上限"),
        ("EEXIST", "已有同名的文件或文件夹"),
        ("EMFILE", "打开的文件太多"),
    ],
)
def test_the_systems_reason_is_in_the_users_language(speak, name, chinese):
    number = getattr(errno, name)
    error = OSError(number, os.strerror(number), "a.txt")
    speak(RGZ_LANG="zh")
    assert reason_of(error) == chinese
    speak(RGZ_LANG="en")
    assert reason_of(error).lower() == os.strerror(number).lower()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ELOOP, os.strerror(errno.ELOOP), "a.txt"), os.strerror(errno.ELOOP)),
        (OSError(errno.ENOENT, "no home folder", "~"), "no home folder"),
        (OSError("worded by a library"), "worded by a library"),
        (ValueError("no JSON"), "no JSON"),
    ],
)
def test_any_other_reason_stays_as_it_was_said(speak, error, reason):
    speak(RGZ_LANG="zh")
    assert reason_of(error) == reason


def test_messages_give_the_systems_reason_in_the_users_language(speak, tmp_path):
    speak(RGZ_LANG="zh")
    with pytest.raises(RgzError, match=r"^无法读取 .*weights\.safetensors：文件或文件夹不存在$"):
        load_file(tmp_path / "weights.safetensors")
    (tmp_path / "config.json").mkdir()
    with pytest.raises(RgzError, match=r"^无法读取 .*config\.json：它是一个文件夹；"):
        rgz.Model.from_pretrained(tmp_path)
    (tmp_path / "training_args.json").mkdir()
    with pytest.raises(RgzError, match=r"^无法读取 .*training_args\.json：它是一个文件夹；"):
        RunDirectory(tmp_path).read_arguments()


def test_an_error_is_one_line_whatever_the_name_in_it():
    assert "\n" not in str(RgzError("cannot read a\nb.txt"))
    assert isinstance(RgzError("x"), ValueError)
