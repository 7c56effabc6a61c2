"""mteb's pools of MIRACL: fetched from a hub on this machine, in our layout, and the same figure as through mteb."""

from __future__ import annotations

import json
import os
from types import SimpleNamespace

import pytest
from support.hub_server import FakeHub
from support.models import save_bag_of_words, save_words_recipe
from support.parquet_pools import front_matter, put_language
from support.project import PROJECT, WIKI16

from mdrbench.commands.mteb.results import TASKS
from mdrbench.core.errors import DataError
from mdrbench.core.types import Passage
from mdrbench.data.access import open_dataset
from mdrbench.data.datasets import miracl_hard_negatives as pools
from mdrbench.data.miracl_layout import MiraclFolder
from mdrbench.formats import trec
from mdrbench.site.model.collection import collection_name

REPO = pools.REPOSITORY.name
SLICE = WIKI16.parent / "miracl-slice"

SW = {
    "corpus": [{"_id": f"{n}#0", "title": "Ziwa" if n else None, "text": f"Ziwa namba {n}."} for n in range(5)],
    "queries": [{"_id": "q1", "text": "Ziwa\tgani?"}, {"_id": "q2", "text": "Haijulikani?"}],
    "qrels": [
        {"query-id": "q1", "corpus-id": "1#0", "score": 1},
        {"query-id": "q1", "corpus-id": "2#0", "score": 0},
    ],
}


@pytest.fixture
def hub(monkeypatch, hub_cache):
    hub = FakeHub()
    hub.commits[REPO] = pools.REPOSITORY.revision
    hub.put(REPO, "README.md", front_matter(["sw", "yo"]))
    put_language(hub, REPO, "sw", SW)
    with hub.running():
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


@pytest.fixture
def data(tmp_path) -> pools.MiraclHardNegatives:
    return pools.MiraclHardNegatives(pools.Config(root=tmp_path / "miracl-hard-negatives"))


def test_a_language_is_fetched_verified_and_written_in_our_layout(hub, data):
    assert data.missing(["sw"], ["dev"])
    data.fetch(["sw"], ["dev"])
    assert data.missing(["sw"]) == []
    assert data.fetched("dev") == ["sw"]
    assert sorted(data.passages("sw")) == [Passage(f"{n}#0", "Ziwa" if n else "", f"Ziwa namba {n}.") for n in range(5)]
    assert trec.read_topics(data.topics_file("sw", "dev")) == {"q1": "Ziwa gani?"}
    assert trec.read_qrels(data.qrels_file("sw", "dev")) == {"q1": {"1#0": 1, "2#0": 0}}
    assert data.verify() == []
    recorded = json.loads((data.root / "manifest.json").read_text())
    assert recorded["repos"][REPO]["commit"] == pools.REPOSITORY.revision


def test_a_second_fetch_asks_the_hub_nothing(hub, data):
    data.fetch(["sw"])
    hub.log.clear()
    data.fetch(["sw"])
    assert hub.log == []


def test_a_broken_download_is_resumed_and_altered_bytes_are_refused(hub, data):
    path = "sw-corpus/dev-00000-of-00002.parquet"
    hub.faults[path] = ["truncate", "503"]
    data.fetch(["sw"])
    assert data.fetched() == ["sw"]
    put_language(hub, REPO, "yo", {**SW, "queries": [{"_id": "q1", "text": "Adágún"}, {"_id": "q2", "text": "Odò"}]})
    hub.faults["yo-queries/dev-00000-of-00001.parquet"] = ["corrupt"]
    with pytest.raises(DataError, match="the download differs from what the hub announced"):
        data.fetch(["yo"])
    assert data.fetched() == ["sw"]


def test_verify_names_altered_files_of_both_kinds(hub, data):
    data.fetch(["sw"])
    topics = data.topics_file("sw", "dev")
    topics.write_text(topics.read_text().replace("gani", "lipi"))
    source = data.root / "sources" / "sw-qrels" / "dev-00000-of-00001.parquet"
    source.write_bytes(source.read_bytes()[:-1] + b"x")
    assert sorted(row["file"].rsplit("/", 1)[-1] for row in data.verify()) == [source.name, topics.name]


def test_without_front_matter_folders_are_configurations(hub, data):
    hub.files[REPO, "README.md"] = b"# Pools\n"
    data.fetch(["sw"])
    assert data.fetched() == ["sw"]


def test_a_language_or_split_that_the_repository_lacks_is_named(hub, data):
    with pytest.raises(DataError, match=r"no configuration 'yo-corpus' with a split 'dev'.*sw-corpus \(dev\)"):
        data.fetch(["yo"])
    with pytest.raises(DataError, match="The pools of MIRACL have no split 'train'"):
        data.fetch(["sw"], ["train"])


