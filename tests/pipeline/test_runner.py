from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from support.folders import PASSAGES
from support.plans import planned_step
from support.project import PROJECT

from mdrbench import recipe
from mdrbench.core import environment as environment_of
from mdrbench.core.errors import DataError, SetupError
from mdrbench.core.members import Member
from mdrbench.core.store import Store
from mdrbench.pipeline import runner
from mdrbench.pipeline.plan import plan_recipe
from mdrbench.pipeline.plan.steps import VERSIONS


def planned(folder, languages, store, *overrides):
    return plan_recipe(recipe.load("bm25", list(overrides)), folder, languages, "dev", store, list(overrides))


def run(plan, store):
    events = []
    executor = Member.of("executors", {"name": "local"}).build()
    outcome = runner.run(plan.steps(), plan.targets(), store, executor, lambda planned: nullcontext(events.append))
    return outcome, events


def kinds(events, kind: str) -> list[str]:
    return [f"{e.step.scope} {e.step.stage}" for e in events if e.kind == kind]


def test_a_run_makes_each_step_once_and_a_second_run_none(maker, store):
    plan = planned(maker.whole(), ["en"], store)
    outcome, events = run(plan, store)
    assert kinds(events, "done") == [f"en {s}" for s in ("corpus", "topics", "index", "search", "evaluate")] + [
        "all average"
    ]
    assert (outcome.made, outcome.failures) == (6, {})
    scores = outcome.artifacts[plan.average.ref].facts["scores"]
    assert scores["nDCG@10"]["value"] == 1.0
    again, events = run(plan, store)
    assert (again.made, kinds(events, "done")) == (0, [])
    assert again.artifacts[plan.average.ref].facts == outcome.artifacts[plan.average.ref].facts


def test_only_what_is_needed_is_made(maker, store):
    plan = planned(maker.whole(), ["en"], store)
    run(plan, store)
    index = planned_step(plan, "index")
    store.remove("index", index.key)
    assert run(plan, store)[0].made == 0  # the run is there: nobody needs the index
    store.remove("search", plan.by_language["en"].run.key)
    _, events = run(plan, store)
    assert kinds(events, "done") == ["en index", "en search"]


def test_one_bad_language_costs_that_language_and_the_average_only(maker, store):
    maker.whole("en")
    folder = maker.whole("fi")
    maker.corpus("fi", raw=b'{"docid": "1#0"}\n')
    plan = planned(folder, ["en", "fi"], store)
    outcome, events = run(plan, store)
    assert plan.by_language["en"].evaluate.ref in outcome.artifacts
    assert kinds(events, "failed") == ["fi corpus"]
    assert kinds(events, "skipped") == ["fi topics", "fi index", "fi search", "fi evaluate", "all average"]
    assert {ref[0] for ref in outcome.failures} == {"corpus", "index", "topics", "search", "evaluate", "average"}
    assert all("'text' is missing" in str(error) for error in outcome.failures.values())


def test_a_damaged_artifact_is_said_and_made_again(maker, store):
    plan = planned(maker.whole(), ["en"], store)
    run(plan, store)
    search = store.find(*plan.by_language["en"].run.ref)
    (search.path / "run.trec.gz").write_bytes(b"")
    _, events = run(plan, store)
    assert kinds(events, "damaged") == kinds(events, "done") == ["en search"]
    assert store.verify(*plan.by_language["en"].run.ref) == []


def test_an_index_that_lacks_a_passage_is_an_error(maker, store, monkeypatch):
    from mdrbench.retrieval.retrievers import bm25

    honest = bm25.BM25.index

    def forgetful(self, lang, passages, out, progress):
        return honest(self, lang, list(passages)[:-1], out, progress)

    monkeypatch.setattr(bm25.BM25, "index", forgetful)
    outcome, _ = run(planned(maker.whole(), ["en"], store), store)
    [said] = {str(error) for error in outcome.failures.values()}
    assert "the index of 'en' holds 2 passages, the corpus 3" in said


def test_a_source_that_changes_during_the_run_is_an_error(maker, store):
    plan = planned(maker.whole(), ["en"], store)
    maker.corpus(passages=PASSAGES[:2])
    outcome, _ = run(plan, store)
    assert "changed while the run was using it" in str(outcome.failures[planned_step(plan, "corpus").ref])


def test_the_manifest_tells_what_made_it_on_what_and_at_what_cost(maker, store):
    plan = planned(maker.whole(), ["en"], store)
    outcome, _ = run(plan, store)
    manifest = outcome.artifacts[plan.by_language["en"].evaluate.ref].manifest
    assert set(manifest["lineage"]) == {"corpus", "topics", "index", "search", "evaluate"}
    for entry in manifest["lineage"].values():
        assert entry["usage"]["seconds"] >= 0
        assert entry["usage"]["peak_bytes"] > 10_000_000
        assert entry["environment"]["packages"]["pyserini"] == "1.6.0"
    assert manifest["made_of"]["inputs"]["run"] == list(plan.by_language["en"].run.ref)


