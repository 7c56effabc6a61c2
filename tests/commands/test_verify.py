from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest
from support.recorded_results import LANGS, edit, kept, quick, rewrite

from mdrbench.commands.audit import verification
from mdrbench.core.errors import UsageError
from mdrbench.core.store import key_of
from mdrbench.data.access import open_dataset
from mdrbench.data.datasets.sample import ROOT
from mdrbench.data.miracl_layout import MiraclFolder
from mdrbench.data.record import DatasetRecord, write_record

SAMPLE = open_dataset("sample")


def verify(root: Path, dataset=SAMPLE, corpus: bool = False) -> verification.Verified:
    [found] = verification.verify([root], dataset, corpus=corpus, progress=lambda text: None)
    return found


@pytest.mark.parametrize(
    ("dataset", "corpus", "not_checked"), [(None, False, 2), (SAMPLE, False, 1), (SAMPLE, True, 0)]
)
def test_every_number_of_a_real_result_is_rederived(reference, dataset, corpus, not_checked):
    found = verify(reference, dataset, corpus)
    assert found.problems == []
    assert found.cells == 4 * 5 * 3  # three languages and the average, five measures, value and interval ends
    assert found.topics == 36
    assert len(found.unchecked) == not_checked


@pytest.mark.parametrize("seed", range(8))
def test_any_single_number_changed_by_hand_is_named(results_root, seed):
    rng = random.Random(seed)
    change = rng.choice([-1, 1]) * 10 ** rng.uniform(-6, -1)
    part, measure = rng.choice(["value", "low", "high"]), rng.choice(["nDCG@10", "Recall@100", "MAP@100"])
    place = rng.choice([*LANGS, "average of 3 languages"])

    def spoil(data):
        entry = data["languages"][place] if place in LANGS else data["averages"][0]
        entry["scores"][measure][part] += change

    edit(quick(results_root), spoil)
    [problem] = verify(results_root, None).problems
    assert (problem.lang, problem.measure, problem.what) == (place, measure, part)
    assert problem.stored - problem.derived == pytest.approx(change)


def in_language(lang, *path):
    def change(value):
        def spoil(data):
            here = data["languages"][lang]
            for key in path[:-1]:
                here = here[key]
            here[path[-1]] = value

        return spoil

    return change


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda d: d["system"]["recipe"]["retriever"].update(k1=1.2), "the recipe is not the one of recipe_digest"),
        (lambda d: d["system"].update(recipe_digest="0" * 64), "the recipe is not the one of recipe_digest"),
        (lambda d: d["system"]["recipe"].update(colour="red"), "the recipe is not the one of recipe_digest"),
        (lambda d: d["system"]["recipe"]["retriever"].update(name="none"), "the recipe is not one of this mdrbench"),
        (lambda d: d["system"].pop("recipe"), "has neither a recipe nor a submission"),
        (lambda d: d["system"].update(name="better"), "the file's name is not the system's"),
        (lambda d: d["evaluated"].update(depth=1000), "evaluated.depth is not how this mdrbench scores"),
        (lambda d: d["evaluated"].update(seed=7), "evaluated.seed is not the recipe's: stored 7, derived 42"),
        (lambda d: next(iter(d["environments"].values())).update(python="2.7"), "is not the one of its hash"),
        (lambda d: d["averages"].clear(), "lacks the average of 3 languages"),
        (lambda d: d["averages"][0].update(label="16-language average"), "label of the average"),
        (lambda d: d["languages"]["sw"]["scores"].pop("MRR@10"), "sw MRR@10: the cell is missing"),
        (lambda d: d["languages"]["sw"]["files"].pop("run"), "sw: no run file is recorded"),
        (in_language("sw", "dataset", "judged_topics")(99), "sw: dataset.judged_topics: stored 99, derived 12"),
        (in_language("sw", "conventions", "retriever_version")(7), "sw: step 'index' is not what the recipe and the"),
        (in_language("sw", "conventions", "analyzer")("Better"), "sw: step 'index' is not what the recipe and the"),
        (in_language("sw", "dataset", "files")({}), "sw: dataset.files lacks topics.miracl-v1.0-sw-dev.tsv and qrels"),
        (in_language("sw", "steps", "search", "made_at")("2026- 1-28"), "sw: step 'search': made_at is not a time"),
        (
            in_language("sw", "steps", "search", "bytes")(9),
            "sw: step 'search': its bytes are not those of the kept file",
        ),
        (
            in_language("sw", "conventions", "judged_topics_without_hits")(1),
            "sw: conventions.judged_topics_without_hits",
        ),
        (lambda d: d.update(schema_version=9), "schema version 9"),
        (lambda d: d.update(kind="published"), "a published result cannot be checked"),
    ],
)
def test_what_is_said_of_the_scores_is_checked_without_the_data(results_root, spoil, said):
    edit(quick(results_root), spoil)
    assert any(said in str(problem) for problem in verify(results_root, None).problems)


