"""Every slip of a user is one line that says what to do, an exit code, and nothing left behind."""

import json
import os
import shlex
import shutil
import sys

import numpy as np
import pytest
from cli.tiny import TINY, half_width_marks

from rgz.cli.app import MODULES
from rgz.safetensors import load_file, save_file
from rgz.text import WordTokenizer

BYTES = {
    "empty.txt": b"",
    "binary.txt": b"PK\x03\x04\x00\x00\x00" * 40,
    "broken.jsonl": '{"text": "好"}\n{"text": \n'.encode(),
    "undecodable.txt": b"ok\n\xff\xfe\xfd\x81\n",
    "short.txt": "短\n短\n".encode(),
    "bad.toml": b"learning_rate = = 1\n",
    "unknown.toml": b"learning-rte = 1e-3\n",
    "nul-output.toml": b'output_dir = "a\\u0000b"\n',
    "nul-validation.toml": b'validation_data = "a\\u0000b"\n',
    "nul-words.toml": b'user_dict = "a\\u0000b"\n',
    "nul-augment.toml": b'augment = "dictionary=a\\u0000b,synonyms=0.1"\n',
    "nul-tokenizer.toml": b'tokenizer = "a\\u0000b.json"\n',
    "long.dict": ("长" * 256 + " 5\n").encode(),
    "plain.txt": ("今天天气很好，我们去公园玩。\n" * 40).encode(),
}

