"""The documents of ``docs/*.md`` as pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from mdrbench.core import registry
from mdrbench.site.model.collection import slug
from mdrbench.site.pages.page import Page

if TYPE_CHECKING:
    from markdown_it.token import Token

AT_ROOT = ("method", "data", "conventions", "submit")
"""Documents whose pages are at the site's root; all others are in ``docs/``."""


SHELVES = {
    "Start": ("add-your-model", "your-own-data", "submit", "cli", "api"),
    "How numbers are made": ("method", "data", "conventions", "results", "encoding", "sample", "wiki16"),
    "Trust": ("audit", "check", "trust", "mteb", "site"),
    "Negatives and training": (
        *("negatives", "judging", "judges", "generator-tuning", "training", "ablation", "experiments"),
    ),
    "Extend": ("add-a-retriever", "add-a-miner", "add-a-judge", "add-a-sampler", "architecture"),
}
"""Shelf of the list of documents -> its documents; documents on no shelf come last."""


COMMENT = re.compile(r"^<!--.*-->\n", re.MULTILINE)
"""Lines that are comments; they tell tests which commands can run."""


def pages() -> Iterator[Page]:
    """Yield a page for each document, and the list of all documents."""
    files = {path.stem: path for path in sorted(registry.resource("docs").glob("*.md"))}
    addresses = {name: f"{name}.html" if name in AT_ROOT else f"docs/{slug(name)}.html" for name in files}
    made = {name: _page(path.read_text(encoding="utf-8"), addresses[name], addresses) for name, path in files.items()}
    placed = {name for names in SHELVES.values() for name in names}
    shelves = {**SHELVES, "More": tuple(name for name in made if name not in placed)}
    listed = [(shelf, [made[name] for name in names if name in made]) for shelf, names in shelves.items()]
    listed = [(shelf, documents) for shelf, documents in listed if documents]
    for page in made.values():
        page.context["shelves"] = listed
        yield page
    if made:
        yield Page("docs/index.html", "documents.html", "Documentation", {"shelves": listed}, "docs")


def _page(text: str, address: str, addresses: dict[str, str]) -> Page:
    from markdown_it import MarkdownIt

    root = "../" * address.count("/")
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")  # HTML in a document stays text
    tokens = parser.parse(COMMENT.sub("", text))
    title, contents = "", []
    for token, inner in pairwise(tokens):
        if token.type == "heading_open":
            words = re.sub(r"[`*_]", "", inner.content)
            token.attrSet("id", _anchor(words))
            if token.tag == "h1":
                title = title or words
            elif token.tag == "h2":
                contents.append((_anchor(words), words))
        for child in inner.children or []:
            if child.type == "link_open":
                child.attrs["href"] = _address(str(child.attrs["href"]), root, addresses)
    pieces = [(kind, Markup(parser.renderer.render(part, parser.options, {}))) for kind, part in _pieces(tokens)]
    summary = next((t.content for before, t in pairwise(tokens) if before.type == "paragraph_open"), "")
    summary = re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", r"\1", " ".join(summary.split()))
    context = {"pieces": pieces, "contents": contents, "summary": re.split(r"(?<=[.?!])\s", summary)[0]}
    return Page(address, "about.html", title, context, "docs")


def _pieces(tokens: list[Token]) -> Iterator[tuple[str, list[Token]]]:
    """Split a document: each ``table`` and ``code`` block is a piece, since it scrolls; the rest is ``text``."""
    text: list[Token] = []
    table: list[Token] = []
    for token in tokens:
        if table or (token.type == "table_open" and token.level == 0):
            table.append(token)
        elif token.type == "fence" and token.level == 0:
            yield "text", text
            yield "code", [token]
            text = []
        else:
            text.append(token)
        if table and token.type == "table_close":
            yield "text", text
            yield "table", table
            text, table = [], []
    yield "text", text


def _anchor(words: str) -> str:
    """Return the anchor of a heading, as GitHub makes it: links between documents work in both places."""
    return re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")


def _address(link: str, root: str, addresses: dict[str, str]) -> str:
    """Return the address of a linked document's page. A link to another file of the project leads to its own page."""
    if "://" in link or link.startswith("#"):
        return link
    file, _, anchor = link.partition("#")
    name = Path(file).stem
    if not file.endswith(".md") or "/" in file or name not in addresses:
        return "#main"
    return root + addresses[name] + (f"#{anchor}" if anchor else "")
