"""BM25 against the tools it stands for: Anserini's own command line and pyserini's LuceneSearcher."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.project import PROJECT, WIKI16_LITE

from mdrbench.core.errors import DataError, SetupError, StepError
from mdrbench.core.types import Passage, Run
from mdrbench.data.access import open_dataset
from mdrbench.data.miracl_layout import MiraclFolder
from mdrbench.formats import trec
from mdrbench.retrieval import java, lucene
from mdrbench.retrieval.retrievers import bm25

SAMPLE = open_dataset("sample")
BUNDLED = java.find().bundled
ANSERINI = int(java.anserini_version().split(".")[0])


def search(folder: MiraclFolder, lang: str, out: Path, depth: int = 100, **config) -> Run:
    retriever = bm25.BM25(bm25.Config(**config))
    facts = retriever.index(lang, folder.passages(lang), out / "index", lambda done: None)
    assert facts["indexed"] == sum(1 for _ in folder.passages(lang))
    topics = trec.read_topics(folder.topics_file(lang, "dev"))
    return retriever.search(lang, out / "index", topics, depth)


def anserini(*words: object) -> None:
    program = [str(java.find().home / "bin" / "java"), "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]  # a short life
    command = [*program, "-cp", str(java.anserini_jar()), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    skip_if_version_2_lacks_the_network(done)
    assert done.returncode == 0, done.stderr


def skip_if_version_2_lacks_the_network(done: subprocess.CompletedProcess) -> None:
    """Their own programs fetch lists of indexes from GitHub when they start. mdrbench does not."""
    if ANSERINI >= 2 and any(text in done.stderr for text in ("UnknownHostException", "<urlopen error")):
        pytest.skip("Anserini 2 and pyserini 2 fetch lists of indexes, and the network cannot be reached")


def anserini_run(folder: MiraclFolder, lang: str, out: Path) -> list[tuple[str, str, str]]:
    """Index and search with Anserini's command line; the run as (qid, docid, score as printed)."""
    (out / "corpus").mkdir()
    with (out / "corpus" / "docs.jsonl").open("w", encoding="utf-8") as file:
        for passage in folder.passages(lang):
            file.write(json.dumps({"id": passage.docid, "contents": f"{passage.title}\n{passage.text}"}) + "\n")
    analyzer = ["-pretokenized"] if lang == "sw" else ["-language", lang]
    anserini(
        "io.anserini.index.IndexCollection", "-collection", "JsonCollection", "-input", out / "corpus",
        "-index", out / "reference", "-generator", "DefaultLuceneDocumentGenerator", "-threads", 1, *analyzer,
    )  # fmt: skip
    anserini(
        "io.anserini.search.SearchCollection", "-index", out / "reference", "-topicReader", "TsvString",
        "-topics", folder.topics_file(lang, "dev"), "-output", out / "run", "-hits", 100, "-bm25",
        "-bm25.k1", 0.9, "-bm25.b", 0.4, *analyzer,
    )  # fmt: skip
    lines = (out / "run").read_text(encoding="utf-8").splitlines()
    return [(line.split()[0], line.split()[2], line.split()[4]) for line in lines]


def flat(run: Run) -> list[tuple[str, str, str]]:
    return [(qid, hit.docid, f"{hit.score:.6f}") for qid, hits in run.items() for hit in hits]


@pytest.mark.slow
@pytest.mark.wiki16
@pytest.mark.parametrize("lang", ["ar", "en", "fa", "ja", "ko", "sw", "zh"])
def test_runs_are_those_of_anserinis_own_command_line(lang, tmp_path):
    folder = MiraclFolder("wiki16-lite", WIKI16_LITE)
    mine = flat(search(folder, lang, tmp_path))
    assert len(mine) > 1000
    assert sorted(mine) == sorted(anserini_run(folder, lang, tmp_path))


@pytest.mark.medium
@pytest.mark.parametrize("lang", ["te", "sw"])
def test_runs_on_the_sample_are_those_of_anserinis_own_command_line(lang, tmp_path):
    assert sorted(flat(search(SAMPLE, lang, tmp_path))) == sorted(anserini_run(SAMPLE, lang, tmp_path))


