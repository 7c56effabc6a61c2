from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.folders import PASSAGES, FolderMaker
from support.forks import run_at_once
from support.recorded_results import edit

from mdrbench import results
from mdrbench.commands.run import plan_all, run_plans, run_steps
from mdrbench.core.errors import DataError, UsageError
from mdrbench.core.store import Store, file_sha256
from mdrbench.evaluation import measures
from mdrbench.formats import trec
from mdrbench.pipeline import write_result


def run(maker, langs, tmp_path, overrides=()):
    store = Store(tmp_path / "store")
    plans = plan_all(["bm25"], str(maker.root), langs, "dev", list(overrides), store)
    [(path, result)], error = run_plans(plans, store, tmp_path / "results", f"mdrbench run --langs {langs}", quiet=True)
    assert error is None
    return path, result


def test_every_number_can_be_walked_back(maker, tmp_path):
    folder = maker.whole()
    path, result = run(maker, "en", tmp_path)
    entry = result.languages["en"]
    kept = trec.read_run(path.parent / entry.files["run"].path)
    qrels = trec.read_qrels(folder.qrels_file("en", "dev"))
    names = tuple(result.evaluated.measures)
    rescored = measures.score_topics(kept, qrels, names)
    assert measures.read_topic_scores(path.parent / entry.files["topics"].path)[0] == rescored
    means = measures.matrix(rescored, names).mean(axis=0)
    assert [entry.scores[name].value for name in names] == pytest.approx(means)
    for file in entry.files.values():
        assert file_sha256(path.parent / file.path) == file.sha256
    for source in (folder.corpus_files("en")[0], folder.qrels_file("en", "dev"), folder.topics_file("en", "dev")):
        assert entry.dataset.files[source.name] == file_sha256(source)
    assert entry.command == "mdrbench run --langs en"
    assert set(entry.steps) == {"corpus", "topics", "index", "search", "evaluate"}
    environment = result.environments[entry.steps["index"].environment]
    assert environment["packages"]["mdrbench"]
    assert {"cpu", "cores", "memory_bytes", "os", "gpus", "git"} <= environment.keys()
    assert entry.conventions["analyzer"].startswith("DefaultEnglishAnalyzer")
    assert (entry.conventions["k1"], entry.conventions["b"], entry.conventions["title_separator"]) == (0.9, 0.4, "\n")


def test_languages_recorded_later_join_those_recorded_before(maker, tmp_path):
    maker.whole("en")
    maker.whole("fi")
    _, first = run(maker, "en", tmp_path)
    path, both = run(maker, "fi", tmp_path)
    assert both.language_codes() == ["en", "fi"]
    assert both.languages["en"] == first.languages["en"]
    [average] = both.averages
    assert (average.label, average.languages) == ("average of 2 languages", ["en", "fi"])
    _, together = run(maker, "en,fi", tmp_path)
    assert together.averages == both.averages
    assert results.read(path) == together


def test_another_version_of_a_recipe_never_mixes_with_or_drops_what_is_there(maker, tmp_path):
    maker.whole("en")
    maker.whole("fi")
    mine = tmp_path / "mine.yaml"
    mine.write_text("summary: mine\nretriever: {name: bm25}\n")
    store = Store(tmp_path / "store")

    def plans(langs):
        return plan_all([str(mine)], str(maker.root), langs, "dev", [], store)

    run_plans(plans("all"), store, tmp_path / "results", "x", quiet=True)
    mine.write_text("summary: mine\nretriever: {name: bm25, k1: 2}\n")
    with pytest.raises(UsageError, match=r"another version of 'mine'; this run would drop en"):
        run_plans(plans("fi"), store, tmp_path / "results", "x", quiet=True)
    [(_, result)], _ = run_plans(plans("all"), store, tmp_path / "results", "x", quiet=True)
    assert {entry.conventions["k1"] for entry in result.languages.values()} == {2}


WRITTEN = ("en", "fi", "sw", "te")


def _write(wait, number: int, folder: str, root: str) -> None:
    store = Store(Path(folder).parent / "store")
    [plan] = plan_all(["bm25"], folder, WRITTEN[number], "dev", [], store)
    outcome = run_steps(plan.steps(), plan.targets(), store, quiet=True)  # all are there
    for repetition in range(5):
        wait()
        write_result.write(plan, outcome.artifacts, Path(root) / str(repetition), "x")


@pytest.mark.medium
def test_processes_that_write_one_result_lose_no_language(maker, tmp_path):
    for lang in WRITTEN:
        maker.whole(lang)
    store, root = Store(tmp_path / "store"), tmp_path / "results"
    [plan] = plan_all(["bm25"], str(maker.root), ",".join(WRITTEN), "dev", [], store)
    run_steps(plan.steps(), plan.targets(), store, quiet=True)
    run_at_once(_write, len(WRITTEN), maker.root, root)
    for repetition in range(5):
        [path] = results.files(root / str(repetition))
        result = results.read(path)
        assert result.language_codes() == list(WRITTEN)
        assert result.averages[0].languages == list(WRITTEN)
    assert not list(root.rglob(".*"))  # no lock, no temporary file


