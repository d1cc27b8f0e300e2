"""`rgz chat`: a conversation in the terminal, or line by line through pipes."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from rgz.cli.command import Command, given
from rgz.cli.console import say
from rgz.cli.flags import FieldType, count_flag, threads_flag, weights_flag
from rgz.cli.runs import load_run, run_argument, say_if_untaught
from rgz.cli.sampling import sampling_flags, sampling_values
from rgz.errors import RgzError
from rgz.generate.sampling import Sampling
from rgz.messages import tr
from rgz.strict import unknown_name

if TYPE_CHECKING:
    from rgz.generate import ChatSession


_LEAVING = ("exit", "quit", "退出")


def build() -> Command:
    return Command(
        "chat",
        callback=click.pass_context(chat),
        params=[
            run_argument(),
            count_flag("--max-new-tokens", tr("most tokens of an answer"), 256),
            count_flag(
                "--turns", tr("questions it sees at a time, the last included"), shown_default=tr("as in training")
            ),
            weights_flag(),
            threads_flag(),
            *sampling_flags(),
        ],
        help=tr("One line is one message; an empty line does nothing. With piped input, answers go to stdout."),
        examples=("rgz chat runs/my-1-sft", "printf '你好\\n再见\\n' | rgz chat runs/my-1-sft --greedy"),
    )


def chat(
    ctx: click.Context, run: str, max_new_tokens: int, turns: int | None, n_threads: int | None, dtype: str, **_: Any
) -> None:
    from rgz.generate import ChatSession

    settings = sampling_values(given(ctx))
    loaded = load_run(run, dtype)
    say_if_untaught(loaded)
    turns = turns or loaded.info.get("turns")
    common = {"max_new_tokens": max_new_tokens, "n_threads": n_threads}
    session = ChatSession(loaded.model, loaded.tokenizer, turns, **common, **settings)
    if sys.stdin.isatty():
        with contextlib.suppress(ImportError):  # not on Windows: then without history
            import readline  # noqa: F401 - line editing for input()
        say(tr("Talk, or :help. Ctrl-C stops an answer; exit or Ctrl-D ends."))
        if turns == 1:
            say(tr("It was trained on single questions and sees one at a time; :set turns=3 lets it see more."))
    for line in _lines():
        if line.startswith(":"):
            if not _command(session, line):
                return
        elif line:
            _answer(session, line)


def _lines() -> Iterator[str]:
    """What the user types, without white space around it, until the end of input."""
    if not sys.stdin.isatty():
        for line in sys.stdin:
            yield line.strip()
        return
    while True:
        try:
            line = input(tr("you: ")).strip()
        except (EOFError, KeyboardInterrupt):
            print()  # the shell's prompt belongs on a line of its own
            return
        if line.lower() in _LEAVING:
            return
        yield line


def _answer(session: ChatSession, line: str) -> None:
    interactive = sys.stdin.isatty()
    if interactive:
        print(tr("model: "), end="", flush=True)
    silent = interactive
    try:
        for piece in session.reply(line):
            print(piece, end="", flush=True)
            silent = False
    except KeyboardInterrupt:
        if not interactive:
            raise
        silent = False
    if silent:
        print(tr("(says nothing)"), end="")
    print(flush=True)


def _command(session: ChatSession, line: str) -> bool:
    """Do what a line that begins with a colon says; False to end."""
    name, _, rest = line[1:].replace("：", ":").partition(" ")
    if name in ("exit", "quit", "q"):
        return False
    if name == "clear":
        session.clear()
        say(tr("the conversation is forgotten"))
    elif name == "set":
        _set(session, rest.strip())
    elif name == "help":
        for text in (
            tr(":clear            forget the conversation"),
            tr(":set              show the settings"),
            tr(":set key=value    change one, like :set temperature=0.5"),
            tr(":exit             end (Ctrl-D too)"),
        ):
            say(text)
    else:
        say(str(unknown_name(tr("command"), f":{name}", (":help", ":exit", ":clear", ":set"))))
    return True


def _set(session: ChatSession, text: str) -> None:
    fields = {f.name: f for f in dataclasses.fields(Sampling)}
    current: dict[str, Any] = {"max_new_tokens": session.settings["max_new_tokens"], "turns": session.turns}
    current |= {name: session.settings.get(name, field.default) for name, field in fields.items()}
    try:
        for part in text.replace("，", ",").replace(",", " ").split():
            key, equals, value = part.partition("=")
            key = key.strip().replace("-", "_")
            if key not in current:
                raise unknown_name(tr("setting"), key, current)
            if not equals:
                raise RgzError(tr("write :set {name}=value", name=key))
            current[key] = _parse(key, value, fields)
            if key == "turns":
                session.turns = current[key]
            else:
                session.settings[key] = current[key]
    except RgzError as error:
        say(str(error))
        return
    say("  ".join(f"{name}={str(value).lower()}" for name, value in current.items()))


def _parse(key: str, text: str, fields: dict[str, Any]) -> Any:
    if key in ("max_new_tokens", "turns"):
        if not text.isdecimal() or int(text) < 1:
            raise RgzError(tr("{name} must be {wanted}, got {value}", name=key, wanted=">= 1", value=text))
        return int(text)
    if fields[key].type == "bool":
        if text.lower() not in ("true", "false", "yes", "no", "1", "0"):
            raise RgzError(tr("{name} must be {wanted}, got {value}", name=key, wanted="true | false", value=text))
        return text.lower() in ("true", "yes", "1")
    try:
        value = FieldType(fields[key]).convert(text, None, None)
    except click.BadParameter as error:
        raise RgzError(f"{key} {error.message}") from error
    return sampling_values({key: value})[key]
