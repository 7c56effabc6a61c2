from __future__ import annotations

import gzip
import json
import random
import shutil
from pathlib import Path

import jsonschema
import pytest
from support.recorded_results import LANGS, copied, kept, quick, recorded

from mdrbench import results, site
from mdrbench.commands.audit import foreign_runs, submission, verification
from mdrbench.commands.audit.submission import Words, parse_runs
from mdrbench.core.errors import DataError, UsageError
from mdrbench.core.store import Store, file_sha256
from mdrbench.data.access import open_dataset
from mdrbench.data.datasets.sample import ROOT
from mdrbench.data.miracl_layout import MiraclFolder
from mdrbench.evaluation import measures
from mdrbench.site.cache import Cache
from mdrbench.site.model import site_model

SAMPLE = open_dataset("sample")
SHALLOW = "nDCG@10"
"""The measure for runs that need not be deep."""


@pytest.fixture
def runs(tmp_path) -> dict[str, Path]:
    """Plain copies of BM25's runs, as an outside system would hand them in."""
    found = {}
    for lang in LANGS:
        found[lang] = tmp_path / f"theirs.{lang}.trec"
        found[lang].write_bytes(gzip.decompress(kept(recorded() / "results", lang, "run").read_bytes()))
    return found


@pytest.fixture
def submit(tmp_path):
    """Submit to a folder of its own; the corpora are checked once for all tests."""

    def call(runs, name="theirs", *, root=tmp_path / "results", dataset=SAMPLE, **options):
        store = Store(recorded() / "cache")
        words = Words(name, **{key: options.pop(key) for key in ("summary", "link") if key in options})
        return submission.submit(runs, words, dataset, "dev", root, store, **options)

    return call


def lines_of(path: Path) -> list[str]:
    return path.read_text().splitlines()


def write(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines))


def test_our_own_run_handed_in_gets_our_own_scores(submit, runs):
    path, _ = submit(runs, summary="a system", link="https://example.org")
    result, own = results.read(path), results.read(quick(recorded() / "results"))
    for lang in LANGS:
        for measure in measures.DEFAULT:
            assert result.languages[lang].scores[measure].value == own.languages[lang].scores[measure].value
        assert result.languages[lang].dataset == own.languages[lang].dataset
        assert list(result.languages[lang].steps) == ["corpus", "topics"]
    assert result.averages[0].label == "average of 3 languages"
    assert result.system.recipe is None
    assert result.system.submission.link == "https://example.org"
    assert result.system.submission.runs == {lang: file_sha256(path) for lang, path in runs.items()}
    jsonschema.Draft202012Validator(results.json_schema()).validate(json.loads(path.read_text()))


def test_predictions_of_mteb_and_rankings_without_scores_are_read_as_runs(tmp_path):
    folder = tmp_path / "predictions"
    folder.mkdir()
    hits = {"q1": {"d2": 0.25, "d1": 0.5}, "q2": {"d3": 1.0}}
    (folder / "MIRACLRetrieval_predictions.json").write_text(
        json.dumps({"mteb_model_meta": {"model_name": "x"}, "sw": {"dev": hits}, "fi": {"dev": {"q9": {"d4": -1.5}}}})
    )
    (tmp_path / "top.tsv").write_text("q1\td7\t1\nq1\td8\t2\n")
    words = foreign_runs.as_runs([str(folder), f"te={tmp_path / 'top.tsv'}", "ar=plain.trec"], "dev", tmp_path)
    assert words == [*(f"{lang}={tmp_path / lang}.trec" for lang in ("sw", "fi", "te")), "ar=plain.trec"]
    assert lines_of(tmp_path / "sw.trec") == [
        "q1 Q0 d1 1 0.5 converted",
        "q1 Q0 d2 2 0.25 converted",
        "q2 Q0 d3 1 1.0 converted",
    ]
    assert lines_of(tmp_path / "te.trec") == ["q1 Q0 d7 1 1.0 converted", "q1 Q0 d8 2 0.5 converted"]
    with pytest.raises(DataError, match="sw has no split train"):
        foreign_runs.as_runs([str(folder)], "train", tmp_path)
    (tmp_path / "top.tsv").write_text("q1\td7\t1\nq1\td8\tsecond\n")
    with pytest.raises(DataError, match=r"top\.tsv:2: not a topic, a passage and a rank"):
        foreign_runs.as_runs([f"te={tmp_path / 'top.tsv'}"], "dev", tmp_path)


