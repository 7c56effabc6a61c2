"""Results in mteb's layout, out and in, held against mteb's own reader and writer."""

from __future__ import annotations

import json

import pytest
from support.project import PROJECT
from support.results import sealed

from mdrbench import results
from mdrbench.commands.mteb import imported
from mdrbench.commands.mteb import results as mteb_results
from mdrbench.core.errors import DataError, UsageError

pytestmark = pytest.mark.medium  # mteb takes seconds to import


def measured(tmp_path, dataset="miracl", split="dev", **values):
    """A measured result file."""
    languages = {
        lang: {"scores": {"nDCG@10": {"value": value}, "Recall@100": {"value": 0.9}, "Judged@10": {"value": 1.0}}}
        for lang, value in values.items()
    }
    data = {
        **{"schema_version": 1, "kind": "measured", "dataset": dataset, "split": split, "languages": languages},
        "system": {"name": "mine", "summary": "s", "recipe_digest": "ab" * 32},
        "evaluated": {
            "measures": ["nDCG@10", "Recall@100", "Judged@10"],
            **{"depth": 100, "tie_rule": "t", "denominator": "d", "corpus_variant": "full"},
        },
    }
    path = tmp_path / "results" / dataset / f"mine.{split}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(sealed(data)))
    return path


def test_mteb_loads_what_is_exported(tmp_path):
    import mteb
    from mteb.models import ModelMeta

    paths = [measured(tmp_path, ar=0.123456789, sw=0.5), measured(tmp_path, split="train", ar=0.25)]
    [written] = mteb_results.export(paths, tmp_path / "out")
    assert written.relative_to(tmp_path).parts == (
        "out",
        "results",
        "mdrbench__mine",
        "ab" * 20,
        "MIRACLRetrieval.json",
    )
    loaded = mteb.TaskResult.from_disk(written, load_historic_data=False)
    assert loaded.get_score(splits=["dev"]) == pytest.approx((0.123456789 + 0.5) / 2, abs=1e-12)
    assert loaded.get_score(splits=["dev"], languages=["ara-Arab"]) == 0.123456789
    assert loaded.get_score(splits=["dev"], getter=lambda scores: scores["recall_at_100"]) == 0.9
    assert "Judged@10" not in written.read_text()
    [model] = mteb.ResultCache(tmp_path / "out").load_results(validate_and_filter=False).model_results
    assert (model.model_name, model.model_revision) == ("mdrbench/mine", "ab" * 20)
    assert model.task_results[0].get_score(splits=["train"]) == 0.25
    meta = (written.parent / "model_meta.json").read_text()
    assert ModelMeta.model_validate_json_resolved(meta).name == "mdrbench/mine"


def test_an_export_never_drops_what_is_there(tmp_path):
    both = measured(tmp_path, ar=0.1, sw=0.5)
    [written] = mteb_results.export([both], tmp_path / "out")
    before = written.read_text()
    with pytest.raises(UsageError, match=r"holds sw \(dev\), which this export lacks"):
        mteb_results.export([measured(tmp_path, ar=0.1)], tmp_path / "out")
    assert written.read_text() == before
    with pytest.raises(UsageError, match="dev split is given twice"):
        mteb_results.export([both, both], tmp_path / "out2")
    assert not (tmp_path / "out2").exists()


def test_what_was_exported_does_not_come_back_as_mtebs(tmp_path):
    mteb_results.export([measured(tmp_path, ar=0.1)], tmp_path / "out")
    with pytest.raises(DataError, match="exported by mdrbench, not computed by mteb"):
        imported.import_results([tmp_path / "out"], tmp_path / "results")


def test_only_measurements_are_exported(tmp_path):
    [figure, *_] = results.published_files(PROJECT / "results")
    with pytest.raises(UsageError, match="not measured by mdrbench"):
        mteb_results.export([figure], tmp_path)


def task_file(tmp_path, task="MIRACLRetrieval", meta=True, **values):
    """A result of mteb's, written by mteb."""
    import datetime

    import mteb

    entries = [
        {
            "hf_subset": lang,
            "languages": [mteb_results.langscript(lang)],
            "main_score": v,
            "ndcg_at_10": v,
            "mrr_at_10": v,
        }
        for lang, v in values.items()
    ]
    result = mteb.TaskResult(
        **{"task_name": task, "dataset_revision": "9c09abc13478308c", "mteb_version": "2.1.0", "evaluation_time": 1.0},
        scores={"dev": entries},
        date=datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC),
    )
    folder = tmp_path / "theirs" / "org__model" / "rev0123456789abcdef"
    folder.mkdir(parents=True, exist_ok=True)
    if meta:
        (folder / "model_meta.json").write_text(json.dumps({"name": "org/model", "revision": "rev0123456789abcdef"}))
    result.to_disk(folder / f"{task}.json")
    return folder / f"{task}.json"


