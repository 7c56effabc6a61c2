"""The index of the site-wide search, as a script: systems, languages, collections and documents."""

from __future__ import annotations

import json
from collections.abc import Iterable

from mdrbench.languages import LANGUAGES, SURPRISE
from mdrbench.site.board import Board
from mdrbench.site.page import Page

PATH = "search-index.js"


def script(board: Board, pages: Iterable[Page]) -> bytes:
    """A script that sets ``mdrbenchIndex``; only what has a page is in it."""
    titles = {page.path: page.title for page in pages}
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
    taken = {entry["path"] for entry in found}
    found = [entry for entry in found if entry["path"] in titles]
    found += [
        _entry(title, "documentation", path)
        for path, title in titles.items()
        if _is_document(path) and path not in taken
    ]
    text = json.dumps(found, ensure_ascii=False, separators=(",", ":"))
    for mark, escaped in (("<", "\\u003c"), ("\u2028", "\\u2028"), ("\u2029", "\\u2029")):
        text = text.replace(mark, escaped)
    return f"window.mdrbenchIndex={text};\n".encode()


def _entry(name: str, about: str, path: str) -> dict[str, str]:
    return {"name": name[:120], "about": about, "path": path}


def _is_document(path: str) -> bool:
    return path.startswith("docs/") or ("/" not in path and path != "index.html")
