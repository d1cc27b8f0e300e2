"""A model on the disk: config.json and model.safetensors in a folder."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path

from rgz.config import ModelConfig
from rgz.errors import RgzError, explained, reason_of
from rgz.files import read_json, write_text_atomic
from rgz.memory import STORAGE, Reals
from rgz.messages import mark, tr
from rgz.safetensors import load_into, read_header, save_file
from rgz.strict import need_path

CONFIG, WEIGHTS = "config.json", "model.safetensors"
_ROOM = 100_000  # parameters of a small model: nothing to be afraid of


def write_model(folder: str | os.PathLike[str], config: ModelConfig, parameters: Mapping[str, Reals]) -> None:
    """Write both files, each whole or not at all; RgzError where the folder cannot be written."""
    folder = need_path("folder", folder)
    text = json.dumps({"model_type": "rgz", **config.to_dict()}, indent=2, ensure_ascii=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text_atomic(folder / CONFIG, text + "\n")
        save_file(folder / WEIGHTS, parameters, {"format": "rgz"}, bfloat16=_in_bfloat16(parameters))
    except OSError as error:
        raise RgzError(tr("cannot write {path}: {reason}", path=folder, reason=reason_of(error))) from error


def read_config(folder: str | os.PathLike[str]) -> ModelConfig:
    path = Path(folder) / CONFIG
    try:
        values = read_json(path)
    except (FileNotFoundError, NotADirectoryError):
        raise RgzError(
            tr(
                "{folder} holds no model: config.json is missing; give the run directory that training wrote",
                folder=folder,
            )
        ) from None
    except (OSError, ValueError) as error:
        raise _unreadable(path, reason_of(error)) from None
    if not isinstance(values, dict):
        raise _unreadable(path, tr("not a table"))
    if isinstance(kind := values.get("model_type"), str) and kind != "rgz":
        raise RgzError(
            tr("{path} is of a model '{kind}' for other programs; rgz reads its own only", path=path, kind=kind)
        )
    with explained(about=path, remedy=_another_copy()):
        return ModelConfig.from_dict({key: value for key, value in values.items() if key != "model_type"})


def check_proportion(config: ModelConfig, path: Path) -> None:
    """Refuse a configuration of a model many times as large as the file of its weights, before memory is taken for it.

    One that fits but for names and shapes is left to `read_weights`, which says what differs.
    """
    if not path.is_file():
        return
    with explained(remedy=_another_copy()):
        table, _ = read_header(path)
        stored = sum(math.prod(info.shape) for info in table.values())
        computed = {"sinusoidal": config.hidden_size, "rope": config.head_dim}.get(config.position, 0)  # in no file
        expected = config.num_parameters() + config.max_position_embeddings * computed
        if expected > 2 * stored + _ROOM:
            raise RgzError(
                tr(
                    "{path} holds {stored} numbers, but a model of this config.json has {expected}",
                    path=path,
                    stored=f"{stored:,}",
                    expected=f"{expected:,}",
                )
            )


def read_weights(path: str | os.PathLike[str], parameters: Mapping[str, Reals]) -> None:
    if not Path(path).is_file():
        raise RgzError(tr("{path} is missing: training has not finished; `rgz resume` continues it", path=path))
    with explained(remedy=_another_copy()):
        load_into(path, parameters, bfloat16=_in_bfloat16(parameters))


def _in_bfloat16(parameters: Mapping[str, Reals]) -> frozenset[str]:
    return frozenset(name for name, array in parameters.items() if array.dtype == STORAGE["bfloat16"])


def _unreadable(path: Path, reason: object) -> RgzError:
    return RgzError(tr("cannot read {path}: {error}", path=path, error=reason) + mark("; ") + _another_copy())


def _another_copy() -> str:
    return tr("copy the model anew, or use another checkpoint-* folder of the run")
