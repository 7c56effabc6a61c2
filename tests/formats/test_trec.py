from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdrbench.core.errors import DataError
from mdrbench.core.types import Hit
from mdrbench.formats import trec


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_ties_go_by_docid_descending_in_float32():
    hits = [Hit("a", 1.0), Hit("c", 0.5), Hit("b", 1.00000001)]
    assert trec.ranked(hits) == [Hit("b", 1.0), Hit("a", 1.0), Hit("c", 0.5)]


def test_the_order_of_equal_scores_is_trec_evals(tmp_path, trec_eval):
    docs = ["1#0", "10#0", "2#0", "a", "B", "é", "中", "𝒜"]
    run = write(tmp_path / "run", "".join(f"q Q0 {d} 1 0.5 t\n" for d in docs))
    order = [hit.docid for hit in trec.read_run(run)["q"]]
    for rank, docid in enumerate(order, 1):
        qrels = write(tmp_path / "qrels", f"q 0 {docid} 1\n")
        assert trec_eval(qrels, run, "-m", "recip_rank")["q"]["recip_rank"] == pytest.approx(1 / rank, abs=1e-4)


docids = st.text(st.characters(codec="utf-8", exclude_categories=["Z", "C"]), min_size=1, max_size=8)
scores = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(hits=st.dictionaries(docids, scores, min_size=1, max_size=20))
def test_a_written_run_reads_back_with_every_float32_bit(tmp_path_factory, hits):
    run = {"q": [Hit(docid, score) for docid, score in hits.items()]}
    path = tmp_path_factory.mktemp("run") / "run.trec.gz"
    trec.write_run(path, run, "tag")
    assert trec.read_run(path)["q"] == trec.ranked(run["q"])


def test_the_same_run_gives_the_same_bytes(tmp_path):
    run = {"q": [Hit("b", 0.25), Hit("a", 0.5)]}
    for name in ("one", "two"):
        trec.write_run(tmp_path / name, run, "tag")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert gzip.decompress((tmp_path / "one").read_bytes()) == b"q Q0 a 1 0.5 tag\nq Q0 b 2 0.25 tag\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("q Q0 a 1 nan t\n", "scores 'a' nan"),
        ("q Q0 a 1 inf t\n", "scores 'a' inf"),
        ("q Q0 a 1 1e39 t\n", r"scores 'a' 1e\+39"),
        ("q Q0 a 1 1 t\nq Q0 a 2 0.5 t\n", "ranks 'a' twice"),
        ("q Q0 a 1 0.5\n", "run:1: a run line has 6 columns, this one 5"),
        ("q Q0 a 1 1 t\nq Q0 b 1 high t\n", "run:2: score 'high' is no number"),
    ],
)
def test_a_bad_run_is_an_error_that_says_what_and_where(tmp_path, text, said):
    with pytest.raises(DataError, match=said):
        trec.read_run(write(tmp_path / "run", text))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("q1 no tab\n", "topics:1: a topic line must be qid, tab, query"),
        ("q1\tfine\nq1\tagain\n", "topics:2: topic 'q1' occurs twice"),
        ("q 1\tfine\n", "topics:1: qid 'q 1' holds white space"),
        ("q1\t \n", "topics:1: topic 'q1' has no text"),
        ("", "topics: holds no topic"),
        ("q1\tfine\nq2\tcaf\xe9\n".encode("latin-1"), "topics:2: not UTF-8: byte 0xe9 at column 7"),
    ],
)
def test_bad_topics_are_an_error_with_the_line(tmp_path, text, said):
    with pytest.raises(DataError, match=said):
        trec.read_topics(write(tmp_path / "topics", text))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("q1 Q0 a\n", "qrels:1: a qrels line has 4 columns, this one 3"),
        ("q1 Q0 a yes\n", "qrels:1: grade 'yes' is no whole number"),
        ("q1 Q0 a 1\nq1 Q0 a 0\n", "qrels:2: 'a' is judged 1 and 0 for topic 'q1'"),
        ("\n", "qrels: holds no judgment"),
    ],
)
def test_bad_qrels_are_an_error_with_the_line(tmp_path, text, said):
    with pytest.raises(DataError, match=said):
        trec.read_qrels(write(tmp_path / "qrels", text))


def test_what_the_field_tolerates_is_counted(tmp_path):
    warnings: Counter[str] = Counter()
    path = write(tmp_path / "qrels", b"\xef\xbb\xbfq1\tQ0\ta\t1\r\nq1\tQ0\ta\t1\n\n")
    assert trec.read_qrels(path, warnings) == {"q1": {"a": 1}}
    assert warnings == {
        "byte-order mark ignored": 1,
        "DOS line end ignored": 1,
        "repeated judgment ignored": 1,
        "blank qrels line ignored": 1,
    }


def test_a_truncated_gzip_names_its_file(tmp_path):
    path = write(tmp_path / "run.gz", gzip.compress(b"q Q0 a 1 1 t\n" * 5000)[:-40])
    with pytest.raises(DataError, match=r"run\.gz: cannot be read after line"):
        trec.read_run(path)


def test_a_run_without_a_hit_reads_back_empty(tmp_path):
    trec.write_run(tmp_path / "run.gz", {"q": []}, "tag")
    assert trec.read_run(tmp_path / "run.gz") == {}


def test_a_missing_file_names_itself(tmp_path):
    with pytest.raises(DataError, match="nowhere: file not found"):
        trec.read_topics(tmp_path / "nowhere")