def test_an_imported_result_names_mteb_its_version_and_revisions(tmp_path):
    [path], others = imported.import_results([task_file(tmp_path, ar=0.5, sw=0.7, de=0.1)], tmp_path / "results")
    assert others == []
    assert path == tmp_path / "results/published/mteb/miraclretrieval-org-model-rev012345678-dev.json"
    found = results.read(path)
    assert (found.kind, found.dataset, found.split, found.evaluated.corpus_variant) == (
        "published",
        "miracl",
        "dev",
        "full",
    )
    assert (found.system.name, found.system.revision) == ("org/model", "rev0123456789abcdef")
    assert (found.evaluated.software, found.evaluated.data_revision) == ("mteb 2.1.0", "9c09abc13478308c")
    assert found.system.summary == "mteb 2.1.0, MIRACLRetrieval at 9c09abc13478, model revision rev012345678"
    cell = found.languages["sw"].scores["nDCG@10"]
    assert (cell.value, cell.source, cell.table) == (0.7, "mteb", "MIRACLRetrieval")
    assert found.evaluated.measures == ["nDCG@10", "MRR@10"]
    [average] = found.averages
    assert (average.languages, average.scores["nDCG@10"].value) == (["ar", "sw"], 0.6)
    assert average.label == "average of 2 languages, computed from the cells"


def test_hard_negatives_are_another_corpus(tmp_path):
    for task, variant in (
        ("MIRACLRetrievalHardNegatives", "hard-negatives"),
        ("MIRACLRetrievalHardNegatives.v2", "hard-negatives-v2"),
    ):
        [path], _ = imported.import_results([task_file(tmp_path, task, sw=0.9)], tmp_path / "results")
        assert results.read(path).evaluated.corpus_variant == variant


def test_of_a_folder_the_known_tasks_are_taken_and_the_others_counted(tmp_path):
    task_file(tmp_path, ar=0.5)
    task_file(tmp_path, "MIRACLRetrievalHardNegatives", ar=0.9)
    stranger = task_file(tmp_path, "STS12", ar=0.5)
    written, others = imported.import_results([tmp_path / "theirs"], tmp_path / "results")
    assert (len(written), others) == (2, ["STS12"])
    with pytest.raises(DataError, match="holds no task that mdrbench knows: STS12"):
        imported.import_results([stranger], tmp_path / "results")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no result of mteb at all"):
        imported.import_results([tmp_path / "empty"], tmp_path / "results")


def test_whose_result_it_is_must_be_known(tmp_path):
    in_layout = task_file(tmp_path, meta=False, ar=0.5)
    [path], _ = imported.import_results([in_layout], tmp_path / "results")
    assert results.read(path).system.name == "org/model"
    alone = tmp_path / "MIRACLRetrieval.json"
    alone.write_bytes(in_layout.read_bytes())
    with pytest.raises(DataError, match="does not say whose result it is"):
        imported.import_results([alone], tmp_path / "results")
    [path], _ = imported.import_results([alone], tmp_path / "results", "me/mine")
    assert results.read(path).system.name == "me/mine"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ndcg_at_10": 53.1}, "ndcg_at_10 53.1 is no number from 0 to 1"),
        ({"ndcg_at_10": float("nan")}, "ndcg_at_10 nan is no number"),
        ({"languages": ["deu-Latn", "fra-Latn"], "hf_subset": "de-fr"}, "subset 'de-fr' is in no language"),
    ],
)
def test_wrong_scores_are_refused_with_their_place(tmp_path, changes, said):
    path = task_file(tmp_path, ar=0.5)
    data = json.loads(path.read_text())
    data["scores"]["dev"][0].update(changes)
    path.write_text(json.dumps(data))
    with pytest.raises(DataError, match=said) as error:
        imported.import_results([path], tmp_path / "results")
    assert "MIRACLRetrieval.json: scores.dev.0" in str(error.value)
    assert not (tmp_path / "results").exists()
