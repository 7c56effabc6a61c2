"""Collections of other formats as data sets: BEIR folders, two files, ir_datasets, the hub, tasks of mteb."""

from __future__ import annotations

import gzip
import json
import os
import sys

import pytest
from support.hub_server import FakeHub
from support.parquet_pools import front_matter, parquet, put_language
from support.project import PROJECT

from mdrbench.core.errors import DataError, SetupError, UsageError
from mdrbench.core.types import Passage
from mdrbench.data.access import open_dataset
from mdrbench.data.importing import mteb_tasks
from mdrbench.data.importing.folder import check_target, write_import
from mdrbench.data.importing.sources import read_source
from mdrbench.data.record import read_record
from mdrbench.formats import trec
from mdrbench.hub import dataset_configs

CORPUS = [{"_id": "1", "title": "Müritz", "text": "Die Müritz ist ein See."}, {"_id": 2, "text": "Ein Fluss."}]
QUERIES = [{"_id": "q1", "text": "Welcher See?"}, {"_id": "q2", "text": "Ohne Urteil?"}]
QRELS = [{"query-id": "q1", "corpus-id": "1", "score": 1}, {"query-id": "q1", "corpus-id": "9", "score": 1}]
SPLITS = {"test": QRELS, "validation": QRELS[:1]}


def imported(source, root, langs=("de",), passages=None, questions=()):
    collection = read_source(source, passages, list(questions), list(langs), root)
    return write_import(root, collection), open_dataset(str(root))


@pytest.fixture
def beir(tmp_path):
    folder = tmp_path / "theirs"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl.gz").write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in CORPUS).encode()))
    (folder / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in QUERIES))
    for name, rows in (("test", QRELS), ("dev", QRELS[:1])):
        lines = ["query-id\tcorpus-id\tscore", *("\t".join(map(str, row.values())) for row in rows)]
        (folder / "qrels" / f"{name}.tsv").write_text("\n".join(lines) + "\n")
    return folder


def check_german(counts, dataset):
    """What every import of the collection above must give."""
    assert counts["de"]["passages"] == 2
    assert sorted(dataset.passages("de")) == [
        Passage("1", "Müritz", "Die Müritz ist ein See."),
        Passage("2", "", "Ein Fluss."),
    ]
    assert trec.read_topics(dataset.topics_file("de", "dev")) == {"q1": "Welcher See?"}
    assert trec.read_qrels(dataset.qrels_file("de", "dev")) == {"q1": {"1": 1}}
    assert dataset.languages() == ["de"]
    assert dataset.corpus_variant == "full"
    assert "| German | 2 |" in dataset.card()


def test_a_beir_folder(beir, tmp_path):
    counts, dataset = imported(str(beir), tmp_path / "mine")
    check_german(counts, dataset)
    assert counts["de"]["test judgments left out"] == 1
    assert trec.read_qrels(dataset.qrels_file("de", "test")) == {"q1": {"1": 1}}
    record = read_record(dataset.root)
    assert (record.origin["kind"], record.origin["name"]) == ("beir", "theirs")
    assert record.origin["revision"].startswith("sha256-")


def test_a_second_language_is_added_and_the_card_keeps_what_was_written(beir, tmp_path):
    _, dataset = imported(str(beir), tmp_path / "mine")
    card = dataset.root / "README.md"
    card.write_text(card.read_text().replace("Known limits: to be written", "Known limits: none"))
    check_target(dataset.root)
    _, dataset = imported(str(beir), tmp_path / "mine", langs=["pt-br"])
    assert dataset.languages() == ["de", "pt-br"]
    assert "Known limits: none" in dataset.card()
    assert "| Portuguese (br) | 2 |" in dataset.card()


