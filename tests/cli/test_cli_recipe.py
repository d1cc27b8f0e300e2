"""What is chosen for a small corpus, and what is left alone: what was given, and other corpora."""

import json

import pytest
from cli.tiny import TINY

from rgz.cli.recipe import choose_for_small_corpus, choose_size, is_small
from rgz.cli.settings import Settings


def chosen(training=None, validated=True):
    settings = Settings(dict(training or {}), {}, {})
    return choose_for_small_corpus(settings, validated), settings


def test_a_corpus_is_small_for_a_model_with_ten_times_as_many_parameters():
    assert is_small(76_000, 3_800_000) and is_small(9_999, 100_000)
    assert not is_small(10_000, 100_000) and not is_small(5_000_000, 5_000_000)


def test_what_was_given_is_kept():
    flags, settings = chosen({"augment": None, "early_stopping_patience": None})
    assert flags == [] and settings.model == {}
    assert settings.training == {"augment": None, "early_stopping_patience": None}


@pytest.mark.parametrize(("training", "validated"), [({}, False), ({"eval_steps": 10}, True)])
def test_training_stops_early_only_by_validation_once_an_epoch(training, validated):
    flags, settings = chosen(training, validated=validated)
    assert flags == ["--augment 0.1"] and "early_stopping_patience" not in settings.training
    assert "--early-stopping-patience 5" in chosen()[0]


def test_a_small_corpus_is_gone_through_a_third_as_often():
    def epochs(small, tokens=76_000):
        settings = Settings({"batch_size": 4}, {}, {})
        choose_size(settings, tokens, 20, small=small)
        return settings.training["num_train_epochs"]

    assert (epochs(True), epochs(False)) == (7, 20)
    assert epochs(True, tokens=2000) == 20  # a few updates teach nothing


def test_the_recipe_reaches_the_run_and_the_resumed_one(rgz, texts, tmp_path):
    run = tmp_path / "run"
    result = rgz("train", texts, "-o", run, *TINY, "--hidden-size", 64, "--max-time", "0.001s", "--num-train-epochs", 3)
    assert result.exit_code == 0, result.stderr
    arguments = json.loads((run / "training_args.json").read_text())["arguments"]
    assert (arguments["augment"]["synonyms"], arguments["early_stopping_patience"]) == (0.1, 5)
    assert arguments["num_train_epochs"] == 3.0
    result = rgz("resume", run, "--max-time", "20s")
    assert result.exit_code == 0 and "another variant of each text" in result.stderr


def test_all_of_it_can_be_turned_off(rgz, texts, tmp_path):
    run = tmp_path / "run"
    off = ["--augment", "none", "--early-stopping-patience", "none", "--max-steps", 2]
    result = rgz("train", texts, "-o", run, *TINY, "--hidden-size", 64, *off)
    assert result.exit_code == 0, result.stderr
    arguments = json.loads((run / "training_args.json").read_text())["arguments"]
    assert (arguments["augment"], arguments["early_stopping_patience"]) == (None, None)
