"""Our safetensors files against the format's text: written bytes, read arrays, and what must be refused."""

import hashlib
import json
import os
import struct

import numpy as np
import pytest

from rgz.errors import RgzError
from rgz.safetensors import load_file, load_into, read_header, save_file


@pytest.fixture(autouse=True)
def english(monkeypatch):
    monkeypatch.setenv("RGZ_LANG", "en")


def raw(path, header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def test_the_bytes_are_those_of_the_format(tmp_path):
    path = tmp_path / "a.safetensors"
    array = np.array([[1.5, -2.0, 3.0]], np.float32)
    digest = save_file(path, {"w": array}, {"format": "pt"})
    data = path.read_bytes()
    n = struct.unpack("<Q", data[:8])[0]
    assert n % 8 == 0 and len(data) == 8 + n + 12
    assert json.loads(data[8 : 8 + n]) == {
        "__metadata__": {"format": "pt"},
        "w": entry("F32", (1, 3), (0, 12)),
    }
    assert data[8 + n :] == struct.pack("<fff", 1.5, -2.0, 3.0)
    assert digest == hashlib.sha256(data).hexdigest()


DTYPES = ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 3, 4)])
def test_every_type_and_shape_comes_back(tmp_path, dtype, shape):
    rng = np.random.default_rng(0)
    array = rng.integers(0, 2, shape).astype(dtype) if dtype == "?" else (rng.random(shape) * 100).astype(dtype)
    save_file(tmp_path / "a", {"x": array, "other": np.ones(3, np.float32)})
    loaded = load_file(tmp_path / "a")["x"]
    assert loaded.dtype == array.dtype and loaded.shape == shape
    np.testing.assert_array_equal(loaded, array)
    out = np.zeros_like(array)
    load_into(tmp_path / "a", {"x": out, "other": np.zeros(3, np.float32)})
    np.testing.assert_array_equal(out, array)


def test_byte_order_and_strides_do_not_matter(tmp_path):
    array = np.arange(12, dtype=">f4").reshape(3, 4).T
    save_file(tmp_path / "a", {"x": array})
    np.testing.assert_array_equal(load_file(tmp_path / "a")["x"], array)
    out = np.zeros((8, 3), np.float32)[::2]
    load_into(tmp_path / "a", {"x": out})
    np.testing.assert_array_equal(out, array)


def test_wide_types_come_first_so_that_all_are_aligned(tmp_path):
    tensors = {"a": np.ones(3, np.uint8), "b": np.ones(1, np.float64), "c": np.ones(1, np.float32)}
    save_file(tmp_path / "a", tensors)
    table, _ = read_header(tmp_path / "a")
    assert table["b"].begin < table["c"].begin < table["a"].begin
    assert all(info.begin % np.dtype(tensors[name].dtype).itemsize == 0 for name, info in table.items())


def test_half_types_are_read_as_float32_where_asked(tmp_path):
    bits = np.array([0x3F80, 0xC000, 0x7F80], np.uint16)  # 1, -2, infinity
    save_file(tmp_path / "a", {"b": bits, "h": np.array([0.5], np.float16)}, bfloat16=frozenset(["b"]))
    table, _ = read_header(tmp_path / "a")
    assert table["b"].dtype == "BF16" and table["h"].dtype == "F16"
    loaded = load_file(tmp_path / "a")
    assert loaded["b"].tolist() == [1.0, -2.0, float("inf")] and loaded["h"].dtype == np.float16
    out = {"b": np.zeros(3, np.float32), "h": np.zeros(1, np.float32)}
    load_into(tmp_path / "a", out)
    assert out["b"].tolist() == [1.0, -2.0, float("inf")] and out["h"].tolist() == [0.5]


def test_nothing_at_all_and_names_in_any_script(tmp_path):
    save_file(tmp_path / "a", {})
    assert load_file(tmp_path / "a") == {}
    save_file(tmp_path / "b", {"权重": np.ones(2, np.float32)}, {"作者": "某人"})
    table, metadata = read_header(tmp_path / "b")
    assert list(table) == ["权重"] and metadata == {"作者": "某人"}


