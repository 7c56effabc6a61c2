"""Run a command line, here or in a process of its own, or parse it with mdrbench's own commands without running it."""

from __future__ import annotations

import io
import subprocess
import sys
import warnings
from contextlib import chdir, redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import typer
from typer._click.exceptions import UsageError
from typer.core import TyperGroup

from mdrbench.cli import ending
from mdrbench.cli.app import app


def run(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the words after ``mdrbench`` in this process, with ``folder`` as the working folder."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with (
        chdir(folder),
        patch.object(sys, "argv", ["mdrbench", *words]),
        redirect_stdout(out),
        redirect_stderr(err),
        warnings.catch_warnings(),
    ):
        warnings.resetwarnings()  # as in a process of its own, a warning is no error
        code = ending.code(app)
    outputs = (stream.buffer.getvalue().decode("utf-8") for stream in (out, err))
    return subprocess.CompletedProcess(["mdrbench", *words], code, *outputs)


def start(words: list[str], folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the words after ``mdrbench`` in a process of its own."""
    command = [sys.executable, "-m", "mdrbench", *words]
    options: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 900}
    return subprocess.run(command, cwd=folder, env=environment, check=False, **options)


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
