"""Ablations: what each flag sets, which variants are one, and what is stored of them."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.project import PROJECT
from support.results import sealed

from mdrbench import recipe, results
from mdrbench.cli import ablation as cli_ablation
from mdrbench.commands.ablation import running as running_ablation
from mdrbench.commands.ablation import variants as ablation
from mdrbench.commands.ablation.keys import parse_vary
from mdrbench.commands.ablation.parts import PARTS, STAGES, flag
from mdrbench.commands.ablation.variants import choose
from mdrbench.commands.audit.verification import verify
from mdrbench.core.errors import DataError, StepError, UsageError
from mdrbench.core.store import Store
from mdrbench.results import ablations as ablation_results
from mdrbench.results import comparison
from mdrbench.results import effects as ablation_effects

TOP_K = "negatives.mining={name: topk, k: 12, depth: 100}"
UNJUDGED = "negatives.judge={name: none}"
UNGENERATED = "negatives.generation={name: none}"
UNWEIGHTED = "training.weights.mode=none"
AS_MANY = "negatives.unjudged={judge_generated: false}"
SINGLE = 'negatives.unjudged={"mining": {"name": "topk", "k": 10, "depth": 100}}'
UNIFORM = "training.sampler={name: uniform}"


def overrides(*parts: str, name: str = "boosted-sample", given: tuple[str, ...] = ()) -> list[str]:
    [variant] = choose(name, list(given), parts).variants
    return variant.overrides


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("training", ["training=null", "negatives=null"]),
        ("hard-neg", ["negatives=null"]),
        ("judge", [AS_MANY]),
        ("paper-judge", [UNJUDGED]),
        ("generation", [UNGENERATED]),
        ("same-language", ["training.sampler.same_language=false"]),
        ("domain-balance", ["training.sampler.domains=proportional"]),
        ("weights", [UNWEIGHTED]),
        ("stage-1", [SINGLE]),
        ("paper-stage-1", [TOP_K, UNJUDGED]),
        ("stage-2", [UNGENERATED]),
        ("stage-3", [UNIFORM, UNWEIGHTED]),
    ],
)
def test_what_each_flag_sets(part, expected):
    assert overrides(part) == expected


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("ensemble", ["negatives.mining={name: topk, k: 40, depth: 40}"]),
        ("reference", ["negatives.reference=false"]),
        ("stage-1", [SINGLE.replace("10,", "40,")]),
        ("paper-stage-1", ["negatives.mining={name: topk, k: 30, depth: 100}", UNJUDGED]),
    ],
)
def test_what_flags_set_that_the_sample_has_no_use_for(part, expected):
    assert overrides(part, name="boosted") == expected


def test_the_untuned_generator_is_asked_in_the_tuned_ones_place():
    tuned = ("negatives.generation.model=mdrbench-generator-1", "negatives.generation.untuned=some/model")
    assert overrides("mift", name="boosted", given=tuned) == ["negatives.generation.model=some/model"]
    assert recipe.load("boosted", list(tuned)).digest == recipe.load("boosted", [tuned[0]]).digest


def test_a_combined_ranking_gives_way_to_a_single_one():
    lab = choose("boosted-me5-small-6l", [], ["ensemble"]).variants[0]
    assert lab.overrides == ["negatives.retriever=me5-small"]
    assert lab.recipe.negatives.retriever == recipe.load("me5-small").retriever
    own = ["negatives.retriever={name: hybrid, of: [bm25, bge-m3]}", "retriever=bge-m3"]
    assert overrides("ensemble", name="naive", given=tuple(own)) == ["negatives.retriever=null"]


def test_an_ensemble_without_one_of_its_retrievers():
    [first, second] = choose("boosted", [], ensemble_without=["me5-large", "bge-m3"]).variants
    assert [name.label for name in first.names] == ["ensemble without me5-large"]
    assert list(first.recipe.negatives.mining.settings["of"]) == ["bge-m3"]
    assert list(second.recipe.negatives.mining.settings["of"]) == ["me5-large"]
    assert first.recipe.negatives.judge == recipe.load("boosted").negatives.judge


def test_weights_of_an_ensembles_other_encoders_stay():
    given = "negatives.mining={name: ensemble, of: [me5-small, me5-large, bge-m3], weights: " + (
        "{me5-small: 1, me5-large: 2, bge-m3: 3}}"
    )
    [variant] = choose("boosted", [given], ensemble_without=["me5-large"]).variants
    assert variant.recipe.negatives.mining.settings["weights"] == {"me5-small": 1, "bge-m3": 3}


def test_of_a_fusion_of_two_the_other_one_ranks_alone():
    [dense, lexical] = choose("boosted-me5-small-6l", [], ensemble_without=["bm25", "me5-small"]).variants
    assert dense.recipe.negatives.retriever == recipe.load("me5-small").retriever
    assert lexical.recipe.negatives.retriever == recipe.load("bm25").retriever


@pytest.mark.parametrize(
    ("name", "label", "said"),
    [
        ("boosted", "bge", "The ensemble has no retriever 'bge'"),
        ("naive", "bge-m3", "'naive' mines the ranking of a single retriever"),
        ("bm25", "bm25", "'bm25' mines the ranking of a single retriever"),
    ],
)
def test_what_is_not_in_the_ensemble_cannot_be_left_out_of_it(name, label, said):
    with pytest.raises(UsageError, match=said):
        choose(name, [], ensemble_without=[label])


def test_several_flags_make_one_variant():
    assert overrides("judge", "weights", "generation") == [AS_MANY, UNGENERATED, UNWEIGHTED]
    assert overrides("hard-neg", "judge", "stage-3") == ["negatives=null", UNIFORM, UNWEIGHTED]
    assert overrides("stage-3", "same-language") == [UNIFORM, UNWEIGHTED]
    assert overrides("paper-stage-1", "ensemble", "judge", "reference", name="boosted")[1:] == [UNJUDGED]
    both = '{"judge_generated": false, "mining": {"name": "topk", "k": 10, "depth": 100}}'
    assert overrides("stage-1", "judge") == [f"negatives.unjudged={both}"]
    [variant] = choose("boosted-sample", [], ["judge", "weights"]).variants
    assert [(name.label, name.kind, name.parts) for name in variant.names] == [
        ("without the judge and weights", "part", ("judge", "weights"))
    ]


def test_overrides_reproduce_the_variant_whatever_was_set_before():
    given = ["negatives.mining.depth=8", "negatives.judge.ungraded=error", "negatives.size=6"]
    variant = choose("boosted-sample", given, ["paper-stage-1"]).variants[0]
    assert variant.overrides == [TOP_K.replace("12", "6"), UNJUDGED]
    again = recipe.load("boosted-sample", [*given, *variant.overrides])
    assert again.digest == variant.recipe.digest
    assert again.negatives.mining.settings == {"name": "topk", "k": 6, "depth": 100}
    assert again.negatives.judge.settings == {"name": "none"}


def test_all_of_the_sample_recipe():
    found = choose("boosted-sample", [], everything=True)
    assert [[(name.kind, name.label) for name in variant.names] for variant in found.variants] == [
        [("part", "without training")],
        [("part", "without hard negatives")],
        [("part", "without the judge")],
        [("part", "without generation"), ("stage", "without stage 2")],
        [("part", "without batches of one language")],
        [("part", "without balanced domains")],
        [("part", "without weights")],
        [("stage", "without stage 1")],
        [("part", "without stage 1, as the paper")],
        [("part", "without the judge, as the paper")],
        [("stage", "without stage 3"), ("cumulative", "base + stages 1, 2")],
        [("cumulative", "base: no stage")],
        [("cumulative", "base + stage 1")],
    ]
    assert [name.label for name in found.complete.names] == ["base + stages 1, 2, 3 (complete)"]
    assert found.absent == {
        "ensemble": "the ranking that it mines is from a single retriever",
        "reference": "the judge 'replay' does not look at it",
        "mift": "negatives.generation.untuned does not name the model that its generator was tuned from",
    }
    base = next(v for v in found.variants if v.label == "base: no stage")
    assert base.overrides == [SINGLE, UNGENERATED, UNIFORM, UNWEIGHTED]
    assert base.names[0].parts == ("stage-1", "stage-2", "stage-3")


@pytest.mark.parametrize(
    ("part", "given", "expected"),
    [
        ("distillation", "training.distillation.weight=0.5", "training.distillation=null"),
        ("masking", "training.mask_margin=0.1", "training.mask_margin=null"),
        ("curriculum", "training.curriculum=0.5", "training.curriculum=null"),
        ("relabelling", "negatives.relabel=relevant", "negatives.relabel=null"),
    ],
)
def test_parts_beyond_the_method_are_removed_and_not_missed(part, given, expected):
    assert overrides(part, given=(given,)) == [expected]
    assert part not in choose("boosted-sample", [], everything=True).absent


def test_every_part_has_its_flag():
    assert {flag(slug) for slug in PARTS if slug not in STAGES} == {*cli_ablation.PARTS}


@pytest.mark.parametrize("name", ["boosted", "boosted-sample", "boosted-me5-small-6l", "naive", "bm25"])
def test_nothing_that_a_recipe_lacks_is_a_variant(name):
    complete = recipe.load(name)
    for slug, part in PARTS.items():
        if part.why_absent(complete) is None:
            changed = recipe.load(name, part.overrides(complete))
            assert changed.digest != complete.digest, slug
            assert part.why_absent(changed), slug
        else:
            with pytest.raises(UsageError, match=f"has no such part: {part.why_absent(complete)}"):
                choose(name, [], [slug])


def test_a_part_that_is_not_in_the_recipe_is_an_error_that_says_what_is():
    with pytest.raises(UsageError) as error:
        choose("boosted-sample", [], ["judge", "mift"])
    assert str(error.value).startswith("--no-mift: 'boosted-sample' has no such part: negatives.generation.untuned")
    assert "--no-judge, --no-generation, --no-same-language" in error.value.mend
    with pytest.raises(UsageError, match="No variant is requested"):
        choose("boosted-sample", [])


def test_a_sweep_has_a_variant_for_each_value_and_names_the_complete_recipe_where_it_is_one():
    found = choose("boosted-sample", [], vary=["negatives.size=6,12", "temperature=0.05,2e-2"])
    assert [(v.label, v.overrides) for v in found.variants] == [
        ("negatives.size=6", ["negatives.size=6"]),
        ("training.temperature=0.05", ["training.temperature=0.05"]),
    ]
    assert [(name.key, name.value) for name in found.complete.names] == [
        ("negatives.size", "12"),
        ("training.temperature", "2e-2"),
    ]


@pytest.mark.parametrize(
    ("name", "typed", "key"),
    [
        ("boosted-sample", "negatives.size", "negatives.size"),
        ("boosted-sample", "size", "negatives.size"),
        ("boosted-sample", "mining.depth", "negatives.mining.depth"),
        ("boosted-sample", "mining.keep", "negatives.size"),
        ("naive", "mining.keep", "negatives.mining.k"),
        ("naive", "mining.k", "negatives.mining.k"),
        ("bm25", "k1", "retriever.k1"),
    ],
)
def test_short_keys_are_written_out(name, typed, key):
    resolved = recipe.load(name).model_dump(mode="json")
    assert parse_vary(f"{typed}=10,20", resolved) == (key, ["10", "20"])


def test_values_may_be_lists_and_mappings():
    resolved = recipe.load("naive").model_dump(mode="json")
    _, values = parse_vary("negatives.mining={name: topk, k: 3},{name: shifted, n: 1, k: 3}", resolved)
    assert values == ["{name: topk, k: 3}", "{name: shifted, n: 1, k: 3}"]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("depth=1,2", r"'depth' may mean negatives\.mining\.depth or search\.depth"),
        ("mining.kep=1", r"no key 'mining\.kep'"),
        ("negatives.sise=1", r"did you mean 'negatives\.size'"),
        ("size", "is not KEY=V1,V2"),
        ("size=1,,2", "is not KEY=V1,V2"),
        ("size=1,1", "names a value twice"),
    ],
)
def test_a_key_that_is_wrong_is_an_error_with_a_suggestion(typed, said):
    with pytest.raises(UsageError, match=said):
        choose("boosted-sample", [], vary=[typed])


def test_seeds_of_recipe_and_training_move_together():
    complete = choose("boosted-sample", [], ["judge"])
    assert ablation.seeded(complete.variants[0], ["search.depth=50"], 3) == [
        ["search.depth=50", AS_MANY],
        ["search.depth=50", AS_MANY, "seed=43", "training.seed=1"],
        ["search.depth=50", AS_MANY, "seed=44", "training.seed=2"],
    ]
    untrained = choose("boosted-sample", [], ["training"]).variants[0]
    assert ablation.seeded(untrained, ["search.depth=50"], 3) == [["search.depth=50", *untrained.overrides]]
    plain = choose("bm25", [], vary=["k1=1.2"])
    with pytest.raises(UsageError, match="trains nothing"):
        ablation.seeded(plain.complete, [], 2)


# -- other recipes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rival", ["naive-me5-small-6l", "naive-me5-small-6l-in-batch", "naive-me5-small-6l-perc-pos"])
def test_a_rival_is_the_other_recipe_itself(rival):
    [variant] = choose("boosted-me5-small-6l", [], rivals=[rival]).variants
    assert [(name.label, name.kind) for name in variant.names] == [(rival, "rival")]
    assert variant.recipe.digest == recipe.load(rival).digest
    assert recipe.load("boosted-me5-small-6l", variant.overrides).digest == recipe.load(rival).digest


def test_what_is_set_for_the_complete_recipe_holds_for_its_rivals():
    given = ["training.steps=7", "search.depth=50", "negatives.size=20"]
    topk, in_batch = choose(
        "boosted-me5-small-6l", given, rivals=["naive-me5-small-6l", "naive-me5-small-6l-in-batch"]
    ).variants
    assert topk.recipe.digest == recipe.load("naive-me5-small-6l", given).digest
    assert in_batch.recipe.negatives is None
    assert (in_batch.recipe.training.steps, in_batch.recipe.search.depth) == (7, 50)


def test_a_rival_is_searched_and_measured_as_the_complete_recipe_is(tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text("extends: naive-me5-small-6l\nsearch: {depth: 10}\nevaluation: {measures: [MRR@10]}\nseed: 7\n")
    [variant] = choose("boosted-me5-small-6l", [], rivals=[str(other)]).variants
    complete = recipe.load("boosted-me5-small-6l")
    assert (variant.recipe.search, variant.recipe.evaluation, variant.recipe.seed) == (
        complete.search,
        complete.evaluation,
        complete.seed,
    )


def test_a_rival_of_another_encoder_lends_its_strategy_alone():
    complete = recipe.load("boosted-mdpr")
    [variant] = choose("boosted-mdpr", [], rivals=["naive-perc-pos"]).variants
    assert variant.recipe.retriever == complete.retriever
    assert variant.recipe.negatives == recipe.load("naive-perc-pos").negatives
    assert variant.recipe.training.sampler.name == "uniform"
    assert variant.recipe.training.learning_rate == complete.training.learning_rate
    [released] = choose("boosted", [], rivals=["boosted-released"]).variants  # of the same encoder: it is itself
    assert released.recipe.digest == recipe.load("boosted-released").digest


def test_a_key_may_be_taken_from_another_recipe():
    taken = recipe.load("boosted-mdpr", ["negatives=@naive-perc-pos", "training.sampler=@naive"])
    assert taken.negatives == recipe.load("naive-perc-pos").negatives
    assert taken.training.sampler == recipe.load("naive").training.sampler
    assert taken.retriever == recipe.load("boosted-mdpr").retriever
    assert recipe.load("boosted", ["negatives=@naive-in-batch"]).negatives is None
    labels = [v.label for v in choose("boosted-mdpr", [], vary=["negatives=@naive,@naive-shifted"]).variants]
    assert labels == ["negatives=@naive", "negatives=@naive-shifted"]
    with pytest.raises(UsageError, match=r"'naive' has no negatives\.foo"):
        recipe.load("boosted", ["negatives.foo=@naive"])


def test_a_rival_that_is_a_variant_too_is_one_variant_with_both_names():
    [variant] = choose("naive-me5-small-6l", [], ["hard-neg"], rivals=["naive-me5-small-6l-in-batch"]).variants
    assert [name.label for name in variant.names] == ["without hard negatives", "naive-me5-small-6l-in-batch"]


def test_a_recipe_is_no_rival_of_itself():
    with pytest.raises(
        UsageError, match="--rival boosted-sample: It has the retriever, negatives and training of 'boosted-sample'"
    ):
        choose("boosted-sample", [], rivals=["boosted-sample"])


# -- running -----------------------------------------------------------------------------------------------------------

TINY = """
summary: the boosted method on a tiny model
retriever: {{name: dense, encoder: {{name: transformer, model: {model}, pooling: mean, normalize: true,
  query_length: 16, passage_length: 32, precision: fp32}}}}
