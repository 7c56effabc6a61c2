from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from support.project import PROJECT
from support.recorded_results import LANGS, edit, kept, quick, rewrite

from mdrbench.commands.audit import check_report, checking, references
from mdrbench.commands.audit.check_report import Settings
from mdrbench.core.errors import UsageError
from mdrbench.evaluation import measures
from mdrbench.results import comparison


def check(now: Path, before: Path, **settings) -> check_report.Report:
    with references.pairs([now], str(before)) as pairs:
        return checking.check(pairs, "before", Settings(**settings))


def move(lang: str, measure: str, by: float):
    def spoil(data):
        cell = data["languages"][lang]["scores"][measure]
        cell["value"] += by

    return spoil


def found(report, *severities):
    return [(f.severity, f.kind, f.lang, f.measure) for f in report.findings if f.severity in severities]


def test_the_same_results_pass(results_root, reference):
    report = check(results_root, reference)
    assert report.findings == []
    assert report.exit_code == 0
    assert len(report.rows) == 4 * 5
    assert {row.verdict for row in report.rows} == {"same"}
    assert [row.lang for row in report.rows[::5]] == [*LANGS, "average of 3 languages"]


def test_a_drop_beyond_the_tolerance_fails_and_a_smaller_one_passes(results_root, reference):
    edit(quick(results_root), move("sw", "nDCG@10", -0.0011))
    edit(quick(results_root), move("fi", "nDCG@10", -0.001))
    report = check(results_root, reference)
    assert found(report, "failure", "warning") == [("failure", "drop", "sw", "nDCG@10")]
    assert report.exit_code == 6
    assert "fell from 0.5254 to 0.5243 (-0.0011, tolerance 0.001)" in report.findings[0].message
    assert check(results_root, reference, tolerance=0.002).exit_code == 0
    assert check(results_root, reference, tolerances={"nDCG@10": 0.002}).exit_code == 0
    assert check(results_root, reference, tolerance=0.002, tolerances={"nDCG@10": 0.0}).exit_code == 6
    assert check(results_root, reference, langs=frozenset({"fi"})).exit_code == 0
    with pytest.raises(UsageError, match=r"no result has a language of --langs \(et\)"):
        check(results_root, reference, langs=frozenset({"et"}))


def test_a_rise_that_nothing_explains_is_a_warning_and_one_that_is_declared_a_notice(results_root, reference):
    edit(quick(results_root), move("sw", "nDCG@10", 0.01))
    report = check(results_root, reference)
    assert found(report, "failure", "warning") == [("warning", "rise", "sw", "nDCG@10")]
    assert report.exit_code == 0
    edit(quick(results_root), lambda d: d["languages"]["sw"]["conventions"].update(java="25"))
    report = check(results_root, reference, allowed=frozenset({"conventions"}))
    assert found(report, "failure", "warning", "notice") == [
        ("warning", "changed", "sw", None),
        ("notice", "rise", "sw", "nDCG@10"),
    ]


def drop_topic(lines):
    return [line for line in lines if not line.startswith("101\t")]


@pytest.mark.parametrize(
    ("spoil", "failure", "said", "code"),
    [
        (lambda d: (d["languages"].pop("fi"), d["averages"].clear()), ("gone", "fi", None), "the language is gone", 6),
        (lambda d: d["languages"]["fi"]["scores"].pop("MAP@100"), ("gone", "fi", "MAP@100"), "MAP@100 is gone", 6),
        (
            lambda d: d["averages"].clear(),
            ("gone", "average of 3 languages", None),
            "average of 3 languages is gone",
            6,
        ),
        (lambda d: d["languages"]["sw"]["files"].pop("topics"), ("untestable", "sw", None), "no topic-level scores", 3),
        (lambda d: d["system"].update(recipe_digest="0" * 64), ("unlike", None, None), "-> 000000000000", 3),
        (
            lambda d: d["evaluated"].update(depth=50),
            ("unlike", None, None),
            "way of scoring changed: depth 100 -> 50",
            3,
        ),
        (
            lambda d: d["evaluated"].update(corpus_variant="pool"),
            ("unlike", None, None),
            "corpus_variant full -> pool",
            3,
        ),
        (
            lambda d: d["languages"]["sw"]["conventions"].update(title_separator=" "),
            ("unlike", "sw", None),
            "the conventions changed: title_separator '\\n' -> ' '",
            3,
        ),
        (lambda d: d["languages"]["sw"]["dataset"].update(fingerprint="f" * 64), ("unlike", "sw", None), "corpus", 3),
        (
            lambda d: d["languages"]["sw"]["dataset"]["files"].update({"qrels.miracl-v1.0-sw-dev.tsv": "e" * 64}),
            ("unlike", "sw", None),
            "the data changed: qrels.miracl-v1.0-sw-dev.tsv",
            3,
        ),
        (lambda d: d.update(schema_version=9), ("damaged", None, None), "schema version 9", 3),
        (lambda d: d.update(kind="published"), ("damaged", None, None), "a published result", 3),
    ],
)
def test_what_vanished_or_is_unlike_fails_with_its_reason(results_root, reference, spoil, failure, said, code):
    edit(quick(results_root), spoil)
    report = check(results_root, reference)
    assert found(report, "failure") == [("failure", *failure)]
    assert said in report.of("failure")[0].message
    assert report.of("failure")[0].mend
    assert report.exit_code == code


