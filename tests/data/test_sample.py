"""The packaged sample: counts, labels, and that it is neither trivial nor hopeless for BM25."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter

import pytest

from mdrbench.core.languages import ALL
from mdrbench.data.access import open_dataset
from mdrbench.data.checks import check_corpus, check_topics
from mdrbench.data.docid_table import DocidTable
from mdrbench.evaluation import measures
from mdrbench.formats import trec
from mdrbench.retrieval.retrievers import bm25

SAMPLE = open_dataset("sample")

SCRIPTS = {
    "ar": ("ARABIC",), "fa": ("ARABIC",), "bn": ("BENGALI",), "hi": ("DEVANAGARI",), "te": ("TELUGU",), "th": ("THAI",),
    "ru": ("CYRILLIC",), "ko": ("HANGUL",), "zh": ("CJK",), "ja": ("CJK", "HIRAGANA", "KATAKANA"),
}  # fmt: skip


def records(kind: str, lang: str) -> list[dict]:
    path = SAMPLE.root / kind / f"{kind}-{lang}-train.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_it_has_all_16_languages():
    assert SAMPLE.languages() == list(ALL)


@pytest.mark.parametrize("lang", ALL)
def test_it_is_sound_and_as_large_as_promised(lang, tmp_path):
    report = check_corpus(SAMPLE, lang, tmp_path / "docids")
    assert report.passages >= 40
    assert (report.warnings, report.duplicates) == ({}, [])
    for split in ("train", "dev"):
        found = check_topics(SAMPLE, lang, split, DocidTable.lookup(tmp_path / "docids"))
        assert found["topics"] == found["judged_topics"] >= 12
        assert found["warnings"] == {}
        qrels = trec.read_qrels(SAMPLE.qrels_file(lang, split))
        for judged in qrels.values():
            grades = Counter(judged.values())
            assert grades[1] >= 1
            assert grades[0] >= 2


@pytest.mark.parametrize("lang", ALL)
def test_its_text_is_in_the_languages_own_script_and_normalised(lang):
    scripts = SCRIPTS.get(lang, ("LATIN",))
    texts = [p.text for p in SAMPLE.passages(lang)]
    assert len(set(texts)) == len(texts)
    for text in texts:
        assert text == unicodedata.normalize("NFC", text).strip()
        letters = [ch for ch in text if ch.isalpha()]
        assert sum(unicodedata.name(ch, "").startswith(scripts) for ch in letters) > 0.85 * len(letters)


@pytest.mark.parametrize("lang", ALL)
def test_train_and_dev_have_their_positives_in_different_articles(lang):
    def articles(split: str) -> set[str]:
        qrels = trec.read_qrels(SAMPLE.qrels_file(lang, split))
        return {docid.split("#")[0] for judged in qrels.values() for docid, grade in judged.items() if grade}

    assert not articles("train") & articles("dev")
    topics = [trec.read_topics(SAMPLE.topics_file(lang, split)) for split in ("train", "dev")]
    assert not set(topics[0].values()) & set(topics[1].values())


@pytest.mark.parametrize("lang", ALL)
def test_every_train_topic_has_recorded_judgments_of_its_hard_negatives(lang):
    qrels = trec.read_qrels(SAMPLE.qrels_file(lang, "train"))
    docids = {p.docid for p in SAMPLE.passages(lang)}
    seen: dict[str, dict[str, int]] = {qid: {} for qid in qrels}
    for record in records("judgments", lang):
        judged = qrels[record["qid"]]
        assert record["docid"] in docids
        assert judged.get(record["reference"]) == 1
        assert judged.get(record["docid"]) != 1
        assert {record["accuracy"], record["completeness"]} <= {0, 1, 2}
        assert record["docid"] not in seen[record["qid"]]
        seen[record["qid"]][record["docid"]] = min(record["accuracy"], record["completeness"])
    assert all(len(found) >= 8 for found in seen.values())
    for qid, judged in qrels.items():  # what the qrels call irrelevant, the annotator called irrelevant
        assert all(seen[qid][docid] == 0 for docid, grade in judged.items() if grade == 0)
    assert sum(2 in found.values() for found in seen.values()) >= 3  # false negatives to be found


@pytest.mark.parametrize("lang", ALL)
def test_every_train_topic_has_a_recorded_summary_and_generated_query(lang):
    topics = trec.read_topics(SAMPLE.topics_file(lang, "train"))
    generated = {record["qid"]: record for record in records("generations", lang)}
    assert generated.keys() == topics.keys()
    for qid, record in generated.items():
        assert record["summary"].strip()
        assert record["query"].strip() not in ("", topics[qid])


def test_qids_repeat_across_languages_and_some_look_like_docids_or_are_one():
    qids = {lang: set(trec.read_topics(SAMPLE.topics_file(lang, "dev"))) for lang in ALL}
    assert qids["ar"] == qids["sw"]
    assert all("#" in qid for qid in qids["zh"])
    assert qids["zh"] & {p.docid for p in SAMPLE.passages("zh")}


@pytest.mark.medium
@pytest.mark.parametrize("lang", ALL)
def test_bm25_finds_much_but_not_everything(lang, tmp_path):
    retriever = bm25.BM25(bm25.Config())
    retriever.index(lang, SAMPLE.passages(lang), tmp_path / "index", lambda done: None)
    topics = trec.read_topics(SAMPLE.topics_file(lang, "dev"))
    run = retriever.search(lang, tmp_path / "index", topics, 100)
    scores = measures.score_topics(run, trec.read_qrels(SAMPLE.qrels_file(lang, "dev")))
    mean = measures.matrix(scores, ("nDCG@10",)).mean()
    assert 0.4 < mean < 0.9
    assert sum(row["MRR@10"] < 1 for row in scores.values()) >= 3
