"""Print JSON to standard output and notes to standard error. Imports nothing heavy."""

from __future__ import annotations

import sys
from pathlib import Path

from mdrbench.core.secrets import redact


def print_json(value: object) -> None:
    """Print indented JSON to standard output."""
    import json

    print(json.dumps(value, indent=1, ensure_ascii=False))


def say(text: str) -> None:
    """Print one line to standard error."""
    print(redact(text), file=sys.stderr, flush=True)


def shown(path: Path) -> str:
    """Return a path for messages: relative to the working folder if it is inside it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
