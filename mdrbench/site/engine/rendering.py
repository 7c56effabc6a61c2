"""Templates: how numbers are printed, where links lead, and the navigation."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from pathlib import Path
from types import CodeType

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.runtime import Macro
from markupsafe import Markup, escape

from mdrbench import __version__
from mdrbench.core.languages import LANGUAGES, SURPRISE
from mdrbench.site.engine.page import Page
from mdrbench.site.model.board import Board, Collection
from mdrbench.site.model.numbers import number, signed

NAVIGATION = (
    ("Leaderboards", "index.html", "leaderboards"),
    ("Method", "method.html", ""),
    ("Data", "data.html", ""),
    ("Conventions", "conventions.html", ""),
    ("Submit", "submit.html", ""),
)
"""Title, address and section of the pages that stand in every header."""

COLLECTION_NAVIGATION = (
    ("Leaderboard", "index.html", "leaderboards"),
    ("Languages", "languages/", "languages"),
    ("Compare", "compare/", "compare"),
    ("Ablations", "ablations/", "ablations"),
)


def lang_tag(code: str) -> str:
    """The BCP 47 tag of a language: with its script where readers of fonts need it."""
    return "zh-Hans" if code == "zh" else code


def escaped(value: object) -> str:
    """What :func:`markupsafe.escape` gives, at once for text in which there is nothing to escape: most of what a table
    prints."""
    kind = type(value)
    if kind is Markup:
        return value
    if kind is not str:
        return str(value) if kind is int else escape(value)
    special = "&" in value or "<" in value or ">" in value or '"' in value or "'" in value
    return escape(value) if special else value


class Templates(Environment):
    """Jinja's environment, with :func:`escaped` for what templates print."""

    def _compile(self, source: str, filename: str) -> CodeType:
        return super()._compile(f"{source}\nfrom {__name__} import escaped as escape\n", filename)


class Rendering:
    """Renders pages. Until :meth:`know` is told what the site has, nothing has a link."""

    def __init__(self, templates: Path, shown: Board):
        self._paths: list[str] = []
        self._known: frozenset[str] = frozenset()
        self._first: dict[str, str | None] = {}
        self._made: dict[tuple[str, tuple[Hashable, ...]], Markup] = {}
        self._environment = Templates(
            loader=FileSystemLoader(templates),
            autoescape=True,
            undefined=StrictUndefined,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals |= {
            "languages": {**LANGUAGES, **SURPRISE},
            "lang_tag": lang_tag,
            "number": number,
            "signed": signed,
            "exists": self.exists,
            "first_page": self.first_page,
            "navigation": [],
            "collection_navigation": self.collection_navigation,
            "version": __version__,
            "board": shown,
            "once": self.once,
        }

    def know(self, paths: Iterable[str]) -> None:
        """All addresses of the site: no page links to another."""
        self._paths = sorted(paths)
        self._known = frozenset(self._paths)
        self._environment.globals["navigation"] = [entry for entry in NAVIGATION if entry[1] in self._known]

    def exists(self, path: str) -> bool:
        """Whether the site has a file of this address."""
        return path in self._known

    def compile(self) -> None:
        """Read all templates, before processes are forked that would each do so."""
        for name in self._environment.list_templates():
            self._environment.get_template(name)

    def render(self, page: Page) -> str:
        """The page's text."""
        template = self._environment.get_template(page.template)
        context = page.context() if callable(page.context) else page.context
        root = page.root
        return template.render(page=page, root=root, link=lambda path: root + path, **context)

    def once(self, macro: Macro, *values: Hashable) -> Markup:
        """What a macro prints that depends on nothing but these values; made once for all pages."""
        key = macro.name, values
        if key not in self._made:
            self._made[key] = macro(*values)
        return self._made[key]

    def first_page(self, prefix: str) -> str | None:
        """``PREFIXindex.html`` where it exists, else the first page whose address begins so, else None."""
        if prefix not in self._first:
            found = f"{prefix}index.html"
            rest = (path for path in self._paths if path.startswith(prefix) and path.endswith(".html"))
            self._first[prefix] = found if found in self._known else next(rest, None)
        return self._first[prefix]

    def collection_navigation(self, collection: Collection) -> list[tuple[str, str, str]]:
        """Title, address and section of each kind of page that the collection has."""
        found = []
        for title, place, section in COLLECTION_NAVIGATION:
            address = f"{collection.folder}{place}"
            path = self.first_page(address) if place.endswith("/") else address
            if path in self._known:
                found.append((title, path, section))
        return found
