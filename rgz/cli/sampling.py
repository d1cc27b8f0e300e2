"""The options of `generate` and `chat`: the fields of Sampling, and what they mean."""

from __future__ import annotations

import dataclasses
from typing import Any

from rgz.cli.command import Flag
from rgz.cli.flags import field_flags, plain_value
from rgz.generate.sampling import Sampling
from rgz.messages import tr


def sampling_helps() -> dict[str, str]:
    return {
        "temperature": tr("lower is safer, higher is livelier; 0 is greedy"),
        "top_k": tr("choose among the K likeliest tokens; none: all"),
        "top_p": tr("choose among the likeliest tokens that make up this probability"),
        "min_p": tr("leave out what is less likely than this share of the likeliest"),
        "repetition_penalty": tr("above 1: repeat less"),
        "greedy": tr("always the likeliest token"),
        "seed": tr("the same seed, the same text"),
    }


def sampling_flags() -> list[Flag]:
    return field_flags(Sampling, sampling_helps(), tr("Sampling:"))


def sampling_values(options: dict[str, Any]) -> dict[str, Any]:
    """Those of `options` that are fields of Sampling, checked."""
    names = [f.name for f in dataclasses.fields(Sampling)]
    values = {k: plain_value(Sampling, k, v) for k, v in options.items() if k in names}
    Sampling(**values)
    return values
