"""RustGPT-Chinese's entry points: its recipe, its data as it is, what comes back, and going on."""

import inspect
import json
import os
import re
import shlex

import numpy as np
import pytest
from click.testing import CliRunner

import rgz
from rgz.cli.app import build_app
from rgz.compat import rustgpt
from rgz.errors import RgzError

TEXTS = ["太阳从东方升起，照亮了山谷。", "读书使人明白道理。", "长江是中国最长的河。", "春天来了，花开了。"]
CHATS = ["用户：你是谁？助手：我是一个小模型。", "用户：天空是什么颜色？助手：天空是蓝色的。"]
QUIET = {"report_to": "none", "max_length": 8, "n_threads": 1, "token_cache": False}


@pytest.fixture(autouse=True)
def english(monkeypatch):
    monkeypatch.setenv("RGZ_LANG", "en")


@pytest.fixture(scope="module")
def words():
    return rgz.WordTokenizer.train([*TEXTS, *CHATS])


@pytest.fixture
def tiny(words):
    """A model to go on with, small enough for many epochs."""

    def make():
        config = rgz.ModelConfig.preset(
            "rustgpt-chinese", words.vocab_size, hidden_size=16, intermediate_size=32, num_attention_heads=2
        )
        return {"model": rgz.Model(config, seed=0), "tokenizer": words, **QUIET}

    return make


@pytest.fixture
def corpus(tmp_path):
    """Folders as RustGPT-Chinese keeps them."""
    for name, value in {
        "pretraining/dataset10_b.json": TEXTS[2:],
        "pretraining/dataset2_a.json": TEXTS[:2],
        "chat/dataset1.json": CHATS,
        "idioms/idioms.json": {
            "metadata": {"version": "2.0"},
            "idioms": [{"成语": "画蛇添足", "近义词": ["多此一举"]}],
        },
    }.items():
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    return tmp_path / "data"


def test_without_arguments_it_is_the_recipe_of_rustgpt_chinese(corpus, tmp_path):
    trained = rustgpt.train_with_checkpointing(corpus / "pretraining", tmp_path / "run", max_steps=2, **QUIET)
    config = json.loads((tmp_path / "run/config.json").read_text(encoding="utf-8"))
    assert (config["hidden_size"], config["num_hidden_layers"], config["dropout"]) == (256, 2, 0.1)
    assert config["vocab_size"] == trained.tokenizer.vocab_size == trained.model.config.vocab_size
    saved = json.loads((tmp_path / "run/training_args.json").read_text(encoding="utf-8"))["arguments"]
    expected = {
        "adam_beta1": 0.9, "adam_beta2": 0.999, "adam_epsilon": 1e-8, "weight_decay": 0.0, "learning_rate": 1e-4,
        "lr_scheduler_type": "cosine", "warmup_steps": 0.05, "min_lr_ratio": 0.01, "max_grad_norm": 1.0,
        "early_stopping_patience": 30, "early_stopping_min_delta": 0.01, "metric_for_best_model": "loss",
        "validation_split": 0.0, "batch_size": 1, "gradient_accumulation_steps": 1, "packing": False,
        "num_train_epochs": 500.0, "save_strategy": "best+last", "mask_prompts": False,
    }  # fmt: skip
    assert {name: saved[name] for name in expected} == expected


@pytest.mark.parametrize("function", [rustgpt.train, rustgpt.train_monitored, rustgpt.train_bucketed])
def test_the_other_entry_points_have_the_same_defaults(function):
    defaults = {name: p.default for name, p in inspect.signature(function).parameters.items()}
    assert defaults.get("epochs", defaults.get("max_epochs")) == 500 and defaults["initial_lr"] == 1e-4
    assert defaults.get("patience", 30) == 30