# arguments, exit code, what the one line must hold
SLIPS = [
    ("train missing.txt", 1, ["missing.txt", "does not exist"]),
    ("train empty.txt", 1, ["empty.txt is empty"]),
    ("train binary.txt", 1, ["binary"]),
    ("train broken.jsonl", 1, ["broken.jsonl:2", "broken JSON"]),
    ("train undecodable.txt", 1, ["line 2", "UTF-8"]),
    ("train short.txt", 1, ["too short for one sequence", "max_length"]),
    ("train plain.txt --hidden-size 100 --num-attention-heads 3", 1, ["divisible", "got 3 and 2; give both"]),
    ("train plain.txt --hidden-size 100 --num-attention-heads 3 --num-key-value-heads 3", 1, ["96 or 102"]),
    ("train plain.txt --preset nanoo", 1, ["did you mean 'nano'"]),
    ("train plain.txt --tokenizer wrod", 1, ["did you mean 'word'"]),
    ("train plain.txt --tokenizer missing.json", 1, ["missing.json"]),
    ("train plain.txt --tokenizer bep", 1, ["did you mean 'bpe'"]),
    ("train plain.txt --learning-rate -1", 1, ["learning_rate must be > 0"]),
    ("train plain.txt --lr-scheduler-type cosin", 1, ["did you mean 'cosine'"]),
    ("train plain.txt --max-length 300", 1, ["max_position_embeddings", "300"]),
    ("train plain.txt --max-time soon", 1, ["max_time"]),
    ("train plain.txt --max-time 0", 1, ["max_time must be > 0"]),
    ("train plain.txt --max-time 0s", 1, ["max_time must be > 0"]),
    ("train plain.txt --tokenizer byte --vocab-size 999", 1, ["260"]),
    ("train plain.txt --config missing.toml", 1, ["missing.toml"]),
    ("train plain.txt --config bad.toml", 1, ["bad.toml", "TOML"]),
    ("train plain.txt --config unknown.toml", 1, ["did you mean 'learning_rate'"]),
    ("train plain.txt --config nul-output.toml", 1, ["output_dir must be the name of a folder, got 'a\\x00b'"]),
    ("train plain.txt --config nul-validation.toml", 1, ["must be a path, got 'a\\x00b'"]),
    ("train plain.txt --config nul-words.toml", 1, ["must be a path, got 'a\\x00b'"]),
    ("train plain.txt --config nul-augment.toml", 1, ["augment: dictionary must be the name of a file, got"]),
    ("train plain.txt --config nul-tokenizer.toml", 1, ["a\\x00b.json"]),
    ("train plain.txt -o plain.txt", 1, ["plain.txt is a file"]),
    ("train plain.txt -o plain.txt/run", 1, ["plain.txt is a file"]),
    ("train plain.txt --learnin-rate 1", 2, ["did you mean '--learning-rate'"]),
    ("train plain.txt --batch-size many", 2, ["--batch-size", "an integer", "many"]),
    ("train plain.txt --batch-size", 2, ["--batch-size needs a value"]),
    ("train plain.txt --packing=no", 2, ["--no-packing"]),
    ("train plain.txt --lr-scheduler-kwargs cycles", 2, ["name=value"]),
    ("train plain.txt --lr-scheduler-kwargs steps=5", 1, ["lr_scheduler_kwargs must not hold steps"]),
    ("train plain.txt --lr-scheduler-kwargs total_steps=5", 1, ["lr_scheduler_kwargs must not hold total_steps"]),
    ("train plain.txt --lr-scheduler-kwargs floor=[]", 1, ["floor must be a number, got []"]),
    ("train plain.txt --seed 99999999999999999999", 1, ["seed must be an integer, < 2**63"]),
    ("train plain.txt --n-threads 99999999999999", 1, ["n_threads must be an integer in 1..1024"]),
    ("train plain.txt --output-dir=", 1, ["output_dir must be the name of a folder, got ''"]),
    ("train plain.txt --hidden-size 4000000", 1, ["before its first step", "are free", "--hidden-size"]),
    ("train", 2, ["DATA... is missing"]),
    ("sft plain.txt", 2, ["--from is missing"]),
    ("sft plain.txt --from nowhere", 1, ["nowhere does not exist"]),
    ("trian plain.txt", 2, ["did you mean 'train'"]),
    ("train ''", 1, ["an empty name is neither a file nor a folder"]),
    ("resume nowhere", 1, ["nowhere does not exist"]),
    ("resume .", 1, ["training_args.json"]),
    ("eval . plain.txt", 1, ["config.json is missing"]),
    ("generate nowhere", 1, ["nowhere does not exist"]),
    ("chat plain.txt", 1, ["plain.txt is no folder"]),
    ("generate . --temperature -1", 1, ["temperature must be 0 or >= 0.001"]),
    ("generate . --num-beams 0", 2, ["--num-beams: must be an integer >= 1, got '0'"]),
    ("tokenize plain.txt --vocab-size 1e3", 2, ["--vocab-size: must be an integer >= 260, got '1e3'"]),
    ("tokenize plain.txt --user-dict long.dict", 1, ["long.dict, line 1: a word must have 1 to 255 characters"]),
    ("info now then", 2, ["too many arguments: then"]),
    ("info now", 1, ["cannot read the tokenizer now"]),
    ("--vresion", 2, ["did you mean '--version'"]),
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name, content in BYTES.items():
        (tmp_path / name).write_bytes(content)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("args", "code", "words"), SLIPS, ids=[slip[0] for slip in SLIPS])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_slip_is_one_line_and_an_exit_code(rgz, folder, monkeypatch, args, code, words, language):
    monkeypatch.setenv("RGZ_LANG", language)
    result = rgz(*shlex.split(args))
    assert result.exit_code == code, result.stderr + repr(result.exception)
    assert not result.stdout
    errors = [line for line in result.stderr.splitlines() if line.startswith(("error: ", "错误："))]
    assert len(errors) == 1 and "Traceback" not in result.stderr
    if language == "en":
        assert all(word in errors[0] for word in words), errors[0]
    else:
        assert errors[0].startswith("错误：") and any("一" <= c <= "鿿" for c in errors[0][3:])
        assert not half_width_marks(errors[0])
    assert sorted(os.listdir(folder)) == sorted(BYTES)


