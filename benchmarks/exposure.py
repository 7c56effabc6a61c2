"""How often each sampler shows the queries of a recipe: the table of exposures, without a training.

    python benchmarks/exposure.py lab-boosted --data wiki16 --langs bn,fi,te,hi,es,ru,sw,th --steps 200

The recipe's own labeller gives the domains. If the cache lacks the steps before the training, they run first. With
``--labels-against`` the labels are compared with those of another encoder; null is the recipe's own before training:

    python benchmarks/exposure.py lab-boosted ... --labels-against training.domains.encoder=null
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mdrbench import recipe
from mdrbench.commands.run import run_steps
from mdrbench.core.members import Member
from mdrbench.core.store import Store, default_root
from mdrbench.core.types import Example
from mdrbench.data.access import open_dataset
from mdrbench.formats import groups as group_files
from mdrbench.formats import jsonl
from mdrbench.pipeline.plan import plan_recipe
from mdrbench.training import held_out
from mdrbench.training.domains import agreement
from mdrbench.training.exposure import exposure

SAMPLERS = {
    "uniform": {"name": "uniform"},
    "homogeneous": {"name": "homogeneous"},
    "homogeneous, domains proportional": {"name": "homogeneous", "domains": "proportional"},
    "homogeneous, languages proportional": {"name": "homogeneous", "languages": "proportional"},
    "diverse": {"name": "diverse"},
    "diverse, languages 0.5, 3 repeats": {"name": "diverse", "languages": 0.5, "repeats": 3},
    "diverse, languages 0, domains 0.5, 3 repeats": {
        "name": "diverse",
        "languages": 0.0,
        "domains": 0.5,
        "repeats": 3,
    },
}
COLUMNS = ("least", "median", "most", "never", "effective")


def examples_of(name: str, data: str, languages: list[str], overrides: list[str]) -> tuple[list[Example], int]:
    """Return the recipe's training examples without those held out, and its batch size."""
    loaded = recipe.load(name, overrides)
    training = loaded.training
    if training is None:
        raise SystemExit(f"'{name}' trains nothing")
    store = Store(default_root())
    plan = plan_recipe(loaded, open_dataset(data), languages, "dev", store, overrides)
    label = plan.training[0]
    outcome = run_steps(plan.steps(), [label], store, quiet=True)
    for error in outcome.failures.values():
        raise error
    rows = jsonl.records(outcome.artifacts[label.ref].path / "labels.jsonl.gz", {"lang": str, "qid": str})
    domains = {(row["lang"], row["qid"]): row["domain"] for _, row in rows}
    examples = []
    for role, ref in label.inputs.items():
        lang = role.removeprefix("groups ")
        artifact = store.find(*ref)
        assert artifact is not None, "the label step needed it"
        groups = list(group_files.read(Path(artifact.path) / "groups.jsonl.gz"))[: training.queries_per_language]
        examples += [Example(lang, one.qid, domains[lang, one.qid], one.positives) for one in groups]
    apart = held_out(((e.lang, e.qid) for e in examples), training.validation, training.seed)
    return [e for e in examples if (e.lang, e.qid) not in apart], training.batch_size


def print_agreement(examples: list[Example], others: list[Example]) -> None:
    """Print the share of equal labels and Cohen's kappa, per language and over all."""
    labels: list[dict[str, list[str]]] = [{}, {}]
    for found, side in zip(labels, (examples, others), strict=True):
        for one in side:
            found.setdefault(one.lang, []).append(one.domain)
    rows = {lang: agreement({lang: labels[0][lang]}, {lang: labels[1][lang]}) for lang in labels[0]}
    print("\n| | queries | equal | kappa |\n|---|---|---|---|")
    for lang, row in {**rows, "all": agreement(*labels)}.items():
        number = len(labels[0].get(lang, examples))
        print(f"| {lang} | {number} | {row['equal']} | {row['kappa']} |")


def main() -> None:
    """Print a Markdown table: a row for each sampler, over all languages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe")
    parser.add_argument("--data", default="wiki16")
    parser.add_argument("--langs", required=True)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--labels-against", help="an override that changes the labels")
    given = parser.parse_args()
    examples, size = examples_of(given.recipe, given.data, given.langs.split(","), given.set)
    print(f"{len(examples)} queries, {given.steps} steps of {size}\n")
    print(f"| sampler | {' | '.join(COLUMNS)} |\n|---|{'---|' * len(COLUMNS)}")
    for label, config in SAMPLERS.items():
        sampler = Member.of("samplers", config).build()
        batches: list[list[tuple[str, str]]] = []
        epoch = 0
        while len(batches) < given.steps:
            for batch in sampler.batches(examples, size, given.seed, epoch):
                batches.append([(examples[at].lang, examples[at].qid) for at in batch])
            epoch += 1
        counts = exposure(((e.lang, e.qid) for e in examples), batches[: given.steps])["all"]
        print(f"| {label} | {' | '.join(str(counts[column]) for column in COLUMNS)} |", flush=True)
    if given.labels_against:
        overrides = [*given.set, given.labels_against]
        print_agreement(examples, examples_of(given.recipe, given.data, given.langs.split(","), overrides)[0])


if __name__ == "__main__":
    main()
