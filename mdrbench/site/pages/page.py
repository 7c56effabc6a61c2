"""The kinds of files that page modules yield."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any


@dataclass(frozen=True)
class Page:
    """A page to render.

    Attributes:
        path: address from the site's root, such as ``wiki16/systems/bm25.html``.
        template: a file of ``site/templates``; it extends ``base.html``.
        title: without the site's name, plain text.
        context: the template's variables, besides those that ``engine/render.py`` sets.
        section: the marked entry of the navigation: leaderboards, systems, languages, compare, ablations or about.
    """

    path: str
    template: str
    title: str
    context: dict[str, Any] = field(default_factory=dict)
    section: str = ""

    @property
    def root(self) -> str:
        """The relative way back to the site's root: ``../../`` or nothing."""
        return "../" * (len(PurePosixPath(self.path).parts) - 1)


@dataclass(frozen=True)
class Asset:
    """A file that is written as it is: a download, or data for a script."""

    path: str
    content: bytes


@dataclass(frozen=True)
class Copy:
    """A file of the results that the site offers for download; ``sha256`` as recorded."""

    path: str
    source: Path
    sha256: str


SiteFile = Page | Asset | Copy
