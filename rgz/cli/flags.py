"""Options made from the fields of TrainingArguments and ModelConfig, and their values from a TOML file."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from typing import Any

import click

from rgz.cli.command import Flag
from rgz.config import (
    ACTIVATIONS,
    DTYPES,
    LR_INTERVALS,
    NORMS,
    OPTIM_DTYPES,
    POSITIONS,
    REPORTERS,
    SAVE_STRATEGIES,
    ModelConfig,
    TrainingArguments,
)
from rgz.errors import RgzError, reason_of
from rgz.files import open_regular
from rgz.messages import mark, tr
from rgz.schedules import SCHEDULES
from rgz.strict import unknown_name

CHOICES = {
    "dtype": DTYPES,
    "hidden_act": ACTIVATIONS,
    "lr_scheduler_interval": LR_INTERVALS,
    "lr_scheduler_type": tuple(SCHEDULES),
    "norm": NORMS,
    "optim_dtype": OPTIM_DTYPES,
    "position": POSITIONS,
    "report_to": REPORTERS,
    "save_strategy": SAVE_STRATEGIES,
}
CHOSEN = object()  # a default that depends on the text
OWN = ("output_dir", "overwrite")  # these have a place of their own among the options of a command


def training_helps() -> dict[str, str]:
    return {
        "num_train_epochs": tr("times to go through the text"),
        "max_steps": tr("updates, instead of epochs"),
        "max_time": tr("stop after this time, like 20m or 1h30m; `rgz resume` goes on"),
        "batch_size": tr("sequences a batch; when packed, batch_size x max_length tokens"),
        "batch_tokens": tr("tokens a batch, in whole sequences, instead of --batch-size"),
        "gradient_accumulation_steps": tr("batches an update"),
        "max_length": tr("tokens a sequence; longer texts are cut"),
        "learning_rate": tr("highest learning rate"),
        "lr_scheduler_type": tr("course of the learning rate"),
        "lr_scheduler_kwargs": tr("its further settings, like cycles=3 of cosine_with_restarts, or JSON"),
        "lr_scheduler_interval": tr("when it moves, and what warmup counts"),
        "warmup_steps": tr("updates of warmup, or below 1 a share of all"),
        "min_lr_ratio": tr("last learning rate as a share of the highest"),
        "weight_decay": tr("weight decay of AdamW"),
        "adam_beta1": tr("decay of AdamW's mean"),
        "adam_beta2": tr("decay of AdamW's mean square"),
        "adam_epsilon": tr("epsilon of AdamW"),
        "max_grad_norm": tr("clip the gradient to this norm"),
        "dtype": tr("numbers to compute with; 16 bits take half the memory for activations"),
        "optim_dtype": tr("numbers to keep the optimizer's moments in; bfloat16 takes half the memory, int8 a quarter"),
        "loss_scale": tr("of float16: a fixed factor; none: adapts"),
        "packing": tr("fill each batch up with whole sequences"),
        "group_by_length": tr("batches of sequences of like length"),
        "mask_prompts": tr("learn the answers of dialogues only"),
        "augment": tr("vary the texts: a rate like 0.1, or settings like synonyms=0.2,multiplier=3; see `rgz augment`"),
        "validation_split": tr("share of the documents held out for validation"),
        "eval_steps": tr("updates between evaluations; none: once an epoch"),
        "logging_steps": tr("updates between reports"),
        "save_strategy": tr("when to write checkpoints"),
        "save_steps": tr("updates between checkpoints"),
        "save_seconds": tr("time between checkpoints, like 5m"),
        "save_total_limit": tr("newest checkpoints to keep"),
        "save_best_limit": tr("best checkpoints to keep, with a strategy that has best"),
        "early_stopping_patience": tr("stop after so many evaluations without improvement"),
        "early_stopping_min_delta": tr("what counts as an improvement"),
        "metric_for_best_model": tr("what makes a model the best: val_loss, loss"),
        "load_best_model_at_end": tr("keep the best weights, not the last"),
        "gradient_checkpointing": tr("compute activations again in backward: less memory, a third more time"),
        "portion_tokens": tr("most tokens that pass through the model at a time; none: as many as are fastest"),
        "max_memory": tr("stay below this memory, like 800MB: smaller portions, recomputed activations"),
        "token_cache": tr("encode the text once and keep its tokens for later runs"),
        "seed": tr("of order, first weights and dropout"),
        "n_threads": tr("threads; none: the physical cores"),
        "report_to": tr("where reports go, separated by commas"),
        "samples": tr("let the model continue a text at each evaluation"),
        "sample_prompt": tr("the text that it continues; none: beginnings of documents"),
    }


def model_helps() -> dict[str, str]:
    return {
        "vocab_size": tr("most entries of the vocabulary"),
        "hidden_size": tr("width of the model"),
        "num_hidden_layers": tr("layers"),
        "num_attention_heads": tr("attention heads"),
        "num_key_value_heads": tr("heads of keys and values; fewer is grouped-query attention"),
        "intermediate_size": tr("width of the feed-forward layers"),
        "max_position_embeddings": tr("longest context, in tokens"),
        "hidden_act": tr("activation"),
        "norm": tr("normalisation"),
        "norm_eps": tr("epsilon of the normalisation"),
        "position": tr("how positions are told"),
        "rope_theta": tr("base of the rotary positions"),
        "attention_bias": tr("biases in attention"),
        "mlp_bias": tr("biases in the feed-forward layers"),
        "lm_head_bias": tr("a bias in the output layer"),
        "final_norm": tr("a normalisation before the output layer"),
        "tie_word_embeddings": tr("output layer and embedding share their weights"),
        "dropout": tr("dropout"),
    }


class FieldType(click.ParamType):  # type: ignore[type-arg]
    """The value of one field, from text, by the kinds that its annotation allows."""

    def __init__(self, field: dataclasses.Field[Any]) -> None:
        self.kinds = str(field.type).split(" | ")
        self.name = "NAME" if field.name in CHOICES else _METAVARS.get(self.kinds[0], "TEXT")
        if "str" in self.kinds and "float" in self.kinds and self.kinds[0] in ("str", "float"):
            self.name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        text = value.strip()
        if "None" in self.kinds and text.lower() == "none":
            return text  # click drops a None; `plain_value` turns it into one
        if self.kinds == ["dict[str, Any]"]:
            return self._table(text, param, ctx)
        if "tuple[str, ...]" in self.kinds:
            return tuple(part.strip() for part in text.split(",") if part.strip() and text.lower() != "none")
        for kind, parse in (("int", int), ("float", float)):
            if kind in self.kinds:
                try:
                    return parse(text)
                except ValueError:
                    continue
        if "str" in self.kinds:
            return text
        wanted = tr("a number") if "float" in self.kinds else tr("an integer")
        self.fail(tr("must be {wanted}, got '{value}'", wanted=wanted, value=value), param, ctx)

    def _table(self, text: str, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        try:
            if text.startswith("{"):
                value = json.loads(text)
                assert isinstance(value, dict)  # JSON that begins with { is nothing else
                return value
            pairs = [part.split("=", 1) for part in text.split(",") if part.strip()]
            return {key.strip(): _number_or_text(value.strip()) for key, value in pairs}
        except (ValueError, RecursionError):
            self.fail(tr("must be name=value,... or JSON, got '{value}'", value=text), param, ctx)


def _number_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


class AtLeast(click.ParamType):  # type: ignore[type-arg]
    """An integer from `least` on; click's own IntRange speaks English only."""

    name = "N"

    def __init__(self, least: int) -> None:
        self.least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            number = int(value)
        except ValueError:
            number = None
        if number is None or number < self.least:
            self.fail(tr("must be an integer >= {least}, got '{value}'", least=self.least, value=value), param, ctx)
        return number