def test_unlike_scores_are_not_compared_unless_the_change_is_declared(results_root, reference):
    edit(quick(results_root), lambda d: d["languages"]["sw"]["conventions"].update(java="25"))
    edit(quick(results_root), move("sw", "nDCG@10", -0.1))
    report = check(results_root, reference)
    assert {row.verdict for row in report.rows if row.lang == "sw"} == {"unlike"}
    assert {row.verdict for row in report.rows if row.lang == "fi"} == {"same"}
    assert "drop" not in {f.kind for f in report.findings}
    allowed = check(results_root, reference, allowed=frozenset({"conventions"}))
    assert found(allowed, "failure") == [("failure", "drop", "sw", "nDCG@10")]
    assert allowed.exit_code == 6
    edit(quick(results_root), lambda d: d["evaluated"].update(depth=50))
    everything = frozenset(check_report.CHANGEABLE)
    assert found(check(results_root, reference, allowed=everything), "failure")[0][:2] == ("failure", "unlike")


def test_a_topic_that_vanished_is_named(results_root, reference):
    rewrite(results_root, "ar", "topics", drop_topic)
    report = check(results_root, reference)
    assert found(report, "failure") == [("failure", "gone", "ar", None)]
    assert report.findings[0].message == "1 topic is gone: 101"
    assert report.exit_code == 6


def test_a_topic_file_that_was_changed_is_not_believed(results_root, reference):
    rewrite(results_root, "ar", "topics", drop_topic, record=False)
    report = check(results_root, reference)
    assert found(report, "failure") == [("failure", "damaged", "ar", None)]
    assert str(kept(results_root, "ar", "topics")) in report.findings[0].message
    assert report.exit_code == 3


def test_a_result_that_vanished_fails_and_a_new_one_is_noted(results_root, reference, tmp_path):
    quick(results_root).rename(results_root / "sample" / "other.json")
    report = check(results_root, reference)
    assert found(report, "failure", "notice") == [("notice", "new", None, None), ("failure", "gone", None, None)]
    assert report.exit_code == 6
    with pytest.raises(UsageError, match="has no result to compare"):
        check(results_root / "sample" / "other.json", reference)


def zero(rows):
    def change(lines):
        header, *topics = [line.split("\t") for line in lines]
        for row in rows:
            topics[row][1] = "0.0"
        return ["\t".join(fields) for fields in [header, *topics]]

    return change


def test_a_drop_counts_statistically_only_if_the_paired_test_confirms_it(results_root, reference):
    """In fi one topic fell, in sw all twelve: p values are those of ``compare``."""
    for lang, rows in (("fi", [0]), ("sw", range(12))):
        rewrite(results_root, lang, "topics", zero(rows))
        scores = measures.read_topic_scores(kept(results_root, lang, "topics"))[0]
        mean = sum(row["nDCG@10"] for row in scores.values()) / len(scores)
        edit(
            quick(results_root),
            lambda d, lang=lang, mean=mean: d["languages"][lang]["scores"]["nDCG@10"].update(value=mean),
        )
    absolute = check(results_root, reference)
    assert [f[2] for f in found(absolute, "failure")] == ["fi", "sw"]
    report = check(results_root, reference, statistical=True)
    assert found(report, "failure", "warning") == [
        ("warning", "unconfirmed", "fi", "nDCG@10"),
        ("failure", "drop", "sw", "nDCG@10"),
    ]
    assert "after Holm's correction" in report.of("failure")[0].message
    compared = comparison.compare(quick(results_root), quick(reference), "nDCG@10", top=0)
    expected = {row.lang: row.p_corrected for row in compared.languages}
    assert {row.lang: row.p for row in report.rows if row.p is not None} == expected
    assert expected["sw"] < 0.01
    assert expected["fi"] > 0.05