def test_inputs_in_use_are_not_cleared_away(maker, store, monkeypatch):
    plan = planned(maker.whole(), ["en"], store)
    cleared = {}

    def search(job):
        cleared.update({stage: store.remove(*planned_step(plan, stage).ref) for stage in ("index", "topics", "corpus")})
        raise DataError("enough")

    monkeypatch.setitem(runner.STAGES, "search", search)
    run(plan, store)
    assert cleared == {"index": False, "topics": False, "corpus": False}
    assert store.remove(*planned_step(plan, "corpus").ref)  # the run has ended


def test_a_machine_that_would_compute_other_numbers_is_refused(maker, store, tiny_model, tmp_path, monkeypatch):
    path = tmp_path / "dense.yaml"
    settings = "pooling: mean, normalize: true, query_length: 16, passage_length: 32"
    encoder = f"{{name: transformer, model: {tiny_model}, {settings}}}"
    path.write_text(f"summary: dense\nretriever: {{name: dense, encoder: {encoder}}}\n")
    monkeypatch.setattr(environment_of, "has_bf16", lambda: True)
    plan = plan_recipe(recipe.load(str(path), []), maker.whole(), ["en"], "dev", store, [])
    monkeypatch.setattr(environment_of, "has_bf16", lambda: False)
    outcome, _ = run(plan, store)
    error = outcome.failures[planned_step(plan, "index").ref]
    assert isinstance(error, SetupError)
    assert 'precision is "fp32" here and "bf16" in the plan' in str(error)
    assert planned_step(plan, "corpus").ref in outcome.artifacts


def test_another_version_of_a_stage_is_refused(maker, store, monkeypatch):
    plan = planned(maker.whole(), ["en"], store)
    monkeypatch.setitem(VERSIONS, "corpus", 99)
    outcome, _ = run(plan, store)
    assert "was planned by another version of mdrbench" in str(outcome.failures[planned_step(plan, "corpus").ref])


def command(tmp_path: Path, *extra: str) -> list[str]:
    words = ["run", "bm25", "--data", "sample", "--langs", "sw,fi", "--results", str(tmp_path / "results"), *extra]
    return [sys.executable, "-m", "mdrbench", *words]


def environment(root: Path) -> dict[str, str]:
    return {**os.environ, "MDRBENCH_CACHE": str(root), "PYTHONPATH": str(PROJECT)}


def scores(path: Path) -> dict:
    result = json.loads(path.read_text())
    return {lang: entry["scores"] for lang, entry in result["languages"].items()} | {"avg": result["averages"]}


KILLED = """
import itertools, os, signal, sys
from mdrbench.cli import main
from mdrbench.core.store import Store
commit, left = Store.commit, itertools.count(int(sys.argv.pop(1)), -1)
def commit_or_die(*arguments, **options):
    if next(left) == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return commit(*arguments, **options)
Store.commit = commit_or_die
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 7])
def test_after_a_kill_a_second_run_makes_the_rest_and_gives_the_same_numbers(cli, tmp_path, steps):
    """SIGKILL while the step after so many finished steps is about to be committed."""
    words = command(tmp_path)[3:]
    path = tmp_path / "results" / "sample" / "bm25.json"
    assert cli(*words, "-q", "--cache", tmp_path / "whole").returncode == 0
    expected = scores(path)
    path.unlink()
    root = tmp_path / "killed"
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(steps), *words], env=environment(root), check=False, capture_output=True
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(list(Store(root).all())) == steps
    assert not path.exists()
    second = cli(*words, "--cache", root)
    assert len(second.stderr.splitlines()) == 11 - steps  # 2 x 5 steps and the average
    assert scores(path) == expected
    assert [problem for stage, key in Store(root).all() for problem in Store(root).verify(stage, key)] == []


@pytest.mark.slow
def test_two_runs_at_once_share_the_work_and_agree(tmp_path):
    root = environment(tmp_path / "store")
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    runs = [
        subprocess.Popen(command(folder), env=root, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        for folder in folders
    ]
    said = [process.communicate(timeout=300)[1] for process in runs]
    assert [process.returncode for process in runs] == [0, 0]
    made = [line for text in said for line in text.splitlines() if line.endswith(" s")]
    assert len(made) == len({line[:12] for line in made}) == 11
    one, two = (scores(folder / "results" / "sample" / "bm25.json") for folder in folders)
    assert one == two
