"""The index of the site-wide search, as a script: systems, languages, collections and documents."""

from __future__ import annotations

import json
from collections.abc import Iterable, Set

from mdrbench.core.languages import LANGUAGES, SURPRISE
from mdrbench.site.engine.page import Page
from mdrbench.site.model.board import Board

PATH = "search-index.js"


def script(board: Board, documents: Iterable[Page], paths: Set[str]) -> bytes:
    """A script that sets ``mdrbenchIndex``; only what has a page, being among ``paths``, is in it."""
    found = []
    for collection in board.collections:
        found.append(_entry(collection.title, "leaderboard", f"{collection.folder}index.html"))
        for entry in collection.entries:
            system = entry.result.system
            kind = "measured" if entry.measured else "published"
            about = f"{kind} on {collection.title}: {system.summary}"[:160]
            found.append(_entry(entry.name, about, board.page_of(collection, entry)))
        for code in collection.languages:
            language = LANGUAGES.get(code) or SURPRISE.get(code)
            words = f"{language.native}, {code}, on {collection.title}" if language else f"on {collection.title}"
            name = language.name if language else code
            found.append(_entry(name, words, f"{collection.folder}languages/{code}.html"))
    found = [entry for entry in found if entry["path"] in paths]
    found += [_entry(page.title, "documentation", page.path) for page in documents]
    text = json.dumps(found, ensure_ascii=False, separators=(",", ":"))
    for mark, escaped in (("<", "\\u003c"), ("\u2028", "\\u2028"), ("\u2029", "\\u2029")):
        text = text.replace(mark, escaped)
    return f"window.mdrbenchIndex={text};\n".encode()


def _entry(name: str, about: str, path: str) -> dict[str, str]:
    return {"name": name[:120], "about": about, "path": path}
