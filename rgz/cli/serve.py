"""`rgz serve`: a model behind HTTP, for the programs that speak OpenAI's API."""

from __future__ import annotations

import contextlib
import re
import time
from typing import Any

import click

from rgz.cli.command import Command, Flag, given
from rgz.cli.console import say
from rgz.cli.flags import AtLeast, count_flag, threads_flag, weights_flag
from rgz.cli.runs import load_run, run_argument, say_if_untaught
from rgz.cli.sampling import sampling_flags, sampling_values
from rgz.messages import tr
from rgz.strict import need_that

_MOST_PORT = 65535
_ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://[!-.0-~]+")  # as browsers send it: ASCII, and nothing after the port


def build() -> Command:
    return Command(
        "serve",
        callback=click.pass_context(serve),
        params=[
            run_argument(),
            Flag(
                ["--host"],
                metavar="ADDRESS",
                default="127.0.0.1",
                help=tr("where to listen; 0.0.0.0: on all networks of this machine"),
                shown_default="127.0.0.1",
            ),
            Flag(
                ["--port"],
                type=AtLeast(0),
                metavar="N",
                default=8080,
                help=tr("0: any that is free"),
                shown_default="8080",
            ),
            Flag(
                ["--api-key"],
                metavar="KEY",
                envvar="RGZ_API_KEY",
                help=tr("answer only who sends it; also RGZ_API_KEY"),
            ),
            Flag(
                ["--allow-origin"],
                metavar="URL",
                help=tr("let web pages of this origin ask, like http://localhost:3000; *: all pages"),
            ),
            count_flag("--max-new-tokens", tr("most tokens of an answer, where a request does not say"), 256),
            count_flag(
                "--turns", tr("questions it sees at a time, the last included"), shown_default=tr("as in training")
            ),
            weights_flag(),
            threads_flag(),
            *sampling_flags(),
        ],
        help=tr(
            "Answers POST /v1/chat/completions and /v1/completions, streamed or whole; the model's name is that of its "
            "folder. What a request says goes before the options here. It knows no TLS: where others can reach it, put "
            "a reverse proxy before it."
        ),
        examples=(
            "rgz serve runs/my-1-sft",
            "curl localhost:8080/v1/chat/completions -d "
            '\'{"model": "my-1-sft", "messages": [{"role": "user", "content": "你是谁？"}]}\'',
        ),
    )


def serve(
    ctx: click.Context,
    run: str,
    host: str,
    port: int,
    api_key: str | None,
    allow_origin: str | None,
    max_new_tokens: int,
    turns: int | None,
    n_threads: int | None,
    dtype: str,
    **_: Any,
) -> None:
    from rgz.serve import Reader, Server

    need_that("--port", port, port <= _MOST_PORT, f"<= {_MOST_PORT}")
    if allow_origin is not None:
        wanted = tr("an origin like http://localhost:3000, or *")
        need_that("--allow-origin", allow_origin, bool(_ORIGIN.fullmatch(allow_origin)), wanted)
    need_that("--host", host, bool(host), tr("an address"))  # an empty one would be all networks
    settings = sampling_values(given(ctx))
    loaded = load_run(run, dtype)
    say_if_untaught(loaded)
    settings |= {"max_new_tokens": max_new_tokens, "n_threads": n_threads}
    turns = turns or loaded.info.get("turns")
    reader = Reader(loaded.model, loaded.tokenizer, loaded.run_name, turns, settings)
    with Server(reader, host, port, key=api_key or None, allow_origin=allow_origin, log=_log) as server:
        shown = f"[{host}]" if ":" in host else host
        say(
            tr(
                "{name} answers at http://{host}:{port}/v1; Ctrl-C ends",
                name=reader.name,
                host=shown,
                port=server.server_port,
            )
        )
        if not server.is_local and not api_key:
            say(tr("whoever reaches this machine may ask: there is no --api-key"))
        server.serve_forever()


def _log(line: str) -> None:
    with contextlib.suppress(OSError):  # whoever read this has left; the answers go on
        say(f"{time.strftime('%H:%M:%S')} {line}")