@pytest.mark.medium
def test_a_submission_verifies_and_stands_in_the_table_of_its_like(submit, runs, tmp_path):
    root = copied(tmp_path)
    submit(runs, root=root)
    submit({"sw": runs["sw"]}, "one-language", root=root)
    found = verification.verify([root], SAMPLE, corpus=True, progress=lambda text: None)
    assert [(one.path.name, one.problems, one.unchecked) for one in found] == [
        (name, [], []) for name in ("one-language.json", "quick.json", "theirs.json")
    ]
    model = site_model.load(root, (), Cache(tmp_path / "cache"))
    [collection] = [c for c in model.collections if c.measured]
    found = model.leaderboards[collection]["nDCG@10"]
    [group] = [group for group in found.groups if group.measured]
    assert [(row.name, row.origin, row.complete) for row in group.rows] == [
        ("quick", "measured", True),
        ("theirs", "submitted", True),
        ("one-language", "submitted", False),
    ]
    page = site.build(root, tmp_path / "site").parent / collection.folder / "index.html"
    assert "submitted" in page.read_text(encoding="utf-8")


def test_the_order_of_lines_and_the_packing_do_not_matter(submit, runs, tmp_path):
    random.Random(1).shuffle(shuffled := lines_of(runs["sw"]))
    packed = tmp_path / "shuffled.trec.gz"
    packed.write_bytes(gzip.compress("\n".join(shuffled).encode()))
    one, other = (results.read(submit({"sw": run}, name)[0]) for name, run in (("a", runs["sw"]), ("b", packed)))
    assert one.languages["sw"].scores == other.languages["sw"].scores
    assert one.system.submission.runs != other.system.submission.runs


def replaced(number: int, **fields: str):
    """Another field in line ``number`` (from 1)."""

    def change(lines):
        parts = dict(zip(("qid", "q0", "docid", "rank", "score", "tag"), lines[number - 1].split(), strict=True))
        lines[number - 1] = " ".join({**parts, **fields}.values())
        return lines

    return change


# the first lines of the run are topic 101's: 7#2, 7#0, 7#1, 7#3, 1#2, ...
MISTAKES = [
    (replaced(2, qid="999"), ":2: topic '999' is none of the data's"),
    (replaced(2, docid="8000#1"), ":2: topic '101' ranks '8000#1', which the corpus lacks"),
    (replaced(3, docid="7#2"), ":3: topic '101' ranks '7#2' a second time, first on line 1"),
    (replaced(2, score="nan"), ":2: topic '101', '7#0': score 'nan' is not finite"),
    (replaced(2, score="-inf"), "score '-inf' is not finite"),
    (replaced(2, score="1e39"), "score '1e39' is not finite"),
    (replaced(2, score="high"), "score 'high' is not a number"),
    (replaced(2, score="1_0"), "score '1_0' is not a number"),
    (replaced(2, score="١٠"), "score '١٠' is not a number"),
    (replaced(2, rank="9" * 5000), "is not a whole number"),
    (replaced(2, rank="second"), "rank 'second' is not a whole number"),
    (replaced(2, rank="1"), ":2: topic '101' has rank 1 twice ('7#2', '7#0')"),
    (replaced(2, score="99"), ":2: topic '101': rank 2 ('7#0') scores 99, more than 8.93089962 of rank 1 ('7#2')"),
    (lambda lines: [line.rsplit(" ", 1)[0] for line in lines], ":1: a run line has 6 columns, this one 5"),
    (lambda lines: [line for line in lines if not line.startswith("101 ")], "1 judged topic has no hit: 101"),
    (
        lambda lines: [line for line in lines if int(line.split()[3]) <= 3],
        "is cut at 3 hits a topic; nDCG@10 look deeper",
    ),
    (lambda lines: [], "holds no hit"),
]


