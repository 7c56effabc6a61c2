"""What readers of a whole collection must know: data revisions, ties, pools, training data, languages of a model."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean

from mdrbench.core.languages import ALL
from mdrbench.results.audit.findings import Figure, Finding, three
from mdrbench.results.audit.rows import MAIN, PublishedRow

TIES_CHANGED = (2, 18, 19)
"""The first version of mteb whose MRR orders equal scores as the other measures do."""


def findings(rows: list[PublishedRow]) -> Iterator[Finding]:
    """Describe every collection of mteb's, and mark its rows."""
    collections: dict[str, list[PublishedRow]] = {}
    for row in rows:
        if row.source == "mteb":
            collections.setdefault(row.collection, []).append(row)
    for name, members in collections.items():
        yield from _revisions(name, members)
        yield from _ties(name, members)
        yield from _training(name, members)
        yield from _pool(name, members)
        yield from _reprints(name, members)
        yield from (finding for row in members for finding in _languages(row))


def _group(rule: str, name: str, of: int, members: list[PublishedRow], measure: str, reason: str) -> Finding:
    return Finding(
        rule=rule,
        kind="not comparable",
        system=f"{len(members)} of {of} results",
        collection=name,
        measure=measure,
        reason=reason,
        rows=tuple(row.id for row in members),
    )


def _revisions(name: str, rows: list[PublishedRow]) -> Iterator[Finding]:
    """Rows whose data revision is not the one that mteb pins today, which is the newest one among the rows."""
    newest = max(rows, key=lambda row: row.version).data_revision or ""
    for revision in sorted({row.data_revision or "" for row in rows} - {newest}):
        moving = "a name that moves, so the data are unknown" if revision == "main" else "another commit"
        yield _group(
            "other-data-revision",
            name,
            len(rows),
            [row for row in rows if row.data_revision == revision],
            "all",
            f"data revision {revision[:12]} is {moving}; newer results use {newest[:12]}",
        )


def _ties(name: str, rows: list[PublishedRow]) -> Iterator[Finding]:
    older = [row for row in rows if row.version < TIES_CHANGED and "MRR@10" in row.scores]
    if older:
        version = ".".join(map(str, TIES_CHANGED))
        reason = f"mteb before {version} broke ties of MRR@10 by another rule than trec_eval"
        yield _group("mrr-ties", name, len(rows), older, "MRR@10", reason)


def _training(name: str, rows: list[PublishedRow]) -> Iterator[Finding]:
    states: dict[str, list[PublishedRow]] = {"trained": [], "declared not": [], "unknown": []}
    for row in rows:
        states[row.facts.miracl if row.facts else "unknown"].append(row)
    reasons = {
        "trained": "trained on MIRACL: not zero-shot; do not rank them with zero-shot results without saying so",
        "unknown": "no list of training data: never show them as zero-shot",
    }
    for state, reason in reasons.items():
        if states[state]:
            rule = "trained-on-miracl" if state == "trained" else "training-unknown"
            yield _group(rule, name, len(rows), states[state], "all", reason)


def _pool(name: str, rows: list[PublishedRow]) -> Iterator[Finding]:
    if rows[0].is_pool:
        reason = "a pool of hard negatives is easier than the full corpus; ar, fi and ru have 1,000 topics"
        yield _group("pool-not-full", name, len(rows), rows, "all", reason)


def _reprints(name: str, rows: list[PublishedRow]) -> Iterator[Finding]:
    """Two models with the same figures in every measure and language: one system under two names."""
    same: dict[str, list[PublishedRow]] = {}
    for row in rows:
        if max(row.main.values(), default=0.0) > 0.05:
            same.setdefault(repr(sorted((m, sorted(cells.items())) for m, cells in row.scores.items())), []).append(row)
    for twins in same.values():
        if len(twins) > 1:
            names = sorted(row.system for row in twins)
            yield Finding(
                rule="same-figures",
                kind="note",
                system=" = ".join(names),
                collection=name,
                measure="all",
                reason=f"the same figures ({', '.join(twins[0].main)}): one system under {len(twins)} names",
                rows=tuple(row.id for row in twins),
            )


def _languages(row: PublishedRow) -> Iterator[Finding]:
    """Languages in the file that the model's own list does not have."""
    foreign = [lang for lang in row.main if row.facts and row.facts.built_for(lang) is False]
    if not foreign:
        return
    benchmark = [row.main[lang] for lang in ALL if lang in row.main]
    count = len(row.facts.languages or ()) if row.facts else 0
    yield Finding(
        rule="not-built-for-language",
        kind="note",
        system=row.system,
        collection=row.collection,
        measure=MAIN,
        reason=f"the model's own list has {count} language{'s' * (count != 1)}, without these "
        f"{len(foreign)}; a low score here is no error"
        + (f" (average {three(fmean(benchmark))})" if benchmark else ""),
        figures=tuple(Figure(row.main[lang], f"{lang}, {row.origin}") for lang in foreign),
        languages=tuple(foreign),
        rows=(row.id,),
    )