@pytest.mark.parametrize(
    ("args", "line"),
    [
        ("train plain.txt --learning-rate 0", "learning_rate 的取值要求：> 0；实际为 0.0"),
        ("train plain.txt --output-dir=", "output_dir 的取值要求：文件夹的名字；实际为 ''"),
        ("train plain.txt --max-steps 0", "max_steps 的取值要求：-1，或不小于 1；实际为 0"),
        ("train plain.txt --report-to colsole", "report_to：没有 'colsole' 这一项；是不是想写 'console'？"),
        ("train plain.txt --preset nanoo", "预设：没有 'nanoo' 这一项；是不是想写 'nano'？"),
        ("generate . --temperature -1", "temperature 的取值要求：0，或不小于 0.001；实际为 -1.0"),
        ("generate . --top-p 2", "top_p 的取值要求：大于 0 且不超过 1；实际为 2.0"),
        ("generate nowhere", "nowhere 不存在；请给出训练时写出的运行目录"),
        ("generate plain.txt", "plain.txt 不是目录；请给出训练时写出的运行目录"),
    ],
)
def test_a_chinese_sentence_fits_whatever_is_put_into_it(rgz, folder, monkeypatch, args, line):
    monkeypatch.setenv("RGZ_LANG", "zh")
    assert rgz(*shlex.split(args)).stderr.splitlines() == [f"错误：{line}"]


@pytest.mark.parametrize("name", MODULES)
def test_an_unknown_option_of_any_command_names_the_nearest(rgz, name):
    result = rgz(name, "--hlep")
    assert result.exit_code == 2
    assert "unknown option '--hlep'; did you mean '--help'?" in result.stderr
    assert f"rgz {name} --help" in result.stderr


def test_a_run_is_not_overwritten_unless_told(rgz, trained, texts):
    before = {path.name: path.stat().st_mtime_ns for path in trained.iterdir()}
    result = rgz("train", texts, "-o", trained)
    assert result.exit_code == 1
    assert "already holds a run" in result.stderr and "--overwrite" in result.stderr and "rgz resume" in result.stderr
    assert {path.name: path.stat().st_mtime_ns for path in trained.iterdir()} == before


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("config.json", b'{"vocab_size": 300, "hiden_size": 8}', ["config.json", "did you mean 'hidden_size'", "copy"]),
        ("config.json", b"{", ["config.json", "copy the model anew"]),
        ("config.json", b"[]", ["config.json", "copy the model anew"]),
        ("model.safetensors", b"short", ["model.safetensors", "copy the model anew"]),
        ("tokenizer.json", b"{}", ["tokenizer.json", "one that rgz wrote"]),
        ("tokenizer.json", b"no", ["tokenizer.json", "one that rgz wrote"]),
        ("training_args.json", b"{}", ["training_args.json", "put back what training wrote"]),
        ("training_args.json", b'{"arguments": {"sed": 1}}', ["training_args.json", "did you mean 'seed'"]),
        (
            "training_args.json",
            b'{"arguments": {}, "source": 5}',
            ["training_args.json", "put back what training wrote"],
        ),
        (
            "training_args.json",
            b'{"arguments": {}, "turns": "x"}',
            ["training_args.json", "put back what training wrote"],
        ),
        (
            "training_args.json",
            b'{"arguments": {}, "turns": 0}',
            ["training_args.json", "put back what training wrote"],
        ),
    ],
)
def test_a_damaged_file_of_a_run_is_named_with_what_to_do(rgz, trained, texts, tmp_path, name, content, words):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    (run / name).write_bytes(content)
    for arguments in (("generate", run, "--prompt", "春"), ("eval", run, texts), ("chat", run)):
        result = rgz(*arguments)
        assert result.exit_code == 1 and not result.stdout
        (line,) = result.stderr.splitlines()
        assert line.startswith("error: ") and all(word in line for word in words), line


@pytest.mark.parametrize(
    "report",
    ['{"step": 5}', '{"step": null, "epoch": 1}', '{"step": 5, "epoch": null}', f'{{"step": 5, "epoch": 1{"0" * 99}}}'],
)
def test_a_report_that_training_does_not_write_is_named(rgz, trained, tmp_path, report):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    (run / "metrics.jsonl").write_text(report + "\n")
    for command in ("info", "plot"):
        result = rgz(command, run)
        assert result.exit_code == 1 and "metrics.jsonl:1: no report of a run" in result.stderr, result.exception


