"""Frozen dataclasses that refuse unknown keys and wrong types, and the errors that say so."""

from __future__ import annotations

import dataclasses
import difflib
import math
import numbers
import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from rgz.errors import RgzError
from rgz.messages import mark, tr


def _kind(annotation: str) -> str:
    names = {
        "int": tr("an integer"),
        "float": tr("a number"),
        "bool": tr("true or false"),
        "str": tr("a text"),
    }
    names |= {"None": tr("none"), "tuple[str, ...]": tr("a list of texts"), "dict[str, Any]": tr("a table")}
    names["tuple[float, float]"] = tr("two numbers")
    return names.get(annotation, annotation)


def unknown_name(kind: str, given: str, known: Iterable[str]) -> RgzError:
    """The error for a name that is not in `known`, with the nearest one that is."""
    known = list(known)
    near = difflib.get_close_matches(str(given), known, n=1, cutoff=0.5)
    if near:
        return RgzError(tr("unknown {kind} '{given}'; did you mean '{near}'?", kind=kind, given=given, near=near[0]))
    names = ", ".join(known)
    return RgzError(tr("unknown {kind} '{given}'; known are: {names}", kind=kind, given=given, names=names))


def need_that(name: str, value: object, holds: bool, wanted: str) -> None:
    if not holds:
        raise RgzError(tr("{name} must be {wanted}, got {value}", name=name, wanted=wanted, value=repr(value)))


def need_path(name: str, value: str | os.PathLike[str]) -> Path:
    """The path; RgzError for what is none."""
    need_that(name, value, is_path(value), tr("a path"))
    return Path(value)


def need_file_name(name: str, value: str | os.PathLike[str]) -> Path:
    """The path of something to be written; RgzError for what is none, and for a path without a last name, like `.`"""
    path = need_path(name, value)
    need_that(name, value, path.name not in ("", ".."), tr("the name of what is to be written"))
    return path


def is_path(value: object) -> bool:
    """Whether a system call would take it: no zero bytes, and nothing that the file system cannot spell."""
    spelled = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    try:
        return isinstance(spelled, str) and b"\0" not in os.fsencode(spelled)
    except UnicodeEncodeError:  # lone surrogates
        return False


def is_finite(value: object) -> bool:
    """Whether it is a number, and a finite one; True and False are none."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def is_count(value: object) -> bool:
    """Whether it is a whole number from 1 on."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and int(value) >= 1


def need_instance(name: str, value: object, kind: type) -> None:
    if not isinstance(value, kind):
        wanted = f"rgz.{kind.__name__}"
        raise RgzError(tr("{name} must be {wanted}, got {value}", name=name, wanted=wanted, value=repr(value)))


def must_be(name: str, wanted: str, got: object) -> RgzError:
    """The error for a value of another kind, which is quoted in ASCII and cut short."""
    shown = ascii(got)
    short = shown if len(shown) <= 60 else shown[:57] + "..."
    return RgzError(tr("{name} must be {wanted}, got {value}", name=name, wanted=wanted, value=short))


def need_integer(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise must_be(name, tr("an integer") + mark(", ") + f">= {least}", value)


def check_like(fresh: Mapping[str, Any], saved: object) -> Mapping[str, Any]:
    """Return `saved` if it is a state of the kind that `fresh` is: the same names, and values of the same types.

    An integer must be one that counts; a number may be None and None a number: what was not measured yet.
    ValueError names what is not so.
    """
    if not isinstance(saved, Mapping) or saved.keys() != fresh.keys():
        raise ValueError(f"not {sorted(fresh)}")
    for name, old in saved.items():
        new = fresh[name]
        if isinstance(new, Mapping) and new:
            check_like(new, old)
            continue
        whole = type(old) is int and 0 <= old < 2**53
        if isinstance(new, bool | str | list | Mapping):
            good = isinstance(old, type(new))
        elif isinstance(new, int):
            good = whole
        else:
            good = old is None or whole or type(old) is float
        if not good:
            raise ValueError(f"{name}: {old!r:.40}")
    return saved


def parse_seconds(name: str, value: float | str) -> float:
    """Seconds from a number or from a text like '90', '45s', '20m', '1h30m', '2d'."""
    if isinstance(value, str):
        parts = re.fullmatch(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?", value.strip().lower())
        if value.strip() and parts is not None:
            days, hours, minutes, seconds = (float(part or 0) for part in parts.groups())
            value = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if isinstance(value, str) or not math.isfinite(value) or value < 0:
        raise RgzError(
            tr(
                "{name} must be seconds or a text like 90s, 20m, 1h30m, got {value}",
                name=name,
                value=repr(value),
            )
        )
    return float(value)


def parse_bytes(name: str, value: str) -> int:
    """Bytes from a text like '800MB', '1.5 GB' or '2g' (powers of ten)."""
    parts = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt])b?", value.strip().lower())
    if parts is None:
        raise RgzError(tr("{name} must be a text like 800MB or 1.5GB, got {value}", name=name, value=repr(value)))
    return int(float(parts[1]) * 1000 ** (" kmgt".index(parts[2])))


_RATES = ("synonyms", "deletion", "insertion", "reorder")
_MOST_VARIANTS = 1000  # of a text: each is made and encoded before training
_AUGMENT = {**dict.fromkeys(_RATES, 0.1), "multiplier": 0, "dictionary": None}