def test_two_files_of_ones_own(tmp_path):
    passages, questions = tmp_path / "passages.jsonl", tmp_path / "questions.tsv"
    passages.write_text("".join(json.dumps(row) + "\n" for row in CORPUS))
    questions.write_text("id\tquestion\tanswers\nq1\tWelcher See?\t1\n")
    train = f"train={questions}"
    counts, dataset = imported(None, tmp_path / "mine", passages=passages, questions=[str(questions), train])
    check_german(counts, dataset)
    assert dataset.splits_of("de") == ["dev", "train"]
    with pytest.raises(UsageError, match="Two files of questions for the split 'train'"):
        imported(None, tmp_path / "other", passages=passages, questions=[train, train])
    questions.write_text("id\tquestion\nq1\tWelcher See?\n")
    with pytest.raises(DataError, match=r"questions.tsv, row 1: The question has no answers"):
        imported(None, tmp_path / "other", passages=passages, questions=[str(questions)])


MR_TYDI = {
    "collection/docs.jsonl.gz": [{"id": f"{n}#0", "contents": f"Järvi {n}\n\nTeksti."} for n in range(3)],
    "topic.tsv": "1\tMikä järvi?\n2\tMikä joki?\n",
    "qrels.txt": "1 Q0 0#0 1\n2 Q0 2#0 1\n",
    "topic.train.tsv": "1\tMikä järvi?\n",
    "qrels.train.txt": "1 Q0 0#0 1\n",
    "topic.dev.tsv": "2\tMikä joki?\n",
    "qrels.dev.txt": "2 Q0 2#0 1\n",
}
NEUCLIR_TOPIC = {
    "topic_id": "100",
    "topics": [
        {"lang": lang, "source": source, "topic_title": title, "topic_description": "", "topic_narrative": ""}
        for lang, source, title in (
            ("eng", "original", "Lakes"),
            ("fas", "human translation", "دریاچه‌ها"),
            ("fas", "machine translation", "دریاچه"),
        )
    ],
}
NEUCLIR = {
    "1/fas/docs.jsonl.gz": [{"id": n, "title": n, "text": n, "url": "", "time": "", "cc_file": ""} for n in "ab"],
    "trec-2022/topics.jsonl": json.dumps(NEUCLIR_TOPIC) + "\n",
    "trec-2022/qrels": "100 fas a 3\n100 rus c 1\n100 fas b 0\n",
}


def put_files(folder, files):
    """Write texts, and rows as packed JSON lines."""
    for name, body in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = body.encode() if isinstance(body, str) else "".join(json.dumps(row) + "\n" for row in body).encode()
        path.write_bytes(gzip.compress(rows) if name.endswith(".gz") else rows)


@pytest.mark.medium
def test_names_of_ir_datasets(cli, tmp_path):
    """The package itself reads Mr. TyDi and NeuCLIR, from small files in its cache."""
    pytest.importorskip("ir_datasets", reason="ir_datasets is not installed")
    home = tmp_path / "ir"
    put_files(home / "mr-tydi/fi.data/mrtydi-v1.0-finnish", MR_TYDI)
    put_files(home / "neuclir", NEUCLIR)
    paths = os.environ.get("PYTHONPATH", "")
    environment = {**os.environ, "IR_DATASETS_HOME": str(home), "PYTHONPATH": f"{PROJECT}{os.pathsep}{paths}"}

    done = cli("data", "import", "ir_datasets:mr-tydi/fi/dev", "--langs", "fi", "--out", "tydi", env=environment)
    assert done.returncode == 0, done.stderr
    dataset = open_dataset(str(tmp_path / "tydi"))
    assert dataset.splits_of("fi") == ["dev"]
    assert trec.read_topics(dataset.topics_file("fi", "dev")) == {"2": "Mikä joki?"}
    assert trec.read_qrels(dataset.qrels_file("fi", "dev")) == {"2": {"2#0": 1}}
    assert next(iter(dataset.passages("fi"))) == Passage("0#0", "", "Järvi 0\n\nTeksti.")
    assert read_record(dataset.root).origin["revision"].startswith("ir_datasets 0.")

    done = cli(
        "data", "import", "ir_datasets:neuclir/1/fa/trec-2022", "--langs", "fa", "--out", "clir", env=environment
    )
    assert done.returncode == 0, done.stderr
    dataset = open_dataset(str(tmp_path / "clir"))
    assert trec.read_topics(dataset.topics_file("fa", "dev")) == {"100": "دریاچه‌ها"}  # the human translation
    assert trec.read_qrels(dataset.qrels_file("fa", "dev")) == {"100": {"a": 3, "b": 0}}
    done = cli("data", "import", "ir_datasets:mr-tydi/xx", "--langs", "fi", "--out", "no", env=environment)
    assert (done.returncode, "ir_datasets has no 'mr-tydi/xx'" in done.stderr) == (2, True)


