"""Compare two recipes topic by topic: whether an encoder may take the place of another one (``check --encoder``).

Both recipes run on the same topics. What is compared are hits and scores, never the embeddings alone: embeddings that
differ in the last bits matter only if they change a ranking.
"""

from __future__ import annotations

from itertools import islice
from statistics import fmean
from typing import NamedTuple

from mdrbench.commands.run import failure, plan_all, run_steps
from mdrbench.core.errors import UsageError
from mdrbench.core.store import Store
from mdrbench.core.types import Run
from mdrbench.evaluation import measures
from mdrbench.formats import trec

MEASURE, DEPTH = "nDCG@10", 10
EXIT_CODE = 6


class Changed(NamedTuple):
    """A language: its topics, how many have other hits, another order or another score, and the mean scores.

    Attributes:
        hits: topics whose first 10 hits are other passages.
        order: topics whose first 10 hits are the same passages in another order.
        scores: topics with another nDCG@10.
        reference: mean nDCG@10 of the first recipe.
        other: mean nDCG@10 of the second.
        largest: the largest difference of a topic's nDCG@10.
    """

    lang: str
    topics: int
    hits: int
    order: int
    scores: int
    reference: float
    other: float
    largest: float

    @property
    def moved(self) -> float:
        """How far the mean moved, either way."""
        return abs(self.other - self.reference)


def compare(names: list[str], data: str, langs: str, split: str, store: Store, quiet: bool) -> list[Changed]:
    """Run two recipes and count the topics that change, language by language.

    Args:
        names: the reference, and the recipe that may take its place.

    Raises:
        UsageError: there are not two recipes, or one does not measure nDCG@10.
        MdrbenchError: a step failed.
    """
    if len(names) != 2:
        raise UsageError(f"--encoder was given {len(names)} times", mend="give it twice: the reference, then the other")
    plans = plan_all(names, data, langs, split, [], store, fetch=True, quiet=quiet)
    for plan in plans:
        if MEASURE not in plan.recipe.evaluation.measures:
            raise UsageError(f"'{plan.recipe.name}' does not measure {MEASURE}", mend="add it to evaluation.measures")
    steps = [step for plan in plans for step in plan.steps()]
    found = []
    with store.in_use(step.key for step in steps):
        outcome = run_steps(steps, [step for plan in plans for step in plan.targets()], store, quiet)
        if error := failure(outcome, steps):
            raise error
        for lang in plans[0].by_language:
            planned = [plan.by_language[lang] for plan in plans]
            runs = [trec.read_run(outcome.artifacts[one.run.ref].path / "run.trec.gz") for one in planned]
            tables = [outcome.artifacts[one.evaluate.ref].path / "topics.tsv.gz" for one in planned]
            scores = [measures.read_topic_scores(path)[0] for path in tables]
            found.append(_changed(lang, runs, scores))
    return found


def _changed(lang: str, runs: list[Run], scores: list[measures.TopicScores]) -> Changed:
    reference, other = ({qid: row[MEASURE] for qid, row in by_topic.items()} for by_topic in scores)
    tops = [{qid: [hit.docid for hit in islice(run.get(qid, []), DEPTH)] for qid in reference} for run in runs]
    pairs = [(tops[0][qid], tops[1][qid]) for qid in reference]
    differences = [abs(other[qid] - reference[qid]) for qid in reference]
    return Changed(
        lang=lang,
        topics=len(reference),
        hits=sum(set(a) != set(b) for a, b in pairs),
        order=sum(set(a) == set(b) and a != b for a, b in pairs),
        scores=sum(difference > 0 for difference in differences),
        reference=fmean(reference.values()),
        other=fmean(other.values()),
        largest=max(differences),
    )
