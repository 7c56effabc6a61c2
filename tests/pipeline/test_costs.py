"""What a plan costs: amounts of work, where rates are from, and what does not fit on this machine."""

from __future__ import annotations

import json

import pytest

from mdrbench import recipe
from mdrbench.commands.run import run_steps, shortages_of
from mdrbench.core import devices, environment
from mdrbench.core.members import Member
from mdrbench.pipeline import costs
from mdrbench.pipeline.plan import plan_recipe


def planned(maker, store, name="bm25", *changes):
    return plan_recipe(recipe.load(name, list(changes)), maker.whole(), ["en"], "dev", store, [])


def of(plan, store) -> dict[str, costs.Cost]:
    all_costs = costs.Costs(plan.steps(), store)
    return {step.stage: all_costs.of(step) for step in plan.steps()}


@pytest.mark.medium
def test_rates_come_from_this_machines_artifacts_once_there_are_any(maker, store, monkeypatch):
    plan = planned(maker, store)
    before = of(plan, store)
    corpus = maker.folder().corpus_files("en")[0]
    assert before["corpus"].amount == corpus.stat().st_size / costs.COMPRESSED_BYTES_PER_PASSAGE
    assert {cost.origin for cost in before.values()} == {"table", None}
    assert before["search"].seconds is None  # BM25's time depends on the queries, and none was measured
    run_steps(plan.steps(), plan.targets(), store, quiet=True)
    after = of(plan, store)
    assert {cost.origin for cost in after.values()} == {"here"}
    assert (after["corpus"].amount, after["search"].amount) == (3, 2 * 3)
    made = json.loads(next((store.root / "artifacts/index").glob("*/manifest.json")).read_text())["usage"]
    assert after["index"].seconds == pytest.approx(made["seconds"])
    assert after["index"].memory == made["peak_bytes"]
    other = {**environment.describe(), "cpu": "another"}
    monkeypatch.setattr(environment, "describe", lambda: other)
    assert of(plan, store)["index"].origin == "table"


def test_a_dense_index_is_computed_from_the_layers_of_its_model(maker, store, tiny_model, monkeypatch):
    encoder = f"{{name: transformer, model: {tiny_model}, pooling: mean, passage_length: 32, precision: fp32}}"
    plan = planned(maker, store, "me5-small", f"retriever.encoder={encoder}")
    cost = of(plan, store)["index"]
    config = json.loads((tiny_model / "config.json").read_text())
    width, inner, layers = (config[name] for name in ("hidden_size", "intermediate_size", "num_hidden_layers"))
    flops = layers * (2 * 32 * (4 * width**2 + 2 * width * inner) + 4 * 32**2 * width)
    monkeypatch.setattr(devices, "found", devices.Device)
    assert cost.origin == "computed"
    assert cost.seconds == pytest.approx(cost.amount * flops / costs.speed())
    assert cost.gpu is None


@pytest.mark.parametrize(
    ("index", "gigabytes"), [("flat", 134.7), ("hnsw", 76.3), ("int8", 33.7), ("ivf-pq", 2.4), ("exact", 0)]
)
def test_structures_of_the_english_corpus_take_known_memory(index, gigabytes):
    kind = Member.of("indexes", {"name": index}).build()
    assert kind.memory(32_893_221, 1024) / 1e9 == pytest.approx(gigabytes, abs=0.06)


def test_a_structure_beyond_the_memory_is_refused_before_anything_runs(maker, store, tiny_model, monkeypatch):
    from mdrbench.commands.run import run_plans
    from mdrbench.core.errors import SetupError

    encoder = f"{{name: transformer, model: {tiny_model}, pooling: mean, passage_length: 32, precision: fp32}}"
    plan = planned(maker, store, "me5-small", f"retriever.encoder={encoder}", "retriever.index.name=flat")
    assert shortages_of([plan], store) == []
    monkeypatch.setattr(environment, "describe", lambda: {"cpu": "", "cores": 1, "gpus": [], "memory_bytes": 8})
    with pytest.raises(SetupError, match="the structure 'flat' of 'en' takes") as stopped:
        run_plans([plan], store, maker.root / "results", "", quiet=True)
    assert "--set retriever.index.name=exact" in stopped.value.mend
    assert list(store.all()) == []


def test_a_small_disk_is_told_with_its_figure(maker, store, monkeypatch):
    plan = planned(maker, store)
    monkeypatch.setattr(costs, "free_bytes", lambda folder: 0)
    (shortage,) = shortages_of([plan], store)
    assert "0.0 GB are free" in shortage.error.message
    assert not shortage.certain
