"""Two systems of a collection, compared as ``mdrbench compare`` does: which pairs get a page, and their numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import combinations
from pathlib import Path
from typing import Any

from mdrbench import results
from mdrbench.core.errors import DataError
from mdrbench.core.store import key_of
from mdrbench.evaluation import measures
from mdrbench.evaluation.statistics import PROTOCOL, Interval, PairedTest
from mdrbench.results import comparison
from mdrbench.results.comparison import LanguageComparison, Moved
from mdrbench.site.engine.memo import Memo
from mdrbench.site.engine.parallel import Job
from mdrbench.site.model.board import Collection, Entry
from mdrbench.site.model.scores import Scored, ScoreReader

FORMAT = 2

SEED = PROTOCOL.seed
"""Of the randomisation test and the bootstrap, as in ``mdrbench compare``."""

RESAMPLES = PROTOCOL.flips
"""Random sign flips of the randomisation test, as in ``mdrbench compare``."""

ALL_PAIRS_OF = 8
"""Up to so many measured systems every pair has a page of its own."""

MOST_PAIRS = 24
"""Pages of pairs in a collection; the page for any two compares the others in the browser."""

AT_ONCE = 12
"""Pairs whose bootstraps share their draws."""

ALPHA = PROTOCOL.level

Compared = tuple[Entry, Entry, dict[str, tuple[Scored, Scored]]]
"""Two systems and the topic-level scores of both by language."""


@dataclass(frozen=True, eq=False)
class Pair:
    """Two measured systems on the languages that both have.

    Attributes:
        languages: paired tests on ``measure``, Holm-corrected over the languages.
        average: mean over languages of A - B, with its interval.
        macro: for every measure that both have: mean over the languages of A and of B, and the average difference.
        topics: the topic-level scores of both.
    """

    collection: Collection
    a: Entry
    b: Entry
    measure: str
    languages: list[LanguageComparison]
    average: Interval
    average_label: str
    macro: dict[str, tuple[float, float, Interval]]
    only_in_one: list[str]
    topics: dict[str, tuple[Scored, Scored]]

    @property
    def path(self) -> str:
        return address(self.collection, self.a, self.b)

    def real(self, sign: int) -> int:
        """In how many languages A (``sign`` 1) or B (-1) is significantly better."""
        return sum(row.p_randomisation_holm < ALPHA and row.test.difference * sign > 0 for row in self.languages)

    def moved(self, most: int, per_language: int = 0) -> list[Moved]:
        """Topics whose score differs, the largest difference first: so many of all languages together, and of each
        language at least so many."""
        found = []
        for code, (one, other) in self.topics.items():
            x, y = one.of(self.measure).tolist(), other.of(self.measure).tolist()
            found += [(-abs(a - b), code, qid, a, b) for qid, a, b in zip(one.qids, x, y, strict=True) if a != b]
        chosen: dict[str, list[str]] = {code: [] for code in self.topics}
        shown = []
        for rank, (_, code, qid, a, b) in enumerate(sorted(found)):
            if rank < most or len(chosen[code]) < per_language:
                chosen[code].append(qid)
                shown.append((code, qid, a, b))
        queries = {code: self.topics[code][0].queries(qids) for code, qids in chosen.items() if qids}
        return [Moved(code, qid, queries[code][qid], a, b) for code, qid, a, b in shown]


def first_measure(collection: Collection) -> str:
    """The measure that ranks: nDCG@10 where the collection has it."""
    return measures.DEFAULT[0] if measures.DEFAULT[0] in collection.measures else collection.measures[0]


def address(collection: Collection, a: Entry, b: Entry) -> str:
    """The page of a pair, whichever of the two is named first."""
    return f"{collection.folder}compare/{'--'.join(sorted((a.slug, b.slug)))}.html"


@lru_cache(maxsize=1)  # those who make a collection's pages ask one after another
def chosen(collection: Collection) -> list[tuple[Entry, Entry]]:
    """The pairs that get a page: all of few systems; of many, each with its parent, with the best and with BM25.

    Of more than :data:`MOST_PAIRS` such pairs those of the better systems are chosen.
    """
    by_slug = {entry.slug: entry for entry in sorted(collection.measured, key=lambda entry: entry.slug)}
    if len(by_slug) <= ALL_PAIRS_OF:
        return list(combinations(by_slug.values(), 2))
    measure = first_measure(collection)
    ranked = sorted(by_slug.values(), key=lambda entry: _standing(entry, measure), reverse=True)
    named: dict[str, list[Entry]] = {}
    for entry in ranked:
        if not entry.result.system.overrides:
            named.setdefault(entry.result.system.name, []).append(entry)
    found: dict[tuple[str, str], None] = {}
    for partners in (
        lambda entry: [other for name in _parents(entry) for other in named.get(name, [])],
        lambda _: ranked[:1],
        lambda _: named.get("bm25", []),
    ):
        for entry in ranked:
            for other in partners(entry):
                if other is not entry:
                    found[min(entry.slug, other.slug), max(entry.slug, other.slug)] = None
    return [(by_slug[one], by_slug[other]) for one, other in sorted(list(found)[:MOST_PAIRS])]


def _parents(entry: Entry) -> list[str]:
    """The names of what a system is a variant or an extension of."""
    names = [entry.result.system.variant_of, (entry.result.system.recipe or {}).get("extends")]
    return list(dict.fromkeys(name for name in names if isinstance(name, str)))


def _standing(entry: Entry, measure: str) -> tuple[int, float, str]:
    average = entry.average(measure)
    return (len(average[0].languages), average[1].value, entry.slug) if average else (0, 0.0, entry.slug)


def compared(collection: Collection, reader: ScoreReader, cache: Path) -> list[Pair]:
    """The comparisons of the :func:`chosen` pairs, without those that are not alike or lack topic-level scores.

    Raises:
        DataError: a file kept beside a result is not the one that was recorded.
    """
    asked, measure = _asked(collection, reader), first_measure(collection)
    known = _memo(collection, cache).get(
        (key for key, _ in asked),
        lambda missing: {k: v for job in _jobs(dict(asked), missing, measure) for k, v in job().items()},
    )
    return [_pair(collection, *one, measure, known[key]) for key, one in asked]


def tests(collection: Collection, reader: ScoreReader, cache: Path) -> list[Job]:
    """What :func:`compared` has to compute, to be done over the cores before.

    Raises:
        DataError: as there.
    """
    asked, memo = dict(_asked(collection, reader)), _memo(collection, cache)
    return [Job(job, memo.add) for job in _jobs(asked, memo.missing(asked), first_measure(collection))]


def _asked(collection: Collection, reader: ScoreReader) -> list[tuple[str, Compared]]:
    """The chosen pairs that can be compared, each with a hash of all that its tests depend on."""
    measure = first_measure(collection)
    found = [(a, b, topics) for a, b in chosen(collection) if (topics := _topics(a, b, measure, reader))]
    return [(_key(a, b, list(topics)), (a, b, topics)) for a, b, topics in found]


def _memo(collection: Collection, cache: Path) -> Memo:
    source = [FORMAT, SEED, RESAMPLES, first_measure(collection), collection.name, collection.split]
    return Memo(cache, "pairs", source)


def _jobs(asked: dict[str, Compared], missing: list[str], measure: str) -> list[Callable[[], dict[str, Any]]]:
    """What computes the tests of those pairs that are missing, by key."""

    def job(keys: list[str]) -> dict[str, Any]:
        return dict(zip(keys, _tests([asked[key] for key in keys], measure), strict=True))

    return [partial(job, keys) for keys in _together({key: asked[key] for key in missing})]


def _key(a: Entry, b: Entry, langs: list[str]) -> str:
    """A hash of all that the tests of a pair depend on."""
    files = [entry.result.languages[lang].files["topics"].sha256 for entry in (a, b) for lang in langs]
    return key_of([a.result.evaluated.measures, langs, files])


def _topics(a: Entry, b: Entry, measure: str, reader: ScoreReader) -> dict[str, tuple[Scored, Scored]]:
    """Both systems' scores of each language that both have; nothing where the two cannot be compared."""
    try:
        shared = comparison.comparable(a.result, b.result, a.path, b.path, measure)
    except DataError:
        return {}
    topics = {}
    for lang in shared:
        one, other = reader.read(a, lang), reader.read(b, lang)
        if one is None or other is None or set(one.qids) != set(other.qids) or len(one.qids) < 2:
            return {}
        topics[lang] = one, aligned(other, one.qids)
    return topics


