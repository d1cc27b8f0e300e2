"""Reading files and folders: encodings, formats, order, and file and line in the error for what is wrong."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rgz.data import Dataset, load_dataset
from rgz.data.dataset import natural_key
from rgz.errors import RgzError


@pytest.fixture
def write(tmp_path):
    def write_file(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, str):
            path.write_bytes(content.encode())
        else:
            path.write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
        return path

    return write_file


def refused(path, *expected):
    with pytest.raises(RgzError) as caught:
        load_dataset(path)
    message = str(caught.value)
    assert "\n" not in message
    for part in expected:
        assert part in message
    return message


CHAT = [{"role": "user", "content": "你好"}, {"role": "assistant", "content": "您好"}]

# ---- text files


def test_every_line_of_a_text_file_is_a_document(write):
    data = load_dataset(write("a.txt", "第一回\r\n\r\n　　话说天下\n  \n合久必分\r分久必合"))
    assert data.documents == ["第一回", "　　话说天下", "合久必分", "分久必合"]
    assert data.notices == []
    assert len(data) == 4


def test_a_line_that_is_a_dialogue_becomes_one(write):
    assert load_dataset(write("a.txt", "用户：你好助手：您好\n用户是谁")).documents == [CHAT, "用户是谁"]


MORE = [{"role": "user", "content": "再见"}, {"role": "assistant", "content": "好的\n慢走"}]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("用户：你好\n助手：您好\n", [CHAT]),
        ("用户：你好\r\n助手：您好\r\n用户：再见\r\n助手：好的\r\n慢走", [CHAT + MORE]),
        ("\n用户：你好\n助手：您好\n \n\n用户: 再见\n助手: 好的\n慢走\n", [CHAT, MORE]),
        ("用户：你好\n\n助手：您好", [CHAT]),
    ],
)
def test_dialogues_over_several_lines_are_read_whole_and_it_is_said(write, text, expected):
    path = write("a.txt", text)
    data = load_dataset(path)
    assert data.documents == expected
    assert data.notices == [f"{path}: read as dialogues over several lines: {len(expected)}"]


def test_dialogues_a_line_and_texts_among_dialogues_stay_lines(write):
    assert load_dataset(write("a.txt", "用户：你好助手：您好\n\n用户：你好助手：您好\n")).documents == [CHAT, CHAT]
    lines = ["从前有座山。", "", "用户：你好", "助手：您好"]
    assert load_dataset(write("b.txt", "\n".join(lines))).documents == [line for line in lines if line]


def test_a_dataset_is_a_sequence_of_its_documents():
    data = Dataset(["一", CHAT])
    assert list(data) == ["一", CHAT] and data[1] == CHAT and data[-2] == "一"


def test_unusual_line_separators_are_part_of_the_text(write):
    assert load_dataset(write("a.txt", "a\u2028b\x0cc\x85d\n")).documents == ["a\u2028b\x0cc\x85d"]


TEXT = "太阳从东方升起。\n人民在学习，€100。"


@pytest.mark.parametrize(
    ("encoding", "said"),
    [("utf-8", None), ("utf-8-sig", None), ("gb18030", "gb18030"), ("gbk", "gb18030"), ("utf-16", "utf-16")],
)
def test_the_encoding_is_found_out_and_said(write, encoding, said):
    text = TEXT.replace("€", "")
    path = write("a.txt", text.encode(encoding))
    data = load_dataset(path)
    assert data.documents == text.split("\n")
    assert data.notices == ([f"{path}: read as {said}"] if said else [])


def test_big_endian_utf16_with_its_mark_is_read(write):
    assert load_dataset(write("a.txt", b"\xfe\xff" + TEXT.encode("utf-16-be"))).documents == TEXT.split("\n")


@given(st.text("中国人民学习，。€😀𠀀éa1 \t", min_size=1).filter(str.strip))
def test_any_text_in_gb18030_is_read_unless_it_happens_to_be_utf8(tmp_path_factory, text):
    data = text.encode("gb18030")
    try:
        expected = data.decode("utf-8")
    except UnicodeDecodeError:
        expected = text
    path = tmp_path_factory.mktemp("gb") / "a.txt"
    path.write_bytes(data)
    assert load_dataset(path).documents == [expected]


def test_damaged_utf8_is_refused_with_line_and_offset_not_read_as_gb18030(write):
    good = "太阳从东方升起。\n".encode()
    damaged = good * 2 + b"\xe5\xa4" + good
    assert len(damaged.decode("gb18030", "ignore")) > 20
    refused(write("a.txt", damaged), f"a.txt: line 3 (byte {2 * len(good)} of the file)")
    refused(write("b.txt", good * 3 + b"\xff"), f"b.txt: line 4 (byte {3 * len(good)} of the file)")


def test_damaged_utf8_is_refused_even_where_gb18030_would_make_nonsense_of_it(write):
    damaged = "今天天气很好我们去公园".encode()[1:]
    assert damaged.decode("gb18030").startswith("粖澶╁ぉ")
    refused(write("a.txt", damaged), "a.txt: line 1 (byte 0 of the file) is neither")


def test_bytes_in_no_known_encoding_are_refused(write):
    refused(write("a.txt", b"\xff\xff\xff\x80\x80"), "a.txt", "neither UTF-8 nor GB18030", "byte 0")
    refused(write("b.txt", b"\xff\xfe\x00\xd8\x00"), "b.txt", "neither")


def test_a_binary_file_is_refused_by_name(write):
    refused(write("a.txt", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), "a.txt is a binary file", "offset 8")


@pytest.mark.parametrize("name", ["a.txt", "a.json", "a.jsonl"])
@pytest.mark.parametrize("content", ["", "\n \r\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_refused_by_name(write, name, content):
    refused(write(name, content), f"{name} is empty")


def test_a_missing_file_is_named(tmp_path):
    refused(tmp_path / "nothing.txt", "nothing.txt does not exist")
    refused([], "no data was given")


def test_a_file_of_another_ending_given_by_name_is_read_as_text_and_said(write):
    path = write("novel.md", "一\n二")
    data = load_dataset(path)
    assert data.documents == ["一", "二"]
    assert data.notices == [f"{path}: read as plain text, a document a line"]


# ---- JSON lines


def test_json_lines_are_read_record_by_record(write):
    lines = ['{"text": "一"}', "", '"二"', '{"q": "你好", "a": "您好"}\r']
    assert load_dataset(write("a.jsonl", "\n".join(lines))).documents == ["一", "二", CHAT]


def test_a_broken_line_is_named_by_file_and_line(write):
    refused(write("a.jsonl", '{"text": "一"}\n\n{"text": 二}\n'), "a.jsonl:3: broken JSON", "column 10")
    refused(write("b.jsonl", '{"text": "一"}\n' + "[" * 100_000), "b.jsonl:2: broken JSON")


def test_a_record_in_no_known_shape_is_named_by_file_line_and_fields(write):
    path = write("a.jsonl", '{"text": "一"}\n{"titel": "x", "body": "y"}\n')
    refused(path, "a.jsonl:2:", "titel, body", "use text, messages")


def test_empty_texts_and_unused_fields_are_said(write):
    path = write("a.jsonl", '{"text": "一", "url": "x", "id": 3}\n{"text": " "}\n""\n{"text": "二", "id": 4}')
    data = load_dataset(path)
    assert data.documents == ["一", "二"]
    assert data.notices == [f"{path}: fields not used: id, url", f"{path}: empty texts left out: 2"]


# ---- JSON


def test_a_json_list_of_texts_is_read_with_its_dialogues(write):
    path = write("a.json", ["学习一\n学习二", "用户：你好助手：您好", "他说：用户：你好助手：您好"])
    assert load_dataset(path).documents == ["学习一\n学习二", CHAT, "他说：用户：你好助手：您好"]


def test_a_json_list_of_records_is_read(write):
    path = write("a.json", [{"instruction": "你好", "input": "", "output": "您好"}, {"text": "一"}])
    assert load_dataset(path).documents == [CHAT, "一"]


def test_a_wrong_item_of_a_json_list_is_named_by_its_line(write):
    path = write("a.json", '[\n "一, [二",\n\n {"text":\n "三"},\n {"text":\n 4}\n]')
    refused(path, "a.json:6:", "got 4")


def test_broken_json_is_named_by_its_line(write):
    refused(write("a.json", '[\n "一",\n "二"\n "三"\n]'), "a.json:4: broken JSON")
    refused(write("b.json", '["一", "二'), "b.json:1: broken JSON")


def test_json_lines_in_a_json_file_are_read_and_said(write):
    path = write("a.json", '{"text": "一"}\n{"text": "二"}\n')
    data = load_dataset(path)
    assert data.documents == ["一", "二"]
    assert data.notices == [f"{path}: read as JSON lines, a record a line"]


def test_one_record_is_a_json_file_too(write):
    assert load_dataset(write("a.json", {"messages": CHAT})).documents == [CHAT]


def test_the_one_list_within_an_object_is_read(write):
    path = write("a.json", {"metadata": {"n": 2, "tags": []}, "data": ["一", {"text": "二"}]})
    assert load_dataset(path).documents == ["一", "二"]


def test_records_of_named_texts_within_an_object_become_texts_and_it_is_said(write):
    idiom = {"成语": "一心一意", "拼音": "yī xīn", "近义词": ["全心全意", "专心"], "反义词": [], "次数": 3}
    path = write("idioms.json", {"metadata": {"version": "2.0"}, "idioms": [idiom]})
    data = load_dataset(path)
    assert data.documents == ["成语：一心一意\n拼音：yī xīn\n近义词：全心全意、专心\n次数：3"]
    assert data.notices == [f"{path}: the records of 'idioms' are read as texts, a line a field"]


@pytest.mark.parametrize(
    ("value", "count"), [({"a": 1}, 0), ({"a": ["一"], "b": ["二"]}, 2), (3, 0), ({}, 0), ({"a": [1, 2]}, 0)]
)
def test_other_json_is_refused_with_what_would_do(write, value, count):
    refused(write("a.json", value), "a.json must be a list", f"got {count}", ".jsonl")


def test_a_wrong_item_within_an_object_is_named_by_its_number(write):
    path = write("a.json", {"data": ["一", {"text": 5}]})
    refused(path, "a.json, item 2 of 'data'", "'text' must be a text, got 5")


def test_nested_records_that_are_no_texts_are_refused(write):
    refused(write("a.json", {"rows": [{"x": {"y": 1}}]}), "item 1 of 'rows'", "fields x")


# ---- folders


def test_a_folder_is_read_in_natural_order_with_its_folders(write, tmp_path):
    for name in ("d/dataset10.txt", "d/dataset2.txt", "d/sub10/a.txt", "d/sub9/a.jsonl", "d/Dataset1.json"):
        write(name, json.dumps([name]) if name.endswith(".json") else json.dumps(name))
    found = load_dataset(tmp_path / "d").documents
    assert [text.strip('"') for text in found] == [
        "d/Dataset1.json",
        "d/dataset2.txt",
        "d/dataset10.txt",
        "d/sub9/a.jsonl",
        "d/sub10/a.txt",
    ]


def test_several_paths_are_read_in_the_order_given(write):
    paths = [write("b.txt", "二"), str(write("a.txt", "一"))]
    assert load_dataset(paths).documents == ["二", "一"]


def test_a_file_given_twice_is_read_once_and_said(write, tmp_path):
    path = write("d/a.txt", "一")
    data = load_dataset([path, tmp_path / "d"])
    assert data.documents == ["一"]
    assert data.notices == [f"{path} was given twice and is read once"]


def test_files_left_aside_in_a_folder_are_said_and_hidden_ones_are_not(write, tmp_path):
    write("d/a.txt", "一")
    write("d/README.md", "二")
    write("d/.DS_Store", b"\0")
    write("d/.git/x.txt", "三")
    data = load_dataset(tmp_path / "d")
    assert data.documents == ["一"]
    assert data.notices == [f"{tmp_path / 'd'}: left aside, no .txt .json .jsonl: README.md"]


def test_a_folder_without_data_is_refused(write, tmp_path):
    write("d/README.md", "x")
    refused(tmp_path / "d", "holds no .txt .json .jsonl file")


def test_an_empty_file_in_a_folder_is_refused_by_name(write, tmp_path):
    write("d/a.txt", "一")
    write("d/b.txt", "")
    refused(tmp_path / "d", "b.txt is empty")


def test_digits_in_names_are_ordered_as_numbers():
    names = ["a10", "a2", "a", "A1", "10", "9b", "b", "²"]
    assert sorted(names, key=natural_key) == ["9b", "10", "a", "A1", "a2", "a10", "b", "²"]


def test_a_run_that_stands_among_its_data_is_no_text(tmp_path):
    (tmp_path / "a.txt").write_text("太阳从东方升起\n", encoding="utf-8")
    run = tmp_path / "runs" / "x-1"
    (run / "checkpoint-7").mkdir(parents=True)
    for name in ("training_args.json", "config.json", "tokenizer.json", "checkpoint-7/state.json"):
        (run / name).write_text("{}", encoding="utf-8")
    (run / "metrics.jsonl").write_text('{"step": 1}\n', encoding="utf-8")
    assert load_dataset(tmp_path).documents == ["太阳从东方升起"]


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
def test_linked_folders_are_read_and_a_loop_ends(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "data" / "a.txt").write_text("甲\n", encoding="utf-8")
    (tmp_path / "other" / "b.txt").write_text("乙\n", encoding="utf-8")
    (tmp_path / "data" / "link").symlink_to(tmp_path / "other")
    (tmp_path / "other" / "back").symlink_to(tmp_path / "data")
    assert load_dataset(tmp_path / "data").documents == ["甲", "乙"]
