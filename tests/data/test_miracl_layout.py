from __future__ import annotations

import json
import os
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.folders import PASSAGES

from mdrbench.core.errors import DataError, UsageError
from mdrbench.core.languages import parse_langs
from mdrbench.data.access import choose_languages
from mdrbench.data.checks import check_corpus, check_topics
from mdrbench.data.datasets import local
from mdrbench.data.docid_table import DocidTable


def checked(maker, lang="en"):
    maker.root.mkdir(exist_ok=True)
    return check_corpus(maker.folder(), lang, maker.root / "docids.u64")


def test_a_sound_corpus_is_counted_and_fingerprinted_whatever_its_shards(maker):
    maker.corpus()
    whole = checked(maker)
    maker.corpus(passages=PASSAGES[:1], shard=0)
    maker.corpus(passages=PASSAGES[1:], shard=1)
    split = checked(maker)
    assert (whole.passages, whole.duplicates, whole.empty, whole.warnings) == (3, [], 0, {})
    assert whole.fingerprint == split.fingerprint
    maker.corpus(passages=[{**PASSAGES[0], "text": "Saimaa is a lake."}], shard=0)
    assert checked(maker).fingerprint != whole.fingerprint


def test_the_progress_of_a_check_knows_the_bytes_of_all_shards(maker):
    lines = [{**PASSAGES[0], "docid": f"{number}#0"} for number in range(2500)]
    sizes = [maker.corpus(passages=part, shard=n).stat().st_size for n, part in enumerate((lines[:1500], lines[1500:]))]
    told = []
    check_corpus(maker.folder(), "en", maker.root / "docids.u64", lambda *read: told.append(read))
    assert {total for _, total in told} == {sum(sizes)}
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (sum(sizes), sum(sizes))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"docid": "1#0", "title": "", ', "docs-0.jsonl.gz:4: not a JSON object"),
        (b'["1#0"]', "docs-0.jsonl.gz:4: not a JSON object"),
        (b'{"docid": "9#9", "title": "t"}', "docs-0.jsonl.gz:4: 'text' is missing or not a string"),
        (b'{"docid": 7, "title": "t", "text": "x"}', "docs-0.jsonl.gz:4: 'docid' is missing or not a string"),
        (b'{"docid": "a b", "title": "t", "text": "x"}', "docs-0.jsonl.gz:4: docid 'a b' is empty or holds white"),
        ('{"docid": "9#9", "title": "é", "text": "x"}'.encode("latin-1"), "docs-0.jsonl.gz:4: not UTF-8: byte 0xe9"),
        (b'{"docid": "9\\u00009", "text": "x"}', "docs-0.jsonl.gz:4: docid .* holds a control character"),
        (b'{"docid": "9\\ud83d9", "text": "x"}', r"docs-0.jsonl.gz:4: '.ud83d' is half of a surrogate pair"),
        (b'{"docid": "9#9", "text": "x \\uDE00"}', r"docs-0.jsonl.gz:4: '.ude00' is half of a surrogate pair"),
        (b'{"docid": "9#9", "text": "x", "y": NaN}', "docs-0.jsonl.gz:4: not a JSON object: NaN is not a JSON number"),
        (b'{"docid": "%s", "text": "x"}' % (b"x" * 5000), "docs-0.jsonl.gz:4: docid 'x*...' has 5,000 bytes"),
        (b'{"docid": "9#9", "text": "x", "y": %s' % (b"[" * 100_000), "docs-0.jsonl.gz:4: .* nested too deeply"),
        (b'{"docid": "9#9", "text": "x", "y": %s}' % (b"9" * 5000), "docs-0.jsonl.gz:4: not a JSON object: Exceeds"),
        (b'{"docid": "1#0", "title": "", "text": "other"}', "docs-0.jsonl.gz:4: docid '1#0' has another text than at"),
    ],
)
def test_a_malformed_corpus_line_is_named(maker, line, said):
    good = "".join(json.dumps(p) + "\n" for p in PASSAGES).encode()
    maker.corpus(raw=good + line + b"\n")
    with pytest.raises(DataError, match=said):
        checked(maker)


def test_what_the_field_tolerates_is_counted_and_repeated_passages_come_once(maker):
    extra = [PASSAGES[0], {"docid": "3#0", "title": "Oulu", "text": ""}, {"docid": "4#0", "title": "", "text": " "}]
    maker.corpus(passages=[*PASSAGES, *extra])
    report = checked(maker)
    assert report.passages == 5
    assert report.duplicates == ["1#0"]
    assert report.empty == 1
    assert report.warnings == {"passage without text": 2, "repeated passage ignored": 1}
    docids = [p.docid for p in maker.folder().passages("en", report.duplicates)]
    assert docids == ["1#0", "1#1", "2#0", "3#0", "4#0"]


