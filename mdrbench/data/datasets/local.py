"""Any folder in MIRACL's layout.

``--data PATH``; the data set is named after the folder.
"""

from __future__ import annotations

from pathlib import Path

from mdrbench.core.errors import DataError
from mdrbench.core.members import MemberConfig, Spec
from mdrbench.data.miracl_layout import MiraclFolder

RESERVED = ("miracl", "published", "sample", "schema")
"""Folders of ``results/`` that mean something else: a local folder is never taken for MIRACL itself."""


class Config(MemberConfig):
    """``path``: the folder that holds ``miracl/`` and ``miracl-corpus/``."""

    path: Path


class LocalFolder(MiraclFolder):
    """The folder as a data set.

    Raises:
        DataError: there is no such folder, or its name means another data set.
    """

    spec = Spec(Config, version=1)

    def __init__(self, config: Config):
        root = config.path.resolve()
        if not root.is_dir():
            mend = "give a folder in MIRACL's layout, or the name of a data set (see `mdrbench list datasets`)"
            raise DataError("no such folder", where=str(config.path), mend=mend)
        if root.name in RESERVED:
            raise DataError(f"a data set cannot be called '{root.name}'", where=str(root), mend=_other_name(root))
        super().__init__(root.name, root)


def _other_name(root: Path) -> str:
    """Return what to do about a reserved name: ``DIR/miracl`` is often given for ``DIR``."""
    if (root.parent / "miracl-corpus").is_dir():
        return f"give the folder that holds miracl/ and miracl-corpus/: --data {root.parent}"
    return f"rename the folder, such as to my-{root.name}"