def test_without_ir_datasets_the_import_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ir_datasets", None)
    with pytest.raises(SetupError, match="pip install ir-datasets"):
        imported("ir_datasets:mr-tydi/fi", tmp_path / "other")


@pytest.fixture
def hub(monkeypatch, hub_cache):
    hub = FakeHub()
    with hub.running():
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


def text_ids(rows):
    """Parquet columns have one type."""
    return [{**row, "_id": str(row["_id"])} for row in rows]


def test_a_repository_of_the_hub_with_one_language(hub, tmp_path):
    hub.put("lab/lakes", "README.md", b"---\nlicense: cc-by-4.0\n---\n")
    hub.put("lab/lakes", "corpus/corpus-00000-of-00001.parquet", parquet(text_ids(CORPUS)))
    hub.put("lab/lakes", "queries/queries.jsonl", "".join(json.dumps(row) + "\n" for row in QUERIES).encode())
    for split, rows in SPLITS.items():
        hub.put("lab/lakes", f"default/{split}-00000-of-00001.parquet", parquet(rows))
    counts, dataset = imported("hub:lab/lakes", tmp_path / "mine")
    check_german(counts, dataset)
    origin = read_record(dataset.root).origin
    assert (origin["name"], origin["revision"], origin["licence"]) == (
        "lab/lakes",
        hub.commits["lab/lakes"],
        "cc-by-4.0",
    )
    with pytest.raises(UsageError, match="lab/lakes holds one language and does not say which"):
        imported("hub:lab/lakes", tmp_path / "other", langs=())
    with pytest.raises(DataError, match="the hub has no lab/rivers"):
        imported("hub:lab/rivers", tmp_path / "other")


def test_a_repository_with_several_languages(hub, tmp_path):
    parts = {"corpus": text_ids(CORPUS), "queries": QUERIES, "qrels": QRELS[:1]}
    hub.put("lab/lakes", "README.md", front_matter(["de", "sw"]))
    for lang in ("de", "sw"):
        put_language(hub, "lab/lakes", lang, parts)
    counts, dataset = imported("hub:lab/lakes", tmp_path / "mine", langs=())
    assert list(counts) == dataset.languages()[::-1] == ["de", "sw"]
    with pytest.raises(UsageError, match="lab/lakes has no language 'fi'"):
        imported("hub:lab/lakes", tmp_path / "other", langs=["fi"])


def hub_environment(hub, tmp_path) -> dict[str, str]:
    """For a process that reads this hub, with caches of its own."""
    return {
        **os.environ,
        **{"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_TELEMETRY": "1"},
        **{"MDRBENCH_CACHE": str(tmp_path / "store"), "PYTHONPATH": str(PROJECT)},
    }


