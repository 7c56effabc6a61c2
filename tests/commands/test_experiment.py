"""A declared experiment is filled cell by cell, and the page about it shows what its results hold and nothing else."""

from __future__ import annotations

import re

import pytest
from support.project import PROJECT

from mdrbench import recipe, results
from mdrbench.commands import experiment as experiments
from mdrbench.core.errors import MdrbenchError, UsageError
from mdrbench.results import comparison

RECIPE = """
summary: trained
retriever: {{name: dense, encoder: {{name: transformer, model: {model}, pooling: mean, normalize: true,
  query_length: 16, passage_length: 32, precision: fp32}}}}
training: {{steps: 1, batch_size: 4, negatives: 0, learning_rate: 0.01, domains: {{name: none}}, precision: fp32}}
"""
DECLARED = """
summary: tiny
data: sample
languages: [en, sw]
blocks:
  - seeds: [0, 1]
    systems: [zero, one]
  - seeds: [0]
    systems: [broken]
systems:
  zero: {{recipe: {folder}/trained.yaml, changes: [training=null]}}
  one: {{recipe: {folder}/trained.yaml}}
  broken: {{recipe: {folder}/trained.yaml, changes: [training.steps=3, training.learning_rate=1.0e+30]}}
"""


@pytest.fixture
def declared(tmp_path, tiny_model):
    (tmp_path / "trained.yaml").write_text(RECIPE.format(model=tiny_model))
    path = tmp_path / "tiny.yaml"
    path.write_text(DECLARED.format(folder=tmp_path))
    return experiments.load(str(path))


def states(declared, root) -> list[tuple[str, int, bool]]:
    return [(cell.system, cell.seed, cell.made is not None) for cell in experiments.cells(declared, root)]


@pytest.mark.medium
def test_cells_are_filled_seed_by_seed_and_a_cell_that_fails_leaves_nothing(declared, tmp_path, store):
    root = tmp_path / "results"
    assert states(declared, root) == [("zero", 0, False), ("one", 0, False), ("one", 1, False), ("broken", 0, False)]
    filling = experiments.fill(declared, experiments.cells(declared, root), store, root, quiet=True)
    made = [next(filling)[1].name for _ in range(3)]
    with pytest.raises(MdrbenchError, match="is nan at step"):
        next(filling)
    assert states(declared, root) == [("zero", 0, True), ("one", 0, True), ("one", 1, True), ("broken", 0, False)]
    assert made[1] == "trained.json"
    assert len(list(root.rglob("*.json"))) == 3
    second = experiments.cells(declared, root)[2]
    assert second.made.system.overrides == ["seed=43", "training.seed=1"]
    assert second.made.languages["sw"].command.endswith("--set seed=43 --set training.seed=1")
    table = experiments.markdown(declared, experiments.cells(declared, root))
    assert [line.split(" | ")[:2] for line in table.splitlines()[2:4]] == [["| zero", "1"], ["| one", "2"]]
    assert "Not run: `broken` (seeds 0)." in table
    compared = comparison.compare(root / "sample/variants" / made[0], root / "sample" / made[1], "nDCG@10", top=0)
    average, pair = compared.average, table.splitlines()[-1].split(" | ")
    assert pair[:2] == ["| zero - one", "2"]
    shown = (experiments.signed(value) for value in (average.value, average.low, average.high))
    assert re.findall(r"[+-]\.\d{4}", table.splitlines()[-1]) == list(shown)


def test_processes_side_by_side_take_different_cells(declared, tmp_path):
    cells = experiments.cells(declared, tmp_path)
    assert experiments.part_of(cells, "1/2") == [cells[0], cells[2]]
    assert experiments.part_of(cells, "2/2") == [cells[1], cells[3]]
    with pytest.raises(UsageError, match="'3/2' is no part"):
        experiments.part_of(cells, "3/2")


def test_a_wrong_declaration_names_file_and_key(tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text("summary: x\ndata: sample\nlanguages: [en]\nblocks: [{seeds: [], systems: [bm25]}]\n")
    with pytest.raises(UsageError, match=r"blocks\.0\.seeds") as caught:
        experiments.load(str(path))
    assert caught.value.where == str(path)
    path.write_text("summary: x\ndata: sample\nlanguages: [en]\ntables: {one: {caption: x}}\n")
    with pytest.raises(UsageError, match=r"tables\.one\.systems: Field required"):
        experiments.load(str(path))
    with pytest.raises(UsageError, match="no experiment 'lob'"):
        experiments.load("lob")


@pytest.mark.medium
def test_shipped_experiments_name_recipes_that_load():
    for name in experiments.files():
        declared = experiments.load(name)
        assert experiments.cells(declared, PROJECT / "results")
        digests = {
            system: recipe.load(one.recipe, list(one.changes)).digest for system, one in declared.systems.items()
        }
        twice = {"mE5-large + boosted"} if declared.source else set()  # table 1 of the paper calls it mE5 + boosted
        assert len(set(digests.values())) == len(digests.keys() - twice)


@pytest.mark.medium
def test_the_tables_of_the_page_are_those_of_the_committed_results():
    page = (PROJECT / "docs" / "experiments.md").read_text(encoding="utf-8")
    assert experiments.with_tables(page, PROJECT / "results") == page, (
        "run `mdrbench experiment lab --page docs/experiments.md`"
    )


def test_the_page_shows_the_baselines_as_their_results_have_them():
    page = (PROJECT / "docs/experiments.md").read_text(encoding="utf-8")
    found = {name: results.read(PROJECT / f"results/wiki16/{name}.json") for name in ("bm25", "me5-small")}
    for lang in found["bm25"].language_codes():
        scores = [
            experiments.short(found[name].languages[lang].scores[measure].value).replace("1.0000", "1.0")
            for measure in experiments.MEASURES
            for name in ("bm25", "me5-small")
        ]
        cells = [cell.strip() for cell in page.split(f"\n| {lang} |")[1].splitlines()[0].split("|")]
        assert [*cells[2:4], *cells[5:7]] == scores, lang