@pytest.mark.parametrize("stage", ["corpus", "topics", "index", "search", "evaluate"])
def test_a_forged_key_of_a_step_is_named(results_root, stage):
    edit(quick(results_root), lambda data: data["languages"]["sw"]["steps"][stage].update(key="ab" * 32))
    [problem] = [one for one in verify(results_root, None).problems if f"'{stage}'" in one.what]
    assert (problem.lang, problem.what) == (
        "sw",
        f"step '{stage}' is not what the recipe and the files lead to",
    )


def test_steps_of_another_mdrbench_are_not_called_forged(results_root):
    def older(data):
        [environment] = data["environments"].values()
        environment["packages"]["mdrbench"] = "0.0.9"
        key = key_of(environment)[:12]
        data["environments"] = {key: environment}
        for entry in data["languages"].values():
            for step in entry["steps"].values():
                step["environment"], step["key"] = key, "ab" * 32

    edit(quick(results_root), older)
    found = verify(results_root, None)
    assert found.problems == []
    assert "step keys were not derived again: made by mdrbench 0.0.9, this is 0.1.0" in found.unchecked


def test_a_pool_that_is_called_the_full_corpus_is_named(results_root, tmp_path):
    pool = MiraclFolder("sample", shutil.copytree(ROOT, tmp_path / "pool"))
    write_record(pool.root, DatasetRecord(corpus_variant="pool-10", origin={"kind": "pool"}))
    [problem, *_] = verify(results_root, pool).problems
    assert (problem.what, problem.stored, problem.derived) == (
        "evaluated.corpus_variant is not the data set's", "full", "pool-10",
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["run", "topics"])
def test_kept_files_must_be_the_recorded_bytes(results_root, kind):
    rewrite(results_root, "fi", kind, lambda lines: lines[:-1], record=False)
    [problem] = [
        p for p in verify(results_root, None).problems if "is not the file the result was recorded with" in p.what
    ]
    assert problem.file == str(kept(results_root, "fi", kind))
    kept(results_root, "fi", kind).unlink()
    assert any("is missing" in p.what and p.lang == "fi" for p in verify(results_root, None).problems)


def test_topic_scores_that_the_run_does_not_give_are_found_though_all_else_was_adapted(results_root):
    """The forger changed a topic's score, its file's hash and the mean: only the run tells."""

    def better(lines):
        fields = lines[1].split("\t")
        fields[1] = "1.0"
        return [lines[0], "\t".join(fields), *lines[2:]]

    rewrite(results_root, "sw", "topics", better)
    derived = {
        p.measure: p.derived for p in verify(results_root, None).problems if p.what == "value" and p.lang == "sw"
    }
    assert list(derived) == ["nDCG@10"]
    edit(quick(results_root), lambda d: d["languages"]["sw"]["scores"]["nDCG@10"].update(value=derived["nDCG@10"]))
    assert not any(p.what == "value" and p.lang == "sw" for p in verify(results_root, None).problems)
    problems = verify(results_root).problems
    assert any(
        p.what.startswith("topic '") and (p.lang, p.measure, p.stored) == ("sw", "nDCG@10", 1.0) for p in problems
    )
    assert any((p.what, p.lang, p.measure) == ("value", "sw", "nDCG@10") for p in problems)


