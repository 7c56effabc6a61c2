"""The data with which the browser compares any two systems: small files, as scripts so that they load from file://."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic_core import to_json

from mdrbench.core.languages import LANGUAGES, SURPRISE
from mdrbench.core.store import key_of
from mdrbench.results import seeds
from mdrbench.site.model.collection import Collection, Entry
from mdrbench.site.model.comparisons import SystemComparison
from mdrbench.site.model.ranking import Leaderboard, repeats_of
from mdrbench.site.model.topic_scores import EntryScores, ScoreTable
from mdrbench.site.pages.page import Asset

STEPS = 10_000
"""Topic-level scores are rounded to multiples of 1 / STEPS."""


def lang_tag(code: str) -> str:
    """Return the BCP 47 tag of a language; Chinese gets its script, which fonts depend on."""
    return "zh-Hans" if code == "zh" else code


def script(kind: str, key: str, value: Any) -> bytes:
    """Return ``mdrbenchCompare(KIND, KEY, VALUE)``, with nothing in it that could end a script element or a line."""
    text = to_json([kind, key, value]).decode("utf-8")
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return f"mdrbenchCompare(...{text});\n".encode()


def assets(
    collection: Collection,
    comparisons: Sequence[SystemComparison],
    scores: Mapping[Entry, EntryScores],
    boards: Mapping[str, Leaderboard],
) -> Iterator[Asset]:
    """Yield the list of systems, the topic-level scores of each measured system, and the queries of each language."""
    folder = f"{collection.folder}compare/data/"
    names = _TopicNames()
    topics: dict[str, ScoreTable] = {}
    named: dict[str, dict[str, str]] = {}
    for entry in collection.measured:
        if not scores[entry]:
            continue
        yield Asset(f"{folder}{entry.slug}.js", _scores(entry.slug, scores[entry]))
        named[entry.slug] = {lang: names.of(entry, lang, table) for lang, table in scores[entry].items()}
        for lang, name in named[entry.slug].items():
            topics.setdefault(name, scores[entry][lang])
    for name, table in topics.items():
        yield Asset(f"{folder}topics-{name}.js", script("topics", name, sorted(table.queries.items())))
    yield Asset(f"{folder}systems.js", script("systems", "", _systems(collection, comparisons, named, boards)))


class _TopicNames:
    """Names of sets of topics: two systems are compared in a language if both have the same name there."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, frozenset[str]], str] = {}

    def of(self, entry: Entry, lang: str, table: ScoreTable) -> str:
        record = entry.result.languages[lang].dataset
        fingerprint = record.fingerprint if record else ""
        key = lang, fingerprint, table.topics
        if key not in self._known:
            self._known[key] = f"{lang}-{key_of([lang, fingerprint, sorted(table.qids)])[:10]}"
        return self._known[key]


def _scores(slug: str, tables: EntryScores) -> bytes:
    """Return a system's topic-level scores by language and measure, topics by qid."""
    scores = {}
    for lang, table in tables.items():
        steps = (table.sorted().values * STEPS).round().astype(int).T.tolist()
        scores[lang] = dict(zip(table.measures, steps, strict=True))
    return script("scores", slug, scores)


def _systems(
    collection: Collection,
    comparisons: Sequence[SystemComparison],
    named: dict[str, dict[str, str]],
    boards: Mapping[str, Leaderboard],
) -> dict[str, Any]:
    rows = [(measure, row) for measure, board in boards.items() for group in board.groups for row in group.rows]
    letters: dict[Entry, dict[str, dict[str, str]]] = {}
    for measure, row in rows:
        own = {lang: score.letters for lang, score in row.scores.items() if score.letters}
        if row.entry.measured and own:
            letters.setdefault(row.entry, {})[measure] = own
    repeats = repeats_of(collection)
    known = {**LANGUAGES, **SURPRISE}
    return {
        "measures": collection.measures,
        "steps": STEPS,
        "languages": {
            code: [known[code].name, lang_tag(code), known[code].direction] if code in known else [code, "", "ltr"]
            for code in collection.languages
        },
        "order": collection.languages,
        "systems": {
            entry.slug: {
                **_system(collection, entry, named.get(entry.slug, {})),
                "trainings": len(repeats[entry]) if seeds.of(entry.result) else 0,
                "letters": letters.get(entry, {}),
            }
            for entry in sorted(collection.measured, key=lambda entry: entry.slug)
        },
        "averaged": {measure: _averaged(board) for measure, board in boards.items()},
        "family": {measure: _family(board) for measure, board in boards.items()},
        "pairs": [pair.address.rsplit("/", 1)[-1] for pair in comparisons],
    }


def _family(board: Leaderboard) -> str:
    return next((group.family for group in board.groups if group.family), "")


def _averaged(board: Leaderboard) -> list[str]:
    """Return the languages of the average of measured systems."""
    return next((list(group.languages) for group in board.groups if group.measured), [])


def _system(collection: Collection, entry: Entry, topics: dict[str, str]) -> dict[str, Any]:
    languages = entry.result.languages
    return {
        "name": entry.name,
        "measured": True,
        "source": "",
        "depth": entry.result.evaluated.depth,
        "topics": topics,
        "means": {
            measure: {lang: round(cell.value, 6) for lang in languages if (cell := entry.cell(lang, measure))}
            for measure in collection.measures
        },
    }