negatives:
  mining: {{name: random, k: 6, depth: 8}}
  judge: {{name: replay, ungraded: about-something-else}}
  size: 5
training: {{steps: 3, batch_size: 4, negatives: 2, learning_rate: 0.02, domains: {{name: none}}, precision: fp32}}
evaluation: {{resamples: 200}}
"""


class Tiny:
    """Ablations of the recipe above on two languages of the sample."""

    def __init__(self, folder, model):
        self.recipe = folder / "tiny.yaml"
        self.recipe.write_text(TINY.format(model=model))
        self.store, self.results = Store(folder / "store"), folder / "results"
        self.stored = self.results / "sample" / "ablations" / "tiny.json"

    def plan(self, parts=(), *, langs="en,sw", given=(), seeds=1, **asked):
        choice = choose(str(self.recipe), list(given), parts, **asked)
        return running_ablation.plan(choice, "sample", langs, "dev", self.store, seeds=seeds)

    def ablate(self, parts=(), command="mdrbench ablate tiny", **asked):
        planned = self.plan(parts, **asked)
        return running_ablation.run(planned, self.store, self.results, command, quiet=True)

    def artifacts(self, stage: str) -> int:
        return len(list((self.store.root / "artifacts" / stage).iterdir()))


@pytest.fixture(scope="module")
def whole_ablation(tmp_path_factory, tiny_model):
    """Everything and a sweep, run once."""
    tiny = Tiny(tmp_path_factory.mktemp("tiny"), tiny_model)
    explained = running_ablation.explain(tiny.plan(everything=True, vary=["size=3,5"]), tiny.store)
    ablated, error = tiny.ablate(everything=True, vary=["size=3,5"])
    assert error is None
    assert ablated.failed == {}
    return tiny, ablated, explained


@pytest.fixture
def tiny(whole_ablation, tmp_path):
    """A copy of its results to change; the store is shared."""
    original, _, _ = whole_ablation
    copy = Tiny.__new__(Tiny)
    copy.__dict__.update(original.__dict__)
    copy.results = shutil.copytree(original.results, tmp_path / "results")
    copy.stored = copy.results / "sample" / "ablations" / "tiny.json"
    return copy


def test_steps_that_variants_share_are_made_once(whole_ablation):
    tiny, ablated, explained = whole_ablation
    made = [(step["stage"], step["key"]) for row in explained for step in row["steps"] if step["state"] == "miss"]
    kept = {p.name: tiny.artifacts(p.name) for p in (tiny.store.root / "artifacts").iterdir()}
    assert len(made) == len(set(made)), sorted(made)
    assert Counter(stage for stage, _ in made) == kept
    assert tiny.artifacts("corpus") == 2
    assert tiny.artifacts("draw") == 2
    assert tiny.artifacts("train") == len(ablated.found.variants)  # the complete one's too; one variant trains nothing
    states = {row["variant"]: {s["stage"]: s["state"] for s in row["steps"]} for row in explained}
    assert states["complete"]["judge"] == "miss"
    assert states["without weights"]["judge"] == "shared"
    assert states["without weights"]["train"] == "miss"


def test_variants_are_full_results_that_set_reproduces(whole_ablation):
    tiny, ablated, _ = whole_ablation
    assert ablated.path == tiny.stored
    for variant in ablated.found.variants:
        [run] = variant.runs
        result = results.read(tiny.results / "sample" / run.result)
        assert (result.system.variant_of, result.system.overrides) == ("tiny", variant.overrides)
        assert recipe.load(str(tiny.recipe), variant.overrides).digest == result.system.recipe_digest == run.digest
        assert list(result.languages) == ["en", "sw"]
    assert ablated.found.complete.runs[0].result == "tiny.json"
    assert len(results.files(tiny.results)) == len(ablated.found.variants) + 1


def test_differences_are_those_of_compare(whole_ablation):
    tiny, ablated, _ = whole_ablation
    complete = tiny.results / "sample" / "tiny.json"
    moved = 0
    for variant in ablated.found.variants:
        one = tiny.results / "sample" / variant.runs[0].result
        for measure in ("nDCG@10", "Recall@100"):
            found = comparison.compare(one, complete, measure, top=0)
            average = variant.average[measure]
            assert (average.difference, average.low, average.high, average.p) == pytest.approx(found.average[:4])
            assert variant.paired_seeds == found.seeds
            assert not average.starred  # one training each
            for row in found.languages:
                cell = variant.languages[row.lang][measure]
                assert cell.difference == pytest.approx(row.test.difference)
                assert cell.score == pytest.approx(row.test.mean_a)
                assert (cell.p, cell.p_corrected) == (row.test.p, row.p_corrected)
                moved += cell.difference != 0
    assert moved
    result = results.read(complete)
    assert ablated.found.complete.languages["sw"]["nDCG@10"].value == pytest.approx(
        result.languages["sw"].scores["nDCG@10"].value
    )


@pytest.mark.slow
def test_a_second_call_adds_its_variants(tiny):
    before = ablation_results.read(tiny.stored)
    ablated, _ = tiny.ablate(["judge", "weights"])
    after = ablation_results.read(tiny.stored)
    assert after == ablated.found
    assert [v.label for v in after.variants] == [*(v.label for v in before.variants), "without the judge and weights"]
    assert after.variants[:-1] == before.variants
    assert (after.complete, after.absent) == (before.complete, before.absent)
    assert after.commands == ["mdrbench ablate tiny"]
    tiny.ablate(["weights"], "mdrbench ablate tiny --vary alpha", vary=["alpha=0.45,0.5"])
    again = ablation_results.read(tiny.stored)
    assert again.commands == ["mdrbench ablate tiny", "mdrbench ablate tiny --vary alpha"]
    made = {v.label: v.command for v in again.variants}
    assert made["without the judge"] == "mdrbench ablate tiny"
    assert made["without weights"] is None  # the last command made it again
    assert [v.label for v in again.variants] == [*(v.label for v in after.variants), "training.weights.alpha=0.5"]
    assert "training.weights.alpha=0.45" in [name.label for name in again.complete.names]


def test_ablations_side_by_side_lose_no_variant(tmp_path, monkeypatch):
    """The committed ablation's variants, each stored by a thread of its own at once."""
    root = shutil.copytree(PROJECT / "results" / "sample", tmp_path / "sample").parent
    path = root / "sample" / "ablations" / "boosted-sample.json"
    whole = ablation_results.read(path)
    path.unlink()
    monkeypatch.setattr(running_ablation.ablation_effects, "derive", lambda found, folder: time.sleep(0.01))
    parts = [whole.model_copy(update={"variants": [variant]}, deep=True) for variant in whole.variants]
    with ThreadPoolExecutor(len(parts)) as pool:
        for _ in pool.map(lambda part: running_ablation.store_variants(path, part, root), parts):
            pass
    stored = ablation_results.read(path)
    assert {variant.label for variant in stored.variants} == {variant.label for variant in whole.variants}
    assert not [left for left in root.rglob(".*") if left.is_file()]