def _pair(
    collection: Collection,
    a: Entry,
    b: Entry,
    topics: dict[str, tuple[Scored, Scored]],
    measure: str,
    found: dict[str, Any],
) -> Pair:
    macro = {name: (x, y, Interval(*interval)) for name, x, y, interval in found["macro"]}
    return Pair(
        collection=collection,
        a=a,
        b=b,
        measure=measure,
        languages=[LanguageComparison(lang, PairedTest(*t), p, q) for lang, t, p, q in found["languages"]],
        average=macro[measure][2],
        average_label=results.average_label(list(topics)),
        macro=macro,
        only_in_one=sorted(set(a.result.languages) ^ set(b.result.languages)),
        topics=topics,
    )


def aligned(scored: Scored, qids: tuple[str, ...]) -> Scored:
    """The same scores with the topics in another order."""
    if scored.qids == qids:
        return scored
    rows = {qid: row for row, qid in enumerate(scored.qids)}
    return Scored(qids, scored.measures, scored.values[[rows[qid] for qid in qids]], scored.source)


def _together(asked: dict[str, Compared]) -> list[list[str]]:
    """Keys of pairs whose bootstraps can share their draws, having as many topics; up to :data:`AT_ONCE` of them."""
    alike: dict[tuple[int, ...], list[str]] = {}
    for key, (_, _, topics) in asked.items():
        alike.setdefault(tuple(len(one.qids) for one, _ in topics.values()), []).append(key)
    return [keys[start : start + AT_ONCE] for keys in alike.values() for start in range(0, len(keys), AT_ONCE)]


