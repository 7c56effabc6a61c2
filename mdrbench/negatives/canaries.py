"""Try a judge on pairs whose answer is known, before anything is encoded or paid for.

Per language some training questions, each with one of its positives and with a positive of another question, from
another article. A judge that works drops the first and keeps the second. The statistic is the share of positives that
the recipe's ``keep`` drops minus the same share of the other passages: 1 for a perfect judge, 0 for one that always
says the same. An unreadable verdict counts as wrong on both sides. Passages that people judged 0 are asked about too;
how well the judge tells them from positives is reported and decides nothing, because such labels have gaps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple

from mdrbench.core.errors import StepError
from mdrbench.core.types import Judgment, Pair, Passage, Qrels, Topics
from mdrbench.negatives.groups import Keep, positives
from mdrbench.negatives.judges import Judge

FEWEST = 20
"""Questions of a language below which the decision is taken on such languages pooled."""

KINDS = ("positives", "others", "zeros")

LOWEST, HIGHEST = float("-inf"), float("inf")


class Canary(NamedTuple):
    """The docids of one question.

    Attributes:
        positive: the positive to ask about.
        reference: another positive of the question; None if it has none.
        other: a positive of another question, from an article without a positive of this question.
        zero: a passage that people judged 0; None if there is none.
    """

    qid: str
    positive: str
    reference: str | None
    other: str
    zero: str | None

    def docids(self) -> set[str]:
        """All passages of the question."""
        return {docid for docid in self[1:] if docid is not None}


def choose(lang: str, topics: Topics, qrels: Qrels, questions: int, seed: int) -> list[Canary]:
    """Draw at most so many questions of a language. The same seed draws the same ones, in the order of the topics.

    A question is left out if no positive of another question is from another article. An article is what stands
    before ``#`` in a docid; without ``#`` any positive of another question serves that is not judged for this one.
    """
    import numpy as np

    rng = np.random.default_rng([seed, *lang.encode()])
    wanted = {qid: found for qid in topics if (found := positives(qrels.get(qid, {})))}
    pool = [docid for found in wanted.values() for docid in found]
    qids = list(wanted)
    chosen: list[Canary] = []
    for at in rng.permutation(len(qids)).tolist():
        if len(chosen) == questions:
            break
        qid = qids[at]
        judged, found = qrels[qid], wanted[qid]
        articles = {_article(docid) for docid in found}
        drawn = (pool[n] for n in rng.permutation(len(pool)).tolist())
        other = next((d for d in drawn if d not in judged and _article(d) not in articles), None)
        if other is None:
            continue
        positive = found[int(rng.integers(len(found)))]
        reference = next((docid for docid in found if docid != positive), None)
        zeros = [docid for docid, grade in judged.items() if grade == 0]
        zero = zeros[int(rng.integers(len(zeros)))] if zeros else None
        chosen.append(Canary(qid, positive, reference, other, zero))
    return sorted(chosen, key=lambda canary: qids.index(canary.qid))


def _article(docid: str) -> str:
    return docid.split("#", maxsplit=1)[0]


class Asked(NamedTuple):
    """A pair, its kind (one of :data:`KINDS`), and whether its reference is the positive that it asks about."""

    kind: str
    pair: Pair
    own_reference: bool


def pairs(
    canaries: Iterable[Canary],
    lang: str,
    topics: Topics,
    passages: Mapping[str, Passage],
    use: Literal["shown", "ignored", "needed"],
    reference: bool,
) -> list[Asked]:
    """Make the pairs. The reference is another positive; a judge that needs one gets the positive itself if need be.

    Args:
        use: what the judge does with a reference (:attr:`mdrbench.negatives.judges.Judge.reference`).
        reference: whether the recipe shows references.
    """
    asked = []
    for canary in canaries:
        shown = canary.reference if reference or use == "needed" else None
        own = shown is None and use == "needed"
        shown = canary.positive if own else shown
        by_kind = dict(zip(KINDS, (canary.positive, canary.other, canary.zero), strict=True))
        for kind, docid in by_kind.items():
            if docid is not None:
                text = None if shown is None else passages[shown]
                pair = Pair(lang, canary.qid, topics[canary.qid], passages[docid], text)
                asked.append(Asked(kind, pair, own and kind == "positives"))
    return asked


def held(judge: Judge, asked: list[Asked]) -> list[Asked]:
    """Leave out the pairs that a judge with recorded verdicts does not hold; other judges are asked about all."""
    holds: Callable[[Pair], bool] | None = getattr(judge, "holds", None)
    return asked if holds is None else [one for one in asked if holds(one.pair)]


def is_recorded(judge: Judge) -> bool:
    """Whether the judge has recorded verdicts alone, so that it can be tried only on pairs that it holds."""
    return getattr(judge, "holds", None) is not None


def measure(
    judge: Judge, asked: list[Asked], questions: int, keep: Keep, progress: Callable[[int], None]
) -> dict[str, Any]:
    """Ask the judge; return counts by kind and the statistic, as facts of a step."""
    counts: Counter[str] = Counter()
    scores: dict[str, list[float]] = {kind: [] for kind in KINDS}
    judgments = judge.judge([one.pair for one in asked], progress)
    for one, judgment in zip(asked, judgments, strict=True):
        if (judgment.qid, judgment.docid) != (one.pair.qid, one.pair.passage.docid):
            raise StepError(
                f"the judge answered for '{judgment.docid}' when asked for '{one.pair.passage.docid}'",
                mend="mend the judge: one verdict a pair, in order",
            )
        counts[f"{one.kind} n"] += 1
        counts[f"{one.kind} unreadable"] += judgment.grade is None
        counts[f"{one.kind} dropped"] += _dropped(judgment, one.kind, keep)
        counts["own_reference"] += one.own_reference
        counts["without_reference"] += one.pair.reference is None
        scores[one.kind].append(_score(judgment, one.kind))
    by_kind = {kind: {name: counts[f"{kind} {name}"] for name in ("n", "dropped", "unreadable")} for kind in KINDS}
    return {
        "questions": questions,
        "recorded": is_recorded(judge),
        **by_kind,
        "statistic": statistic([by_kind]),
        "auc_others": auc(scores["positives"], scores["others"]),
        "auc_zeros": auc(scores["positives"], scores["zeros"]),
        "own_reference": counts["own_reference"],
        "without_reference": counts["without_reference"],
    }


def _dropped(judgment: Judgment, kind: str, keep: Keep) -> bool:
    """Whether the recipe would drop the passage; unreadable counts as the wrong one of the two."""
    return kind != "positives" if judgment.grade is None else not keep(judgment)


def _score(judgment: Judgment, kind: str) -> float:
    if judgment.grade is None:
        return LOWEST if kind == "positives" else HIGHEST
    return judgment.grade if judgment.score is None else judgment.score


def statistic(languages: Iterable[Mapping[str, Any]]) -> float | None:
    """Share of positives dropped minus share of others dropped, over languages pooled; None without pairs of both."""
    rows = list(languages)
    shares: list[float] = []
    for kind in ("positives", "others"):
        n = sum(row[kind]["n"] for row in rows)
        if not n:
            return None
        shares.append(sum(row[kind]["dropped"] for row in rows) / n)
    return shares[0] - shares[1]


def auc(high: list[float], low: list[float]) -> float | None:
    """The chance that a member of ``high`` has a higher score than one of ``low``; equal ones count half."""
    if not high or not low:
        return None
    wins = sum((a > b) + 0.5 * (a == b) for a in high for b in low)
    return wins / (len(high) * len(low))


# -- the decision ------------------------------------------------------------------------------------------------------


class Outcome(NamedTuple):
    """The decision about a language.

    Attributes:
        verdict: ``passed``, ``below`` (the threshold), or ``not checked``: too few pairs to tell.
        statistic: of this language, or of the languages that are pooled.
        pooled: the languages on which the decision was taken together; empty if on this language alone.
    """

    verdict: Literal["passed", "below", "not checked"]
    statistic: float | None
    pooled: list[str]


def decide(facts: Mapping[str, Mapping[str, Any]], threshold: float) -> dict[str, Outcome]:
    """Decide on each language: alone from :data:`FEWEST` questions on, else pooled with the others that have fewer.

    A judge with recorded verdicts is decided on if it holds so many pairs of either kind, pooled if need be.
    """
    alone = {lang for lang, row in facts.items() if min(row["positives"]["n"], row["others"]["n"]) >= FEWEST}
    small = [lang for lang in facts if lang not in alone]
    outcomes = {lang: _outcome([facts[lang]], threshold, []) for lang in alone}
    if small:
        together = _outcome([facts[lang] for lang in small], threshold, small if len(small) > 1 else [])
        outcomes |= dict.fromkeys(small, together)
    return {lang: outcomes[lang] for lang in facts}


def _outcome(rows: list[Mapping[str, Any]], threshold: float, pooled: list[str]) -> Outcome:
    found = statistic(rows)
    few = any(sum(row[kind]["n"] for row in rows) < FEWEST for kind in ("positives", "others"))
    if found is None or (few and any(row["recorded"] for row in rows)):
        return Outcome("not checked", None, pooled)
    return Outcome("passed" if found >= threshold else "below", found, pooled)


def refusal(outcomes: Mapping[str, Outcome], threshold: float) -> StepError | None:
    """The error that stops a run, naming the languages; None if no language is below the threshold."""
    below = [lang for lang, outcome in outcomes.items() if outcome.verdict == "below"]
    if not below:
        return None
    listed = ", ".join(
        f"{lang} {outcomes[lang].statistic:.2f}{' (pooled)' if outcomes[lang].pooled else ''}" for lang in below
    )
    return StepError(
        f"the judge does not tell positives from passages of other articles: {listed}; at least {threshold:g} is asked",
        where="negatives.judge",
        mend="use another judge or other cutoffs; `mdrbench agreement` measures it; negatives.canaries.below=continue "
        "goes on and records it",
    )