def test_two_collections_whose_folders_share_a_name_never_meet(tmp_path):
    """The average would be over both, or one would take the other's place."""
    folders = {}
    for place, text in (("w1", "lake"), ("w2", "river")):
        folders[place] = FolderMaker(tmp_path / place / "col")
        passages = [{**passage, "text": f"{passage['text']} {text}"} for passage in PASSAGES]
        folders[place].whole("en", passages=passages)
    run(folders["w1"], "en", tmp_path)
    with pytest.raises(DataError, match=r"bm25\.json: was measured on other data .* 'col' too: the passages") as error:
        run(folders["w2"], "en", tmp_path)
    assert "rename the folder" in error.value.mend
    with pytest.raises(DataError, match="the passages of 'en' differ"):
        run(folders["w2"], "en", tmp_path, ["retriever.k1=1.2"])  # beside it is as wrong as in its place
    folders["w2"].whole("fi")
    with pytest.raises(DataError, match=r"another docs-0\.jsonl\.gz of 'en'"):
        run(folders["w2"], "fi", tmp_path)
    shutil.rmtree(next((tmp_path / "w2").rglob("miracl-corpus-v1.0-en")))
    with pytest.raises(DataError, match=r"holds 'en', which .* lacks: it may be of another collection"):
        run(folders["w2"], "fi", tmp_path)


def test_a_language_of_other_software_or_without_a_seal_is_not_joined(maker, tmp_path):
    maker.whole("en")
    maker.whole("fi")
    path, _ = run(maker, "en", tmp_path)
    text = path.read_text()

    def spoil(data):
        data["languages"]["en"]["conventions"]["anserini"] = "1.0"

    edit(path, spoil)
    with pytest.raises(UsageError, match=r"made with anserini 1\.0 .* this run would drop en"):
        run(maker, "fi", tmp_path)
    path.write_text(text)
    edit(path, lambda data: (data.update(schema_version=1), data.pop("seal")))
    with pytest.raises(UsageError, match="without a seal"):
        run(maker, "fi", tmp_path)
    path.write_text(text.replace("0.9", "0.8"))
    with pytest.raises(DataError, match="its seal does not match"):
        run(maker, "fi", tmp_path)


def test_a_result_from_the_cache_keeps_when_and_where_it_was_computed(maker, tmp_path):
    maker.whole()
    _, first = run(maker, "en", tmp_path)
    _, second = run(maker, "en", tmp_path)
    assert second.languages["en"].steps == first.languages["en"].steps


def test_warnings_about_the_data_reach_the_result(maker, tmp_path):
    maker.whole(passages=[*PASSAGES, PASSAGES[0]])
    _, result = run(maker, "en", tmp_path)
    assert result.languages["en"].dataset.warnings == {"repeated passage ignored": 1}
    assert result.languages["en"].dataset.passages == 3


def test_the_log_of_a_long_training_is_kept_in_few_lines():
    steps = [
        {"kind": "train", "step": n, "loss": n / 3, "lr": n / 10, "grad_norm": None if n == 2 else 1.0, "memory": n}
        for n in range(1, 8)
    ]
    log = [*steps[:4], {"kind": "validation", "step": 4, "loss": 0.25}, *steps[4:]]
    assert list(write_result.shortened(log, lines=3)) == [
        {"kind": "train", "step": 3, "lr": 0.3, "loss": 0.666667, "grad_norm": 1.0},
        {"kind": "train", "step": 6, "lr": 0.6, "loss": 1.66667, "grad_norm": 1.0},
        {"kind": "train", "step": 7, "lr": 0.7, "loss": 2.33333, "grad_norm": 1.0},
        {"kind": "validation", "step": 4, "loss": 0.25},
    ]
    assert [line["step"] for line in write_result.shortened(steps[:3], lines=3)] == [1, 2, 3]


@pytest.mark.slow
def test_from_an_empty_cache_the_scores_are_identical_to_the_last_bit(tmp_path):
    kept = []
    for attempt in ("one", "two"):
        store = Store(tmp_path / attempt / "store")
        plans = plan_all(["bm25"], "sample", "all", "dev", [], store)
        [(path, result)], _ = run_plans(plans, store, tmp_path / attempt, "x", quiet=True)
        runs = [(path.parent / entry.files["run"].path).read_bytes() for entry in result.languages.values()]
        kept.append((runs, {lang: e.scores for lang, e in result.languages.items()}, result.averages))
    assert kept[0] == kept[1]
    assert kept[0][2][0].label == "16-language average"
