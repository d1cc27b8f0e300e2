"""`rgz generate`: a prompt goes on, piece by piece, on stdout."""

from __future__ import annotations

import sys
from typing import Any

import click

from rgz.cli.command import Command, Flag, given
from rgz.cli.console import say
from rgz.cli.flags import count_flag, threads_flag, weights_flag
from rgz.cli.runs import load_run, run_argument
from rgz.cli.sampling import sampling_flags, sampling_values
from rgz.messages import tr


def build() -> Command:
    return Command(
        "generate",
        callback=click.pass_context(generate),
        params=[
            run_argument(),
            Flag(
                ["-p", "--prompt"],
                metavar="TEXT",
                default="",
                help=tr("the text to continue; - reads it from stdin"),
            ),
            Flag(["--chat/--no-chat"], default=False, help=tr("the prompt is a question: answer it")),
            count_flag("--max-new-tokens", tr("most tokens to write"), 128),
            count_flag("--num-beams", tr("beam search with so many beams; it draws nothing"), 1),
            weights_flag(),
            threads_flag(),
            *sampling_flags(),
        ],
        help=tr("Only what the model writes goes to stdout, without the prompt."),
        examples=(
            "rgz generate runs/my-1 --prompt 人工智能",
            "rgz generate runs/my-1-sft --chat --prompt 你是谁？ --greedy",
            "echo 从前 | rgz generate runs/my-1 --prompt - --temperature 0.6 --seed 1",
        ),
    )


def generate(
    ctx: click.Context,
    run: str,
    prompt: str,
    chat: bool,
    max_new_tokens: int,
    num_beams: int,
    n_threads: int | None,
    dtype: str,
    **_: Any,
) -> None:
    from rgz.generate import stream
    from rgz.text import encode_prompt

    sampling = sampling_values(given(ctx))
    loaded = load_run(run, dtype)
    if prompt == "-":
        prompt = sys.stdin.read().removesuffix("\n")
    ids = [loaded.tokenizer.bos_id, *loaded.tokenizer.encode(prompt)]
    if chat:
        ids = encode_prompt(loaded.tokenizer, [{"role": "user", "content": prompt}])
    positions = loaded.model.config.max_position_embeddings
    if len(ids) > positions:
        say(
            tr(
                "the prompt has {count} tokens, and the model reads {positions} at a time: it sees the last ones",
                count=f"{len(ids):,}",
                positions=f"{positions:,}",
            )
        )
    if num_beams > 1:
        text = loaded.model.generate(
            loaded.tokenizer,
            ids,
            max_new_tokens=max_new_tokens,
            num_beams=num_beams,
            n_threads=n_threads,
            **sampling,
        )
        print(text, flush=True)
        return
    written = False
    try:
        for piece in stream(
            loaded.model,
            loaded.tokenizer,
            ids,
            max_new_tokens=max_new_tokens,
            n_threads=n_threads,
            **sampling,
        ):
            print(piece, end="", flush=True)
            written = True
    finally:
        if written:
            print(flush=True)  # Ctrl-C too leaves the shell's prompt on a line of its own