@pytest.mark.slow
def test_variants_of_another_recipe_or_of_other_languages_are_not_dropped_silently(tiny):
    with pytest.raises(
        UsageError, match=r"holds 11 variants of another version of 'tiny'.*drop: without training, without hard neg"
    ):
        tiny.ablate(["weights"], langs="sw")
    changed, _ = tiny.ablate(["weights"], given=["training.steps=2"])
    assert changed.path != tiny.stored  # a changed recipe's ablation is stored beside it
    assert changed.found.overrides == ["training.steps=2"]
    assert changed.found.complete.runs[0].result.startswith("variants/tiny-")
    tiny.stored.unlink()
    alone, _ = tiny.ablate(["weights"], langs="sw")
    assert alone.found.languages == ["sw"]


@pytest.mark.slow
def test_with_seeds_the_mean_of_a_topic_is_tested_and_the_spread_is_told(tiny):
    import numpy as np

    ablated, _ = tiny.ablate(["weights"], langs="sw", seeds=3, given=["training.steps=2"])
    found = ablated.found
    [variant] = found.variants
    assert [run.seed for run in variant.runs] == [42, 43, 44]
    assert variant.overrides == [UNWEIGHTED]
    per_run = [
        results.read(ablated.path.parent.parent / run.result).averages[0].scores["nDCG@10"].value
        for run in variant.runs
    ]
    assert len(set(per_run)) > 1
    assert variant.average["nDCG@10"].score == pytest.approx(np.mean(per_run))
    assert variant.average["nDCG@10"].spread == pytest.approx(np.std(per_run, ddof=1))
    by_file = [[results.read(ablated.path.parent.parent / run.result) for run in one.runs] for one in found.entries]
    averages = np.array([[result.averages[0].scores["nDCG@10"].value for result in runs] for runs in by_file])
    gaps = averages[1] - averages[0]
    assert variant.average["nDCG@10"].spread_of_difference == pytest.approx(np.std(gaps, ddof=1))
    both = [Path(ablated.path.parent.parent / one.runs[0].result) for one in (variant, found.complete)]
    compared = comparison.compare(*both, "nDCG@10", top=0)  # finds the other seeds of both
    assert compared.seeds == variant.paired_seeds == 3
    assert compared.average.value == pytest.approx(variant.average["nDCG@10"].difference)
    assert compared.average.p == pytest.approx(variant.average["nDCG@10"].p)
    assert comparison.compare(*both, "nDCG@10", top=0, one_seed=True).seeds == 1
    assert found.families == {"parts and stages": ["without weights"]}
    assert found.complete.average["nDCG@10"].spread is not None
    assert variant.languages["sw"]["nDCG@10"].spread is None
    more, _ = tiny.ablate(["training"], langs="sw", seeds=3, given=["training.steps=2"])
    untrained = next(one for one in more.found.variants if one.label == "without training")
    assert len(untrained.runs) == 1
    assert untrained.average["nDCG@10"].spread is None
    assert untrained.average["nDCG@10"].difference == pytest.approx(
        untrained.average["nDCG@10"].score - found.complete.average["nDCG@10"].value
    )


