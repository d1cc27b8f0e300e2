"""What a request asks for: OpenAI's fields, checked, in rgz's terms.

Source: OpenAI's API reference, "Create chat completion" and "Create completion"; top_k, min_p and repetition_penalty
come under the names that other servers give them. A field that is not known is refused: it might change the answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from rgz.errors import RgzError
from rgz.generate import Model, Sampling, fitting_prompt
from rgz.messages import tr
from rgz.serve.refusals import Refusal
from rgz.strict import Strict, must_be
from rgz.text import Tokenizer

# For the sender's own books; no answer depends on them.
_LABELS = ("user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "parallel_tool_calls")
# What many programs send although they leave it at a value that asks for nothing: the only ones possible here.
_FIXED: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "echo": (False,),
    "suffix": ("",),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
}
_SAMPLING = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "seed")
_MOST_STOPS = 16


@dataclass(frozen=True)
class _Options(Strict):
    """The fields of a request but for its text."""

    model: str
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    seed: int | None = None
    stop: str | tuple[str, ...] | None = None
    stream: bool = False
    stream_options: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        self.check_types()
        for name in ("max_tokens", "max_completion_tokens"):
            self.need(getattr(self, name) is None or getattr(self, name) >= 1, name, ">= 1")
        self.need(len(self.stops) <= _MOST_STOPS, "stop", tr("at most {most} texts", most=_MOST_STOPS))
        self.need(all(self.stops), "stop", tr("texts that are not empty"))
        usage = (self.stream_options or {}).get("include_usage", False)
        known = set(self.stream_options or {}) <= {"include_usage", "include_obfuscation"}  # padding, which is not made
        self.need(known and isinstance(usage, bool), "stream_options", '{"include_usage": true | false}')

    @property
    def stops(self) -> tuple[str, ...]:
        return (self.stop,) if isinstance(self.stop, str) else self.stop or ()


@dataclass(frozen=True)
class Request:
    """ids : of the prompt. settings : max_new_tokens, and those of Sampling. stops : texts before which it ends.

    streams : whether it comes piece by piece; tells_usage : whether the tokens are counted after the last piece.
    """

    ids: list[int]
    settings: dict[str, Any]
    stops: tuple[str, ...]
    streams: bool
    tells_usage: bool


@dataclass(frozen=True)
class Reader:
    """Reads the requests to one model.

    name : under which they ask for it. turns : questions that it sees at a time, None: as many as there is room for.
    settings : what holds where a request says nothing: max_new_tokens, n_threads, and those of Sampling.
    """

    model: Model
    tokenizer: Tokenizer
    name: str
    turns: int | None
    settings: Mapping[str, Any]

    def chat(self, body: bytes) -> Request:
        """Of /v1/chat/completions: `messages`, as rgz.text.encode_prompt takes them."""
        fields = _parse(body)
        messages = fields.pop("messages", None)
        if not isinstance(messages, list) or not messages:
            raise must_be("messages", tr("a list of at least one message"), messages)
        plain = [_plain_message(message) for message in messages]
        options = self._options(fields)
        return self._request(fitting_prompt(self.model, self.tokenizer, plain, self.turns), options)

    def text(self, body: bytes) -> Request:
        """Of /v1/completions: `prompt`, the text to go on with."""
        fields = _parse(body)
        prompt = fields.pop("prompt", "")
        if isinstance(prompt, list) and len(prompt) == 1:
            [prompt] = prompt
        if not isinstance(prompt, str):
            raise must_be("prompt", tr("a text"), prompt)
        options = self._options(fields)
        return self._request([self.tokenizer.bos_id, *self.tokenizer.encode(prompt)], options)

    def _options(self, fields: dict[str, Any]) -> _Options:
        for name in _LABELS:
            fields.pop(name, None)
        for name, only in _FIXED.items():
            if (value := fields.pop(name, None)) is not None and value not in only:
                wanted = " | ".join(map(json.dumps, only))
                raise RgzError(
                    tr("{name} can only be {wanted} here, got {value}", name=name, wanted=wanted, value=value)
                )
        if "model" not in fields:
            raise RgzError(tr("model is missing; there is {name}", name=self.name))
        options = _Options.from_dict(fields)
        self.need_model(options.model)
        return options

    def need_model(self, name: str) -> None:
        """Refuse the name of another model."""
        if name != self.name:
            message = tr("there is no model '{given}' here, only {name}", given=name, name=self.name)
            raise Refusal(HTTPStatus.NOT_FOUND, message, "model_not_found")

    def _request(self, ids: list[int], options: _Options) -> Request:
        positions = self.model.config.max_position_embeddings
        if len(ids) > positions:
            message = tr(
                "the prompt has {count} tokens, and the model reads {positions} at a time: shorten it",
                count=f"{len(ids):,}",
                positions=f"{positions:,}",
            )
            raise Refusal(HTTPStatus.BAD_REQUEST, message, "context_length_exceeded")
        asked = {name: getattr(options, name) for name in _SAMPLING}
        asked["max_new_tokens"] = options.max_completion_tokens or options.max_tokens
        if options.temperature is not None:
            asked["greedy"] = False  # of the server's options; temperature 0 is greedy too
        settings = {**self.settings, **{name: value for name, value in asked.items() if value is not None}}
        Sampling(**{name: settings[name] for name in (*_SAMPLING, "greedy") if name in settings})  # refuse it now
        tells_usage = bool((options.stream_options or {}).get("include_usage"))
        return Request(ids, settings, options.stops, options.stream, tells_usage)


def _parse(body: bytes) -> dict[str, Any]:
    """The fields of a request; null is as good as left out."""
    try:
        fields = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # nested too deeply
        raise RgzError(tr("the body must be JSON in UTF-8: {reason}", reason=error)) from None
    if not isinstance(fields, dict):
        raise must_be(tr("the body"), tr("an object of JSON"), fields)
    return {name: value for name, value in fields.items() if value is not None}


def _plain_message(message: object) -> dict[str, Any]:
    """role and content, which may come in parts, as text; what is no message is left to encode_prompt to refuse."""
    if not isinstance(message, dict):
        raise must_be("messages", tr("objects with role and content"), message)
    content = message.get("content")
    if isinstance(content, list):
        if not all(map(_is_text, content)):
            raise must_be("content", tr("a text, or a list of parts of text"), content)
        content = "".join(part["text"] for part in content)
    role = message.get("role")
    return {"role": "system" if role == "developer" else role, "content": content}


def _is_text(part: object) -> bool:
    return isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
