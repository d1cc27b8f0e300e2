"""The group of commands, and the one place where errors become a line and an exit code."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import click

import rgz
from rgz.cli.command import Command, Flag, metavar, near, no_such_option
from rgz.cli.console import say, say_all
from rgz.cli.layout import columns, described
from rgz.cli.memory import out_of_memory
from rgz.errors import RgzError, RgzWarning, reason_of
from rgz.messages import mark, tr

MODULES = {
    "info": "info",
    "demo": "demo",
    "train": "train",
    "sft": "sft",
    "resume": "resume",
    "eval": "evaluate",
    "generate": "generate",
    "chat": "chat",
    "serve": "serve",
    "export": "export",
    "plot": "plot",
    "bench": "bench",
    "tokenize": "tokenize",
    "augment": "augment",
}
INTERRUPTED = 130  # what a shell reports of a program that Ctrl-C ended


def summaries() -> dict[str, str]:
    """What each command does, in the user's language."""
    return {
        "info": tr("this machine: CPU, instruction sets, OpenMP, BLAS, threads, memory"),
        "demo": tr("train on the bundled corpus, then answer a few questions; half a minute to some minutes"),
        "train": tr("train a model from scratch on your text"),
        "sft": tr("teach a trained model to answer: fine-tuning on dialogues"),
        "resume": tr("go on with a run exactly where it stopped"),
        "eval": tr("loss, perplexity and bits per character of a model on a text"),
        "generate": tr("continue a prompt"),
        "chat": tr("talk with a model"),
        "serve": tr("answer other programs, as OpenAI's API does"),
        "export": tr("write a model as a file for llama.cpp, ollama or transformers"),
        "plot": tr("draw the curves of runs, or a learning-rate schedule"),
        "bench": tr("measure this machine: kernels, training, generation"),
        "tokenize": tr("see how texts are cut into tokens"),
        "augment": tr("see the variants that augmentation makes of texts"),
    }


class App(click.Group):
    """`rgz`. Commands are imported when they are called, so that `rgz --help` is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(MODULES)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in MODULES:
            return None
        command: Command = import_module(f"rgz.cli.{MODULES[name]}").build()
        command.name = name
        command.summary = summaries()[name]
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and not args[0].startswith("-") and args[0] not in MODULES:
            guess = near(args[0], MODULES)
            text = (
                tr("unknown command '{name}'; did you mean '{near}'?", name=args[0], near=guess)
                if guess
                else tr("unknown command '{name}'; there are: {known}", name=args[0], known=", ".join(MODULES))
            )
            raise click.UsageError(text, ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:  # click would end with EPIPE where nobody reads the line it writes
            with contextlib.suppress(OSError):
                say("")  # the shell's prompt on a line of its own
            raise click.exceptions.Exit(INTERRUPTED) from error
        except MemoryError as error:
            command = self.get_command(ctx, ctx.invoked_subcommand or "")
            raise RgzError(out_of_memory(command or self)) from error

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        lines = [
            tr("Usage: {usage}", usage=f"rgz {tr('COMMAND')} ..."),
            "",
            tr("Train small Chinese GPT models from scratch, on the CPU."),
            "",
            tr("Commands:"),
            *described(list(summaries().items()), columns()),
            "",
            tr("Options:"),
            *described([("--version", tr("print the version")), ("-h, --help", tr("this help"))], columns()),
            "",
            tr("Begin with `rgz demo`, or with your own text: `rgz train my.txt`."),
            tr("More on a command: `rgz COMMAND --help`. Messages in Chinese: RGZ_LANG=zh."),
        ]
        formatter.write("\n".join(lines) + "\n")

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> Any:
        """Run and exit: 0 good, 1 a failed run, 2 wrong usage, and after Ctrl-C 130, as shells have it."""
        _never_fail_on_characters()
        extra["standalone_mode"] = False
        try:
            with _warnings_as_notices():
                code = super().main(args, prog_name or "rgz", **extra)
            sys.stdout.flush()
        except click.UsageError as error:
            code = _refuse_usage(error)
        except click.exceptions.Exit as error:
            code = error.exit_code
        except (click.Abort, KeyboardInterrupt):
            code = INTERRUPTED
        except RgzError as error:
            code = _fail(str(error))
        except OSError as error:
            if error.errno in (errno.EPIPE, errno.EIO):  # whoever read this has left, or the terminal is closed
                code = 1
            else:
                where = f"{error.filename}{mark(': ')}" if error.filename else ""
                code = _fail(f"{where}{reason_of(error)}")
        _let_go_of_unread()
        sys.exit(code if isinstance(code, int) else 0)


@contextmanager
def _warnings_as_notices() -> Iterator[None]:
    """What rgz warns of is a sentence like any other; of other packages' warnings Python also shows file and line."""
    before = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, RgzWarning):
            say(str(message))
        else:
            before(message, category, *where, **more)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = before


def _fail(message: str) -> int:
    _tell(f"{tr('error: ')}{message}")
    return 1


def _tell(*lines: str) -> None:
    """Say the last words of a program, if anybody can hear them: its exit code says it too."""
    with contextlib.suppress(OSError):
        say_all(lines)


def _let_go_of_unread() -> None:
    """Python flushes both streams once more on its way out: what nobody reads goes nowhere then."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _refuse_usage(error: click.UsageError) -> int:
    ctx = error.ctx
    command = ctx.command_path if ctx else "rgz"
    _tell(f"{tr('error: ')}{describe_usage(error)}", tr("help: {command} --help", command=command))
    return 2


def describe_usage(error: click.UsageError) -> str:
    """One line for each kind of wrong usage that click finds."""
    if isinstance(error, click.NoSuchOption):
        return no_such_option(error.ctx, error.option_name)
    if isinstance(error, click.MissingParameter) and error.param is not None:
        return tr("{name} is missing", name=_name(error.param))
    if isinstance(error, click.BadParameter) and error.param is not None:
        return f"{_name(error.param)}{mark(': ')}{error.message}"
    if isinstance(error, click.BadOptionUsage):
        option = error.option_name
        if "not take" in error.message:  # `--packing=false`
            return tr(
                "{option} takes no value; to turn it off write --no-{name}",
                option=option,
                name=option.lstrip("-"),
            )
        return tr("{option} needs a value", option=option)
    if "unexpected extra argument" in error.message:
        return tr("too many arguments: {arguments}", arguments=error.message.partition("(")[2].rstrip(")."))
    return error.message


def _name(param: click.Parameter) -> str:
    return max(param.opts, key=len) if isinstance(param, click.Option) else metavar(param)


def _never_fail_on_characters() -> None:
    """Characters that the terminal cannot show become '?', bytes that are no text become U+FFFD; a stream that the
    caller has closed takes, or gives, nothing."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - stays open to the end
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def build_app() -> App:
    def print_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
        if value:
            click.echo(f"rgz {rgz.__version__}")
            ctx.exit()

    version = Flag(
        ["--version"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=print_version,
        help=tr("print the version"),
    )
    return App(
        "rgz",
        params=[version],
        context_settings={
            "help_option_names": ["-h", "--help"],
            "token_normalize_func": lambda name: name.replace("_", "-"),
        },
        no_args_is_help=False,
        invoke_without_command=True,
        callback=_help_without_command,
    )


@click.pass_context
def _help_without_command(ctx: click.Context) -> None:
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main() -> int:
    """The console script `rgz`."""
    build_app().main(prog_name="rgz")
    return 0