@pytest.mark.parametrize(("change", "said"), MISTAKES, ids=range(len(MISTAKES)))
def test_each_mistake_is_named_with_its_line_and_mend_and_nothing_is_written(submit, runs, tmp_path, change, said):
    write(runs["ar"], change(lines_of(runs["ar"])))
    with pytest.raises(DataError) as error:
        submit(runs, names=(SHALLOW,))
    assert said in str(error.value)
    assert str(runs["ar"]) in str(error.value)
    assert "(mend: " in str(error.value)
    assert not (tmp_path / "results").exists()


def test_all_mistakes_of_all_files_are_told_at_once_and_many_of_a_kind_are_counted(submit, runs):
    write(runs["ar"], replaced(2, score="nan")(lines_of(runs["ar"])))
    write(runs["fi"], [line.replace(" Q0 ", " Q0 x") for line in lines_of(runs["fi"])])
    runs["sw"].write_bytes(b"\xff\n")
    with pytest.raises(DataError) as error:
        submit(runs)
    text = str(error.value)
    assert "is not finite" in text
    assert text.count(", which the corpus lacks") == 3
    assert f"unknown passages: {len(lines_of(runs['fi'])) - 3} more" in text
    assert f"{runs['sw']}:1: not UTF-8" in text


def test_a_run_of_distances_is_refused(submit, runs):
    flipped = [line.split() for line in lines_of(runs["sw"])]
    write(runs["sw"], [" ".join([*f[:4], str(-float(f[4])), f[5]]) for f in flipped])
    with pytest.raises(DataError, match="higher scores are better: negate distances"):
        submit({"sw": runs["sw"]})


def test_topics_without_hits_score_zero_only_where_that_is_allowed(submit, runs):
    write(runs["ar"], [line for line in lines_of(runs["ar"]) if not line.startswith("101 ")])
    path, notes = submit(runs, allow_missing=True)
    result, own = results.read(path), results.read(quick(recorded() / "results"))
    scores, _ = measures.read_topic_scores(kept(recorded() / "results", "ar", "topics"))
    lost = own.languages["ar"].scores["nDCG@10"].value - result.languages["ar"].scores["nDCG@10"].value
    assert lost == pytest.approx(scores["101"]["nDCG@10"] / 12)
    assert result.languages["ar"].conventions["judged_topics_without_hits"] == 1
    assert any("1 judged topic has no hit: 101; scored 0" in note for note in notes)


def test_equal_scores_may_be_ranked_in_any_order_and_it_is_said(submit, runs):
    tied = [line.split() for line in lines_of(runs["sw"])]
    write(runs["sw"], [" ".join([*f[:4], "1", f[5]]) for f in tied])
    _, notes = submit({"sw": runs["sw"]})
    assert any("are ordered by the tie rule, not by rank" in note for note in notes)


@pytest.mark.parametrize("rank", ["0", "-"])
def test_a_constant_rank_column_is_taken_with_a_note(submit, runs, rank):
    expected = results.read(submit({"sw": runs["sw"]}, "ranked")[0]).languages["sw"].scores
    lines = [line.split() for line in lines_of(runs["sw"])]
    write(runs["sw"], [" ".join([*f[:3], rank, *f[4:]]) for f in lines])
    path, notes = submit({"sw": runs["sw"]})
    assert f"{runs['sw']}: every line has rank {rank}; hits are ordered by score" in notes
    assert results.read(path).languages["sw"].scores == expected


def test_comment_lines_are_noted_and_a_tag_may_have_several_words(submit, runs):
    write(runs["sw"], ["# run 1 of 3", *(f"{line} v2" for line in lines_of(runs["sw"]))])
    path, notes = submit({"sw": runs["sw"]})
    assert f"{runs['sw']}: 1 comment line ignored" in notes
    assert results.read(path).languages["sw"].conventions["run_tag"].endswith(" v2")


def test_shallow_runs_are_scored_with_the_measures_they_allow(submit, runs):
    cut = [line for line in lines_of(runs["ar"]) if int(line.split()[3]) <= 3]
    write(runs["ar"], cut)
    path, _ = submit({"ar": runs["ar"]}, names=("nDCG@3",))
    assert results.read(path).evaluated.measures == ["nDCG@3"]


