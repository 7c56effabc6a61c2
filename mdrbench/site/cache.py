"""Results of slow work, kept in one folder between two builds of the site."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from mdrbench.core.store import key_of

UNUSED_SECONDS = 30 * 24 * 3600
"""A file that no build has read for this long is deleted."""

DAY_SECONDS = 24 * 3600


class Cache:
    """Charts, passages, rankings and tests: one file for each, named after the hash of everything it depends on."""

    def __init__(self, folder: Path):
        self.folder = folder

    def get(self, kind: str, source: object, make: Callable[[], Any]) -> Any:
        """Return the JSON value that ``make`` returned the first time it was called for this ``source``.

        Args:
            kind: what is kept, such as ``passages``; part of the file's name.
            source: a JSON value that holds everything the result depends on.
        """
        path = self.folder / f"{kind}-{key_of(source)}.json"
        try:
            value = json.loads(path.read_bytes())
            if path.stat().st_mtime < time.time() - DAY_SECONDS:
                os.utime(path)  # its time of change is the time of its last use, to the day
        except (OSError, ValueError):  # not made yet, or damaged
            value = json.loads(to_json(make()))
            self.folder.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f"{path.name}.{os.getpid()}")
            temporary.write_bytes(to_json(value))
            os.replace(temporary, path)
        return value

    def drop_unused(self) -> None:
        """Delete files that no build has used for :data:`UNUSED_SECONDS`."""
        for path in self.folder.glob("*-*.json*"):
            if path.stat().st_mtime < time.time() - UNUSED_SECONDS:
                path.unlink()
