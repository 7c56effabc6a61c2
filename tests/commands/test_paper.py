"""The tables of the paper name every published figure, and lay our results beside them."""

from __future__ import annotations

import json
import shutil

import pytest
from support.project import PROJECT

from mdrbench.commands import experiment as experiments
from mdrbench.commands import paper
from mdrbench.core.errors import UsageError

PAPER = "huang2025boosting"


def rows(table: str, root, data: str | None = None):
    declared = experiments.load(PAPER)
    declared = declared.model_copy(update={"data": data}) if data else declared
    return {
        row.system: row for row in paper.rows(declared, table, experiments.cells(declared, root), paper.printed(PAPER))
    }


def test_every_published_average_of_the_paper_is_in_its_table():
    declared = experiments.load(PAPER)
    printed = paper.printed(PAPER)
    assert {table for table, _ in printed} == {"1", "2", "3", "14", "15", "16"}
    for table in {table for table, _ in printed}:
        assert {system for of, system in printed if of == table} == set(declared.tables[table].systems)


def test_the_table_of_the_stages_has_the_figures_and_needs_of_each_system(tmp_path):
    found = rows("3", tmp_path)
    assert {name: (row.published, row.ours) for name, row in found.items()} == {
        "BGE + boosted": (0.706, None),
        "without stage 1": (0.669, None),
        "without stage 2": (0.685, None),
        "without stage 3": (0.688, None),
    }
    endpoint = "an endpoint that serves meta-llama/Llama-3.1-70B-Instruct"
    assert found["BGE + boosted"].needs == ("weights of bge-m3, me5-large", endpoint, "a GPU")
    assert found["without stage 1"].needs == ("weights of bge-m3", "a GPU")
    assert "--set 'negatives.generation={name: none}'" in found["without stage 2"].command


def test_a_rival_on_another_encoder_keeps_that_encoder_and_its_training():
    declared = experiments.load(PAPER)
    of_system = {cell.system: cell.recipe for cell in experiments.cells(declared, PROJECT / "results")}
    rival, boosted, naive = (
        of_system[name] for name in ("mDPR + TopK-PercPos", "mDPR + boosted", "BGE + TopK-PercPos")
    )
    assert rival.retriever == boosted.retriever
    assert rival.negatives == naive.negatives
    assert rival.training.learning_rate == boosted.training.learning_rate == 3e-6
    assert (rival.training.sampler.name, rival.training.weights.mode) == ("uniform", "none")


@pytest.mark.medium
def test_results_on_another_data_set_stand_beside_the_published_figures(tmp_path):
    (tmp_path / "wiki16").mkdir()
    shutil.copy(PROJECT / "results/wiki16/bm25.json", tmp_path / "wiki16")
    row = rows("1", tmp_path, "wiki16")["BM25"]
    assert (row.published, round(row.ours, 4), row.needs) == (0.394, 0.8146, ())
    assert round(rows("14", tmp_path, "wiki16")["BM25"].ours, 4) == 0.9629


def test_the_command_prints_tables_and_json_and_knows_its_tables(cli):
    told = cli("paper", "--tables", "3,weights", "--data", "wiki16")
    assert "0.669" in told.stdout
    assert "are of miracl" in told.stdout
    [table] = json.loads(cli("paper", "--tables", "3", "--json").stdout).values()
    assert table[1]["command"].startswith("mdrbench run boosted --data miracl --langs ar,bn,")
    assert "no table '17'" in cli("paper", "--tables", "17").stderr
    with pytest.raises(UsageError, match="needs `blocks` or `tables`"):
        experiments.load(str(PROJECT / "recipes/boosted.yaml"))