def test_the_average_is_confirmed_by_its_interval(results_root, reference):
    edit(quick(results_root), lambda d: d["averages"][0]["scores"]["nDCG@10"].update(value=0.5))
    assert found(check(results_root, reference), "failure") == [
        ("failure", "drop", "average of 3 languages", "nDCG@10")
    ]
    report = check(results_root, reference, statistical=True)  # the topics did not move
    assert found(report, "failure", "warning") == [("warning", "unconfirmed", "average of 3 languages", "nDCG@10")]


@pytest.mark.parametrize(
    ("texts", "parsed"),
    [([], (0.001, {})), (["0.01"], (0.01, {})), (["nDCG@10=0", "0.5"], (0.5, {"nDCG@10": 0.0}))],
)
def test_tolerances_are_read(texts, parsed):
    assert check_report.parse_tolerances(texts) == parsed


@pytest.mark.parametrize("text", ["-1", "nan", "1", "x", "nDCG=0.1", "bleu@1=0.1", "nDCG@10="])
def test_a_bad_tolerance_is_a_usage_error(text):
    with pytest.raises(UsageError):
        check_report.parse_tolerances([text])


def test_an_unknown_kind_of_change_is_a_usage_error():
    with pytest.raises(UsageError, match=r"--allow-changed recipes: unknown[\s\S]*did you mean 'recipe'"):
        check_report.parse_allowed(["data,recipes"])


def git(folder: Path, *words: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *identity, *words], check=True, capture_output=True)


def test_a_commit_is_a_reference(results_root, tmp_path):
    with pytest.raises(UsageError, match="is not in a git repository"):
        check(results_root, "HEAD")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "results")
    git(tmp_path, "commit", "-qm", "reference")
    edit(quick(results_root), move("sw", "nDCG@10", -0.1))
    assert found(check(results_root, "HEAD"), "failure") == [("failure", "drop", "sw", "nDCG@10")]
    assert check(quick(results_root), "HEAD").exit_code == 6
    git(tmp_path, "commit", "-qam", "worse")
    assert check(results_root, "HEAD").exit_code == 0
    assert check(results_root, "HEAD~1").exit_code == 6
    for ref in ("nowhere", "--help"):
        with pytest.raises(UsageError, match="is neither a folder nor a commit"):
            check(results_root, ref)
    moved = shutil.copytree(results_root, tmp_path / "moved")
    with pytest.raises(UsageError, match="the commit 'HEAD' has no folder moved"):
        check(moved, "HEAD")


def test_reports_name_every_failure_once(results_root, reference):
    edit(quick(results_root), move("sw", "nDCG@10", -0.1))
    edit(quick(results_root), move("fi", "nDCG@10", 0.1))
    edit(quick(results_root), lambda d: d["languages"]["ar"]["conventions"].update(java="25"))
    report = check(results_root, reference)
    suites = ElementTree.fromstring(check_report.junit(report))
    [suite] = suites
    assert suite.attrib == {"name": "sample/quick", "tests": "16", "failures": "2", "skipped": "5", "errors": "0"}
    failed = {case.get("name"): case.find("failure").get("type") for case in suite if case.find("failure") is not None}
    assert failed == {"sw nDCG@10": "drop", "ar unlike": "unlike"}
    assert "unexplained" in suite.find("testcase[@name='fi nDCG@10']/system-out").text
    lines = list(check_report.github(report))
    assert sorted(line.split()[0] for line in lines) == ["::error", "::error", "::warning"]
    assert not any("\n" in line for line in lines)
    assert any(line.startswith("::error file=") and "title=mdrbench drop sample/quick sw nDCG@10::nDCG@10 fell" in line
               for line in lines)  # fmt: skip
    text = check_report.markdown(report)
    assert "| failure | sample/quick | sw nDCG@10 | nDCG@10 fell" in text
    assert "| sw | 0.4254 -0.1000 drop |" in text


