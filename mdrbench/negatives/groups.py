"""Make the hard negatives of one language: mined candidates, a judge's selection, and top-up by generation.

Everything goes by docid. A positive of a query, and a passage with the text of one, is never a candidate, whatever the
strategy. Each function returns the groups and counts of all that was taken out or is missing: nothing is padded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from mdrbench.core.console import say
from mdrbench.core.errors import StepError
from mdrbench.core.texts import text_digest
from mdrbench.core.types import (
    Generation,
    Hit,
    Judgment,
    Negative,
    Pair,
    Passage,
    Qrels,
    Run,
    Scores,
    Source,
    Topics,
    TrainingGroup,
)
from mdrbench.negatives.judges import Judge
from mdrbench.negatives.mining import Miner

Verdicts = dict[str, dict[str, Judgment]]
"""qid -> docid -> judgment."""


class Texts(NamedTuple):
    """Digests of the texts of candidates and positives by docid: equal texts have equal digests."""

    digests: Mapping[str, bytes]

    @classmethod
    def of(cls, wanted: set[str], corpus: Iterable[Passage]) -> Texts:
        """One pass over the corpus."""
        return cls({passage.docid: text_digest(passage.text) for passage in corpus if passage.docid in wanted})

    def twins(self, positives: tuple[str, ...]) -> set[bytes]:
        """The digests that a negative must not have."""
        return {self.digests[docid] for docid in positives}


def positives(judged: Mapping[str, int]) -> tuple[str, ...]:
    """The positives of a query in the order of the qrels."""
    return tuple(docid for docid, grade in judged.items() if grade > 0)


def docids_to_compare(run: Run, qrels: Qrels, depth: int) -> set[str]:
    """The passages whose texts :func:`mine` compares."""
    found = {hit.docid for hits in run.values() for hit in hits[:depth]}
    return found | {docid for judged in qrels.values() for docid in positives(judged)}


def mine(
    miner: Miner,
    topics: Topics,
    qrels: Qrels,
    run: Run,
    texts: Texts,
    *,
    scores: Scores,
    judged_zeros: bool,
    size: int | None,
) -> tuple[list[TrainingGroup], dict[str, int]]:
    """Choose negatives for every topic with a positive.

    Args:
        miner: a member of :mod:`mdrbench.negatives.mining`.
        scores: of positives, by the retriever whose ranking is mined; empty if the miner needs none.
        judged_zeros: whether passages judged 0 may be chosen.
        size: negatives kept of each query, best first; None: all that the miner chose.

    Returns:
        Groups in the order of the topics; counts (``docs/negatives.md`` says what each means).
    """
    counts: Counter[str] = Counter()
    groups = []
    for qid in topics:
        judged = qrels.get(qid, {})
        wanted = positives(judged)
        if not wanted:
            counts["queries_without_positive"] += 1
            continue
        hits = run.get(qid, [])[: miner.depth]
        candidates = _eligible(hits, judged, texts, judged_zeros, counts)
        chosen = miner.select(candidates, _reference(miner.reference, scores.get(qid, {})))
        counts["dropped_by_rule"] += len(candidates) - len(chosen)
        chosen = chosen[:size]
        groups.append(TrainingGroup(qid, wanted, tuple(Negative(d, s, "mined", d in judged, None) for d, s in chosen)))
        counts["retrieved"] += len(hits)
        counts["judged_zeros_known"] += len(judged) - len(wanted)
    return groups, {**_described(groups, size or miner.keep), **counts}


def _eligible(
    hits: list[Hit], judged: Mapping[str, int], texts: Texts, judged_zeros: bool, counts: Counter[str]
) -> list[Hit]:
    """Return the hits that may become negatives; count the others by reason."""
    if not hits:
        return []
    twins = texts.twins(positives(judged))
    kept = []
    for hit in hits:
        if judged.get(hit.docid, 0) > 0:
            counts["positives_taken_out"] += 1
        elif texts.digests[hit.docid] in twins:
            counts["twins_of_positives_taken_out"] += 1
        elif hit.docid in judged and not judged_zeros:
            counts["judged_zeros_taken_out"] += 1
        else:
            kept.append(hit)
    return kept


def _reference(which: str | None, scores: Mapping[str, float]) -> float | None:
    if which is None:
        return None
    return (max if which == "best" else min)(scores.values())


def _described(groups: list[TrainingGroup], size: int | None) -> dict[str, int]:
    """Counts of a set of groups; ``short`` and ``missing`` where ``size`` negatives are wanted of each."""
    counts = {
        "queries": len(groups),
        "negatives": sum(len(group.negatives) for group in groups),
        "judged_zeros": sum(negative.judged for group in groups for negative in group.negatives),
    }
    if size is not None:
        lacking = [size - len(group.negatives) for group in groups if len(group.negatives) < size]
        counts |= {"short": len(lacking), "missing": sum(lacking)}
    return counts


class Keep(NamedTuple):
    """Which candidates stay after judging: the recipe's ``keep`` and ``unreadable``."""

    grades: str
    unreadable: str

    def __call__(self, judgment: Judgment) -> bool:
        if judgment.grade is None:
            return self.unreadable == "keep"
        return judgment.grade == 0 if self.grades == "irrelevant" else judgment.grade < 2


