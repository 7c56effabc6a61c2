"""Parse a command line with mdrbench's own commands, without running it."""

from __future__ import annotations

from functools import cache
from typing import Any

import typer
from typer._click.exceptions import UsageError
from typer.core import TyperGroup

from mdrbench.cli.app import app


@cache
def _commands() -> TyperGroup:
    return typer.main.get_command(app)


def parse(words: list[str]) -> tuple[str, dict[str, Any]]:
    """Parse the words after ``mdrbench``; return the command's name and its parameters.

    Raises:
        ValueError: the command or an option does not exist, or a value is not allowed.
    """
    command, name = _commands(), "mdrbench"
    try:
        context = command.make_context(name, list(words))
        while isinstance(command, TyperGroup):
            called, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
            context = command.make_context(called, rest, parent=context)
            name = f"{name} {called}"
    except UsageError as error:
        raise ValueError(f"mdrbench {' '.join(words)}: {error.format_message()}") from None
    except typer.Exit:  # --help and --version end here
        return name, {}
    return name.removeprefix("mdrbench "), context.params


def options(words: list[str]) -> set[str]:
    """Return the options of the command that words begin with, such as ``["data", "fetch"]``."""
    command = _commands()
    for word in words:
        if not isinstance(command, TyperGroup):
            break
        if (below := command.commands.get(word)) is None:
            raise ValueError(f"mdrbench has no command {word!r} in {' '.join(words)!r}")
        command = below
    return {option for parameter in command.params for option in [*parameter.opts, *parameter.secondary_opts]}


def all_options() -> set[str]:
    """Return every option of every command."""

    def below(command: Any) -> set[str]:
        own = {option for parameter in command.params for option in parameter.opts}
        return own.union(*map(below, command.commands.values())) if isinstance(command, TyperGroup) else own

    return below(_commands()) | {"--help"}