def test_the_command_prints_writes_and_ends_with_6(cli, results_root, reference, tmp_path):
    edit(quick(results_root), move("sw", "nDCG@10", -0.1))
    files = ["--junit", "out/check.xml", "--markdown", "check.md"]
    done = cli("check", "--against", reference, "--github", *files)
    assert done.returncode == 6, done.stderr
    assert "0.4254 -0.1000 drop" in done.stdout
    assert "::error file=results/sample/quick.json,title=mdrbench drop sample/quick sw nDCG@10::" in done.stdout
    assert "FAILED against" in done.stdout
    assert ElementTree.parse(tmp_path / "out/check.xml").getroot().tag == "testsuites"
    assert "FAILED" in (tmp_path / "check.md").read_text()
    told = cli("check", "--against", reference, "--json", "--tolerance", "nDCG@10=0.2")
    assert told.returncode == 0
    assert json.loads(told.stdout)["passed"] is True


@pytest.fixture
def caller(tmp_path, reference) -> tuple[Path, dict[str, str]]:
    """What GitHub gives a job of the gate: another repository's checkout, variables, and mdrbench on the path."""
    folder = tmp_path / "caller"
    for name in ("bin", "runs", "../temp"):
        (folder / name).mkdir(parents=True)
    program = folder / "bin" / "mdrbench"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m mdrbench "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    for lang in LANGS:
        shutil.copy(kept(reference, lang, "run"), folder / "runs" / f"{lang}.trec.gz")
    environment = {
        **os.environ,
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(PROJECT),
        "RUNNER_TEMP": str(tmp_path / "temp"),
        "GITHUB_STEP_SUMMARY": str(folder / "summary.md"),
    }
    return folder, environment


@pytest.mark.medium
def test_the_gate_lets_the_same_pass_and_stops_a_drop(caller):
    """The workflow's own shell, step by step, as a repository that hands in runs would call it."""
    folder, environment = caller
    workflow = yaml.safe_load((PROJECT / ".github/workflows/gate.yml").read_text())
    steps = {step["name"]: step["run"] for step in workflow["jobs"]["gate"]["steps"] if "run" in step}
    inputs = {name: value.get("default", "") for name, value in workflow[True]["workflow_call"]["inputs"].items()}
    inputs |= {"command": "true", "runs": "runs/{lang}.trec.gz", "system": "theirs", "langs": "ar,fi,sw"}
    given = {name.upper().replace("-", "_"): str(value) for name, value in inputs.items()}
    environment |= {**given, "STATISTICAL": "", "ALLOWED": "", "TOLERANCE": "0.001 nDCG@10=0.002"}

    def step(name: str) -> subprocess.CompletedProcess:
        command = ["bash", "-e", "-c", steps[name]]
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)

    assert step("Measure").returncode == 0
    assert step("Verify every number").returncode == 0
    shutil.copytree(folder.parent / "temp" / "results", folder / "results")
    passed = step("Check against the reference")
    assert passed.returncode == 0, passed.stdout + passed.stderr
    edit(folder.parent / "temp/results/sample/theirs.json", move("sw", "nDCG@10", -0.01))
    failed = step("Check against the reference")
    assert failed.returncode == 6, failed.stdout + failed.stderr
    assert "::error file=results/sample/theirs.json," in failed.stdout
    assert "FAILED" in (folder / "summary.md").read_text()


@pytest.mark.parametrize("name", ["gate", "check"])
def test_workflows_are_sound_yaml_and_shell(name):
    workflow = yaml.safe_load((PROJECT / f".github/workflows/{name}.yml").read_text())
    assert workflow["permissions"] == {"contents": "read"}
    [job] = workflow["jobs"].values()
    scripts = [step["run"] for step in job["steps"] if "run" in step]
    assert not any("${{" in script for script in scripts)  # an input never becomes the text of a script
    for script in scripts:
        subprocess.run(["bash", "-n", "-c", script], check=True)