class Trend:
    """Warn once if the first verdicts of a judge do not look like judging."""

    FIRST = 200

    def __init__(self, lang: str):
        self.lang = lang
        self.counts: Counter[str] = Counter()

    def add(self, judgment: Judgment, stays: bool) -> None:
        """Count a verdict; after the first 200 say so if none is above 0, or if most candidates are dropped."""
        self.counts.update(verdicts=1, relevant=int(bool(judgment.grade)), dropped=int(not stays))
        if self.counts["verdicts"] != self.FIRST:
            return
        if not self.counts["relevant"]:
            say(f"{self.lang}: none of the first {self.FIRST} verdicts is above 0; does the judge work?")
        elif 2 * self.counts["dropped"] > self.FIRST:
            dropped = f"{self.counts['dropped']} of the first {self.FIRST} candidates"
            say(f"{self.lang}: the judge drops {dropped}; does it work?")


class Judging(NamedTuple):
    """A judge with all that its questions are made of.

    Attributes:
        judge: a member of :mod:`mdrbench.negatives.judges`; None if all candidates stay.
        passages: texts of all candidates, and of the positives where ``reference``.
        reference: whether the first positive is shown to the judge.
        trend: watches the verdicts of several calls of :meth:`ask`; None: each call is watched by itself.
    """

    judge: Judge | None
    lang: str
    topics: Topics
    passages: Mapping[str, Passage]
    reference: bool
    keep: Keep
    trend: Trend | None = None

    def pairs(self, wanted: Mapping[str, tuple[TrainingGroup, list[str]]]) -> list[Pair]:
        """The questions about the listed docids of each query's group."""
        return [
            Pair(
                self.lang,
                qid,
                self.topics[qid],
                self.passages[docid],
                self.passages[group.positives[0]] if self.reference else None,
            )
            for qid, (group, docids) in wanted.items()
            for docid in docids
        ]

    def ask(self, wanted: Mapping[str, tuple[TrainingGroup, list[str]]], progress: Callable[[int], None]) -> Verdicts:
        """Verdicts on the listed docids of each query's group."""
        pairs = self.pairs(wanted)
        verdicts: Verdicts = {}
        if self.judge is None:
            raise ValueError("no judge was given")
        trend = self.trend or Trend(self.lang)
        for pair, judgment in zip(pairs, self.judge.judge(pairs, progress), strict=True):
            if (judgment.qid, judgment.docid) != (pair.qid, pair.passage.docid):
                raise StepError(
                    f"the judge answered for '{judgment.docid}' when asked for '{pair.passage.docid}'",
                    mend="mend the judge: one verdict a pair, in order",
                )
            verdicts.setdefault(judgment.qid, {})[judgment.docid] = judgment
            trend.add(judgment, self.keep(judgment))
        return verdicts


def everything(groups: list[TrainingGroup]) -> dict[str, tuple[TrainingGroup, list[str]]]:
    """All negatives of all groups, in the shape that :meth:`Judging.ask` takes."""
    return {group.qid: (group, [negative.docid for negative in group.negatives]) for group in groups}


def select(
    groups: list[TrainingGroup], verdicts: Verdicts, keep: Keep, size: int | None, *, relabel: bool = False
) -> tuple[list[TrainingGroup], dict[str, Any]]:
    """Take out the negatives that a judge does not let stay, by its verdicts on all of them.

    Args:
        relabel: whether those of grade 2 that the qrels do not judge become positives, behind the known ones.

    Returns:
        Groups, and counts: ``candidates``, ``eliminated`` and its ``eliminated_share``, ``grades`` of all verdicts,
        ``unreadable``; with ``relabel`` also ``relabelled``.
    """
    kept = []
    relabelled = 0
    for group in groups:
        graded = [(n, verdicts[group.qid][n.docid]) for n in group.negatives]
        stay = [n._replace(grade=verdict.grade) for n, verdict in graded if keep(verdict)]
        more = [n.docid for n, verdict in graded if relabel and verdict.grade == 2 and not n.judged]
        relabelled += len(more)
        kept.append(group._replace(positives=(*group.positives, *more), negatives=tuple(stay)))
    grades = Counter(str(verdict.grade) for by_docid in verdicts.values() for verdict in by_docid.values())
    candidates = sum(len(group.negatives) for group in groups)
    eliminated = candidates - sum(len(group.negatives) for group in kept)
    kept = [group._replace(negatives=group.negatives[:size]) for group in kept]
    counts = {
        **_described(kept, size),
        "candidates": candidates,
        "eliminated": eliminated,
        "eliminated_share": eliminated / candidates if candidates else 0.0,
        "grades": {grade: n for grade, n in sorted(grades.items()) if grade != "None"},
        "unreadable": grades["None"],
        **({"relabelled": relabelled} if relabel else {}),
    }
    return kept, counts


