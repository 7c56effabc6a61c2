"""The index of the site-wide search, as a script: systems, languages, collections and documents."""

from __future__ import annotations

import json
from collections.abc import Iterable

from mdrbench.core.languages import LANGUAGES, SURPRISE
from mdrbench.site.model.collection import language_name
from mdrbench.site.model.site_model import SiteModel
from mdrbench.site.pages.page import Asset, Page


def asset(model: SiteModel, documents: Iterable[Page]) -> Asset:
    """Return a script that sets ``mdrbenchIndex``."""
    entries = []
    for collection in model.collections:
        entries.append(_entry(collection.title, "leaderboard", f"{collection.folder}index.html"))
        for entry in collection.entries:
            kind = "measured" if entry.measured else "published"
            about = f"{kind} on {collection.title}: {entry.result.system.summary}"[:160]
            entries.append(_entry(entry.name, about, collection.system_page(entry)))
        for code in collection.languages:
            language = LANGUAGES.get(code) or SURPRISE.get(code)
            words = f"{language.native}, {code}, on {collection.title}" if language else f"on {collection.title}"
            entries.append(_entry(language_name(code), words, collection.language_page(code)))
    entries += [_entry(page.title, "documentation", page.path) for page in documents]
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":"))
    for mark, escaped in (("<", "\\u003c"), ("\u2028", "\\u2028"), ("\u2029", "\\u2029")):
        text = text.replace(mark, escaped)
    return Asset("search-index.js", f"window.mdrbenchIndex={text};\n".encode())


def _entry(name: str, about: str, path: str) -> dict[str, str]:
    return {"name": name[:120], "about": about, "path": path}
