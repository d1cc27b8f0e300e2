"""The token cache: the same ids as encoding gives, under a key for all that makes them, or encoded anew and said."""

import hashlib
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import rgz
from rgz.data import Dataset, TokenCache, encode_dataset
from rgz.data import token_cache as module
from rgz.data.token_cache import token_key
from rgz.data.token_file import read_token_file, write_token_file
from rgz.errors import RgzError
from rgz.text import BPETokenizer, ByteTokenizer, CharTokenizer, WordTokenizer

CHAT = [{"role": "user", "content": "你好"}, {"role": "assistant", "content": "您好吗"}]
TEXTS = ["太阳从东方升起。", "人工智能\r\n学习 abc 123", "\ud800", CHAT]
ARRAYS = ("ids", "offsets", "mask")


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """Where the cache of this test will be."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "rgz" / "tokens"


def same(a, b):
    pairs = [(getattr(a, name), getattr(b, name)) for name in ARRAYS]
    equal = all(x is y is None or (x.dtype == y.dtype and np.array_equal(x, y)) for x, y in pairs)
    return equal and (a.fingerprint, a.n_characters) == (b.fingerprint, b.n_characters)


def through_cache(documents, tokenizer, **options):
    cache = TokenCache()
    return cache.encode(Dataset(documents), tokenizer, **options), cache.notices


@pytest.mark.parametrize("mask_prompts", [False, True])
@pytest.mark.parametrize(
    "tokenizer",
    [ByteTokenizer(), WordTokenizer("太阳", ["人工智能"]), CharTokenizer("".join(map(chr, range(0x20000, 0x2FF00))))],
    ids=["byte", "word", "a vocabulary above 65,536"],
)
def test_the_second_run_maps_what_the_first_encoded(folder, monkeypatch, tokenizer, mask_prompts):
    expected = encode_dataset(Dataset(TEXTS), tokenizer, mask_prompts=mask_prompts)
    first, [kept] = through_cache(TEXTS, tokenizer, mask_prompts=mask_prompts)
    monkeypatch.setattr(module, "encode_dataset", None)
    second, [reused] = through_cache(TEXTS, tokenizer, mask_prompts=mask_prompts)
    assert same(first, expected) and same(second, expected)
    assert kept.startswith(f"token cache: {expected.n_tokens:,} tokens kept for the next run in {folder} (at most 1 GB")
    assert reused == f"token cache: {expected.n_tokens:,} tokens reused from {folder}"
    assert not second.ids.flags.writeable and not second.ids.flags.owndata
    if os.name == "posix":
        assert {stat.S_IMODE(path.stat().st_mode) for path in (folder, folder.parent)} == {0o700}


def test_training_and_validation_text_are_told_of_in_one_line(folder):
    for word in ("kept", "reused"):
        cache = TokenCache()
        counts = [cache.encode(Dataset(part), ByteTokenizer()).n_tokens for part in (TEXTS[:2], TEXTS[2:])]
        [notice] = cache.notices
        assert f"{sum(counts)} tokens {word}" in notice


def test_switched_off_it_leaves_nothing_and_says_nothing(folder):
    cache = TokenCache(on=False)
    assert same(cache.encode(Dataset(TEXTS), ByteTokenizer()), encode_dataset(Dataset(TEXTS), ByteTokenizer()))
    assert cache.notices == [] and not folder.exists()


texts = st.text(st.characters(codec=None), max_size=6)
messages = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": texts}), min_size=1, max_size=3
)
tokenizers = st.builds(CharTokenizer, st.sampled_from(["", "天", "地", "天地", "地天"])) | st.builds(
    WordTokenizer, st.sampled_from(["", "天地"]), st.sampled_from([(), ("天地",)])
)
work = st.tuples(st.lists(texts | messages, max_size=4), tokenizers, st.booleans())


@settings(max_examples=200)
@given(work, work)
def test_keys_are_equal_only_for_the_same_documents_tokenizer_and_mask(a, b):
    keys = [token_key(documents, tokenizer, mask_prompts=mask) for documents, tokenizer, mask in (a, b)]
    assert (keys[0] == keys[1]) == ((a[0], a[1].to_dict(), a[2]) == (b[0], b[1].to_dict(), b[2]))


@settings(max_examples=100)
@given(st.lists(texts, min_size=1, max_size=4), st.data())
def test_a_text_cut_elsewhere_or_changed_in_one_character_has_another_key(documents, data):
    number = data.draw(st.integers(0, len(documents) - 1))
    text = documents[number]
    at = data.draw(st.integers(0, len(text)))
    changed = data.draw(
        st.sampled_from([[text[:at], text[at:]], [text[:at] + "x" + text[at:]], [text[:at] + text[at + 1 :]], []])
    )
    others = documents[:number] + changed + documents[number + 1 :]
    assume(others != documents)
    keys = {token_key(given, ByteTokenizer(), mask_prompts=False) for given in (documents, others)}
    assert len(keys) == 2


def test_a_text_that_spells_how_keys_are_made_is_still_one_text():
    keys = {
        token_key(documents, ByteTokenizer(), mask_prompts=False)
        for documents in (["a", "b"], ["atext b"], ["atext 1 b"], ["atext ", "b"])
    }
    assert len(keys) == 4


def test_the_key_follows_the_versions_that_encode(monkeypatch):
    def key():
        return token_key(TEXTS, ByteTokenizer(), mask_prompts=False)

    before = key()
    monkeypatch.setattr(module, "_versions", lambda: ["0.1.0", "another jieba"])
    assert key() != before


def test_the_key_follows_what_jiebas_dictionary_and_the_users_hold(monkeypatch, tmp_path):
    def key(user_dictionary=()):
        return token_key(TEXTS, WordTokenizer("太阳从", user_words=user_dictionary), mask_prompts=False)

    assert len({key(), key([("太阳从", 5)]), key([("太阳从", 6)]), key([("东方升", 5)])}) == 4
    files = module.jieba_files()
    keys = []
    for line in ("太阳 5 n\n", "太阳 6 n\n", None):
        if line:
            (tmp_path / "dict.txt").write_text(line, encoding="utf-8")
        else:
            (tmp_path / "dict.txt").write_bytes(files.words.read_bytes())
        monkeypatch.setattr(module, "jieba_files", lambda: files._replace(words=tmp_path / "dict.txt"))
        module._versions.cache_clear()
        keys.append(key())
    monkeypatch.undo()
    module._versions.cache_clear()
    assert len(set(keys)) == 3 and keys[-1] == key()  # what it holds, not where it is or when it came there


def test_encoding_is_what_its_number_in_the_key_says():
    """Where this fails, ids of old caches would be wrong: raise ENCODING, then put the new digest here."""
    tokenizers = [
        ByteTokenizer(), CharTokenizer("太阳"), WordTokenizer("太阳从", ["人工智能", "东方", "123"]),
        BPETokenizer.train(["用户：你好\n助手：您好吗"] * 2, 300),
    ]  # fmt: skip
    digest = hashlib.sha256()
    for tokenizer in tokenizers:
        data = encode_dataset(Dataset(TEXTS), tokenizer, mask_prompts=True)
        for name in ARRAYS:
            digest.update(getattr(data, name).tobytes())
    assert (module.ENCODING, digest.hexdigest()[:16]) == (2, "c095487cc005390b")


def test_a_file_under_another_key_is_not_taken(folder, tmp_path):
    write_token_file(tmp_path / "x", encode_dataset(Dataset(TEXTS), ByteTokenizer()), "a key")
    with pytest.raises(RgzError, match="x is damaged"):
        read_token_file(tmp_path / "x", "another")


def cached_file(folder):
    [path] = folder.iterdir()
    return path


@pytest.mark.parametrize("damage", ["cut", "empty", "header only", "one bit"])
def test_a_damaged_file_is_told_of_and_written_anew(folder, damage):
    whole, _ = through_cache(TEXTS, ByteTokenizer())
    path = cached_file(folder)
    good = path.read_bytes()
    bad = {
        "cut": good[:-1],
        "empty": b"",
        "header only": good[:8],
        "one bit": good[:-1] + bytes([good[-1] ^ 1]),
    }[damage]
    path.write_bytes(bad)
    again, notices = through_cache(TEXTS, ByteTokenizer())
    assert same(again, whole) and path.read_bytes() == good
    assert "the text is encoded anew" in notices[0] and "kept" in notices[1]


def test_no_flipped_bit_and_no_cut_gives_other_ids(tmp_path):
    whole = encode_dataset(Dataset(TEXTS), ByteTokenizer(), mask_prompts=True)
    path = tmp_path / "tokens"
    write_token_file(path, whole, "key")
    good = path.read_bytes()

    @settings(max_examples=400)
    @given(st.integers(0, len(good) - 1), st.integers(0, 7) | st.none())
    def check(place, bit):
        flipped = b"" if bit is None else bytes([good[place] ^ 1 << bit]) + good[place + 1 :]
        path.write_bytes(good[:place] + flipped)
        try:
            read = read_token_file(path, "key")
        except RgzError:
            return
        assert same(read, whole)  # white space between header and tensors may be of another kind

    check()


BUILD = """
import sys, time
from pathlib import Path
from rgz.data import Dataset, TokenCache
from rgz.text import ByteTokenizer
data = Dataset([f"{number} " * 50 for number in range(3000)])
Path(sys.argv[1]).touch()
while len(list(Path(sys.argv[1]).parent.glob("ready-*"))) < 2:
    time.sleep(0.001)
