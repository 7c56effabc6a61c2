from __future__ import annotations

import gzip
import json
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdrbench.core.errors import DataError
from mdrbench.core.types import Negative, Passage, TrainingGroup
from mdrbench.formats import groups

GROUPS = [
    TrainingGroup(
        "7",
        ("12#0", "12#1"),
        (Negative("3#1", 0.71, "mined", False), Negative("4#0", 0.1 + 0.2, "generated", True, 0)),
    ),
    TrainingGroup("ünï 8", ("ش#0",), ()),
]


def write_lines(path, *rows) -> None:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))


def row(**changes) -> dict:
    negative = {"docid": "n", "score": 0.5, "source": "mined", "judged": False, "grade": None}
    return {"qid": "1", "positives": ["p"], "negatives": [{**negative, **changes.pop("negative", {})}], **changes}


@pytest.mark.parametrize("name", ["groups.jsonl.gz", "groups.jsonl"])
def test_groups_come_back_as_they_were(tmp_path, name):
    path = tmp_path / "new" / name
    assert groups.write(path, iter(GROUPS)) == 2
    assert list(groups.read(path)) == GROUPS


def test_the_same_groups_give_the_same_bytes_under_any_name(tmp_path):
    for name in ("a", "b"):
        groups.write(tmp_path / f"{name}.jsonl.gz", GROUPS)
    data = (tmp_path / "a.jsonl.gz").read_bytes()
    assert data == (tmp_path / "b.jsonl.gz").read_bytes()
    assert gzip.decompress(data).decode().splitlines()[1] == '{"qid":"ünï 8","positives":["ش#0"],"negatives":[]}'


SCORES = st.floats(allow_nan=False, allow_infinity=False, width=32)
IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
NEGATIVES = st.tuples(SCORES, st.sampled_from(groups.SOURCES), st.booleans(), st.sampled_from([None, 0, 1, 2]))


@st.composite
def drawn_groups(draw):
    result = []
    for qid in draw(st.lists(IDS, unique=True, max_size=4)):
        docids = draw(st.lists(IDS, unique=True, min_size=1, max_size=6))
        cut = draw(st.integers(1, len(docids)))
        negatives = tuple(Negative(docid, *draw(NEGATIVES)) for docid in docids[cut:])
        result.append(TrainingGroup(qid, tuple(docids[:cut]), negatives))
    return result


@settings(deadline=None)
@given(found=drawn_groups())
def test_any_groups_come_back(tmp_path_factory, found):
    path = tmp_path_factory.mktemp("groups") / "groups.jsonl.gz"
    assert groups.write(path, found) == len(found)
    assert list(groups.read(path)) == found


def test_both_ways_go_one_group_at_a_time(tmp_path):
    path = tmp_path / "groups.jsonl.gz"
    taken = 0

    def stream() -> Iterator[TrainingGroup]:
        nonlocal taken
        for number in range(50_000):
            taken = number
            yield TrainingGroup(str(number), ("p",), (Negative("n", number, "mined", False),))

    assert groups.write(path, stream()) == 50_000
    assert taken == 49_999
    with path.open("rb+") as file:  # what lies before the damage is read
        file.truncate(path.stat().st_size // 2)
    reader = groups.read(path)
    assert next(reader).qid == "0"
    with pytest.raises(DataError, match=r"groups.jsonl.gz: cannot be read after line \d+"):
        list(reader)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "not a JSON object"),
        (" {}", "a group lacks 'qid'"),
        ("[]", "not a JSON object"),
        ({"qid": "1", "positives": ["p"]}, "a group lacks 'negatives'"),
        (row(lang="en"), "unknown key 'lang' in a group"),
        (row(qid=1), "the qid is 1, not a text"),
        (row(qid="0"), "the qid '0' occurs twice"),
        (row(positives=[]), "query '1' has no positive"),
        (row(positives="p"), "'positives' is not a list"),
        (row(positives=[3]), "a docid of query '1' is 3, not a text"),
        (row(positives=["p", "p"]), "'p' is a positive twice for query '1'"),
        (row(positives=["n"]), "'n' is both positive and negative for query '1'"),
        (row(negatives=row()["negatives"] * 2), "'n' is a negative twice for query '1'"),
        (row(negatives=["n"]), "a negative is a mapping of keys"),
        (row(negative={"rank": 1}), "unknown key 'rank' in a negative"),
        (row(negative={"score": "high"}), "the score of 'n' is 'high', not a finite number"),
        (row(negative={"score": None}), "the score of 'n' is None"),
        (json.dumps(row()).replace("0.5", "NaN"), "NaN is not a JSON number"),
        (row(negative={"source": "bm25"}), "neither 'mined' nor 'generated'"),
        (row(negative={"judged": 0}), "'judged' of 'n' is 0, neither true nor false"),
        (row(negative={"grade": 3}), "the grade of 'n' is 3, not 0, 1, 2 or null"),
        (row(negative={"grade": True}), "the grade of 'n' is True"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_line(tmp_path, line, said):
    path = tmp_path / "groups.jsonl"
    write_lines(path, row(qid="0"), line)
    with pytest.raises(DataError) as error:
        list(groups.read(path))
    assert f"{path}:2: {said}" in str(error.value) or said in error.value.message
    assert error.value.where == f"{path}:2"


def test_blank_lines_are_skipped(tmp_path):
    path = tmp_path / "groups.jsonl"
    write_lines(path, row(qid="0"), "", row(qid="1"), " ")
    assert [group.qid for group in groups.read(path)] == ["0", "1"]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (GROUPS[0], "the qid '7' occurs twice"),
        (TrainingGroup("9", (), ()), "query '9' has no positive"),
        (TrainingGroup("9", ("p",), (Negative("p", 1.0, "mined", False),)), "both positive and negative"),
        (TrainingGroup("9", ("p",), (Negative("n", float("inf"), "mined", False),)), "not a finite number"),
    ],
)
def test_a_bad_group_is_refused_and_nothing_is_written(tmp_path, bad, said):
    path = tmp_path / "groups.jsonl.gz"
    with pytest.raises(DataError, match=said):
        groups.write(path, [*GROUPS, bad])
    assert list(tmp_path.iterdir()) == []
    groups.write(path, GROUPS)
    before = path.read_bytes()
    with pytest.raises(DataError):
        groups.write(path, [*GROUPS, bad])
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_passages_of_groups_are_picked_out_of_the_corpus():
    wanted = groups.docids(GROUPS)
    assert wanted == {"12#0", "12#1", "3#1", "4#0", "ش#0"}
    corpus = [Passage(docid, "", docid) for docid in [*sorted(wanted), "other"]]
    assert groups.passages(wanted, iter(corpus)).keys() == wanted
    with pytest.raises(
        DataError, match="2 passages of the groups or of the run are not in the corpus, the first '3#1'"
    ):
        groups.passages(wanted, [p for p in corpus if p.docid not in ("3#1", "4#0")])
