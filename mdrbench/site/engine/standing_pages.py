"""Files of the site that stands, taken over into the next one where nothing that they were made from has changed."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from pydantic_core import to_json

from mdrbench.site.engine import keeping
from mdrbench.site.engine.inputs import MARKER

NAME = "collections.json"


class StandingPages:
    """What is known of the site in ``out``: for each collection its state and the SHA-256 of its files.

    Nothing is known of a site that another ``cache`` was kept for.
    """

    def __init__(self, cache: Path, out: Path):
        self._path = cache / NAME
        self._out = out
        self._known: dict[str, tuple[str, dict[str, str]]] = {}
        try:
            kept = json.loads(self._path.read_bytes())
            if kept["marker"] == (out / MARKER).read_text(encoding="utf-8"):
                self._known = kept["collections"]
        except (OSError, ValueError, KeyError, TypeError):  # a first build, or a cache that was thrown away
            return

    def files(self, folder: str, state: str) -> dict[str, str] | None:
        """Path -> SHA-256 of a collection's files; None where they have to be made."""
        known, found = self._known.get(folder, ("", {}))
        usable = known == state and all((self._out / path).is_file() for path in found)
        return found if usable else None

    def take(self, path: str, fresh: Path) -> None:
        """Put a file of the standing site into the next one too."""
        link(self._out / path, fresh / path)

    def keep(self, marker: str, collections: dict[str, tuple[str, dict[str, str]]]) -> None:
        """Remember what was built."""
        keeping.keep(self._path, to_json({"marker": marker, "collections": collections}))


def link(source: Path, target: Path) -> None:
    """The same file under another name; a copy where they are on different disks."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
