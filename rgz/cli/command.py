"""click's commands and options, made to speak two languages and to know the nearest match."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

import click
from click.core import ParameterSource

from rgz.cli.layout import columns, described, wrap
from rgz.messages import tr


class Flag(click.Option):
    """An option that belongs to a section of the help; shown_default is what is taken without it."""

    def __init__(self, *args: Any, section: str = "", shown_default: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.section = section
        self.shown_default = shown_default


class Command(click.Command):
    """Shows its options in sections. `examples` close the help; `summary` opens it (see rgz.cli.app)."""

    summary = ""

    def __init__(self, *args: Any, examples: Iterable[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = tuple(examples)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx  # click leaves it out of some: then nobody knows whose options to look up
            raise

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        arguments = [p for p in self.params if isinstance(p, click.Argument)]
        needed = [f"{p.opts[0]} {metavar(p)}" for p in self.params if p.required and p not in arguments]
        usage = " ".join([ctx.command_path, *map(metavar, arguments), *needed, f"[{tr('OPTIONS')}]"])
        lines = [tr("Usage: {usage}", usage=usage), "", *wrap(self.summary, columns())]
        for paragraph in (self.help or "").split("\n"):
            lines += ["", *wrap(paragraph, columns())] if paragraph else []
        sections: dict[str, list[tuple[str, str]]] = {}
        for option in self.get_params(ctx):
            if isinstance(option, click.Option) and not option.hidden:
                section = getattr(option, "section", "") or tr("Options:")
                sections.setdefault(section, []).append(_row(option))
        for section, rows in sections.items():
            lines += ["", section, *described(rows, columns())]
        if self.examples:
            lines += ["", tr("Examples:"), *(f"  {example}" for example in self.examples)]
        formatter.write("\n".join(lines) + "\n")

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        option = super().get_help_option(ctx)
        if option is not None:
            option.help = tr("this help")
        return option


def metavar(param: click.Parameter) -> str:
    """What stands for the value in help and errors."""
    return param.metavar or param.type.name


def _row(option: click.Option) -> tuple[str, str]:
    names = ", ".join(option.opts)
    if option.secondary_opts:
        names = names.replace("--", "--[no-]", 1)
    elif not option.is_flag:
        names += " " + metavar(option)
    text = option.help or ""
    if default := getattr(option, "shown_default", ""):
        text += f" [{default}]"
    return names, text


def given(ctx: click.Context) -> dict[str, Any]:
    """The options that stand on the command line, by name: not those that have only a default."""
    return {
        name: value
        for name, value in ctx.params.items()
        if ctx.get_parameter_source(name) == ParameterSource.COMMANDLINE
    }


def near(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, if any is like it."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def no_such_option(ctx: click.Context | None, name: str) -> str:
    names = [n for p in ctx.command.get_params(ctx) for n in (*p.opts, *p.secondary_opts)] if ctx else []
    guess = near(name, [n for n in names if n.startswith("--")])
    if guess:
        return tr("unknown option '{name}'; did you mean '{near}'?", name=name, near=guess)
    return tr("unknown option '{name}'", name=name)