def test_verify_derives_every_number_again(tiny):
    *_, found = verify([tiny.results], None, progress=lambda text: None)
    assert found.path == tiny.stored
    assert found.problems == []
    assert found.cells > 200
    data = json.loads(tiny.stored.read_text())
    data["variants"][2]["languages"]["sw"]["nDCG@10"]["difference"] += 1e-4
    tiny.stored.write_text(json.dumps(sealed(data)))
    [problem] = ablation_effects.verified(tiny.stored).problems
    assert problem.what == f"{data['variants'][2]['names'][0]['label']}: difference"
    assert (problem.lang, problem.measure) == ("sw", "nDCG@10")
    one = tiny.results / "sample" / data["variants"][0]["runs"][0]["result"]
    one.unlink()
    [problem] = ablation_effects.verified(tiny.stored).problems
    assert (problem.file.endswith(one.name), problem.what) == (True, "no such result")


def test_a_number_that_is_none_is_an_error_that_names_file_and_key(tiny):
    data = json.loads(tiny.stored.read_text())
    data["complete"]["average"]["nDCG@10"]["value"] = "too large"
    unsealed = {key: value for key, value in data.items() if key != "seal"} | {"schema_version": 1}
    tiny.stored.write_text(json.dumps(unsealed).replace('"too large"', "1e999"))
    with pytest.raises(DataError, match=r"complete\.average\.nDCG@10\.value: Input should be a finite number") as error:
        ablation_results.read(tiny.stored)
    assert error.value.where == str(tiny.stored)
    tiny.stored.write_text(json.dumps(data).replace('"too large"', "NaN"))
    with pytest.raises(DataError, match=r"tiny\.json: not a JSON file: NaN is not JSON"):
        ablation_results.read(tiny.stored)


