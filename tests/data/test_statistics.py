"""What ``mdrbench data stats`` says of a data set."""

from __future__ import annotations

from array import array

from mdrbench.data.statistics import in_script, lengths, repeated, statistics

PASSAGES = [
    {"docid": "1#0", "title": "Saimaa", "text": "Saimaa on järvi."},
    {"docid": "1#1", "title": "", "text": "Saimaa  on järvi."},
    {"docid": "2#0", "title": "Байкал", "text": "Озеро в России."},
]


def test_duplicates_overlap_unanswered_topics_and_mixed_scripts_are_counted(maker):
    maker.corpus("fi", PASSAGES)
    maker.split("topics", "q1\tMikä järvi?\nq2\tМоре?\nq3\tEi vastausta?\n", "fi")
    maker.split("qrels", "q1\tQ0\t1#0\t1\nq2\tQ0\t2#0\t0\n", "fi")
    maker.split("topics", "t1\tMIKÄ JÄRVI\n", "fi", "train")
    maker.split("qrels", "t1\tQ0\t1#0\t1\n", "fi", "train")
    row = statistics(maker.folder(), "fi", "dev")
    assert (row["passages"], row["topics"], row["judged_topics"], row["positives"]) == (3, 3, 2, 1)
    assert row["passages_that_repeat_a_text"] == 1
    assert row["passages_without_title"] == 1
    assert row["passages_in_another_script"] == 1
    assert row["topics_in_another_script"] == 1
    assert row["topics_in_other_splits"] == {"train": 1}
    assert row["passage_characters"]["longest"] == 17
    assert row["warnings"]["topic without judgments, not scored"] == 1
    assert row["warnings"]["topic without a positive, scores 0"] == 1


def test_a_text_is_in_the_script_of_most_of_its_letters():
    assert in_script("東京 is in 日本の首都です", "ja")
    assert not in_script("Tokyo is the capital", "ja")
    assert in_script("1999", "ja")
    assert in_script("whatever", "xx")


def test_lengths_and_repetitions_of_nothing_are_zero():
    assert lengths(array("L")) == (0.0, 0, 0)
    assert repeated(array("Q")) == 0
    assert repeated(array("Q", [1, 2, 1, 1])) == 2


def test_the_command_prints_counts_and_flaws(cli, maker, tmp_path):
    maker.corpus("fi", PASSAGES)
    maker.split("topics", "q1\tMikä järvi?\n", "fi")
    maker.split("qrels", "q1\tQ0\t1#0\t1\n", "fi")
    done = cli("data", "stats", "--data", maker.root)
    assert done.returncode == 0, done.stderr
    assert "note: fi: 1 passages repeat the text of another" in done.stdout
    assert done.stdout.splitlines()[1].split()[:5] == ["fi", "3", "1", "1", "1"]
