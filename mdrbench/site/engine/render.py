"""Renders pages: Jinja's environment, the functions that templates use, and the charts that Vega-Lite draws."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from mdrbench import __version__
from mdrbench.core.languages import LANGUAGES, SURPRISE
from mdrbench.evaluation.statistics import PROTOCOL
from mdrbench.site.cache import Cache
from mdrbench.site.model.collection import Collection, language_name
from mdrbench.site.model.number_format import number, signed
from mdrbench.site.pages import markup
from mdrbench.site.pages.browser_data import lang_tag
from mdrbench.site.pages.page import Page

NAVIGATION = (
    ("Leaderboards", "index.html", "leaderboards"),
    ("Audit", "audit.html", ""),
    ("What moved", "changes.html", "changes"),
    ("Method", "method.html", ""),
    ("Data", "data.html", ""),
    ("Conventions", "conventions.html", ""),
    ("Submit", "submit.html", ""),
    ("Documentation", "docs/index.html", "docs"),
)
"""Title, address and section of the pages in every header."""

COLLECTION_NAVIGATION = (
    ("Leaderboard", "index.html", "leaderboards"),
    ("Languages", "languages/", "languages"),
    ("Plot", "plot.html", "plot"),
    ("Compare", "compare/", "compare"),
    ("Ablations", "ablations/", "ablations"),
)


CITATION = f"""@software{{mdrbench,
  title = {{mdrbench: a benchmark of multilingual dense retrieval}},
  version = {{{__version__}}},
  note = {{Published figures: see the sources of each system}}
}}"""


class Renderer:
    """Renders pages of a site that has files at ``paths``; no page links to another address."""

    def __init__(self, templates: Path, paths: Iterable[str], cache: Cache):
        self._paths = set(paths)
        self._first_pages: dict[str, str] = {}  # folder -> its index.html, else its first page
        for path in sorted(path for path in self._paths if path.endswith(".html")):
            folder, _, name = path.rpartition("/")
            if name == "index.html" or f"{folder}/" not in self._first_pages:
                self._first_pages[f"{folder}/"] = path
        self._cache = cache
        self._environment = Environment(
            loader=FileSystemLoader(templates),
            autoescape=True,
            undefined=StrictUndefined,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals |= {
            "languages": {**LANGUAGES, **SURPRISE},
            "language_name": language_name,
            "language_label": markup.language_label,
            "language_attributes": markup.language_attributes,
            "lang_tag": lang_tag,
            "number": number,
            "signed": signed,
            "draw": self.draw,
            "table_rows": markup.table_rows,
            "facts_list": markup.facts,
            "exists": self._paths.__contains__,
            "navigation": [entry for entry in NAVIGATION if entry[1] in self._paths],
            "collection_navigation": self.collection_navigation,
            "protocol": PROTOCOL,
            "version": __version__,
            "citation": CITATION,
        }

    def render(self, page: Page) -> bytes:
        """Return the page's HTML."""
        template = self._environment.get_template(page.template)
        root = page.root
        html = template.render(page=page, root=root, link=lambda path: root + path, **page.context)
        return html.encode("utf-8", "backslashreplace")  # a recipe may hold half of a surrogate pair

    def draw(self, spec: dict[str, Any]) -> Markup:
        """Return the SVG of a Vega-Lite specification. The page describes the chart, so readers skip the SVG."""
        import vl_convert

        source = [version("vl-convert-python"), spec]
        svg: str = self._cache.get("chart", source, lambda: vl_convert.vegalite_to_svg(spec))
        return Markup(svg.replace("<svg ", '<svg aria-hidden="true" ', 1))

    def collection_navigation(self, collection: Collection) -> list[tuple[str, str, str]]:
        """Return title, address and section of each kind of page that the collection has."""
        entries = []
        for title, place, section in COLLECTION_NAVIGATION:
            address = f"{collection.folder}{place}"
            path = self._first_pages.get(address) if place.endswith("/") else address
            if path in self._paths:
                entries.append((title, path, section))
        return entries