def count_flag(name: str, help: str, default: int | None = None, least: int = 1, shown_default: str = "") -> Flag:
    """An option that takes an integer from `least` on."""
    shown = shown_default or ("" if default is None else str(default))
    return Flag([name], type=AtLeast(least), metavar="N", default=default, help=help, shown_default=shown)


def weights_flag() -> Flag:
    """The dtype of a model that only answers."""
    return Flag(
        ["--dtype"],
        type=click.Choice(DTYPES),
        default="float32",
        help=tr("what its weights are read as; 16 bits take half the memory"),
    )


def threads_flag() -> Flag:
    return count_flag("--n-threads", training_helps()["n_threads"])


_METAVARS = {"int": "N", "float": "X", "dict[str, Any]": "K=V,...", "tuple[str, ...]": "NAMES"}


def plain_value(cls: type, name: str, value: Any) -> Any:
    """The text "none" is None where the field allows that: TOML has no null, a command line neither."""
    kinds = next(str(f.type) for f in dataclasses.fields(cls) if f.name == name)
    return None if value == "none" and "None" in kinds else value


def field_flags(
    cls: type,
    helps: dict[str, str],
    section: str,
    only: tuple[str, ...] = (),
    defaults: dict[str, Any] | None = None,
) -> list[Flag]:
    """An option for each field of a dataclass (or of `only` those), none of them with a default of its own.

    defaults : what this command takes instead of the dataclass's, for the help; CHOSEN where it depends.
    """
    flags = []
    for field in dataclasses.fields(cls):
        if field.name in OWN or (only and field.name not in only):
            continue
        dashed = field.name.replace("_", "-")
        default = (defaults or {}).get(field.name, field.default)
        names = [f"--{dashed}/--no-{dashed}"] if field.type == "bool" else [f"--{dashed}"]
        flags.append(
            Flag(
                [*names, field.name],
                type=None if field.type == "bool" else FieldType(field),
                default=None,
                help=_help(helps, field.name),
                section=section,
                shown_default=tr("to suit the text") if default is CHOSEN else _shown(default),
            )
        )
    return flags