def test_surrogate_pairs_that_are_escaped_are_characters(maker):
    maker.corpus(raw=b'{"docid": "1#0", "text": "mto \\ud83d\\ude00"}\n')
    assert [passage.text for passage in maker.folder().passages("en")] == ["mto \U0001f600"]


def test_passages_of_control_and_format_characters_alone_count_as_empty(maker):
    texts = ["\x00", "ziwa kubwa", "\x01\x02", "\u200b\ufeff", "\u00a0"]
    maker.corpus(passages=[{"docid": str(n), "title": "", "text": text} for n, text in enumerate(texts)])
    report = checked(maker)
    assert (report.passages, report.empty) == (5, 4)
    assert report.warnings == {"passage without text": 4}


def test_a_corpus_of_blank_passages_is_an_error(maker):
    maker.corpus(passages=[{"docid": f"{n}#0", "title": "\x01", "text": " "} for n in range(3)])
    with pytest.raises(DataError, match="nothing to search: none of the 3 passages has a title or a text"):
        checked(maker)


def test_shards_that_are_not_regular_files_are_named(maker):
    shard = maker.corpus()
    second = shard.with_name("docs-1.jsonl")

    def refused(said):
        with pytest.raises(DataError, match=said) as error:
            maker.folder().corpus_files("en")
        assert error.value.where == str(second)

    second.mkdir()
    refused("the shard is not a regular file")
    second.rmdir()
    second.symlink_to(second)
    refused("the shard is not a regular file")
    second.unlink()
    os.mkfifo(second)
    refused("the shard is not a regular file")
    second.unlink()
    second.symlink_to(shard)
    assert maker.folder().corpus_files("en") == [shard, second]


def test_an_absurd_shard_number_is_named_at_once(maker):
    shard = maker.corpus()
    absurd = shard.with_name(f"docs-{'9' * 200}.jsonl")
    shard.rename(absurd)
    with pytest.raises(DataError, match=r"corpus shard 0 is missing, but shard 9* is there") as error:
        maker.folder().corpus_files("en")
    assert error.value.where == str(absurd)


def test_topics_that_are_a_folder_are_named(maker):
    maker.corpus()
    path = maker.split("topics", "")
    path.unlink()
    path.mkdir()
    with pytest.raises(DataError, match="the topics file is not a regular file"):
        maker.folder().topics_file("en", "dev")


def test_missing_parts_are_named(maker):
    maker.root.mkdir()
    with pytest.raises(DataError, match="holds no corpus in MIRACL's layout"):
        maker.folder().languages()
    maker.corpus(shard=0)
    maker.corpus(shard=2)
    with pytest.raises(DataError, match="corpus shard 1 is missing"):
        maker.folder().corpus_files("en")
    with pytest.raises(DataError, match="no topics for language 'en', split 'dev'"):
        maker.folder().topics_file("en", "dev")


def test_shards_are_read_in_numeric_order(maker):
    for shard in range(11):
        maker.corpus(passages=[{"docid": f"{shard}#0", "title": "", "text": "x"}], shard=shard)
    assert [p.docid for p in maker.folder().passages("en")] == [f"{i}#0" for i in range(11)]


@pytest.mark.parametrize(
    ("topics", "qrels", "said"),
    [
        ("q1\tx\n", "q1\tQ0\t9#9\t1\n", r"qrels.*dev\.tsv:1: judges passage '9#9', which the corpus lacks"),
        ("q1\tx\n", "q1\tQ0\t1#0\t1\nq2\tQ0\t1#0\t1\n", r"qrels.*dev\.tsv:2: judges topic 'q2', which topics"),
    ],
)
def test_judgments_of_the_unknown_are_errors(maker, topics, qrels, said):
    maker.corpus()
    maker.split("topics", topics)
    maker.split("qrels", qrels)
    checked(maker)
    known = DocidTable.lookup(maker.root / "docids.u64")
    with pytest.raises(DataError, match=said):
        check_topics(maker.folder(), "en", "dev", known)


def test_unjudged_topics_and_topics_without_a_positive_are_counted(maker):
    maker.corpus()
    maker.split("topics", "1#0\tits id is a docid\nq2\tx\nq3\ty\n")
    maker.split("qrels", "1#0\tQ0\t1#0\t1\nq2\tQ0\t1#1\t0\n")
    checked(maker)
    found = check_topics(maker.folder(), "en", "dev", DocidTable.lookup(maker.root / "docids.u64"))
    assert found == {
        "topics": 3,
        "judged_topics": 2,
        "judgments": 2,
        "positives": 1,
        "warnings": {"topic without a positive, scores 0": 1, "topic without judgments, not scored": 1},
    }


