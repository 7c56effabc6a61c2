from __future__ import annotations

import pytest
from support.model_folders import copied, edit_json

from mdrbench import recipe
from mdrbench.core import registry
from mdrbench.core.errors import UsageError


def write(tmp_path, text: str, name: str = "mine.yaml") -> str:
    path = tmp_path / name
    path.write_text(text)
    return str(path)


BOOSTED = ("mbert", "mdpr", "me5-large", "me5-small", "me5-small-6l", "qwen3-embedding", "released", "sample")
STRATEGIES = ("absolute", "bm25", "in-batch", "margin-pos", "perc-pos", "random", "shifted")

GOOD = "summary: mine\nretriever: {name: bm25, k1: 1.2}\n"


LAB = ("bm25", "boosted", "boosted-plus", "in-batch", "margin-pos", "perc-pos", "random", "zero-shot")


def test_every_shipped_recipe_loads():
    names = list(registry.recipe_files())
    assert names == [
        "arctic-embed-l-v2",
        "bge-m3",
        *(f"bge-m3-{name}" for name in ("all", "multi", "rerank", "sparse")),
        "bm25",
        "bm25-mdpr-hybrid",
        "boosted",
        *(f"boosted-{name}" for name in BOOSTED),
        "embeddinggemma",
        "granite-embedding",
        "gte-multilingual-base",
        "jina-embeddings-v3",
        "lab",
        *(f"lab-{name}" for name in LAB),
        "labse",
        "mcontriever",
        "mdpr",
        "me5-base",
        "me5-large",
        "me5-large-instruct",
        "me5-small",
        "me5-small-64",
        "naive",
        *(f"naive-{name}" for name in ("absolute", "bm25", "in-batch", "margin-pos")),
        "naive-me5-small-6l",
        *(f"naive-me5-small-6l-{name}" for name in STRATEGIES),
        *(f"naive-{name}" for name in ("perc-pos", "random", "shifted")),
        "qwen3-embedding",
    ]
    for name in names:
        assert recipe.load(name).name == name


def test_every_shipped_recipe_opens_with_what_it_is_and_how_to_run_it():
    for name, path in registry.recipe_files().items():
        header = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
        for word in ("Prerequisites:", "Run:", f"mdrbench run {name}", "Published:", "Cost:"):
            assert any(word in line for line in header), f"{path.name}: the header lacks '{word}'"


def test_every_shipped_recipe_can_be_planned(store, tiny_model, tmp_path, monkeypatch):
    """Weights are not needed for that: one small model with many positions stands in for all."""
    from mdrbench.data.access import open_dataset
    from mdrbench.hub import models
    from mdrbench.pipeline import plan

    folder = copied(tiny_model, tmp_path / "model")
    edit_json(folder / "config.json", max_position_embeddings=8192)

    def stand_in(name, revision=None, source="auto"):
        return models.LocalModel(folder, name, "local", f"sha256:{name}", "")

    monkeypatch.setattr(models, "require", stand_in)
    sample = open_dataset("sample")
    for name in registry.recipe_files():
        planned = plan.plan_recipe(recipe.load(name), sample, ["sw"], "dev", store, [])
        assert planned.steps()[-1].stage == "average"


