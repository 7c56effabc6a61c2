"""Any folder in MIRACL's layout.

``--data PATH``; the data set is named after the folder.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from mdrbench.core.errors import DataError
from mdrbench.data.miracl_layout import MiraclFolder

VERSION = 1

RESERVED = ("miracl", "published", "sample", "schema")
"""Folders of ``results/`` that mean something else: a local folder is never taken for MIRACL itself."""


class Config(BaseModel):
    """``path``: the folder that holds ``miracl/`` and ``miracl-corpus/``."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    path: Path


def build(config: Config) -> MiraclFolder:
    """The folder as a data set."""
    root = config.path.resolve()
    if not root.is_dir():
        raise DataError("no such folder", where=str(config.path), mend="give a folder in MIRACL's layout, or `sample`")
    if root.name in RESERVED:
        raise DataError(f"a data set cannot be called '{root.name}'", where=str(root), mend="rename the folder")
    return MiraclFolder(name=root.name, root=root)