@pytest.mark.parametrize(
    "header, data, length, message",
    [
        (b"", b"", None, "the header is not JSON"),
        (b"[]", b"", None, "the header is not JSON"),
        (b"\xff\xfe", b"", None, "the header is not JSON"),
        (b"{}", b"", 10**18, "a header of 1000000000000000000 bytes does not fit"),
        (b"{}", b"x", None, "11 bytes, the header tells of 10"),
        ({"w": entry()}, b"1234567", None, "bad entry of tensor 'w'"),
        ({"w": entry()}, b"123456789", None, "bytes, the header tells of"),
        ({"w": entry(shape=(3,))}, b"12345678", None, "bad entry"),
        ({"w": entry(shape=(2**62, 4))}, b"12345678", None, "bad entry"),
        ({"w": entry(shape=(-1, -2))}, b"12345678", None, "bad entry"),
        ({"w": entry(shape=(2.0,))}, b"12345678", None, "bad entry"),
        ({"w": entry(shape=(True, 2))}, b"12345678", None, "bad entry"),
        ({"w": entry(offsets=(8, 0))}, b"12345678", None, "bad entry"),
        ({"w": entry(dtype="Q4")}, b"12345678", None, "bad entry"),
        ({"w": 3}, b"12345678", None, "bad entry"),
        ({"w": entry(offsets=(4, 12))}, b"123456789012", None, "holes or overlaps"),
        ({"a": entry(), "b": entry()}, b"12345678", None, "holes or overlaps"),
        ({"a": entry(), "b": entry(offsets=(12, 20))}, b"1" * 20, None, "holes or overlaps"),
        ({"__metadata__": {"a": 1}}, b"", None, "the metadata are not texts"),
        (b"[" * 100_000, b"", None, "the header is not JSON"),
        (b'{"__metadata__": {"a": "1"}, "__metadata__": {}}', b"", None, "the header has '__metadata__' twice"),
        (b'{"__metadata__": {"a": "1", "a": "2"}}', b"", None, "the header has 'a' twice"),
    ],
)
def test_a_file_that_breaks_the_format_is_refused(tmp_path, header, data, length, message):
    path = raw(tmp_path / "a", header, data, length)
    for read in (read_header, load_file, lambda p: load_into(p, {"w": np.zeros(2, np.float32)})):
        with pytest.raises(RgzError, match=message):
            read(path)


def test_every_truncation_is_noticed(tmp_path):
    save_file(tmp_path / "a", {"w": np.ones(4, np.float32)})
    whole = (tmp_path / "a").read_bytes()
    for size in range(len(whole)):
        (tmp_path / "b").write_bytes(whole[:size])
        with pytest.raises(RgzError):
            load_file(tmp_path / "b")


def test_load_into_touches_nothing_unless_all_fits(tmp_path):
    save_file(tmp_path / "a", {"a": np.ones(4, np.float32), "b": np.ones(2, np.float32)})
    for names, message in [
        ({"a": np.zeros(4, np.float32)}, "only .* has 'b'"),
        (
            {"a": np.zeros(4, np.float32), "b": np.zeros(2, np.float32), "c": np.zeros(1)},
            "only the model has 'c'",
        ),
        (
            {"a": np.zeros(4, np.float32), "b": np.zeros(3, np.float32)},
            r"'b' is F32 \(2,\), float32 \(3,\) is needed",
        ),
        ({"a": np.zeros(4, np.float32), "b": np.zeros(2, np.float64)}, "float64"),
    ]:
        with pytest.raises(RgzError, match=message):
            load_into(tmp_path / "a", names)
        assert not names["a"].any()


def test_a_missing_file_and_an_impossible_type_are_user_errors(tmp_path):
    with pytest.raises(RgzError, match=r"cannot read .*No such file"):
        load_file(tmp_path / "none")
    with pytest.raises(RgzError, match="tensor 'c' has type complex64"):
        save_file(tmp_path / "a", {"c": np.ones(1, np.complex64)})
    assert os.listdir(tmp_path) == []


def test_a_write_that_fails_leaves_the_old_file_whole(tmp_path, monkeypatch):
    save_file(tmp_path / "a", {"w": np.ones(4, np.float32)})
    before = (tmp_path / "a").read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save_file(tmp_path / "a", {"w": np.zeros(4, np.float32)})
    assert (tmp_path / "a").read_bytes() == before and os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("shape", [[2**62] * 200_000, [1] * 100_000 + [2**62] * 100_000])
def test_a_shape_of_millions_of_digits_is_refused_without_working_it_out(tmp_path, shape):
    path = raw(tmp_path / "a", {"x": entry(shape=shape)}, bytes(8))
    with pytest.raises(RgzError, match="bad entry of tensor 'x'"):
        load_file(path)


def test_a_shape_with_a_0_holds_nothing_however_large_the_rest_is(tmp_path):
    path = raw(tmp_path / "a", {"x": entry(shape=(2**40, 0, 2**40), offsets=(0, 0))})
    assert read_header(path)[0]["x"].shape == (2**40, 0, 2**40)
