"""What the commands share: JSON on standard output, news on standard error. Imports nothing heavy."""

from __future__ import annotations

import sys
from pathlib import Path


def print_json(value: object) -> None:
    """Indented JSON on standard output."""
    import json

    print(json.dumps(value, indent=1, ensure_ascii=False))


def say(text: str) -> None:
    """One line of news on standard error."""
    print(text, file=sys.stderr, flush=True)


def shown(path: Path) -> str:
    """A path as a reader of the log finds it: relative to the working folder where it lies there."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