def test_rows_without_an_id_or_with_another_type_are_named_with_their_place(hub, data):
    hub.commits[REPO] = pools.REPOSITORY.revision
    put_language(hub, REPO, "yo", {**SW, "queries": [{"_id": 1.5, "text": "x"}]})
    with pytest.raises(DataError, match=r"dev-00000-of-00001.parquet, row 1: The id 1.5 is neither text nor a whole"):
        data.fetch(["yo"])
    assert not (data.root / "miracl-corpus").exists()


def environment(hub: FakeHub, tmp_path) -> dict[str, str]:
    places = {"MDRBENCH_CACHE": tmp_path / "store", "MDRBENCH_DATA": tmp_path / "data", "HF_HOME": tmp_path / "hf"}
    return {
        **os.environ,
        **{name: str(path) for name, path in places.items()},
        **{"HF_ENDPOINT": hub.url, "PYTHONPATH": str(PROJECT), "HF_HUB_DISABLE_TELEMETRY": "1"},
    }


@pytest.mark.slow
def test_a_result_names_the_pool_and_stands_with_mtebs_figures_for_it(hub, cli, tmp_path):
    words = ("run", "bm25", "--data", "miracl-hard-negatives", "--langs", "sw")
    done = cli(*words, env=environment(hub, tmp_path))
    assert done.returncode == 0, done.stderr
    from mdrbench import results

    result = results.read(tmp_path / "results/miracl-hard-negatives/bm25.json")
    assert (result.dataset, result.evaluated.corpus_variant) == ("miracl-hard-negatives", "hard-negatives")
    assert collection_name(result) == "miracl-hard-negatives"
    assert cli("verify", "--data", "miracl-hard-negatives", env=environment(hub, tmp_path)).returncode == 0


def test_results_are_grouped_with_mtebs_figures_for_version_1_alone():
    def collection(dataset: str, variant: str) -> str:
        return collection_name(SimpleNamespace(dataset=dataset, evaluated=SimpleNamespace(corpus_variant=variant)))

    ours = collection("miracl-hard-negatives", open_dataset("miracl-hard-negatives").corpus_variant)
    assert ours == collection(*TASKS["MIRACLRetrievalHardNegatives"])
    assert ours != collection(*TASKS["MIRACLRetrievalHardNegatives.v2"])
    assert ours != collection(*TASKS["MIRACLRetrieval"])


def test_every_pool_has_a_card_that_says_it_was_never_fetched_here():
    assert "have never fetched the real pools" in open_dataset("miracl-hard-negatives").card()


@pytest.mark.slow
@pytest.mark.skipif(not SLICE.is_dir(), reason="the slice of MIRACL is not beside the project")
def test_an_encoder_gets_the_same_figure_through_mtebs_task_and_through_ours(hub, cli, tmp_path):
    """mteb searches float32 embeddings and we float16 ones, so scores may differ in near ties."""
    real = MiraclFolder("miracl-slice", SLICE)
    qrels = trec.read_qrels(real.qrels_file("sw", "dev"))
    wanted = {docid for judged in qrels.values() for docid in judged}
    passages = [p for n, p in enumerate(real.passages("sw")) if n % 4 == 0 or p.docid in wanted]
    topics = trec.read_topics(real.topics_file("sw", "dev"))
    put_language(
        hub,
        REPO,
        "sw",
        {
            "corpus": [{"_id": p.docid, "title": p.title, "text": p.text} for p in passages],
            "queries": [{"_id": qid, "text": text} for qid, text in topics.items()],
            "qrels": [
                {"query-id": qid, "corpus-id": docid, "score": grade}
                for qid, judged in qrels.items()
                for docid, grade in judged.items()
            ],
        },
    )
    model = save_bag_of_words(tmp_path / "model", [f"query: passage: {p.title} {p.text}" for p in passages])
    recipe = save_words_recipe(tmp_path / "words.yaml", model)
    options = {"env": environment(hub, tmp_path)}
    ours = cli("run", recipe, "--data", "miracl-hard-negatives", "--langs", "sw", "--json", **options)
    assert ours.returncode == 0, ours.stderr
    theirs = cli("mteb", recipe, "--tasks", "MIRACLRetrievalHardNegatives", "--langs", "sw", "--json", **options)
    assert theirs.returncode == 0, theirs.stderr
    scores = json.loads(ours.stdout)[0]["languages"]["sw"]["scores"]
    [entry] = json.loads(theirs.stdout)[0]["scores"]["dev"]
    assert 0.2 < entry["ndcg_at_10"] < 0.95
    assert scores["nDCG@10"]["value"] == pytest.approx(entry["ndcg_at_10"], abs=2e-3)
    assert scores["Recall@100"]["value"] == pytest.approx(entry["recall_at_100"], abs=2e-3)
