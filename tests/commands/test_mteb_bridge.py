"""Encoders handed to mteb, held against mteb and sentence-transformers; no test touches the network."""

from __future__ import annotations

import json
import socket

import numpy as np
import pytest
from support.models import save_bag_of_words, save_words_recipe
from support.project import WIKI16_LITE

from mdrbench import results
from mdrbench.commands.mteb import bridge as mteb_bridge
from mdrbench.commands.mteb import results as mteb_results
from mdrbench.commands.mteb import tasks as mteb_tasks
from mdrbench.core.errors import DataError, UsageError
from mdrbench.core.languages import ALL, SURPRISE
from mdrbench.core.types import Hit
from mdrbench.data.miracl_layout import MiraclFolder
from mdrbench.evaluation import measures
from mdrbench.formats import trec

TWO = ("id", "sw")
WIDTH = 256


@pytest.fixture
def no_network(monkeypatch):
    def refuse(self, address):
        raise AssertionError(f"the network was asked for {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="session")
def bag_of_words(tmp_path_factory):
    """A checkpoint that averages random vectors of words, the most frequent ones left out: a rough retriever.

    Its vocabulary is that of the two languages' corpora in wiki16-lite.
    """
    if not WIKI16_LITE.is_dir():
        pytest.skip("wiki16-lite is not beside the project")
    lite = MiraclFolder("wiki16-lite", WIKI16_LITE)
    texts = [f"query: passage: {p.title} {p.text}" for lang in TWO for p in lite.passages(lang)]
    return save_bag_of_words(tmp_path_factory.mktemp("bag-of-words"), texts, WIDTH)


@pytest.fixture
def words_recipe(bag_of_words, tmp_path) -> str:
    """A recipe with prefixes: applied twice, or not at all, they would change every score."""
    return save_words_recipe(tmp_path / "words.yaml", bag_of_words)


def load(name: str, changes=()) -> mteb_bridge.MtebEncoder:
    return mteb_bridge.load_encoder(name, list(changes), lambda done, total: None)


def by_mteb(encoder, dataset, languages, store, out):
    """mteb's TaskResult as JSON, and the run that it scored by language."""
    task = mteb_tasks.folder_task(dataset, list(languages), "dev", store)
    path = mteb_bridge.evaluate(encoder, task, out, predictions=out / "predictions")
    [predicted] = (out / "predictions").glob("*.json")
    runs = json.loads(predicted.read_text())
    return path, {
        lang: {qid: [Hit(*hit) for hit in hits.items()] for qid, hits in runs[lang]["dev"].items()}
        for lang in languages
    }


def by_sentence_transformers(model, dataset, lang) -> float:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    body = Transformer(str(model), max_seq_length=128)
    encoder = SentenceTransformer(modules=[body, Pooling(WIDTH, pooling_mode="mean"), Normalize()], device="cpu")
    qrels = trec.read_qrels(dataset.qrels_file(lang, "dev"))
    evaluator = InformationRetrievalEvaluator(
        {qid: f"query: {text}" for qid, text in trec.read_topics(dataset.topics_file(lang, "dev")).items()},
        {p.docid: f"passage: {p.title} {p.text}" for p in dataset.passages(lang)},
        {qid: {docid for docid, grade in judged.items() if grade > 0} for qid, judged in qrels.items()},
        ndcg_at_k=[10],
        write_csv=False,
    )
    return evaluator(encoder)["cosine_ndcg@10"]


def unsure(theirs, ours) -> set[str]:
    """Topics in whose first eleven hits two scores lie so close that rounding to float16 may swap them."""
    scores = {qid: dict(hits) for qid, hits in ours.items()}
    moved = max(abs(s - scores[qid][d]) for qid, hits in theirs.items() for d, s in hits if d in scores[qid])
    assert 0 < moved < 2**-11  # the rounding error of float16, for unit vectors
    tops = {qid: np.sort([score for _, score in hits])[::-1][:11] for qid, hits in theirs.items()}
    return {qid for qid, top in tops.items() if np.min(-np.diff(top)) <= 2 * moved}


@pytest.mark.slow
@pytest.mark.wiki16
def test_mteb_sentence_transformers_and_a_run_agree(
    words_recipe, bag_of_words, wiki16_lite, store, cli, tmp_path, no_network
):
    """mteb and sentence-transformers search float32 embeddings, we float16 ones: near ties may swap, nothing else."""
    path, runs = by_mteb(load(words_recipe), wiki16_lite, TWO, store, tmp_path / "out")
    scores = {entry["hf_subset"]: entry["ndcg_at_10"] for entry in json.loads(path.read_text())["scores"]["dev"]}
    done = cli("run", words_recipe, "--data", WIKI16_LITE, "--langs", ",".join(TWO), "--quiet")
    assert done.returncode == 0, done.stderr
    recorded = results.read(tmp_path / "results" / "wiki16-lite" / "words.json")
    for lang in TWO:
        assert 0.1 < scores[lang] < 0.9
        assert by_sentence_transformers(bag_of_words, wiki16_lite, lang) == pytest.approx(scores[lang], abs=1e-4)
        theirs = measures.score_topics(runs[lang], trec.read_qrels(wiki16_lite.qrels_file(lang, "dev")))
        mean = np.mean([row["nDCG@10"] for row in theirs.values()])
        assert mean == pytest.approx(scores[lang], abs=1e-5)
        kept = tmp_path / "results" / "wiki16-lite" / "words"
        ours, _ = measures.read_topic_scores(kept / f"{lang}-dev.topics.tsv.gz")
        assert ours.keys() == theirs.keys()
        clear = ours.keys() - unsure(runs[lang], trec.read_run(kept / f"{lang}-dev.run.trec.gz"))
        assert len(clear) >= 25
        for qid in clear:
            assert ours[qid]["nDCG@10"] == pytest.approx(theirs[qid]["nDCG@10"], abs=1e-6)
        assert recorded.languages[lang].scores["nDCG@10"].value == pytest.approx(mean, abs=0.02)


def test_a_passage_with_the_id_of_the_query_is_found(maker, words_recipe, store, tmp_path, no_network):
    """MIRACL has positives whose docid is the qid."""
    passages = [{"docid": f"{n}#0", "title": "", "text": text} for n, text in enumerate(["ziwa", "bahari", "mto"])]
    maker.corpus("sw", passages)
    maker.split("topics", "1#0\tbahari\n2#0\tmto\n", "sw")
    maker.split("qrels", "1#0\tQ0\t1#0\t1\n2#0\tQ0\t2#0\t1\n", "sw")
    path, _ = by_mteb(load(words_recipe), maker.folder(), ["sw"], store, tmp_path / "out")
    [entry] = json.loads(path.read_text())["scores"]["dev"]
    assert (entry["ndcg_at_10"], entry["languages"]) == (1.0, ["swa-Latn"])


@pytest.mark.parametrize("separator", [" ", "\n"])
def test_documents_and_queries_get_the_texts_of_our_own_index(words_recipe, separator):
    class Recording:
        def conventions(self):
            return {"model": "org/name", "model_revision": "abc", "dim": 2, "query_prefix": "q: "}

        def encode_queries(self, texts):
            self.queries = texts
            return np.zeros((len(texts), 2), np.float32)

        def encode_passages(self, texts, progress):
            self.passages = texts
            progress(len(texts))
            return np.ones((len(texts), 2), np.float32)

    class Loader(list):
        dataset = range(3)

    encoder = load(words_recipe, [f"retriever.title_separator={json.dumps(separator)}"])
    encoder.encoder = Recording()
    titled = {"title": ["T", ""], "body": ["a", "b"], "text": ["T a", "b"]}
    assert encoder.encode(Loader([titled, {"text": ["c"]}]), prompt_type="document").shape == (3, 2)
    assert encoder.encoder.passages == [f"T{separator}a", "b", "c"]
    encoder.encode(Loader([{"text": ["x"]}, {"text": ["y"]}]), prompt_type="query")
    assert encoder.encoder.queries == ["x", "y"]
    with pytest.raises(UsageError, match="queries from documents"):
        encoder.encode(Loader([{"text": ["x"]}]))
    meta = encoder.mteb_model_meta
    assert (meta.name, meta.revision, meta.use_instructions) == ("org/name", "abc", True)
    assert meta.loader_kwargs["title_separator"] == separator


def test_results_are_added_to_but_never_mixed(maker, words_recipe, store, tmp_path, no_network, monkeypatch):
    maker.whole("sw")
    folder = maker.whole("fi")
    task = lambda: mteb_tasks.folder_task(folder, ["fi", "sw"], "dev", store)  # noqa: E731
    encoder, out = load(words_recipe), tmp_path / "out"
    path = mteb_bridge.evaluate(encoder, task(), out)
    whole = json.loads(path.read_text())
    assert [entry["hf_subset"] for entry in whole["scores"]["dev"]] == ["fi", "sw"]
    kept = {**whole, "scores": {"dev": [{**whole["scores"]["dev"][0], "ndcg_at_10": 0.125}]}}
    path.write_text(json.dumps(kept))
    again = json.loads(mteb_bridge.evaluate(encoder, task(), out).read_text())
    assert [entry["hf_subset"] for entry in again["scores"]["dev"]] == ["fi", "sw"]
    assert again["scores"]["dev"][0]["ndcg_at_10"] == 0.125  # what was there was not computed again
    with pytest.raises(UsageError, match="results with another pooling"):
        mteb_bridge.evaluate(load(words_recipe, ["retriever.encoder.pooling=cls"]), task(), out)
    maker.split("topics", "q1\twhere is the seal\nq2\tlake\n", "fi")
    with pytest.raises(UsageError, match="holds results on other data"):
        mteb_bridge.evaluate(encoder, task(), out)


def test_a_judgment_of_an_unknown_passage_is_named_not_scored(maker, words_recipe, store, tmp_path):
    maker.whole("sw")
    maker.split("qrels", "q1\tQ0\t9#9\t1\n", "sw")
    task = mteb_tasks.folder_task(maker.folder(), ["sw"], "dev", store)
    with pytest.raises(DataError, match="judges passage '9#9'"):
        mteb_bridge.evaluate(load(words_recipe), task, tmp_path / "out")
    assert list((tmp_path / "out").rglob("*.json")) == []


def test_only_dense_recipes_have_an_encoder():
    with pytest.raises(UsageError, match="The retriever of 'bm25' is bm25, but mteb needs an encoder"):
        load("bm25")


@pytest.mark.medium
@pytest.mark.parametrize(
    ("tasks", "langs", "split", "said"),
    [
        ("MIRACLRetreival", None, None, "no task 'MIRACLRetreival'.\n  mend: Did you mean: 'MIRACLRetrieval'"),
        ("STS12", None, None, "STS12 is not a text retrieval task"),
        ("MIRACLRetrieval", "xx", None, "Unknown language 'xx'"),
        ("MIRACLRetrieval", None, "test", "no split 'test'.\n  mend: choose from dev"),
    ],
)
def test_mistakes_in_tasks_are_named(tasks, langs, split, said):
    with pytest.raises(UsageError) as error:
        mteb_tasks.hub_tasks([tasks], langs, split)
    assert said in str(error.value)


@pytest.mark.medium
def test_mtebs_own_task_is_cut_to_languages_and_knows_the_same_codes():
    [task] = mteb_tasks.hub_tasks(["MIRACLRetrieval"], "sw,ar", "dev")
    assert task.hf_subsets == ["ar", "sw"]
    [whole] = mteb_tasks.hub_tasks(["MIRACLRetrieval"], None, None)
    assert dict(whole.metadata.eval_langs) == {code: [mteb_results.langscript(code)] for code in (*ALL, *SURPRISE)}
    [sixteen] = mteb_tasks.hub_tasks(["MIRACLRetrievalHardNegatives"], "all", None)
    assert set(sixteen.hf_subsets) == set(ALL)
    assert {"MIRACLRetrieval", "MIRACLRetrievalHardNegatives"} <= mteb_results.TASKS.keys()


def test_the_command_evaluates_prints_and_writes_with_no_network(cli, maker, words_recipe, tmp_path, no_network):
    maker.whole("sw")
    done = cli("mteb", words_recipe, "--data", maker.root, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "ndcg_at_10" in done.stdout
    assert next(line for line in done.stdout.splitlines() if line.startswith("written")).endswith("mdrbench-tiny.json")
    assert cli("mteb", words_recipe).returncode == 2
    imported = cli("import-mteb", tmp_path / "out", "--json")
    assert imported.returncode == 0, imported.stderr
    [path] = json.loads(imported.stdout)["written"]
    assert results.read(tmp_path / path).dataset == "tiny"
