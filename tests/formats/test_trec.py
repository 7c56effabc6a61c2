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
        trec.write_run(tmp_path / f"{name}.gz", run, "tag")
    assert (tmp_path / "one.gz").read_bytes() == (tmp_path / "two.gz").read_bytes()
    assert gzip.decompress((tmp_path / "one.gz").read_bytes()) == b"q Q0 a 1 0.5 tag\nq Q0 b 2 0.25 tag\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("q Q0 a 1 nan t\n", "scores 'a' nan"),
        ("q Q0 a 1 inf t\n", "scores 'a' inf"),
        ("q Q0 a 1 1e39 t\n", r"scores 'a' 1e\+39"),
        ("q Q0 a 1 1 t\nq Q0 a 2 0.5 t\n", "ranks 'a' twice"),
        ("q Q0 a 1 0.5\n", "run:1: a run line has 6 columns, this one 5"),
        ("q Q0 a 1 1_0 t\n", "run:1: score '1_0' is not a number"),
        ("q Q0 a 1 ١٠ t\n", "run:1: score '١٠' is not a number"),
        ("q Q0 a 1 2 t\rq Q0 b 2 1 t\r", "run:1: a carriage return stands in the middle of the line"),
        ("q Q0 a 1 1 t\nq Q0 b 1 high t\n", "run:2: score 'high' is not a number"),
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
        ("q 1\tfine\n", "topics:1: qid 'q 1' is empty or holds white space"),
        ("q1\t \n", "topics:1: topic 'q1' has no text"),
        ("q1\t\u200b\x01\n", "topics:1: topic 'q1' has no text"),
        ("q1\tfine\nq2\tFinland\t3\n", "topics:2: a topic line has 2 columns, this one 3"),
        ("# made in May\tx\n", "topics:1: qid '# made in May' begins with '#'"),
        ("q\x001\tfine\n", "topics:1: qid 'q.*1' holds a control character"),
        (f"{'q' * 5000}\tfine\n", "topics:1: qid 'q*...' has 5,000 bytes; the most is 4,096"),
        ("q1\tfine\rq2\tfine\r", "topics:1: a carriage return stands in the middle of the line"),
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
        ("q1 Q0 a yes\n", "qrels:1: grade 'yes' is not a whole number"),
        ("q1 Q0 a 1_0\n", "qrels:1: grade '1_0' is not a whole number"),
        ("q1 Q0 a ١\n", "qrels:1: grade '١' is not a whole number"),
        ("q1 Q0 a +1\n", "qrels:1: grade '\\+1' is not a whole number"),
        ("q1 Q0 a 1001\n", "qrels:1: grade 1001 is not between -1000 and 1000"),
        ("q1 Q0 a -1001\n", "qrels:1: grade -1001 is not between -1000 and 1000"),
        (f"q1 Q0 a {'9' * 5000}\n", "qrels:1: grade 9* is not between -1000 and 1000"),
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


def test_grades_within_their_bounds_are_read_with_leading_zeros_and_minus(tmp_path):
    path = write(tmp_path / "qrels", "q1 Q0 a -1000\nq1 Q0 b 00001\nq1 Q0 c 1000\nq1 Q0 d -0\n")
    assert trec.read_qrels(path) == {"q1": {"a": -1000, "b": 1, "c": 1000, "d": 0}}


def test_comment_lines_of_qrels_and_runs_are_skipped_and_counted(tmp_path):
    warnings: Counter[str] = Counter()
    qrels = write(tmp_path / "qrels", "# max grade 1\nq1\tQ0\ta#0\t1\n")
    assert trec.read_qrels(qrels, warnings) == {"q1": {"a#0": 1}}
    assert warnings == {"comment line ignored": 1}
    run = write(tmp_path / "run", "# run 1 of 3 t\nq1 Q0 a#0 1 2 t\n\n")
    assert trec.read_run(run) == {"q1": [Hit("a#0", 2.0)]}


def test_a_tag_of_several_words_is_read(tmp_path):
    assert trec.read_run(write(tmp_path / "run", "q1 Q0 a#0 1 2.0 my run\n")) == {"q1": [Hit("a#0", 2.0)]}


def test_a_header_line_of_topics_is_counted(tmp_path):
    warnings: Counter[str] = Counter()
    assert len(trec.read_topics(write(tmp_path / "topics", "query_id\ttext\nq1\tx\n"), warnings)) == 2
    assert warnings == {"first line looks like a header, read as a topic": 1}


def test_scores_are_compared_as_trec_eval_9_does(tmp_path, trec_eval):
    run = write(tmp_path / "run", "1 Q0 a#0 1 1.00000001 t\n1 Q0 b#0 2 1.0 t\n")
    qrels = write(tmp_path / "qrels", "1 0 a#0 1\n1 0 b#0 0\n")
    assert [hit.docid for hit in trec.read_run(run)["1"]] == ["b#0", "a#0"]
    assert trec_eval(qrels, run, "-m", "recip_rank")["1"]["recip_rank"] == 0.5


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