@pytest.mark.slow
def test_a_variant_that_fails_stops_no_other(tiny, monkeypatch):
    from mdrbench.pipeline import stages

    original = stages.STAGES["judge"]

    def failing(job):
        raise DataError("no verdicts today")

    monkeypatch.setitem(stages.STAGES, "judge", failing)
    ablated, error = tiny.ablate(["weights"], vary=["negatives.keep=not-relevant"])
    assert isinstance(error, DataError)
    assert ablated.failed == {"negatives.keep=not-relevant": ["en", "sw"]}
    assert "without weights" in [variant.label for variant in ablated.found.variants]
    assert "negatives.keep=not-relevant" not in [variant.label for variant in ablated.found.variants]
    assert ablated.found.failed == ["negatives.keep=not-relevant"]
    monkeypatch.setitem(stages.STAGES, "judge", original)
    ablated, error = tiny.ablate(["weights"], vary=["negatives.keep=not-relevant"])
    assert (ablated.failed, error, ablated.found.failed) == ({}, None, [])


def test_without_the_complete_recipe_nothing_is_stored(tiny, monkeypatch):
    from mdrbench.pipeline import stages

    def failing(job):
        raise StepError("out of luck")

    monkeypatch.setitem(stages.STAGES, "train", failing)
    with pytest.raises(StepError, match="out of luck"):
        tiny.ablate(["weights"], given=["training.steps=1"])
    assert [path.name for path in ablation_results.files(tiny.results)] == ["tiny.json"]