def test_qrels_of_zeros_alone_are_told(maker):
    maker.corpus()
    maker.split("topics", "q1\tx\n")
    maker.split("qrels", "q1\tQ0\t1#0\t0\nq1\tQ0\t1#1\t-1\n")
    checked(maker)
    found = check_topics(maker.folder(), "en", "dev", DocidTable.lookup(maker.root / "docids.u64"))
    assert found["warnings"] == {
        "no judgment is positive, every score is 0": 1,
        "topic without a positive, scores 0": 1,
    }


@pytest.mark.medium
@given(present=st.sets(st.text(min_size=1, max_size=5)), absent=st.sets(st.text(min_size=1, max_size=5)))
def test_the_docid_table_knows_what_it_was_given_and_nothing_else(tmp_path_factory, present, absent):
    path = tmp_path_factory.mktemp("table") / "docids"
    table = DocidTable(path)
    table.BUFFER = 2  # spill to disk early
    for docid in present:
        table.add(docid)
    assert table.finish() == []
    known = DocidTable.lookup(path)
    assert all(known(docid) for docid in present)
    assert not any(known(docid) for docid in absent - present)


@pytest.mark.medium
def test_memory_does_not_grow_with_the_corpus(maker):
    def peak(count: int) -> int:
        passages = ({"docid": f"{i}#0", "title": "t", "text": "x" * 500} for i in range(count))
        maker.corpus(passages=list(passages))
        tracemalloc.start()
        assert checked(maker).passages == count
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    small, large = peak(5_000), peak(40_000)
    assert large < small + 16 * 40_000 + 200_000  # at most the buffered hashes and places, never the 20 MB of text
    assert large < 3_000_000


@pytest.mark.medium
@pytest.mark.wiki16
def test_wiki16_is_sound_and_has_the_counts_it_was_built_with(wiki16, tmp_path):
    stats = json.loads((wiki16.root / "stats.json").read_text())
    for lang in wiki16.languages():
        report = check_corpus(wiki16, lang, tmp_path / lang)
        found = check_topics(wiki16, lang, "dev", DocidTable.lookup(tmp_path / lang))
        assert report.passages == stats[lang]["passages"]
        assert found["topics"] == stats[lang]["queries"]["dev"]
        assert report.warnings == {}


# -- languages and places ----------------------------------------------------------------------------------------------


def test_every_language_with_a_corpus_belongs_to_a_folder(maker):
    for lang in ("zh-tw", "de", "sw", "tr"):
        maker.corpus(lang)
    langs = maker.folder().languages()
    assert langs == ["sw", "de", "tr", "zh-tw"]
    assert parse_langs("all", langs) == ["sw", "tr", "zh-tw"]
    assert parse_langs("TR, de", langs) == ["de", "tr"]
    assert parse_langs("all", ["yo"]) == ["yo"]
    with pytest.raises(UsageError, match=r"Unknown language 'xx' in --langs.\n  mend: .*zh-tw"):
        parse_langs("xx", langs)
    maker.corpus("EN")
    with pytest.raises(DataError, match=r"miracl-corpus-v1.0-EN: 'EN' is not a language code"):
        maker.folder().languages()


def test_a_folder_a_level_too_low_or_too_high_is_told_where_the_layout_is(maker):
    maker.whole()
    for folder in (maker.root / "miracl", maker.root.parent):
        with pytest.raises(DataError, match=rf"give the folder that holds miracl/ .*--data {maker.root}$"):
            local.LocalFolder(local.Config(path=folder)).languages()


def test_all_leaves_out_languages_without_topics_and_a_named_one_is_an_error(maker, capsys):
    maker.whole("en")
    maker.corpus("sw")
    maker.split("topics", "q1\tx\n", "sw", "train")
    maker.split("qrels", "q1\tQ0\t1#0\t1\n", "sw", "train")
    maker.corpus("de")
    assert choose_languages(maker.folder(), "all", ["dev"]) == ["en"]
    notes = capsys.readouterr().err
    assert "note: 'sw' has no dev topics and is left out" in notes
    assert "note: 'de' is not part of `all`; name it in --langs" in notes
    with pytest.raises(
        DataError, match=r"no topics for language 'sw', split 'dev'\n  mend: 'sw' has train; choose with"
    ):
        choose_languages(maker.folder(), "sw", ["dev"])
    with pytest.raises(DataError, match="split 'test'"):
        choose_languages(maker.folder(), "all", ["test"])


def test_a_users_own_data_are_not_fetched_again(maker):
    maker.whole()
    maker.corpus(shard=2)
    with pytest.raises(DataError) as error:
        maker.folder().corpus_files("en")
    assert "fetch" not in str(error.value)
    assert "write the corpus again" in str(error.value)