@pytest.mark.slow
def test_hits_are_those_of_pyserinis_lucene_searcher(tmp_path):
    """In a process of its own, with a key, because pyserini.search loads openai, which wants one at import."""
    run = search(SAMPLE, "fi", tmp_path)
    topics = trec.read_topics(SAMPLE.topics_file("fi", "dev"))
    script = """
import json, sys
from mdrbench.retrieval import java; java.start()
from pyserini.search.lucene import LuceneSearcher
searcher = LuceneSearcher(sys.argv[1]); searcher.set_language("fi"); searcher.set_bm25(0.9, 0.4)
topics = json.load(sys.stdin)
hits = searcher.batch_search(list(topics.values()), list(topics), k=100, threads=2)
print(json.dumps({q: [[h.docid, h.score] for h in found] for q, found in hits.items()}))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "index")],
        input=json.dumps(topics), capture_output=True, text=True, check=False, cwd=PROJECT,
        env={**os.environ, "OPENAI_API_KEY": "unused"},
    )  # fmt: skip
    skip_if_version_2_lacks_the_network(done)
    assert done.returncode == 0, done.stderr
    expected = json.loads(done.stdout.splitlines()[-1])
    assert {qid: [list(hit) for hit in hits] for qid, hits in run.items()} == expected


def test_k1_and_b_are_lucenes_on_a_case_worked_by_hand(tmp_path):
    """Documents of 2, 2 and 4 terms; Lucene's BM25 lacks the constant (k1 + 1), Anserini rounds to 4 decimals."""
    texts = ["lake seal", "lake lake", "forest river mountain valley"]
    passages = [Passage(f"{i}#0", "", text) for i, text in enumerate(texts)]
    retriever = bm25.BM25(bm25.Config(k1=1.2, b=0.75))
    retriever.index("en", iter(passages), tmp_path / "index", lambda done: None)
    run = retriever.search("en", tmp_path / "index", {"q": "lakes", "none": "ocean"}, 10)
    idf, average = 0.47000363, 8 / 3  # ln(1 + (3 - 2 + 0.5) / (2 + 0.5)); Porter makes 'lakes' 'lake'
    norm = 1.2 * (0.25 + 0.75 * 2 / average)
    assert [(h.docid, pytest.approx(h.score, abs=6e-5)) for h in run["q"]] == [
        ("1#0", idf * 2 / (2 + norm)),
        ("0#0", idf * 1 / (1 + norm)),
    ]
    assert run["none"] == []


@pytest.mark.medium
def test_indexes_of_windows_are_joined_to_one_with_the_same_hits_and_scores(tmp_path):
    lang, folder, retriever = "fi", MiraclFolder("wiki16-lite", WIKI16_LITE), bm25.BM25(bm25.Config())
    passages = list(folder.passages(lang))
    parts = [tmp_path / str(start) for start in range(0, len(passages), 250)]
    for part in parts:
        retriever.index(lang, passages[int(part.name) :][:250], part, lambda done: None)
    retriever.join(parts, tmp_path / "joined")
    assert (len(parts), lucene.live_documents(tmp_path / "joined")) == (3, len(passages))
    topics = trec.read_topics(folder.topics_file(lang, "dev"))
    assert retriever.search(lang, tmp_path / "joined", topics, 100) == search(folder, lang, tmp_path)


def test_passages_with_nothing_to_index_are_skipped_and_counted(tmp_path):
    passages = [Passage("1#0", "", " "), Passage("1#1", "Saimaa", ""), Passage("1#2", "", "lake")]
    facts = bm25.BM25(bm25.Config()).index("en", iter(passages), tmp_path, lambda done: None)
    assert (facts["indexed"], facts["skipped"]) == (2, 1)


@pytest.mark.skipif(not BUNDLED, reason="JAVA_HOME names a JDK with a Thai dictionary")
def test_thai_is_segmented_by_pythainlp_on_the_bundled_java_and_says_so(tmp_path):
    retriever = bm25.BM25(bm25.Config())
    assert "pythainlp" in retriever.conventions("th")["analyzer"]
    java.start()
    assert bm25.thai_tokeniser()("ทะเลสาบสงขลาเป็นทะเลสาบน้ำเค็ม ๒๕๓๓") == ["ทะเลสาบ", "สงขลา", "ทะเลสาบ", "น้ำเค็ม", "2533"]
    run = search(SAMPLE, "th", tmp_path)
    assert all(run.values())
    with pytest.raises(SetupError, match="cannot break Thai"):
        bm25.BM25(bm25.Config(thai="lucene")).index("th", iter([]), tmp_path / "no", lambda done: None)


def indexed(out: Path, lang: str, *texts: str) -> bm25.BM25:
    retriever = bm25.BM25(bm25.Config())
    retriever.index(lang, (Passage(f"{i}#0", "", text) for i, text in enumerate(texts)), out, lambda done: None)
    return retriever


def test_the_analyzer_that_is_recorded_is_the_one_that_runs(tmp_path, monkeypatch):
    """Anserini 1 cuts Korean into bigrams, as it does Chinese; Anserini 2 has an analyzer for Korean."""
    running, other, found = ("CJKAnalyzer", "KoreanAnalyzer", ["0#0"])
    if ANSERINI >= 2:
        running, other, found = ("KoreanAnalyzer", "CJKAnalyzer", [])
    assert bm25.BM25(bm25.Config()).conventions("ko")["analyzer"].split(" ")[0] == running
    run = indexed(tmp_path / "ko", "ko", "대한민국").search("ko", tmp_path / "ko", {"part": "한민"}, 10)
    assert [hit.docid for hit in run["part"]] == found  # no word of Korean, but a bigram of the passage
    table = lucene.analyzers() | {"ko": other}
    monkeypatch.setattr(lucene, "analyzers", lambda: table)
    with pytest.raises(StepError, match=f"uses {running} for 'ko', but {other} is recorded"):
        indexed(tmp_path / "no", "ko", "대한민국")
    with pytest.raises(StepError, match=f"uses {running} for 'ko', but {other} is recorded"):
        bm25.BM25(bm25.Config()).search("ko", tmp_path / "ko", {"q": "한민"}, 10)


