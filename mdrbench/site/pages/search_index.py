"""The index of the site-wide search, as a script: systems, languages, collections and documents."""

from __future__ import annotations

import json
from collections.abc import Iterable

from mdrbench.core.languages import LANGUAGES, SURPRISE
from mdrbench.site.model.collection import language_name
from mdrbench.site.model.site_model import SiteModel
from mdrbench.site.pages.page import Asset, Page

TERMS = (
    ("nDCG@10, MRR@10, Recall@100, MAP@100", "measures", "conventions.html#measures"),
    ("Average and interval, bootstrap", "terms", "conventions.html#averages-and-intervals"),
    ("Paired t test, randomisation test, Holm's correction", "terms", "conventions.html#tests"),
    ("Significance letters", "terms", "conventions.html#significance-letters"),
    ("Zero-shot, in-domain, training data", "terms", "docs/audit.html#training-data"),
    ("Pool of hard negatives", "terms", "data.html#pools-of-miracl"),
    ("Prediction from the pool", "terms", "docs/audit.html#from-the-pool-to-the-full-corpus"),
    ("Audit: wrong and disputed figures", "page", "audit.html"),
    ("Marks of differences: * and †, seeds", "terms", "conventions.html#tests"),
    ("What moved between versions, news, changes, feed", "page", "changes.html"),
)
"""Terms that readers look up, and where they are explained."""


def asset(model: SiteModel, documents: Iterable[Page]) -> Asset:
    """Return a script that sets ``mdrbenchIndex``."""
    entries = []
    for collection in model.collections:
        about = "smoke test" if collection.is_smoke_test else "leaderboard"
        entries.append(_entry(collection.title, about, f"{collection.folder}index.html"))
        for entry in collection.measured:
            about = f"measured on {collection.title}: {entry.result.system.summary}"[:160]
            entries.append(_entry(entry.name, about, collection.system_page(entry)))
        for code in collection.languages:
            language = LANGUAGES.get(code) or SURPRISE.get(code)
            words = f"{language.native}, {code}, on {collection.title}" if language else f"on {collection.title}"
            entries.append(_entry(language_name(code), words, collection.language_page(code)))
    for system in model.published.values():
        names = [name for name in system.names if name != system.identity]
        entries.append(_entry(system.identity, ", ".join(["published", *names])[:160], system.address))
    pages = list(documents)
    addresses = {page.path for page in pages}
    addresses |= {"audit.html"} if model.marks.findings else set()
    addresses |= {"changes.html"} if model.versions else set()
    entries += [_entry(*term) for term in TERMS if term[2].partition("#")[0] in addresses]
    for page in pages:
        entries.append(_entry(page.title, "documentation", page.path))
        for anchor, title in page.context.get("contents", ()):
            entries.append(_entry(title, page.title, f"{page.path}#{anchor}"))
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":"))
    for mark, escaped in (("<", "\\u003c"), ("\u2028", "\\u2028"), ("\u2029", "\\u2029")):
        text = text.replace(mark, escaped)
    return Asset("search-index.js", f"window.mdrbenchIndex={text};\n".encode())


def _entry(name: str, about: str, path: str) -> dict[str, str]:
    return {"name": name[:120], "about": about, "path": path}