@pytest.mark.parametrize("base", ["naive", "naive-me5-small-6l"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_rival_recipes_differ_in_their_negatives_alone(base, strategy):
    def settings(name):
        return recipe.load(name).model_dump(exclude={"name", "summary", "extends", "published", "negatives"})

    assert settings(f"{base}-{strategy}") == settings(base)
    negatives = recipe.load(f"{base}-{strategy}").negatives
    if strategy == "in-batch":
        assert negatives is None
    else:
        assert negatives.mining.name == strategy
        assert (negatives.size, negatives.judge.name, negatives.generation.name) == (30, "none", "none")


def test_published_systems_of_recipes_are_named_as_in_the_published_results():
    from mdrbench import results

    root = registry.PACKAGE.parent / "results"
    known = {results.read(path).system.name for path in results.published_files(root)}
    for name in registry.recipe_files():
        if published := recipe.load(name).published:
            assert set(published.systems) <= known, name


def test_defaults_are_filled_in_and_the_name_is_the_files(tmp_path):
    found = recipe.load(write(tmp_path, GOOD))
    assert found.name == "mine"
    assert found.retriever.settings == {"name": "bm25", "k1": 1.2, "b": 0.4, "title_separator": "\n", "thai": "auto"}
    assert found.search.depth == 100


def test_all_mistakes_are_reported_at_once_with_path_line_and_near_name(tmp_path):
    text = """\
summary: bad
retriever:
  name: bm25
  k2: 1.2
  b: 7
search:
  dpeth: 50
evaluation:
  measures: [nDCG@10, ndgc@5]
  confidence: high
colour: red
"""
    with pytest.raises(UsageError) as error:
        recipe.load(write(tmp_path, text))
    said = str(error.value)
    assert "6 mistakes" in said
    for part in (
        "retriever.k2 (line 4): unknown key; did you mean 'k1'",
        "retriever.b (line 5): Input should be less than or equal to 1, not 7",
        "search.dpeth (line 7): unknown key; did you mean 'depth'",
        "evaluation.measures.1 (line 9): unknown measure 'ndgc@5'; did you mean 'nDCG@10'",
        "evaluation.confidence (line 10): Input should be a valid number",
        "colour (line 11): unknown key",
    ):
        assert part in said


def test_an_unknown_retriever_and_an_unknown_recipe_answer_with_near_names(tmp_path):
    with pytest.raises(UsageError, match=r"retriever\.name.*no 'bm52'.*did you mean 'bm25'"):
        recipe.load(write(tmp_path, "summary: x\nretriever: {name: bm52}\n"))
    with pytest.raises(UsageError, match=r"unknown recipe 'bm52'[\s\S]*did you mean 'bm25'"):
        recipe.load("bm52")


def test_extends_merges_any_number_of_levels_and_names_a_circle(tmp_path):
    child = write(tmp_path, "extends: bm25\nsummary: deeper\nretriever: {b: 0.75}\nsearch: {depth: 1000}\n")
    found = recipe.load(child)
    assert found.retriever.settings["k1"] == 0.9
    assert found.retriever.settings["b"] == 0.75
    assert (found.search.depth, found.summary, found.published) == (1000, "deeper", None)
    (tmp_path / "below").mkdir()
    last = recipe.load(write(tmp_path, "extends: ../mine.yaml\nretriever: {k1: 2}\n", "below/last.yaml"))
    assert (last.name, last.summary, last.extends, last.search.depth) == ("last", "deeper", "mine", 1000)
    assert (last.retriever.config.k1, last.retriever.config.b) == (2, 0.75)
    write(tmp_path, "extends: below/last.yaml\nsummary: x\n")
    with pytest.raises(UsageError, match=r"last\.yaml:1: .*in a circle: mine -> last -> mine"):
        recipe.load(child)


def test_a_mistake_in_a_recipe_that_is_extended_is_named_with_its_file(tmp_path):
    write(tmp_path, "summary: s\nretriever: {name: bm25}\nsearch:\n  depth: many\n")
    child = write(tmp_path, "extends: mine.yaml\nretriever: {k1: -1}\n", "child.yaml")
    with pytest.raises(UsageError) as error:
        recipe.load(child)
    assert "retriever.k1 (line 2): " in str(error.value)
    assert f"search.depth ({tmp_path / 'mine.yaml'}:4): " in str(error.value)
    with pytest.raises(UsageError, match=r"child\.yaml:1: extends: unknown recipe 'bm52'"):
        recipe.load(write(tmp_path, "extends: bm52\n", "child.yaml"))


def test_an_ensemble_is_what_it_lists_and_a_single_setting_of_a_part_can_be_changed(tmp_path):
    text = "extends: boosted\nsummary: x\nnegatives: {mining: {of: [me5-small, bge-m3]}}\n"
    assert list(recipe.load(write(tmp_path, text)).negatives.mining.settings["of"]) == ["me5-small", "bge-m3"]
    weighted = write(tmp_path, text.replace("bge-m3]", "bge-m3], weights: {me5-small: 2, bge-m3: 1}"), "weighted.yaml")
    assert recipe.load(weighted).negatives.mining.settings["weights"] == {"me5-small": 2, "bge-m3": 1}
    other = recipe.load(weighted, ["negatives.mining.of=[me5-large]"]).negatives.mining
    assert (list(other.settings["of"]), other.settings["weights"]) == (["me5-large"], None)
    longer = recipe.load("boosted", ["negatives.mining.of.bge-m3.encoder.passage_length=64"]).negatives.mining.settings[
        "of"
    ]
    assert list(longer) == ["me5-large", "bge-m3"]
    assert longer["bge-m3"]["encoder"]["passage_length"] == 64
    assert longer["me5-large"] == recipe.load("boosted").negatives.mining.settings["of"]["me5-large"]
    with pytest.raises(UsageError, match=r"negatives\.mining\.of.*5"):
        recipe.load("boosted", ["negatives.mining.of={me5-large: 5}"])


def test_set_overrides_a_key_and_reads_numbers_as_people_write_them():
    found = recipe.load("bm25", ["retriever.k1=1e-1", "search.depth=50"])
    assert found.retriever.settings["k1"] == 0.1
    assert found.search.depth == 50
    assert found.digest != recipe.load("bm25").digest
    with pytest.raises(UsageError, match=r"retriever\.k1 \(--set\): Input should be a valid number.* not 'fast'"):
        recipe.load("bm25", ["retriever.k1=fast"])
    with pytest.raises(UsageError, match="is not KEY=VALUE"):
        recipe.load("bm25", ["retriever.k1"])


def test_a_key_of_a_section_that_was_left_out_can_be_set(tmp_path):
    text = "extends: me5-small\nsummary: x\nnegatives: {mining: {name: topk}}\ntraining: {epochs: 1}\n"
    found = recipe.load(write(tmp_path, text), ["training.sampler.domains=proportional"])
    assert found.training.sampler.settings == {
        "name": "homogeneous", "same_language": True, "languages": "uniform", "domains": "proportional"
    }  # fmt: skip
    assert recipe.load(write(tmp_path, text), ["negatives.judge.name=replay"]).negatives.judge.name == "replay"


def test_the_digest_ignores_what_cannot_change_a_score(tmp_path):
    one = recipe.load(write(tmp_path, GOOD))
    two = recipe.load(write(tmp_path, GOOD.replace("mine", "another summary"), "other.yaml"))
    three = recipe.load(write(tmp_path, GOOD + "seed: 7\n", "third.yaml"))
    assert one.digest == two.digest != three.digest


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("summary: a\nsummary: b\n", r"mine\.yaml:2: key 'summary' is given twice \(lines 1 and 2\)"),
        ("summary: [a\n", r"mine\.yaml:2: not valid YAML"),
        ("- a\n", "a recipe is a mapping"),
    ],
)
def test_broken_yaml_names_the_line(tmp_path, text, said):
    with pytest.raises(UsageError, match=said):
        recipe.load(write(tmp_path, text))