def test_names_and_places_that_are_taken(submit, runs, tmp_path):
    root = copied(tmp_path)
    for name, said in (("bm25", "shipped recipe"), ("quick", "the result of a recipe"), ("Mine!", "cannot name")):
        with pytest.raises(UsageError, match=said):
            submit(runs, name, root=root)
    with pytest.raises(UsageError, match="no web address"):
        submit(runs, link="javascript:alert(1)")
    path, _ = submit(runs, root=root)
    with pytest.raises(UsageError, match="has been submitted before"):
        submit(runs, root=root)
    submit({"sw": runs["sw"]}, root=root, replace=True)
    assert list(results.read(path).languages) == ["sw"]
    assert sorted(p.name for p in path.with_suffix("").iterdir()) == ["sw-dev.run.trec.gz", "sw-dev.topics.tsv.gz"]


def test_runs_on_other_data_never_enter_the_table_of_these(submit, runs, tmp_path):
    root = copied(tmp_path)
    other = MiraclFolder("sample", Path(shutil.copytree(ROOT, tmp_path / "other")))
    [shard] = other.corpus_files("sw")
    shard.write_text(shard.read_text().replace('"text": "', '"text": "X', 1))
    with pytest.raises(DataError, match=r"quick\.json: was measured on other data .*'sample' too: .* of 'sw'"):
        submit({"sw": runs["sw"]}, root=root, dataset=other)
    assert not (root / "sample" / "theirs.json").exists()


def test_runs_are_given_by_language_pattern_or_alone(tmp_path):
    for lang in ("fi", "sw"):
        (tmp_path / f"run.{lang}.trec").write_text("")
    pattern, sw = f"{tmp_path}/run.{{lang}}.trec", tmp_path / "run.sw.trec"
    available = ["ar", "fi", "sw"]
    assert parse_runs([pattern], None, available) == {"fi": tmp_path / "run.fi.trec", "sw": sw}
    assert parse_runs([pattern], "sw", available) == {"sw": sw}
    assert parse_runs([f"sw={sw}"], None, available) == {"sw": sw}
    assert parse_runs([str(sw)], "sw", available) == {"sw": sw}
    for words, langs, kind, said in (
        ([pattern], "all", DataError, "no run for 'ar'"),
        ([f"sw={sw}"], "fi,sw", DataError, "no run for fi"),
        ([f"sw={sw}"], "fi", DataError, "no run for fi"),
        ([str(sw)], None, UsageError, "of which language is this run"),
        ([f"sw={sw}", pattern], None, UsageError, "two runs for 'sw'"),
        ([f"zh={sw}"], None, UsageError, "has no language 'zh'"),
        (["none.{lang}"], None, DataError, "no run file of this pattern"),
    ):
        with pytest.raises(kind, match=said):
            parse_runs(words, langs, available)


def test_the_command_prints_the_table_and_notes(cli, runs, tmp_path):
    words = ["--system", "theirs", "--data", "sample", "--cache", recorded() / "cache"]
    done = cli("submit", "theirs.{lang}.trec", *words, "--license", "MIT", "--size", "12M parameters")
    assert done.returncode == 0, done.stderr
    assert "theirs on sample (dev)" in done.stdout
    assert "avg of 3" in done.stdout
    assert "note: 3 of the 16 languages of sample" in done.stderr
    assert "written: results/sample/theirs.json" in done.stdout
    data = json.loads((tmp_path / "results/sample/theirs.json").read_text())
    assert data["system"]["submission"]["license"] == "MIT"
    assert data["languages"]["sw"]["command"].startswith("mdrbench submit ")
    write(runs["ar"], replaced(2, score="nan")(lines_of(runs["ar"])))
    bad = cli("submit", "ar=theirs.ar.trec", *words, "--replace")
    assert bad.returncode == 3
    assert bad.stderr.startswith("error: 1 mistake in the runs:\n  - theirs.ar.trec:2: ")
