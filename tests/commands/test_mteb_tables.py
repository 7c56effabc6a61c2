"""MTEB's public results as compact tables: the committed ones against their source, and the rules on made-up files."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from support.project import PROJECT
from typer.testing import CliRunner

from mdrbench import results
from mdrbench.cli.app import app
from mdrbench.commands.mteb import tables
from mdrbench.commands.mteb.imported import Model
from mdrbench.core.errors import DataError
from mdrbench.results import mteb_tables
from mdrbench.results.stored import seal_text

SOURCE = PROJECT.parent / "shared" / "reference" / "mteb" / "results"
NAMES = ("ndcg_at_10", "recall_at_100", "mrr_at_10", "map_at_100", "recall_at_10")


@pytest.mark.skipif(not SOURCE.is_dir(), reason="mteb's results are not beside the project")
def test_every_score_of_mtebs_568_files_is_carried_over_unchanged():
    carried = {
        (table.task, row.model, row.revision, row.software, row.data_revision): row.scores
        for table in mteb_tables.read_tables(PROJECT / "results").values()
        for row in table.rows
    }
    expected = {}
    for path in sorted(SOURCE.rglob("MIRACL*.json")):
        data = json.loads(path.read_text())
        meta = json.loads(path.with_name("model_meta.json").read_text())
        version = f"mteb {data['mteb_version'] or '(version not stated)'}"
        key = (data["task_name"], meta["name"], meta["revision"], version, data["dataset_revision"])
        assert list(data["scores"]) == ["dev"]
        expected[key] = {entry["hf_subset"]: [entry[name] for name in NAMES] for entry in data["scores"]["dev"]}
    assert len(expected) == 568
    assert carried == expected


def test_the_committed_tables_name_their_source_and_keep_pools_apart():
    stored = mteb_tables.read_tables(PROJECT / "results")
    assert {table.collection: len(table.rows) for table in stored.values()} == {
        "miracl": 189,
        "miracl-hard-negatives": 247,
        "miracl-hard-negatives-v2": 132,
    }
    assert all("f4cc6c8b365a3c779dbc708d6affe0b0355b2ddf" in table.origin for table in stored.values())
    assert all("CC0" in table.origin for table in stored.values())
    assert sum((path.stat().st_size for path in stored), 0) < 500_000
    assert set(stored).isdisjoint(results.published_files(PROJECT / "results"))


def test_what_is_known_about_training_on_miracl():
    models = mteb_tables.read_models(PROJECT / "results").values()
    assert len(models) == 293
    assert len({facts.name for facts in models}) == 282
    assert Counter(facts.training_list for facts in models) == {True: 175, False: 118}
    states = Counter((facts.miracl, facts.training_source) for facts in models)
    assert states["trained", "file"] == 73  # the counts that the files alone give; the registry adds the others
    assert states["unknown", None] == 60
    assert sum(count for (state, _), count in states.items() if state == "trained") == 113


def test_a_row_is_a_published_result_like_any_other():
    carried = {
        (c.result.system.name, c.result.evaluated.corpus_variant): c
        for c in mteb_tables.read_results(PROJECT / "results")
    }
    assert len(carried) == 568
    result, path, facts = carried["Snowflake/snowflake-arctic-embed-l-v2.0", "full"]
    assert path.name == "miracl.json"
    assert (result.system.kind, facts.parameters, facts.dimension) == ("single vector", 568_000_000, 1024)
    [average] = result.averages
    assert average.label == "16-language average, computed from the cells"
    assert average.scores["nDCG@10"].value == pytest.approx(0.6581, abs=5e-5)
    again = results.dump(result)
    assert json.loads(again)["evaluated"]["software"] == "mteb 1.18.0"


# -- rules, on made-up files -------------------------------------------------------------------------------------------

MODEL = Model("org/model", "rev")


@pytest.mark.parametrize(
    ("own", "registered", "state", "tydi", "source"),
    [
        (None, {}, "unknown", "unknown", None),
        ([], {}, "declared not", "declared not", "file"),
        (["NQ"], {"training_datasets": ["MIRACLReranking"]}, "trained", "declared not", "registry"),
        ({"MIRACLRetrieval": ["train"], "MrTidyRetrieval": ["train"]}, {}, "trained", "trained", "file"),
        (["mr-tydi"], {}, "declared not", "trained", "file"),
        (None, {"training_datasets": {"NQ"}}, "declared not", "declared not", "registry"),
        (["NQ"], {"training_datasets": {"NQ"}, "all_training_datasets": {"NQ", "MIRACL"}}, "trained", "declared not",
         "base model"),
    ],
)  # fmt: skip
def test_three_states_of_training(own, registered, state, tydi, source):
    facts = tables.facts_of(MODEL, {"training_datasets": own}, registered)
    assert (facts.miracl, facts.mr_tydi, facts.training_source) == (state, tydi, source)
    assert facts.training_list == (own is not None)


def test_the_file_is_believed_before_the_registry_and_gaps_are_marked():
    meta = {"n_parameters": 7, "embed_dim": None, "license": "not specified", "languages": ["arb-Arab", "eng_Latn"]}
    registered = {
        "n_parameters": 8,
        "embed_dim": 384,
        "license": "mit",
        "max_tokens": float("inf"),
        "model_type": ["sparse"],
    }
    facts = tables.facts_of(MODEL, meta, registered)
    assert (facts.parameters, facts.dimension, facts.licence, facts.max_tokens) == (7, 384, "mit", None)
    assert facts.from_registry == ["dimension", "licence"]
    assert facts.kind == "sparse"
    assert (facts.built_for("ar"), facts.built_for("sw")) == (True, False)
    unknown = tables.facts_of(MODEL, {"languages": [], "similarity_fn_name": "MaxSim"}, None)
    assert (unknown.built_for("ar"), unknown.kind) == (None, "multi-vector")


def task_file(folder, task="MIRACLRetrieval", name="org/model", **values):
    folder.mkdir(parents=True, exist_ok=True)
    entries = [{"hf_subset": lang, "languages": [], "main_score": value} for lang, value in values.items()]
    data = {"task_name": task, "dataset_revision": "main", "mteb_version": None, "scores": {"dev": entries}}
    (folder / f"{task}.json").write_text(json.dumps(data))
    (folder / "model_meta.json").write_text(json.dumps({"name": name, "revision": "r"}))


def test_tables_are_written_from_files_and_two_results_of_one_model_are_refused(tmp_path):
    task_file(tmp_path / "a", ar=0.5, de=0.25)
    task_file(tmp_path / "a", "STS12", ar=0.5)
    written = tables.write_tables([tmp_path / "a"], tmp_path / "results", "here", lambda name: None, "mteb 0")
    assert [path.name for path in written] == ["miracl.json", "models.json"]
    [carried] = mteb_tables.read_results(tmp_path / "results")
    assert carried.result.evaluated.software == "mteb (version not stated)"
    assert carried.result.evaluated.measures == ["nDCG@10"]
    assert carried.result.averages[0].languages == ["ar"]
    task_file(tmp_path / "b", ar=0.6)
    with pytest.raises(DataError, match="MIRACLRetrieval has two results of org/model at r"):
        tables.write_tables([tmp_path], tmp_path / "results", "here", lambda name: None, "mteb 0")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no result of MIRACL's tasks"):
        tables.write_tables([tmp_path / "empty"], tmp_path / "results", "here", lambda name: None, "mteb 0")


def test_a_table_whose_rows_do_not_fit_its_measures_is_refused(tmp_path):
    task_file(tmp_path / "a", ar=0.5)
    [path, _] = tables.write_tables([tmp_path / "a"], tmp_path / "results", "here", lambda name: None, "mteb 0")
    path.write_text(seal_text(path.read_text().replace("[0.5,null,null,null,null]", "[0.5]")))
    with pytest.raises(DataError, match="org/model has 1 scores in ar, not 5"):
        mteb_tables.read_tables(tmp_path / "results")


def test_the_command_writes_tables_and_names_where_the_files_are_from(tmp_path, monkeypatch):
    registry = {"org/model": {"embed_dim": 384, "training_datasets": ["NQ"], "model_type": ["dense"]}}
    monkeypatch.setattr(tables, "registry_lookup", lambda: (registry.get, "mteb 9"))
    task_file(tmp_path / "theirs", "MIRACLRetrievalHardNegatives.v2", name="org/model (dim=1)", sw=0.5)
    words = ["import-mteb", str(tmp_path / "theirs"), "--results", str(tmp_path / "results")]
    done = CliRunner().invoke(app, [*words, "--table", "--origin", "there @ 1234, CC0", "--json"])
    assert done.exit_code == 0, done.output
    folder = tmp_path / "results" / "published" / "mteb" / "tables"
    names = ["miracl-hard-negatives-v2.json", "models.json"]
    assert json.loads(done.stdout) == {"written": [str(folder / name) for name in names], "passed_over": []}
    models = json.loads((folder / "models.json").read_text())
    assert (models["origin"], models["registry"]) == ("there @ 1234, CC0", "mteb 9")
    [facts] = mteb_tables.read_models(tmp_path / "results").values()
    assert (facts.dimension, facts.miracl, facts.from_registry) == (384, "declared not", ["dimension"])
