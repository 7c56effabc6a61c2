"""Contradictions between the figures of one encoder on the full corpus and on a pool of hard negatives.

A pool is a part of the corpus that keeps every judged passage. A passage that is left out can only move relevant
passages up, so the same encoder scores at least as much on the pool, and only a little more. Of two figures that
contradict each other the lower one is the suspect: a run that goes wrong loses relevant passages and finds no others.
"""

from __future__ import annotations

from collections.abc import Iterator

from mdrbench.core.languages import ALL, SURPRISE
from mdrbench.results.audit.findings import Figure, Finding, Kind, three
from mdrbench.results.audit.rows import ENCODERS, MAIN, PublishedRow

FALL = 0.01
"""A pool's figure may lie this far below the full corpus's: ties and rounding of vectors move single topics."""

RISE = 0.12
"""A pool's figure may lie this far above the full corpus's; apart from six figures, none rises by more."""

CHANGE = 0.05
"""Two runs on one pool may differ by this much, with mteb's version and the instruction."""

POOL_TOPICS = 1000
"""Dev topics of a pool in the languages of :data:`FULL_TOPICS`; in all others a pool has every dev topic."""

FULL_TOPICS = {"ar": 2896, "fi": 1271, "ru": 1252}
"""Dev topics of MIRACL in the languages whose pool has fewer topics."""


def pool_findings(rows: list[PublishedRow]) -> Iterator[Finding]:
    """Compare every full-corpus figure with the pools' figures of the same encoder, and the two pools."""
    carried: dict[tuple[str, str | None], list[PublishedRow]] = {}
    for row in rows:
        if row.source == "mteb":
            carried.setdefault((row.system, row.revision), []).append(row)
    for same in carried.values():
        pools = [row for row in same if row.is_pool]
        for full in (row for row in same if not row.is_pool):
            for pool in pools:
                yield from _against_pool(full, pool, "error")
        yield from _between_pools(pools)
    yield from _other_sources(rows)


def _other_sources(rows: list[PublishedRow]) -> Iterator[Finding]:
    """Full-corpus figures of other sources against mteb's pools of the same encoder."""
    pools = [row for row in rows if row.is_pool and row.encoder in ENCODERS]
    for full in rows:
        if full.source != "mteb" and not full.is_pool and full.split == "dev":
            for pool in (row for row in pools if row.encoder == full.encoder):
                yield from _against_pool(full, pool, "disagreement")


def _against_pool(full: PublishedRow, pool: PublishedRow, kind: Kind) -> Iterator[Finding]:
    for lang in _shared(full, pool):
        reason = _contradiction(lang, full.main[lang], pool.main[lang])
        if reason:
            rule, text = reason
            yield Finding(
                rule=rule if kind == "error" else "pool-against-source",
                kind=kind,
                system=full.system if kind == "error" else full.encoder,
                collection=full.collection if kind == "error" else f"{full.collection}, {pool.collection}",
                measure=MAIN,
                reason=text
                + (_instruction(pool) if kind == "error" else "; the settings of the two sources may differ"),
                figures=(Figure(full.main[lang], full.origin), Figure(pool.main[lang], pool.origin)),
                languages=(lang,),
                rows=(full.id, pool.id),
                suspects=((full if full.main[lang] < pool.main[lang] else pool).id,) if kind == "error" else (),
            )


def _instruction(pool: PublishedRow) -> str:
    """Name the instruction as a possible cause, for models that take one and the pool that has another one."""
    takes = pool.corpus_variant == "hard-negatives-v2" and pool.facts is not None and pool.facts.instructions
    return "; the pool v2 has another instruction, which may be a cause" if takes else ""


def _contradiction(lang: str, full: float, pool: float) -> tuple[str, str] | None:
    """Say which rule a pair of figures breaks, and why."""
    if pool - full > RISE:
        return "pool-above-full", f"the pool's figure is {three(pool - full)} higher; a pool adds a few hundredths"
    if lang not in FULL_TOPICS:
        if full - pool <= FALL:
            return None
        return "pool-below-full", f"the pool is a part of the corpus, but its figure is {three(full - pool)} lower"
    most = (POOL_TOPICS * pool + FULL_TOPICS[lang] - POOL_TOPICS) / FULL_TOPICS[lang]
    if full - most <= FALL:
        return None
    return "pool-below-full", (
        f"the pool has {POOL_TOPICS} of {FULL_TOPICS[lang]} topics; even if all others score 1, "
        f"the full corpus reaches at most {three(most)}"
    )


def _between_pools(pools: list[PublishedRow]) -> Iterator[Finding]:
    """Figures that changed with mteb: v1 and v2 have the same passages and topics."""
    if len(pools) != 2:
        return
    before, after = sorted(pools, key=lambda row: row.version)
    for lang in _shared(before, after):
        difference = after.main[lang] - before.main[lang]
        if abs(difference) <= CHANGE:
            continue
        fell = difference < 0
        moved = f"{'lower' if fell else 'higher'} by {three(abs(difference))}"
        yield Finding(
            rule="fell-with-mteb" if fell else "rose-with-mteb",
            kind="error" if fell else "disagreement",
            system=before.system,
            collection=f"{before.collection}, {after.collection}",
            measure=MAIN,
            reason=f"same revision, passages and topics, but {moved} with {after.software} than with {before.software}"
            + ("" if fell else "; v2 has another instruction, which may explain it"),
            figures=(Figure(before.main[lang], before.origin), Figure(after.main[lang], after.origin)),
            languages=(lang,),
            rows=(before.id, after.id),
            suspects=(after.id,) if fell else (),
        )


def _shared(a: PublishedRow, b: PublishedRow) -> list[str]:
    return [lang for lang in (*ALL, *SURPRISE) if lang in a.main and lang in b.main]
