"""The folders of the project, and of the data sets beside it."""

from __future__ import annotations

from pathlib import Path

PROJECT = Path(__file__).parents[2]


WIKI16 = PROJECT.parent / "shared" / "data" / "wiki16"


WIKI16_LITE = PROJECT.parent / "shared" / "data" / "wiki16-lite"