def test_the_table_shows_differences_names_and_what_is_not_there(whole_ablation, capsys):
    from rich.console import Console

    from mdrbench.cli import tables_ablation

    _, ablated, _ = whole_ablation
    tables_ablation.print_ablation(Console(width=120), ablated, "nDCG@10")
    shown = capsys.readouterr().out
    weights = next(v for v in ablated.found.variants if v.label == "without weights")
    average = weights.average["nDCG@10"]
    [row, languages, counts] = [line for line in shown.splitlines() if line.strip().startswith("without weights")]
    assert f"{average.score:.4f}" in row
    assert f"{average.difference:+.4f}" in row
    assert f"{weights.languages['en']['nDCG@10'].difference:+.4f}" in languages
    assert counts.split()[-7:] == [f"{count:,}" for count in weights.counts.model_dump().values()]
    assert "without stage 3: also base + stage 1" in shown
    assert "not in this recipe: without generation: it generates nothing" in shown


def test_the_schema_describes_what_is_stored(whole_ablation, cli):
    import jsonschema

    tiny, _, _ = whole_ablation
    done = cli("schema", "ablation")
    assert done.returncode == 0, done.stderr
    schema = json.loads(done.stdout)
    assert schema == ablation_results.json_schema()
    jsonschema.validate(json.loads(tiny.stored.read_text()), schema)
    assert cli("schema", "ablatoin").returncode == 2