def test_a_run_improved_afterwards_is_found(results_root):
    rewrite(results_root, "ar", "run", lambda lines: lines[1:])
    found = {(p.lang, p.measure) for p in verify(results_root).problems}
    assert ("ar", "nDCG@10") in found
    assert {lang for lang, _ in found} == {"ar", "average of 3 languages"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: [lines[0].replace(" Q0 ", " Q0 x"), *lines[1:]], "which the corpus lacks"),
        (lambda lines: [*lines, "nobody Q0 7#2 1 1.0 bm25"], "topic 'nobody', which the data lack"),
        (lambda lines: [*lines, lines[0]], "twice"),
        (lambda lines: [*lines, "101 Q0 7#2 1 nan bm25"], "nan"),
    ],
)
def test_a_run_that_is_none_of_the_data_is_found(results_root, change, said):
    rewrite(results_root, "ar", "run", change)
    problems = [p for p in verify(results_root, corpus=True).problems if said in p.what]
    assert problems
    assert problems[0].file == str(kept(results_root, "ar", "run"))


def test_changed_data_are_found(reference, tmp_path):
    root = Path(shutil.copytree(ROOT, tmp_path / "copy"))
    data = MiraclFolder("sample", root)
    qrels = data.qrels_file("fi", "dev")
    first, *rest = qrels.read_text().splitlines(keepends=True)
    qrels.write_text(
        first.rsplit("\t", 1)[0] + "\t" + ("0" if first.rstrip()[-1] == "1" else "1") + "\n" + "".join(rest)
    )
    topics = data.topics_file("sw", "dev")
    topics.write_text(topics.read_text().replace("\t", "\tX", 1))
    [shard] = data.corpus_files("ar")
    shard.write_text(shard.read_text().replace('"text": "', '"text": "X', 1))
    found = [(p.lang, p.what) for p in verify(reference, data, corpus=True).problems]
    assert ("fi", f"{qrels.name} is another than was used") in found
    assert ("fi", "dataset.positives") in found
    assert ("sw", f"{topics.name} is another than was used") in found
    assert any(lang == "sw" and what.startswith("the query of topic") for lang, what in found)
    assert ("ar", "the corpus is another than was searched") in found
    assert ("ar", "the corpus is another than was searched") not in [
        (p.lang, p.what) for p in verify(reference, data).problems
    ]


def test_results_of_other_data_are_not_passed_over_in_silence(reference, tmp_path):
    with pytest.raises(UsageError, match="None of these results is of the data set 'other'"):
        verify(reference, MiraclFolder("other", ROOT))
    with pytest.raises(UsageError, match="no results in"):
        verification.verify([tmp_path], None)


def test_the_command_says_what_is_wrong_and_ends_with_3(cli, results_root):
    fine = cli("verify", "--data", "sample")
    assert fine.returncode == 0, fine.stderr
    assert "results/sample/quick.json: fine, 60 numbers derived again from the runs of 36 topics" in fine.stdout
    assert "not checked: the corpus's fingerprint" in fine.stdout
    edit(quick(results_root), lambda d: d["languages"]["sw"]["scores"]["nDCG@10"].update(value=0.9))
    spoilt = cli("verify", "results/sample/quick.json", "--json")
    assert spoilt.returncode == 3
    [problem] = json.loads(spoilt.stdout)[0]["problems"]
    assert (problem["file"], problem["lang"], problem["measure"]) == ("results/sample/quick.json", "sw", "nDCG@10")
    assert cli("verify", "--corpus").returncode == 2
