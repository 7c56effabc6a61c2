"""What was once computed or looked up for a site, kept in a file by the hash of what it came from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from mdrbench.core.store import key_of
from mdrbench.site.engine import keeping


class Memo:
    """A dictionary of JSON values in a folder; ``source`` is everything the values depend on besides their keys."""

    def __init__(self, cache: Path, kind: str, source: object):
        self.path = cache / f"{kind}-{key_of(source)}.json"

    def get(self, keys: Iterable[str], make: Callable[[list[str]], dict[str, Any]]) -> dict[str, Any]:
        """Values of ``keys``; those not kept yet come from ``make``, all of them in one call."""
        wanted, known = list(dict.fromkeys(keys)), self._read()
        if missing := [key for key in wanted if key not in known]:
            known |= (made := make(missing))
            self.add(made)
        return {key: known[key] for key in wanted}

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Which of ``keys`` are not kept yet."""
        known = self._read()
        return [key for key in dict.fromkeys(keys) if key not in known]

    def add(self, found: dict[str, Any]) -> None:
        """Keep these values too."""
        keeping.keep(self.path, to_json(self._read() | found))

    def _read(self) -> dict[str, Any]:
        try:
            known = json.loads(keeping.kept(self.path) or b"{}")
        except ValueError:
            return {}
        return known if isinstance(known, dict) else {}