def parse_augment(name: str, value: Mapping[str, Any] | str | float | None) -> dict[str, Any] | None:
    """The settings of augmentation, complete, from a rate, a table, or a text like 'synonyms=0.2,multiplier=3'.

    None for None and for rates that are all 0. RgzError for unknown names and values out of range.
    """
    if value is None:
        return None
    if isinstance(value, str):
        value = _pairs(name, value)
    if not isinstance(value, Mapping):
        value = dict.fromkeys(_RATES, value)
    for key in value:
        if key not in _AUGMENT:
            raise unknown_name(name, key, _AUGMENT)
    settings = {**_AUGMENT, **value}

    def need(key: str, holds: bool, wanted: str) -> None:
        if not holds:
            raise RgzError(
                tr(
                    "{name} must be {wanted}, got {value}",
                    name=f"{name}{mark(': ')}{key}",
                    wanted=wanted,
                    value=settings[key],
                )
            )

    for key in _RATES:
        rate = settings[key]
        is_number = isinstance(rate, numbers.Real) and not isinstance(rate, bool)
        need(key, is_number and 0 <= rate <= 1, ">= 0, <= 1")
        settings[key] = float(rate)
    times = settings["multiplier"]
    whole = isinstance(times, int) and not isinstance(times, bool)
    need("multiplier", whole and 0 <= times <= _MOST_VARIANTS, f">= 0, <= {_MOST_VARIANTS}")
    if settings["dictionary"] is not None:
        need("dictionary", is_path(settings["dictionary"]), tr("the name of a file"))
        settings["dictionary"] = os.path.abspath(settings["dictionary"])  # a resumed run may stand elsewhere
    return settings if any(settings[key] for key in _RATES) else None


def _pairs(name: str, text: str) -> dict[str, Any] | float:
    """The rate, or the table, that a text spells."""
    pairs: dict[str, Any] = {}
    try:
        if "=" not in text:
            return float(text)
        for part in filter(str.strip, text.split(",")):
            key, spelled = map(str.strip, part.split("=", 1))
            is_text = key not in _AUGMENT or key == "dictionary"
            pairs[key] = spelled if is_text else int(spelled) if key == "multiplier" else float(spelled)
    except ValueError:
        raise RgzError(
            tr("{name} must be a rate or name=number,..., got {value}", name=name, value=repr(text))
        ) from None
    return pairs


def _fits(value: object, kinds: list[str]) -> bool:
    if value is None or isinstance(value, bool | str | dict):
        name = "None" if value is None else type(value).__name__
        return any(kind == name or kind.startswith(name + "[") for kind in kinds)
    if isinstance(value, list | tuple):
        if "tuple[float, float]" in kinds:
            return len(value) == 2 and all(_fits(item, ["float"]) for item in value)
        return "tuple[str, ...]" in kinds and all(isinstance(item, str) for item in value)
    if isinstance(value, numbers.Integral):  # NumPy's integers too
        size = abs(int(value))
        return ("int" in kinds and size < 2**63) or ("float" in kinds and size <= sys.float_info.max)
    return isinstance(value, numbers.Real) and "float" in kinds


def _plain(value: Any, kinds: list[str]) -> Any:
    """The same value as one of Python's own types, integers widened where only a float is allowed."""
    if value is None or isinstance(value, bool | str | dict):
        return value
    if isinstance(value, list | tuple):
        return tuple(value)
    return int(value) if isinstance(value, numbers.Integral) and "int" in kinds else float(value)


class Strict:
    """Type checks and dictionary conversion that ModelConfig and TrainingArguments share."""

    def __new__(cls, /, *args: Any, **values: Any) -> Self:
        known = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]
        for key in values:  # before the __init__ that dataclass writes has only a TypeError for it
            if key not in known:
                raise unknown_name(tr("key"), key, known)
        return super().__new__(cls)

    def check_types(self) -> None:
        for f in dataclasses.fields(self):  # type: ignore[arg-type]
            if not f.init:  # not given by anybody
                continue
            kinds = str(f.type).split(" | ")
            value = getattr(self, f.name)
            if not _fits(value, kinds):
                wanted = tr(" or ").join(_kind(kind) for kind in kinds)
                if "int" in kinds and isinstance(value, numbers.Integral) and not isinstance(value, bool):
                    wanted += mark(", ") + "< 2**63"  # it is one, and more than any count can be
                raise RgzError(
                    tr("{name} must be {wanted}, got {value}", name=f.name, wanted=wanted, value=repr(value))
                )
            object.__setattr__(self, f.name, _plain(value, kinds))

    def need(self, holds: bool, name: str, bound: str) -> None:
        need_that(name, getattr(self, name), holds, bound)

    def one_of(self, name: str, allowed: tuple[str, ...]) -> None:
        self.need(getattr(self, name) in allowed, name, " | ".join(allowed))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; `from_dict` is the inverse."""
        return {
            f.name: list(value) if isinstance(value := getattr(self, f.name), tuple) else value
            for f in dataclasses.fields(self)  # type: ignore[arg-type]
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build from a dictionary; a key that is no field is an error naming the nearest field."""
        return cls(**{str(key): value for key, value in values.items()})
