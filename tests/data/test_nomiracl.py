"""NoMIRACL as a data set of judged passages alone: imported in both layouts, for judges and not for retrieval."""

from __future__ import annotations

import gzip
import json

import pytest
from support.hub_server import FakeHub
from support.project import WIKI16

from mdrbench.core.errors import DataError, UsageError
from mdrbench.data.access import check_searchable, open_dataset
from mdrbench.data.importing.folder import write_import
from mdrbench.data.importing.sources import read_source
from mdrbench.data.record import read_record
from mdrbench.formats import trec

SLICE = WIKI16.parent / "miracl-slice"

PUBLISHED = {
    "corpus.jsonl.gz": [{"docid": f"{n}#0", "title": "Ziwa", "text": f"Ziwa namba {n}."} for n in range(5)],
    "topics/test.relevant.tsv": "1#0\tZiwa namba tatu?\n",
    "qrels/test.relevant.tsv": "1#0\tQ0\t3#0\t1\n1#0\tQ0\t1#0\t0\n",
    "topics/test.non_relevant.tsv": "2#0\tMto gani?\n",
    "qrels/test.non_relevant.tsv": "2#0\tQ0\t1#0\t0\n2#0\tQ0\t2#0\t0\n",
}


def published(lang: str) -> dict[str, bytes]:
    """The files of a language as NoMIRACL was published, by their paths."""
    rows = "".join(json.dumps(row) + "\n" for row in PUBLISHED["corpus.jsonl.gz"])
    bodies = {path: body.encode() for path, body in PUBLISHED.items() if isinstance(body, str)}
    bodies["corpus.jsonl.gz"] = gzip.compress(rows.encode())
    return {f"data/{lang}/{path}": body for path, body in bodies.items()}


@pytest.fixture
def folder(tmp_path):
    """A copy of the published files, in Swahili."""
    root = tmp_path / "theirs"
    for path, body in published("swahili").items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(body)
    return root


def imported(source, root, langs=()):
    write_import(root, read_source(str(source), None, [], list(langs), root))
    return open_dataset(str(root))


def check_swahili(dataset):
    assert dataset.languages() == ["sw"]
    assert dataset.splits_of("sw") == ["test"]
    assert sorted(passage.docid for passage in dataset.passages("sw")) == ["1#0", "2#0", "3#0"]  # the judged ones
    judged = {"1#0": {"3#0": 1, "1#0": 0}, "2#0": {"1#0": 0, "2#0": 0}}
    assert trec.read_qrels(dataset.qrels_file("sw", "test")) == judged
    assert list(trec.read_topics(dataset.topics_file("sw", "test"))) == ["1#0", "2#0"]
    assert "The corpora hold judged passages alone" in dataset.card()


def test_a_folder_of_the_published_files(folder, tmp_path):
    dataset = imported(folder, tmp_path / "mine")
    check_swahili(dataset)
    with pytest.raises(UsageError, match=r"(?s)has no language 'fi'.*known: sw"):
        imported(folder, tmp_path / "other", ["fi"])


def test_the_published_repository(tmp_path, monkeypatch, hub_cache):
    hub = FakeHub()
    for lang in ("swahili", "yoruba"):
        for path, body in published(lang).items():
            hub.put("miracl/nomiracl", path, body)
    hub.put("miracl/nomiracl", "README.md", b"---\nlicense: apache-2.0\n---\n")
    with hub.running():
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        dataset = imported("hub:miracl/nomiracl", tmp_path / "mine", ["sw"])
    check_swahili(dataset)
    origin = read_record(dataset.root).origin
    assert origin == {
        "kind": "nomiracl",
        "name": "miracl/nomiracl",
        "revision": hub.commits["miracl/nomiracl"],
        "licence": "apache-2.0",
    }
    assert not any("yoruba" in request.path for request in hub.log if request.method == "GET")


@pytest.mark.skipif(not SLICE.is_dir(), reason="the slice of MIRACL is not beside the project")
def test_lists_of_candidates_give_their_non_relevant_topics(tmp_path):
    dataset = imported(SLICE / "nomiracl-test", tmp_path / "mine", ["te"])
    qrels = trec.read_qrels(dataset.qrels_file("te", "test"))
    assert len(qrels) == 107
    assert {grade for judged in qrels.values() for grade in judged.values()} == {0}
    assert sum(map(len, qrels.values())) == 1070


def test_lists_without_their_passages_are_refused(tmp_path):
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "nomiracl-test-sw.jsonl").write_text("")
    with pytest.raises(DataError, match="The passages of the lists are not here"):
        imported(lists, tmp_path / "mine")


@pytest.fixture
def mdrbench(tmp_path, capsys, monkeypatch, own_store):
    """Run a command in this process; returns exit code, standard output and standard error."""
    from mdrbench import cli

    monkeypatch.chdir(tmp_path)

    def run(*words: str):
        monkeypatch.setattr("sys.argv", ["mdrbench", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return run


def test_a_judge_is_compared_with_the_annotators(folder, tmp_path, mdrbench):
    dataset = imported(folder, tmp_path / "mine")
    grades = {("1#0", "3#0"): 2, ("1#0", "1#0"): 0, ("2#0", "1#0"): 1, ("2#0", "2#0"): 0}
    verdicts = [
        {"qid": qid, "docid": docid, "reference": None, "accuracy": grade, "completeness": grade}
        for (qid, docid), grade in grades.items()
    ]
    path = tmp_path / "verdicts" / "judgments-sw-train.jsonl"
    path.parent.mkdir()
    path.write_text("".join(json.dumps(row) + "\n" for row in verdicts))
    recipe = tmp_path / "judge.yaml"
    recipe.write_text(
        "summary: a judge\nretriever: bm25\nnegatives:\n  mining: {name: topk}\n  reference: false\n"
        f"  judge: {{name: replay, folder: {path.parent}}}\n"
    )
    words = ("agreement", str(recipe), "--data", str(dataset.root), "--json", "--split", "test")
    code, _, err = mdrbench(*words)
    assert (code, "The split 'test' is kept for final figures" in err) == (2, True)
    code, out, err = mdrbench(*words, "--final")
    assert code == 0, err
    row = json.loads(out)["sw"]
    assert (row["both"], row["judge_only"], row["qrels_only"], row["neither"]) == (1, 1, 0, 2)
    _, out, _ = mdrbench(*words, "--final", "--set", "negatives.reference=true")
    row = json.loads(out)["sw"]
    assert (row["n"], row["neither"]) == (1, 1)  # the topic with a positive, less that positive


@pytest.mark.medium
def test_retrieval_is_refused(folder, tmp_path, mdrbench):
    dataset = imported(folder, tmp_path / "mine")
    with pytest.raises(UsageError, match="'mine' holds judged passages alone"):
        check_searchable(dataset)
    for words in (
        ("run", "bm25", "--split", "test", "--final"),
        ("plan", "bm25", "--split", "test"),
        ("mine", "boosted-sample"),
        ("mteb", "me5-small"),
        ("data", "pool", "--from", "x", "--out", "y"),
        ("submit", "sw=x", "--system", "x", "--split", "test", "--final"),
    ):
        code, _, err = mdrbench(*words, "--data", str(dataset.root))
        assert code == 2
        assert "holds judged passages alone, so retrieval cannot be evaluated on it" in err, words