def _help(helps: dict[str, str], name: str) -> str:
    return f"{helps[name]}{mark(': ')}{' '.join(CHOICES[name])}" if name in CHOICES else helps[name]


def _shown(default: Any) -> str:
    if default is None or default is dataclasses.MISSING or default == -1:
        return ""
    if isinstance(default, bool):
        return tr("yes") if default else tr("no")
    return (
        ",".join(default)
        if isinstance(default, tuple)
        else format(default, "g")
        if isinstance(default, float)
        else str(default)
    )


def training_flags(defaults: dict[str, Any] | None = None, only: tuple[str, ...] = ()) -> list[Flag]:
    return field_flags(TrainingArguments, training_helps(), tr("Training:"), only, defaults)


def model_flags() -> list[Flag]:
    """The preset's values are the defaults, so none is shown."""
    nothing = dict.fromkeys(f.name for f in dataclasses.fields(ModelConfig))
    return field_flags(ModelConfig, model_helps(), tr("Model (instead of the preset's):"), defaults=nothing)


def read_config(path: str, known: list[str]) -> dict[str, Any]:
    """The flat table of a TOML file, `-` or `_` in its keys; a key that is no option is refused."""
    try:
        with open_regular(path) as file:
            values = tomllib.loads(file.read().decode("utf-8-sig"))
    except OSError as error:
        raise RgzError(tr("cannot read {path}: {reason}", path=path, reason=reason_of(error))) from error
    except (ValueError, RecursionError) as error:  # TOMLDecodeError, UnicodeDecodeError; nested too deeply
        raise RgzError(tr("{path} is not valid TOML: {reason}", path=path, reason=error)) from error
    plain = {}
    for key, value in values.items():
        name = key.replace("-", "_")
        if name not in known:
            raise RgzError(f"{path}{mark(': ')}{unknown_name(tr('key'), key, known)}")
        plain[name] = value
    return plain
