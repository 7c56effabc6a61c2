"""What page modules yield: pages to render and files to write, and the rules of their addresses."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any


@dataclass(frozen=True)
class Page:
    """A page to render.

    Attributes:
        path: address from the site's root, such as ``wiki16/systems/bm25.html``; safe parts only, see :func:`slug`.
        template: a file of ``site/templates``; it extends ``base.html``.
        title: without the site's name, plain text.
        context: what the template sees besides ``board``, ``page``, ``root`` (the way back to the site's root,
            ``../../`` or nothing) and ``link``; a function makes it in the process that renders the page.
        section: which entry of the navigation is lit: leaderboards, systems, languages, compare, ablations, about.
    """

    path: str
    template: str
    title: str
    context: dict[str, Any] | Callable[[], dict[str, Any]] = field(default_factory=dict)
    section: str = ""

    @property
    def root(self) -> str:
        """The relative way back to the site's root."""
        return "../" * (len(PurePosixPath(self.path).parts) - 1)


@dataclass(frozen=True)
class Asset:
    """A file to write as it is: a download, or data for a script. ``path`` as a page's; a function makes the
    ``content`` in the process that writes the file."""

    path: str
    content: bytes | Callable[[], bytes]

    @property
    def data(self) -> bytes:
        """The file's bytes."""
        return self.content() if callable(self.content) else self.content


@dataclass(frozen=True)
class Copy:
    """A file of the results that the site offers as it is: linked where the file system can, else copied.

    ``path`` as a page's; ``sha256`` as recorded.
    """

    path: str
    source: Path
    sha256: str


_UNSAFE = re.compile(r"[^a-z0-9._-]+")


def slug(name: str) -> str:
    """A part of an address made of ``a-z 0-9 . _ -``; where letters were lost, a hash keeps two names apart."""
    safe = _UNSAFE.sub("-", name.lower()).strip(".-")[:80]
    if safe == name:
        return safe
    return f"{safe}-{hashlib.sha256(name.encode()).hexdigest()[:6]}".lstrip("-")