@pytest.mark.slow
def test_a_task_of_mteb_is_loaded_by_mteb_at_its_revision(hub, cli, tmp_path):
    """MintakaRetrieval, with whole numbers as ids."""
    repo, revision = "mteb/MintakaRetrieval", "43bc699486e768138ce3a6d4cd859da306ac9eef"
    hub.commits[repo] = revision
    hub.put(repo, "README.md", front_matter(["de", "ja"], "test"))
    parts = {
        "corpus": [{"_id": n, "title": "", "text": f"See {n}"} for n in range(4)],
        "queries": [{"_id": 7, "text": "Welcher See?"}, {"_id": 8, "text": "Ohne Urteil?"}],
        "qrels": [{"query-id": 7, "corpus-id": 2, "score": 1}],
    }
    for lang in ("de", "ja"):
        put_language(hub, repo, lang, parts, split="test")
    words = ("data", "import", "mteb:MintakaRetrieval", "--langs", "de", "--out", "mine")
    done = cli(*words, env=hub_environment(hub, tmp_path))
    assert done.returncode == 0, done.stderr
    assert "next: mdrbench run bm25 --data mine --split test --final" in done.stdout
    dataset = open_dataset(str(tmp_path / "mine"))
    assert dataset.languages() == ["de"]
    assert sorted(dataset.passages("de")) == [Passage(str(n), "", f"See {n}") for n in range(4)]
    assert trec.read_topics(dataset.topics_file("de", "test")) == {"7": "Welcher See?"}
    assert trec.read_qrels(dataset.qrels_file("de", "test")) == {"7": {"2": 1}}
    origin = read_record(dataset.root).origin
    assert (origin["name"], origin["revision"]) == (f"MintakaRetrieval ({repo})", revision)
    assert origin["licence"] == "cc-by-4.0"
    assert not any("ja-" in request.path for request in hub.log if request.method == "GET")


def test_subsets_of_a_task_of_mteb_get_our_codes_of_their_languages():
    names = {"ara": "Arabic", "deu": "German", "eng": "English", "zho": "Chinese", "acm": "Mesopotamian Arabic"}
    subsets = {
        **{"ar": ["ara-Arab"], "deu-deu": ["deu-Latn", "deu-Latn"], "eng-ara": ["eng-Latn", "ara-Arab"]},
        **{"zho_Hans": ["zho-Hans"], "zho_Hant": ["zho-Hant"], "acm_Arab": ["acm-Arab"]},
    }
    assert mteb_tasks.by_language(subsets, names) == {
        **{"ar": "ar", "de": "deu-deu", "zh": "zho_Hans", "zh-hant": "zho_Hant", "acm": "acm_Arab"},
    }


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ({"config_name": "a", "data_files": "x/*.parquet"}, {"a": {"train": ["x/dev-0.parquet"]}}),
        ({"config_name": "a", "data_files": {"dev": "x/*"}}, {"a": {"dev": ["x/dev-0.parquet"]}}),
        ({"data_files": [{"split": "dev", "path": ["x/*", "y"]}]}, {"default": {"dev": ["x/dev-0.parquet"]}}),
    ],
)
def test_files_of_a_configuration_may_be_stated_in_several_ways(stated, expected):
    assert dataset_configs.configs_of(["x/dev-0.parquet", "README.md"], [stated]) == expected


def test_a_folder_that_is_something_else_is_left_alone(beir, tmp_path):
    with pytest.raises(UsageError, match="The folder is not empty and was not made by an import"):
        check_target(beir)
    with pytest.raises(UsageError, match="A data set cannot be called 'sample'"):
        check_target(tmp_path / "sample")
    check_target(tmp_path / "new")


@pytest.mark.parametrize("source", [None, "nowhere", "hub:", "tables:x"])
def test_an_unknown_source_is_told_which_there_are(tmp_path, source):
    with pytest.raises(UsageError, match=r"mend: give a folder in BEIR's format, ir_datasets:NAME"):
        imported(source, tmp_path / "mine")


def test_an_imported_data_set_runs_to_a_verified_result(cli, beir, tmp_path):
    done = cli("data", "import", "theirs", "--langs", "de", "--out", "mine")
    assert done.returncode == 0, done.stderr
    assert "de: 2 passages, 1 dev topics" in done.stdout
    assert cli("run", "bm25", "--data", "mine").returncode == 0
    result = json.loads((tmp_path / "results/mine/bm25.json").read_text())
    assert result["languages"]["de"]["scores"]["nDCG@10"]["value"] == 1.0
    assert cli("verify", "--data", "mine", "--corpus").returncode == 0