@pytest.mark.parametrize("path", ["a\0b", "\ud800"])
def test_a_run_whose_text_has_a_name_that_cannot_be_is_not_resumed(rgz, trained, tmp_path, path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    noted = json.loads((run / "training_args.json").read_text())
    (run / "training_args.json").write_text(json.dumps(noted | {"data": [path]}))
    result = rgz("resume", run)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == f"error: data must be a path, got {path!r}"


DEEP = b"[" * 100_000
RUN_FILES = ("config.json", "tokenizer.json", "training_args.json")


@pytest.mark.parametrize(
    ("name", "content"),
    [(name, content) for name in RUN_FILES for content in (b"[]", b"5", b"null", DEEP, b'{"a": ' + DEEP)]
    + [("training_args.json", b'{"arguments": null}'), ("training_args.json", b'{"arguments": {}, "data": 5}')]
    + [("training_args.json", b'{"arguments": {}, "data": [5]}')]
    + [("metrics.jsonl", line + b"\n") for line in (b"5", b"{}", b"[1]", b'{"step": 1, "loss": "a"}', DEEP)],
)
def test_resume_never_stumbles_over_a_damaged_file(rgz, trained, tmp_path, name, content):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    (run / name).write_bytes(content)
    result = rgz("resume", run)
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.exit_code == 1 and name in result.stderr.splitlines()[-1], result.stderr


def test_eval_refuses_a_tokenizer_of_another_model(rgz, trained, texts, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    WordTokenizer.train(["".join(map(chr, range(0x4E00, 0x5000)))]).save(run / "tokenizer.json")
    result = rgz("eval", run, texts)
    assert result.exit_code == 1 and "do not belong together" in result.stderr


def test_weights_that_are_no_numbers_are_said_by_all(rgz, trained, texts, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    tensors = load_file(run / "model.safetensors")
    for tensor in tensors.values():
        tensor[...] = np.nan
    save_file(run / "model.safetensors", tensors)
    for arguments in (("generate", run), ("generate", run, "--num-beams", 3), ("eval", run, texts)):
        result = rgz(*arguments)
        assert result.exit_code == 1 and "its weights are damaged" in result.stderr, result.stderr


@pytest.mark.parametrize(
    "option", ["--repetition-penalty=1e-308", "--temperature=1e-308", "--repetition-penalty=1e308"]
)
def test_sampling_beyond_reason_is_refused(rgz, trained, option):
    result = rgz("generate", trained, option)
    assert result.exit_code == 1 and "must be" in result.stderr and not result.stdout


@pytest.mark.skipif(os.name != "posix" or sys.platform == "darwin", reason="only here a path may be no text")
def test_a_path_that_is_no_utf8_is_as_good_as_any(rgz, texts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(b"\xff.txt")
    shutil.copy(texts, name)
    result = rgz("train", name, "-o", os.fsdecode(b"\xffrun"), *TINY, "--max-steps", 2)
    assert result.exit_code == 0, result.stderr + repr(result.exception)
    assert rgz("resume", os.fsdecode(b"\xffrun")).exit_code == 0


def test_beam_search_refuses_sampling_and_too_many_beams(rgz, trained):
    result = rgz("generate", trained, "--num-beams", 2, "--temperature", 0.5)
    assert result.exit_code == 1 and "leave temperature out" in result.stderr
    result = rgz("generate", trained, "--num-beams", 1000000)
    assert result.exit_code == 1 and "num_beams must be <= 1024" in result.stderr


@pytest.mark.skipif(os.name != "posix" or not os.path.isdir("/proc"), reason="needs a folder that nobody can write")
def test_an_unwritable_folder_is_refused_before_the_text_is_read(rgz, folder):
    result = rgz("train", "plain.txt", "-o", "/proc/rgz/run")
    assert result.exit_code == 1 and "cannot write to /proc/rgz/run" in result.stderr


def test_a_bug_of_ours_is_not_hidden(rgz, folder, monkeypatch):
    monkeypatch.setattr("rgz.cli.settings.read_texts", None)
    monkeypatch.setattr("rgz.cli.train.read_texts", None)
    assert isinstance(rgz("train", "plain.txt").exception, TypeError)
