"""What the commands share: JSON on standard output, news on standard error. Imports nothing heavy."""

from __future__ import annotations

import sys


def print_json(value: object) -> None:
    """Indented JSON on standard output."""
    import json

    print(json.dumps(value, indent=1, ensure_ascii=False))


def say(text: str) -> None:
    """One line of news on standard error."""
    print(text, file=sys.stderr, flush=True)