cache = TokenCache()
print(cache.encode(data, ByteTokenizer()).n_tokens, cache.notices)
"""


def test_two_processes_that_build_the_same_file_at_once_both_succeed(folder, tmp_path):
    command = [sys.executable, "-c", BUILD]
    environment = {**os.environ, "PYTHONPATH": str(Path(rgz.__file__).parents[1]), "RGZ_LANG": "en"}
    processes = [
        subprocess.Popen([*command, str(tmp_path / f"ready-{i}")], env=environment, stdout=-1, stderr=-1, text=True)
        for i in range(2)
    ]
    told = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], told
    data = Dataset([f"{number} " * 50 for number in range(3000)])
    expected = encode_dataset(data, ByteTokenizer())
    for out, errors in told:
        assert out.startswith(f"{expected.n_tokens} ['token cache: {expected.n_tokens:,} tokens") and not errors
    assert cached_file(folder).suffix == ".safetensors"
    assert same(through_cache(data.documents, ByteTokenizer())[0], expected)


def test_threads_that_build_the_same_file_at_once_all_succeed(folder):
    barrier, results = threading.Barrier(4), []

    def build():
        barrier.wait()
        results.append(through_cache(TEXTS * 50, ByteTokenizer()))

    threads = [threading.Thread(target=build) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = encode_dataset(Dataset(TEXTS * 50), ByteTokenizer())
    assert len(results) == 4 and all(same(data, expected) for data, _ in results)
    assert all("kept" in notice or "reused" in notice for _, [notice] in results)
    cached_file(folder)


def test_it_stays_below_its_limit_and_drops_the_least_recently_used_first(folder, monkeypatch):
    def file_of(text):
        return folder / f"{token_key([text], ByteTokenizer(), mask_prompts=False)[:32]}.safetensors"

    for age, text in ((20, "一" * 3000), (30, "二" * 3000)):
        through_cache([text], ByteTokenizer())
        os.utime(file_of(text), (age, age))
    through_cache(["一" * 3000], ByteTokenizer())  # used again: now the younger one
    monkeypatch.setattr(module, "LIMIT", 2 * file_of("一" * 3000).stat().st_size + 100)
    _, notices = through_cache(["三" * 3000], ByteTokenizer())
    assert "dropped its oldest files: 1" in notices[0]
    assert [file_of(c * 3000).exists() for c in "一二三"] == [True, False, True]


def test_a_text_that_is_larger_than_the_limit_is_not_kept(folder, monkeypatch):
    monkeypatch.setattr(module, "LIMIT", 1000)
    data, [notice] = through_cache(["一" * 3000], ByteTokenizer())
    assert data.n_tokens == 9002 and "is more than it holds" in notice
    assert list(folder.iterdir()) == []


def test_without_a_folder_of_its_own_it_says_so_and_encodes(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    data, [notice] = through_cache(TEXTS, ByteTokenizer())
    assert same(data, encode_dataset(Dataset(TEXTS), ByteTokenizer()))
    assert "no cache folder that is yours alone" in notice


def test_a_full_disk_is_told_of_and_leaves_no_half_file(folder, monkeypatch):
    def full(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    data, [notice] = through_cache(TEXTS, ByteTokenizer())
    assert same(data, encode_dataset(Dataset(TEXTS), ByteTokenizer()))
    assert notice == f"token cache: cannot write to {folder}: No space left on device"
    assert list(folder.iterdir()) == []


def test_a_tokenizer_of_the_users_own_is_not_cached(folder):
    class Lower(ByteTokenizer):
        def encode_stream(self, texts, n_threads=None, progress=None):
            return super().encode_stream([text.lower() for text in texts], n_threads, progress)

    data, [notice] = through_cache(["AB"], Lower())
    assert data.ids.tolist() == [1, 4 + 97, 4 + 98, 2] and "tokenizers of your own" in notice
    assert not folder.exists()
