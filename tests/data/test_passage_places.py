from __future__ import annotations

import json

import pytest
from support.folders import PASSAGES

from mdrbench.core.errors import DataError
from mdrbench.core.types import Passage
from mdrbench.data.checks import check_corpus
from mdrbench.data.docid_table import DocidTable
from mdrbench.data.passage_places import CorpusWindows, PassagePlaces


def line(docid: str, text: str) -> bytes:
    return json.dumps({"docid": docid, "title": "Järvi", "text": text}, ensure_ascii=False).encode()


FIRST = b"\xef\xbb\xbf" + line("1#0", "Saimaa on suuri") + b"\r\n\n" + line("1#1", "湖" * 900) + b"\n"
SECOND = line("2#0", "Inari") + b"\n" + line("1#0", "Saimaa on suuri") + b"\n" + line("3#0", "viimeinen")
DOCIDS = ["1#0", "1#1", "2#0", "3#0"]
"""A mark, DOS line ends, a blank line, a repeated passage, and a last line without an end."""


@pytest.fixture
def corpus(maker):
    """Two shards, compressed and not, with their table."""
    maker.corpus(raw=FIRST)
    maker.corpus(raw=b"", shard=1).unlink()
    (maker.root / "miracl-corpus/miracl-corpus-v1.0-en/docs-1.jsonl").write_bytes(SECOND)
    report = check_corpus(maker.folder(), "en", maker.root / "docids.u64")
    assert (report.passages, report.duplicates) == (4, ["1#0"])
    return PassagePlaces(maker.folder(), "en", maker.root / "docids.u64", report.duplicates)


@pytest.mark.parametrize("wanted", [{"3#0"}, {"1#1", "2#0"}, {"1#0", "3#0"}, set(DOCIDS), set()])
def test_wanted_passages_are_those_of_a_pass_over_the_corpus_in_its_order(corpus, wanted):
    found = list(corpus.passages(wanted))
    assert found == [passage for passage in corpus.folder.passages("en", ["1#0"]) if passage.docid in wanted]
    assert len(found) == len(wanted)


def test_rows_are_counted_without_repeated_passages(corpus):
    assert corpus.docids({3, 0, 2}, 4) == {0: "1#0", 2: "2#0", 3: "3#0"}
    assert corpus.docids({1}, total=5) == {1: "1#1"}  # a table that does not fit is not used


@pytest.mark.parametrize("size", [1, 2, 3, 4, 9])
@pytest.mark.parametrize("offset", [0, 1])
def test_windows_in_any_order_are_those_of_a_pass_over_the_corpus(corpus, size, offset):
    everything = list(corpus.everything())
    starts = range(offset, 4, size)
    for order in (starts, reversed(starts), [*starts, *starts]):
        windows = CorpusWindows(corpus, 4)
        for start in order:
            assert list(windows.passages(start, min(start + size, 4), size)) == everything[start : start + size]


def test_a_window_decodes_no_line_before_it(corpus, maker):
    maker.corpus(raw=FIRST.replace(b'{"docid": "1#0"', b'["docid": "1#0"'))
    windows = CorpusWindows(corpus, 4)
    assert [passage.docid for passage in windows.passages(1, 3, 2)] == ["1#1", "2#0"]
    with pytest.raises(DataError, match=r"docs-0.jsonl.gz, byte 0: not a JSON object"):
        list(windows.passages(0, 2, 2))


def test_windows_of_a_corpus_without_offsets_are_read_from_its_beginning(corpus):
    windows = CorpusWindows(PassagePlaces(corpus.folder, "en", None, corpus.duplicates), 4)
    found = [[passage.docid for passage in windows.passages(*window, 1)] for window in ((0, 1), (2, 4), (1, 2))]
    assert found == [["1#0"], ["2#0", "3#0"], ["1#1"]]


def test_other_passages_are_not_read(corpus, maker):
    maker.corpus(raw=FIRST.replace(b'{"docid": "1#0"', b'["docid": "1#0"'))
    assert [passage.text for passage in corpus.passages({"1#1"})] == ["湖" * 900]


def test_a_table_of_another_corpus_gives_no_wrong_passage(corpus, maker):
    maker.corpus(raw=line("9#9", "muu") + b"\n" + FIRST.removeprefix(b"\xef\xbb\xbf"))
    assert [passage.docid for passage in corpus.passages({"1#1", "3#0", "9#9"})] == ["3#0", "9#9", "1#1"]
    maker.corpus(raw=b"\xff\n" + FIRST)
    with pytest.raises(DataError, match=r"docs-0.jsonl.gz:1: not UTF-8"):
        list(corpus.passages({"1#1"}))


def test_two_docids_with_one_hash_are_both_found(maker, monkeypatch):
    monkeypatch.setattr(DocidTable, "hash", staticmethod(lambda docid: 7 if docid[0] == "1" else 1 << 63))
    maker.corpus()
    report = check_corpus(maker.folder(), "en", maker.root / "docids.u64")
    places = PassagePlaces(maker.folder(), "en", maker.root / "docids.u64", report.duplicates)
    assert list(places.passages({"1#0", "1#1"})) == [Passage(**passage) for passage in PASSAGES[:2]]
    assert places.docids({1}, report.passages) == {1: "1#1"}


def test_a_corpus_without_offsets_is_read_as_a_whole_and_said_to_be(corpus, capsys):
    DocidTable.places(corpus.table).unlink()
    old = PassagePlaces(corpus.folder, "en", corpus.table, ["1#0"])
    assert [passage.docid for passage in old.passages({"3#0", "1#0"})] == ["1#0", "3#0"]
    assert "en: the whole corpus is read" in capsys.readouterr().err


def test_the_table_costs_sixteen_bytes_a_passage(corpus):
    assert [path.stat().st_size for path in (corpus.table, DocidTable.places(corpus.table))] == [8 * 4, 8 * 4]
