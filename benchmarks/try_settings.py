"""Choose training settings on the validation tenth: short trainings, compared on training queries that were held out.

    python benchmarks/try_settings.py lab-perc-pos --steps 40 --try plain --try kl="training.teacher=me5-small-64 \
        training.distillation={loss: kl, weight: 0.5}"

Every try is the recipe with the changes of its label, trained for a few steps with a seed of its own (100), so that the
held-out queries are not those of the seeds that are reported. Each language's first ``--queries`` held-out queries are
ranked against a pool: their judged passages and the first ``--pool`` hits of the recipe's mined ranking. No dev or test
query is read. Differences are paired by query; the interval is a bootstrap over queries, so it says nothing of seeds.
"""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np

from mdrbench import recipe
from mdrbench.commands.run import run_steps
from mdrbench.core.store import Store, default_root
from mdrbench.core.types import Hit
from mdrbench.data.access import open_dataset
from mdrbench.data.miracl_layout import MiraclFolder
from mdrbench.evaluation import measures
from mdrbench.formats import trec
from mdrbench.pipeline.plan import RecipePlan, plan_recipe
from mdrbench.training import held_out

SEED = 100
MEASURE = "nDCG@10"


def planned(
    name: str, changes: list[str], steps: int, data: MiraclFolder, langs: list[str], store: Store
) -> RecipePlan:
    """Plan a try."""
    overrides = [*changes, f"training.seed={SEED}", f"training.steps={steps}"]
    return plan_recipe(recipe.load(name, overrides), data, langs, "dev", store, overrides)


def made(plan: RecipePlan, stage: str, store: Store, lang: str | None = None) -> Path:
    """Return the folder of a stage's artifact, which is made if the cache lacks it."""
    steps = plan.training if lang is None else plan.by_language[lang].steps
    step = next(s for s in steps if s.stage == stage and s.params.get("split", "train") == "train")
    outcome = run_steps(plan.steps(), [step], store, quiet=True)
    for error in outcome.failures.values():
        raise error
    return Path(outcome.artifacts[step.ref].path)


def pools(plan: RecipePlan, store: Store, queries: int, depth: int) -> dict[str, dict[str, Any]]:
    """Return for each language the held-out queries, their qrels, and the passages that they are ranked against."""
    found: dict[str, dict[str, Any]] = {}
    assert plan.recipe.training is not None
    qrels = {lang: trec.read_qrels(plan.dataset.qrels_file(lang, "train")) for lang in plan.languages}
    with_positive = [(lang, q) for lang, all_ in qrels.items() for q, j in all_.items() if max(j.values()) > 0]
    kept = held_out(with_positive, plan.recipe.training.validation, SEED)
    for lang in plan.languages:
        topics = trec.read_topics(plan.dataset.topics_file(lang, "train"))
        chosen = {qid: text for qid, text in topics.items() if (lang, qid) in kept}
        chosen = dict(list(chosen.items())[:queries])
        run = trec.read_run(made(plan, "search", store, lang) / "run.trec.gz")
        wanted = {hit.docid for qid in chosen for hit in run[qid][:depth]}
        wanted |= {docid for qid in chosen for docid in qrels[lang][qid]}
        texts = {p.docid: p.joined(" ") for p in plan.dataset.passages(lang) if p.docid in wanted}
        found[lang] = {"topics": chosen, "qrels": {q: qrels[lang][q] for q in chosen}, "texts": texts}
    return found


def scores_of(plan: RecipePlan, store: Store, found: dict[str, dict[str, Any]]) -> dict[str, np.ndarray]:
    """Train a try; return language -> the score of each held-out query."""
    model = made(plan, "train", store) / "model"
    retriever = plan.recipe.retriever.vary(encoder={"model": str(model), "source": "local", "revision": None})
    encoder = retriever.build().encoder
    scores = {}
    for lang, pool in found.items():
        docids, qids = list(pool["texts"]), list(pool["topics"])
        passages = encoder.encode_passages(list(pool["texts"].values()), lambda done: None)
        matrix = encoder.encode_queries(list(pool["topics"].values())) @ passages.T
        best = np.argsort(-matrix, axis=1, kind="stable")[:, :100]
        run = {qid: [Hit(docids[at], float(matrix[row, at])) for at in best[row]] for row, qid in enumerate(qids)}
        by_topic = measures.score_topics(run, pool["qrels"], (MEASURE,))
        scores[lang] = np.array([by_topic[qid][MEASURE] for qid in qids])
    return scores


def difference(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> tuple[float, float, float]:
    """Return the difference of the averages over languages, and a 95% interval over queries."""
    rng = np.random.default_rng(0)
    gaps = [one[lang] - other[lang] for lang in one]
    drawn = [np.mean([gap[rng.integers(0, len(gap), len(gap))].mean() for gap in gaps]) for _ in range(2000)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(np.mean([gap.mean() for gap in gaps])), float(low), float(high)


def main() -> None:
    """Print a row for each try as soon as it is trained; differences are against the first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--data", default="wiki16")
    parser.add_argument("--langs", default="bn,fi,te,hi,es,ru,sw,th")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--queries", type=int, default=20)
    parser.add_argument("--pool", type=int, default=15)
    parser.add_argument("--try", dest="tries", action="append", required=True, help="LABEL or LABEL=CHANGES")
    parser.add_argument("--out", type=Path, help="a file that each try is appended to, as a JSON line")
    given = parser.parse_args()
    store, data, langs = Store(default_root()), open_dataset(given.data), given.langs.split(",")
    found = pools(planned(given.recipe, [], given.steps, data, langs, store), store, given.queries, given.pool)
    first: dict[str, np.ndarray] | None = None
    for item in given.tries:
        label, _, written = item.partition("=")
        changes = shlex.split(written)
        scores = scores_of(planned(given.recipe, changes, given.steps, data, langs, store), store, found)
        first = scores if first is None else first
        gap, low, high = difference(scores, first)
        mean = float(np.mean([values.mean() for values in scores.values()]))
        print(f"{label}: {MEASURE} {mean:.4f}, against the first {gap:+.4f} [{low:+.4f}, {high:+.4f}]", flush=True)
        if given.out:
            row = {"label": label, "recipe": given.recipe, "changes": changes, "steps": given.steps, "score": mean}
            row |= {"queries": sum(map(len, scores.values())), "difference": gap, "low": low, "high": high}
            with open(given.out, "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