def as_many(groups: list[TrainingGroup], counts: Mapping[str, int]) -> tuple[list[TrainingGroup], dict[str, int]]:
    """Cut each group to as many of its first negatives as ``counts`` says.

    Returns:
        Groups; counts, with ``lacking``: negatives that were to be taken and that a group does not have.
    """
    cut = [group._replace(negatives=group.negatives[: counts[group.qid]]) for group in groups]
    lacking = sum(counts[group.qid] - len(group.negatives) for group in cut)
    return cut, {**_described(cut, None), "lacking": lacking}


def short(groups: list[TrainingGroup], size: int) -> list[TrainingGroup]:
    """The groups with fewer than ``size`` negatives."""
    return [group for group in groups if len(group.negatives) < size]


def sources(groups: list[TrainingGroup], lang: str, topics: Topics, passages: Mapping[str, Passage]) -> list[Source]:
    """What new queries are generated from: each group's query and first positive."""
    return [Source(lang, group.qid, topics[group.qid], passages[group.positives[0]]) for group in groups]


def generated_topics(generations: Iterable[Generation]) -> Topics:
    """The generated queries under the qids of the queries that they stand in for; unreadable ones are left out."""
    return {one.qid: one.query for one in generations if one.query}


def round_trip(run: Run, positives: Mapping[str, str], k: int) -> tuple[Run, dict[str, Any]]:
    """Keep the rankings of generated queries that find the passage they were written from among their first ``k`` hits.

    The consistency filter of Promptagator (Dai et al. 2023) and InPars-v2.

    Args:
        run: the rankings of the generated queries.
        positives: qid -> the passage that the query was generated from.

    Returns:
        The rankings that are kept; counts: ``round_trip`` with ``k``, ``queries`` and how many ``failed``.
    """
    kept = {qid: hits for qid, hits in run.items() if positives[qid] in {hit.docid for hit in hits[:k]}}
    return kept, {"round_trip": {"k": k, "queries": len(run), "failed": len(run) - len(kept)}}


def top_up(
    groups: list[TrainingGroup],
    run: Run,
    qrels: Qrels,
    texts: Texts,
    verdicts: Verdicts,
    judging: Judging,
    *,
    judged_zeros: bool,
    size: int,
    progress: Callable[[int, int], None],
) -> tuple[list[TrainingGroup], Verdicts, dict[str, Any]]:
    """Fill groups up to ``size`` from the rankings of generated queries; ask the judge about new candidates.

    In rounds: each short group takes as many of its best-ranked remaining candidates as it lacks, the judge vetoes
    some, until no group lacks negatives or no candidates are left. Pairs judged before are not judged again.

    Args:
        progress: called with the pairs that were judged, and those of all rounds so far.

    Returns:
        Groups (cut to ``size``), the new verdicts, and counts: ``generated`` (negatives added), ``vetoed``.
    """
    counts: Counter[str] = Counter()
    chosen = {group.qid: list(group.negatives[:size]) for group in groups}
    waiting = {
        group.qid: _new_candidates(group, run.get(group.qid, []), qrels, texts, verdicts, judged_zeros)
        for group in groups
    }
    by_qid = {group.qid: group for group in groups}
    asked: Verdicts = {}
    while taken := {q: part for q, hits in waiting.items() if (part := _take(hits, size - len(chosen[q])))}:
        found: Verdicts = {}
        if judging.judge is not None:
            done = sum(map(len, asked.values()))
            wanted = {qid: (by_qid[qid], [hit.docid for hit in hits]) for qid, hits in taken.items()}
            total = done + sum(map(len, taken.values()))
            found = judging.ask(wanted, _shifted(progress, done, total))
        for qid, hits in taken.items():
            asked.setdefault(qid, {}).update(found.get(qid, {}))
            for docid, score in hits:
                verdict = found.get(qid, {}).get(docid)
                if verdict is None or judging.keep(verdict):
                    grade = verdict.grade if verdict else None
                    chosen[qid].append(Negative(docid, score, "generated", docid in qrels[qid], grade))
                    counts["generated"] += 1
                else:
                    counts["vetoed"] += 1
    full = [group._replace(negatives=tuple(chosen[group.qid])) for group in groups]
    return full, asked, {**_described(full, size), "generated": counts["generated"], "vetoed": counts["vetoed"]}


def _shifted(progress: Callable[[int, int], None], before: int, total: int) -> Callable[[int], None]:
    """Count on from the pairs of earlier rounds."""
    return lambda done: progress(before + done, total)


def _new_candidates(
    group: TrainingGroup, hits: list[Hit], qrels: Qrels, texts: Texts, verdicts: Verdicts, judged_zeros: bool
) -> Iterator[Hit]:
    known = {negative.docid for negative in group.negatives} | set(verdicts.get(group.qid, {}))
    fresh = [hit for hit in hits if hit.docid not in known]
    return iter(_eligible(fresh, qrels[group.qid], texts, judged_zeros, Counter()))


def _take(hits: Iterator[Hit], count: int) -> list[Hit]:
    return list(islice(hits, max(count, 0)))