def test_the_table_of_analyzers_is_read_again_when_anserini_changes(tmp_path, monkeypatch):
    monkeypatch.setenv("MDRBENCH_CACHE", str(tmp_path))
    lucene.analyzers.cache_clear()
    table = lucene.analyzers()
    kept = json.loads((tmp_path / "analyzers.json").read_text())
    assert kept["analyzers"] == table
    for stale in ({**kept, "jar": "other"}, {"jar": kept["jar"]}, []):
        (tmp_path / "analyzers.json").write_text(json.dumps(stale))
        lucene.analyzers.cache_clear()
        assert lucene.analyzers() == table
        assert json.loads((tmp_path / "analyzers.json").read_text()) == kept
    lucene.analyzers.cache_clear()


def test_a_query_of_thousands_of_terms_is_searched(tmp_path):
    retriever = indexed(tmp_path, "en", "seal", "lake")
    query = " ".join(f"w{i}" for i in range(5000)) + " lake"
    run = retriever.search("en", tmp_path, {"long": query, "short": "seal"}, 10)
    assert {qid: [hit.docid for hit in hits] for qid, hits in run.items()} == {"long": ["1#0"], "short": ["0#0"]}


def test_a_docid_that_lucene_cannot_index_is_named_and_a_lost_passage_is_not_counted(tmp_path, monkeypatch):
    passages = [Passage("x" * 40_000, "", "lake"), Passage("1#0", "", "lake")]
    with pytest.raises(DataError, match=r"'x{40}\.\.\.' has 40000 bytes; Lucene can index 32766"):
        bm25.BM25(bm25.Config()).index("en", iter(passages), tmp_path / "a", lambda done: None)
    monkeypatch.setattr(bm25, "LONGEST_DOCID", 50_000)
    facts = bm25.BM25(bm25.Config()).index("en", iter(passages), tmp_path / "b", lambda done: None)
    assert facts["indexed"] == 1


@pytest.fixture
def small_disk(tmp_path):
    """A file system of two megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this user may not mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.medium
def test_a_full_disk_is_named(small_disk):
    texts = (" ".join(f"w{i * j}" for i in range(100)) for j in range(20_000))
    with pytest.raises(SetupError, match="the disk is full"):
        indexed(small_disk / "index", "en", *texts)


OWN_JDKS = [p for p in Path("/usr/lib/jvm").glob("*") if not p.is_symlink() and (p / "bin" / "javac").exists()]
OWN_JDKS = [p for p in OWN_JDKS if int((java._release_version(p) or "0").split(".")[0]) >= java.MINIMUM]


@pytest.mark.skipif(not OWN_JDKS, reason="no JDK 21 or newer under /usr/lib/jvm")
def test_thai_goes_through_lucene_on_a_jdk_of_ones_own(cli):
    environment = {**os.environ, "JAVA_HOME": str(OWN_JDKS[0]), "PYTHONPATH": str(PROJECT), "MDRBENCH_CACHE": "own"}
    done = cli("run", "bm25", "--data", "sample", "--langs", "th", "--json", "--quiet", env=environment)
    assert done.returncode == 0, done.stderr
    [result] = json.loads(done.stdout)
    conventions = result["languages"]["th"]["conventions"]
    assert conventions["analyzer"] == "ThaiAnalyzer"
    assert conventions["java"] == java._release_version(OWN_JDKS[0])
    assert result["languages"]["th"]["scores"]["nDCG@10"]["value"] > 0.3


@pytest.mark.parametrize(
    ("lang", "analyzer", "query", "docid"),
    [
        ("tr", "TurkishAnalyzer", "göllerin", "1#0"),
        ("xx", lucene.FALLBACK, "SÖZCÜK!", "2#0"),
        ("fi-ee", "FinnishAnalyzer", "järvien", "3#0"),
    ],
)
def test_other_languages_have_their_analyzer_or_a_named_fallback(tmp_path, lang, analyzer, query, docid):
    passages = [Passage("1#0", "", "Türkiye'nin gölleri"), Passage("2#0", "", "(sözcük)"), Passage("3#0", "", "järvi")]
    retriever = bm25.BM25(bm25.Config())
    assert retriever.conventions(lang)["analyzer"] == analyzer
    retriever.index(lang, iter(passages), tmp_path / "index", lambda done: None)
    run = retriever.search(lang, tmp_path / "index", {"q": query}, 10)
    assert [hit.docid for hit in run["q"]] == [docid]


def test_unicode_words_keep_marks_and_fold_width_and_case():
    assert lucene.unicode_words("ＡＢＣ, தமிழ்-மொழி!").split() == ["abc", "தமிழ்", "மொழி"]