def test_train_goes_through_all_epochs_one_sample_an_update_and_writes_nothing(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trained = rustgpt.train(TEXTS, 3, 1e-2, **{**tiny(), "max_length": 32})
    assert [(report["step"], report["epoch"]) for report in trained.history] == [(4, 1.0), (8, 2.0), (12, 3.0)]
    assert trained.history[-1]["loss"] < trained.history[0]["loss"]
    assert (trained.epochs, trained.best_epoch, trained.best_loss, trained.output_dir) == (3, None, None, None)
    assert os.listdir(tmp_path) == []


def test_the_learning_rate_warms_up_and_falls_to_a_hundredth(tiny):
    history = rustgpt.train(TEXTS, 10, 1e-2, **tiny(), logging_steps=1).history
    rates = [report["learning_rate"] for report in history]
    assert max(rates) == rates[len(rates) // 20] == 1e-2
    assert rates[-1] == pytest.approx(1e-4, rel=0.2) and rates[0] < 1e-2


def test_monitored_stops_on_the_training_loss_and_has_its_best_weights_back(tiny):
    trained = rustgpt.train_monitored(TEXTS, 50, 1e-2, patience=2, early_stopping_min_delta=100.0, **tiny())
    losses = [report["loss"] for report in trained.history]
    assert trained.epochs == len(losses) == 3 and losses == sorted(losses, reverse=True)
    assert (trained.best_epoch, trained.best_loss) == (3, losses[-1])
    went_on = rustgpt.train_monitored(TEXTS, 3, 1e-2, patience=None, **tiny())
    assert went_on.epochs == 3


def test_the_best_weights_are_not_the_last_where_the_loss_rises(tiny):
    """A learning rate that wrecks the model: the first epochs are the best."""
    trained = rustgpt.train_monitored(
        TEXTS, 8, 10.0, patience=3, lr_scheduler_type="linear", warmup_steps=0.9, max_grad_norm=1e9, **tiny()
    )
    assert trained.best_epoch < trained.epochs
    assert trained.best_loss == trained.history[trained.best_epoch - 1]["loss"] < trained.history[-1]["loss"]


def test_accumulation_and_buckets_make_larger_updates(tiny):
    whole = {**tiny(), "max_length": 32}
    assert [r["step"] for r in rustgpt.train_monitored(TEXTS, 2, accumulation_steps=3, **whole).history] == [2, 4]
    whole = {**tiny(), "max_length": 32}
    history = rustgpt.train_bucketed(TEXTS, 2, batch_size=2, **whole).history
    assert [r["step"] for r in history] == [2, 4]
    assert history[-1]["num_input_tokens_seen"] == 2 * sum(len(whole["tokenizer"].encode(text)) + 1 for text in TEXTS)


def test_a_stopped_run_goes_on_to_the_same_weights(tiny, corpus, tmp_path):
    def run(folder, **more):
        return rustgpt.train_with_checkpointing(corpus / "chat", tmp_path / folder, 4, 1e-2, **tiny(), **more)

    whole = run("whole")
    first = run("halves", max_time=1e-9)
    assert first.epochs < 4 and first.output_dir == tmp_path / "halves"
    with pytest.raises(RgzError, match="already holds a run"):
        run("halves")
    second = run("halves", resume=True)
    assert (second.epochs, second.best_epoch, second.best_loss) == (4, whole.best_epoch, whole.best_loss)
    np.testing.assert_array_equal(second.model.weights, whole.model.weights)
    assert any(path.name.startswith("checkpoint-") for path in second.output_dir.iterdir())


def test_the_advice_of_a_stopped_run_works(corpus, tmp_path, capsys):
    """From files `rgz resume` goes on, to the same weights; from texts in memory only Python can."""

    def run(data, folder, **more):
        options = {**QUIET, "report_to": "console", "max_steps": 3, "validation_split": 0.3, "samples": False, **more}
        return rustgpt.train_with_checkpointing(data, tmp_path / folder, metric_for_best_model="val_loss", **options)

    whole = run([corpus / "chat", str(corpus / "pretraining")], "whole")
    run([corpus / "chat", str(corpus / "pretraining")], "files", max_time=1e-9)
    advice = re.search(r"go on with: rgz (resume .*)", capsys.readouterr().err)[1]
    result = CliRunner().invoke(build_app(), [*shlex.split(advice), "--max-time", "none"])
    assert result.exit_code == 0, result.stderr
    for name in ("model.safetensors", "checkpoint-3/model.safetensors", "checkpoint-3/optimizer.safetensors"):
        assert (tmp_path / "files" / name).read_bytes() == (whole.output_dir / name).read_bytes()
    run([*CHATS, *TEXTS], "texts", max_time=1e-9)
    assert "go on with: Trainer(...).train(resume_from_checkpoint=True)" in capsys.readouterr().err
    result = CliRunner().invoke(build_app(), ["resume", str(tmp_path / "texts")])
    assert result.exit_code == 1 and "from Python: Trainer(...).train(resume_from_checkpoint=True)" in result.stderr
    assert run([*CHATS, *TEXTS], "texts", resume=True).epochs == whole.epochs


def test_a_model_that_was_given_is_not_begun_anew_by_the_command(tiny, corpus, tmp_path):
    """Without a checkpoint `rgz resume` begins with a new model: wrong for a second stage, which had one."""
    rustgpt.train(corpus / "chat", 1, output_dir=str(tmp_path / "run"), **tiny())
    result = CliRunner().invoke(build_app(), ["resume", str(tmp_path / "run")])
    assert result.exit_code == 1 and "from Python" in result.stderr


def test_two_stages_end_in_a_model_that_answers(words, corpus):
    options = {**QUIET, "max_length": 16}
    first = rustgpt.train(corpus / "pretraining", 3, 1e-3, tokenizer=words, **options)
    second = rustgpt.train(corpus / "chat", 40, 1e-3, model=first.model, tokenizer=first.tokenizer, **options)
    assert second.model is first.model
    assert second.answer("你是谁？", greedy=True) == "我是一个小模型。"
    assert "我是" in second.generate("用户：你是谁？\n助手：", greedy=True, max_new_tokens=8)


def test_its_data_is_read_as_it_is(corpus):
    assert rustgpt._read(corpus / "pretraining")[0].documents == TEXTS  # dataset2 before dataset10
    assert rustgpt._read(str(corpus / "pretraining/dataset2_a.json"))[0].documents == TEXTS[:2]
    assert rustgpt._read([corpus / "pretraining", corpus / "idioms"])[0].documents == [
        *TEXTS, "成语：画蛇添足\n近义词：多此一举",
    ]  # fmt: skip
    chats = rustgpt._read(str(corpus / "chat"))[0].documents
    assert chats[0] == [
        {"role": "user", "content": "你是谁？"}, {"role": "assistant", "content": "我是一个小模型。"},
    ]  # fmt: skip
    assert rustgpt._read(CHATS)[0].documents == chats and rustgpt._read(tuple(TEXTS))[0].documents == TEXTS


@pytest.mark.parametrize(
    "data, options, message",
    [
        ("no/such/folder", {}, "neither a file nor a folder|does not exist"),
        (["data/a.json", "data/b.json"], {}, "data/a.json .*(neither a file nor a folder|does not exist)"),
        ("", {}, "an empty name is neither a file nor a folder"),
        (None, {}, "data must be files, folders or texts, got None"),
        (5, {}, "data must be files, folders or texts, got 5"),
        ({"a": 1}, {}, "data must be files, folders or texts, got {'a': 1}"),
        ([1, 2], {}, "data must be files, folders or texts, got 1"),
        ([], {}, "too short"),
        (TEXTS, {"patiance": 3}, "unknown key 'patiance'"),
        (TEXTS, {"max_length": 500}, "max_position_embeddings"),
        (TEXTS, {"model": object()}, "give the model's tokenizer too"),
    ],
)
def test_wrong_input_is_refused_in_a_sentence(data, options, message):
    with pytest.raises(RgzError, match=message):
        rustgpt.train_monitored(data, **{**QUIET, **options})