def _tests(asked: Sequence[Compared], measure: str) -> list[dict[str, Any]]:
    """What is slow to compute, as JSON values: the numbers of :func:`comparison.compare`, and every measure's macro."""
    names = [_shared(*one) for one in asked]
    scored = [
        [(x.of(name), y.of(name)) for x, y in topics.values()]
        for (_, _, topics), known in zip(asked, names, strict=True)
        for name in known
    ]
    intervals = iter(comparison.differences(scored, seed=SEED))
    found = []
    for (_, _, topics), known in zip(asked, names, strict=True):
        both = list(topics.values())
        first = {lang: (x.of(measure), y.of(measure)) for lang, (x, y) in topics.items()}
        macro = []
        for name in known:
            mean_a, mean_b = (sum(float(pair[i].of(name).mean()) for pair in both) / len(both) for i in (0, 1))
            macro.append([name, mean_a, mean_b, list(next(intervals))])
        rows = comparison.paired_tests(first, seed=SEED, resamples=RESAMPLES)
        tests = [[row.lang, list(row.test), row.p_t_holm, row.p_randomisation_holm] for row in rows]
        found.append({"languages": tests, "macro": macro})
    return found


def _shared(a: Entry, _b: Entry, topics: dict[str, tuple[Scored, Scored]]) -> list[str]:
    """The measures that both systems have in every language."""
    both = topics.values()
    return [m for m in a.result.evaluated.measures if all(m in x.measures and m in y.measures for x, y in both)]