def test_the_exported_schema_is_the_current_one():
    kept = json.loads((PROJECT / "results" / "schema" / "ablation-2.json").read_text(encoding="utf-8"))
    assert kept == ablation_results.json_schema()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "schema version None"),
        ('{"schema_version": 3}', "schema version 3, this mdrbench reads 2 and 1"),
        ('{"schema_version": 2}', "has no seal"),
        ("{", "not a JSON file"),
        ('{"schema_version": 1}', r"dataset: Field required"),
    ],
)
def test_a_file_that_is_none_is_named(tmp_path, text, said):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(DataError, match=said):
        ablation_results.read(path)


@pytest.mark.slow
def test_the_command_on_the_sample(cli, me5_small, tiny_model):
    words = ("ablate", "boosted-sample", "--data", "sample", "--langs", "sw", "--set", "training.steps=1", "--quiet")
    words += ("--set", f"retriever.encoder.model={tiny_model}")  # me5-small is mined; a tiny model is trained
    done = cli(*words, "--no-judge", "--stage-off", "2", "--vary", "mining.keep=6")
    assert done.returncode == 0, done.stderr
    assert "without the judge and stage 2" in done.stdout
    assert "negatives.size=6" in done.stdout
    again = cli(*words, "--no-judge", "--stage-off", "2", "--dry-run")
    assert "0 steps to run" in again.stdout, again.stderr
    assert cli("verify").returncode == 0
