"""What the browser loads to compare any two systems: files of a few kilobytes, as scripts so that file:// works."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from pydantic_core import to_json

from mdrbench.core.languages import LANGUAGES, SURPRISE
from mdrbench.core.store import key_of
from mdrbench.site.engine.page import Asset
from mdrbench.site.engine.rendering import lang_tag
from mdrbench.site.model import pairs
from mdrbench.site.model.board import Collection, Entry
from mdrbench.site.model.scores import Scored, ScoreReader

STEPS = 10_000
"""Topic-level scores are rounded to this part of one."""


def script(kind: str, key: str, value: Any) -> bytes:
    """``mdrbenchCompare(KIND, KEY, VALUE)`` with nothing in it that could end a script element or a line."""
    text = to_json([kind, key, value]).decode("utf-8")
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return f"mdrbenchCompare(...{text});\n".encode()


def assets(collection: Collection, built: list[tuple[Entry, Entry]], reader: ScoreReader) -> Iterator[Asset]:
    """The list of systems, each measured system's topic-level scores, and the queries of each language."""
    folder = f"{collection.folder}compare/data/"
    topics: dict[str, Scored] = {}
    named: dict[tuple[str, str, tuple[str, ...]], str] = {}  # by what the name is a hash of
    keys: dict[str, dict[str, str]] = {}
    for entry in collection.measured:
        found = {lang: scored for lang in entry.result.languages if (scored := reader.read(entry, lang))}
        for lang, scored in found.items():
            data = entry.result.languages[lang].dataset
            fingerprint = data.fingerprint if data else ""
            place = lang, fingerprint, scored.qids
            if place not in named:
                named[place] = f"{lang}-{key_of([lang, fingerprint, sorted(scored.qids)])[:10]}"
            topics.setdefault(named[place], scored)
            keys.setdefault(entry.slug, {})[lang] = named[place]
        if found:
            yield Asset(f"{folder}{entry.slug}.js", partial(_scores, entry.slug, found))
    for key, scored in topics.items():
        yield Asset(f"{folder}topics-{key}.js", partial(_queries, key, scored))
    yield Asset(f"{folder}systems.js", lambda: script("systems", "", _systems(collection, built, keys)))


def _scores(name: str, found: dict[str, Scored]) -> bytes:
    """A system's topic-level scores by language and measure, topics by qid."""
    scores = {}
    for lang, scored in found.items():
        ordered = pairs.aligned(scored, tuple(sorted(scored.qids)))
        steps = (ordered.values * STEPS).round().astype(int).T.tolist()
        scores[lang] = dict(zip(scored.measures, steps, strict=True))
    return script("scores", name, scores)


def _queries(key: str, scored: Scored) -> bytes:
    return script("topics", key, sorted(scored.queries(scored.qids).items()))


def _systems(
    collection: Collection, built: list[tuple[Entry, Entry]], keys: dict[str, dict[str, str]]
) -> dict[str, Any]:
    known = {**LANGUAGES, **SURPRISE}
    first = pairs.first_measure(collection)
    by_slug = sorted(collection.entries, key=lambda entry: entry.slug)
    return {
        "measures": [first, *(measure for measure in collection.measures if measure != first)],
        "steps": STEPS,
        "languages": {
            code: [known[code].name, lang_tag(code), known[code].direction] if code in known else [code, "", "ltr"]
            for code in collection.languages
        },
        "order": collection.languages,
        "systems": {entry.slug: _system(collection, entry, keys) for entry in by_slug},
        "pairs": [pairs.address(collection, a, b).rsplit("/", 1)[-1] for a, b in built],
    }


def _system(collection: Collection, entry: Entry, keys: dict[str, dict[str, str]]) -> dict[str, Any]:
    languages = entry.result.languages
    return {
        "name": entry.name,
        "measured": entry.measured,
        "source": "" if entry.measured else entry.result.system.summary,
        "depth": entry.result.evaluated.depth,
        "topics": keys.get(entry.slug, {}),
        "means": {
            measure: {lang: round(cell.value, 6) for lang in languages if (cell := entry.cell(lang, measure))}
            for measure in collection.measures
        },
    }
