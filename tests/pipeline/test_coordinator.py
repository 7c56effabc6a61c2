"""Runs through a queue: the bits of one process, errors, and who may put tasks into it."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from contextlib import nullcontext
from itertools import cycle

import pytest
from support.plans import planned_step
from support.workers import Threads

from mdrbench import recipe
from mdrbench.core import environment
from mdrbench.core.errors import SetupError, UsageError
from mdrbench.core.members import Member
from mdrbench.core.store import Store
from mdrbench.pipeline import coordinator, runner
from mdrbench.pipeline.executors.ray import passed_variables
from mdrbench.pipeline.parts import FOLDERS, Parts, listed
from mdrbench.pipeline.plan import plan_recipe
from mdrbench.pipeline.queue import Task, open_queue, post
from mdrbench.pipeline.stages import dividing
from mdrbench.pipeline.worker import EVERYTHING, Worker


@pytest.fixture(autouse=True)
def own_environment(monkeypatch, tmp_path):
    """What a worker sets for its run is taken back."""
    monkeypatch.setenv("MDRBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MDRBENCH_ANSWERS", str(tmp_path / "answers.sqlite"))
    monkeypatch.setenv("MDRBENCH_RUN", "a run")
    monkeypatch.setenv("MDRBENCH_ANSWERS_OWNER", "")
    monkeypatch.setattr(coordinator, "POLL_S", 0.01)


@pytest.fixture
def plan_of(tmp_path, tiny_model, maker):
    def make(store, languages=("en",), size=1):
        path = tmp_path / "tiny.yaml"
        settings = "pooling: mean, normalize: true, query_length: 16, passage_length: 32, precision: fp32"
        encoder = f"{{name: transformer, model: {tiny_model}, {settings}}}"
        path.write_text(f"summary: d\nretriever: {{name: dense, encoder: {encoder}, shard_size: {size}}}\n")
        return plan_recipe(recipe.load(str(path), []), maker.folder(), list(languages), "dev", store, [])

    return make


def run(plan, store, executor):
    events = []
    outcome = runner.run(plan.steps(), plan.targets(), store, executor, lambda planned: nullcontext(events.append))
    return outcome, events


def hashes(store, *steps):
    return [{name: row["sha256"] for name, row in store.find(*s.ref).manifest["files"].items()} for s in steps]


def test_two_workers_make_the_bits_of_one_process(maker, plan_of, tmp_path):
    maker.whole("en")
    alone, together = Store(tmp_path / "alone"), Store(tmp_path / "together")
    plan = plan_of(alone)
    assert run(plan, alone, Member.of("executors", {"name": "local"}).build())[0].failures == {}
    outcome, events = run(plan, together, Threads(tmp_path / "queue"))
    assert outcome.failures == {}
    steps = [planned_step(plan, "index"), plan.by_language["en"].run, plan.by_language["en"].evaluate]
    assert hashes(alone, *steps) == hashes(together, *steps)
    facts = [store.find(*steps[0].ref).facts for store in (alone, together)]
    assert [(one["indexed"], one["resumed_after"]) for one in facts] == [(3, 0), (3, 0)]
    assert [event.step.stage for event in events if event.kind == "done"][-1] == "average"
    assert list((together.root / "unfinished").iterdir()) == list((tmp_path / "queue").iterdir()) == []


def test_indexes_of_windows_are_joined_with_the_scores_of_one_process(maker, tmp_path, monkeypatch):
    maker.whole("en")
    alone, together = Store(tmp_path / "alone"), Store(tmp_path / "together")
    plan = plan_recipe(recipe.load("bm25", []), maker.folder(), ["en"], "dev", alone, [])
    assert run(plan, alone, Member.of("executors", {"name": "local"}).build())[0].failures == {}
    monkeypatch.setattr(dividing, "PASSAGES", 2)
    outcome, events = run(plan, together, Threads(tmp_path / "queue"))
    assert outcome.failures == {}
    index, steps = planned_step(plan, "index"), [plan.by_language["en"].run, plan.by_language["en"].evaluate]
    assert hashes(alone, *steps) == hashes(together, *steps)
    assert together.find(*index.ref).facts == alone.find(*index.ref).facts
    assert {path.name for path in together.find(*index.ref).path.iterdir()} == {"index", "manifest.json"}
    assert "0 of 2 parts" in " ".join(event.text for event in events if event.step == index)


def test_a_queue_that_somebody_removes_ends_the_run(maker, plan_of, tmp_path):
    class Removing(Threads):
        def tend(self):
            shutil.rmtree(self.queue, ignore_errors=True)

    maker.whole("en")
    store = Store(tmp_path / "store")
    with pytest.raises(SetupError, match="the queue was removed"):
        run(plan_of(store), store, Removing(tmp_path / "queue"))


def test_an_interrupted_run_is_continued_by_the_other_kind_of_executor(maker, plan_of, tmp_path, monkeypatch):
    maker.whole("en")
    store = Store(tmp_path / "store")
    plan = plan_of(store)
    dense = dividing._index_window

    def second_fails(job, part, memory):
        if part.start == 1:
            raise KeyboardInterrupt
        return dense(job, part, memory)

    class Interrupted(Threads):
        def tend(self):
            if not all(thread.is_alive() for thread in self.threads):
                raise KeyboardInterrupt

    monkeypatch.setattr(dividing, "_index_window", second_fails)
    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    with pytest.raises(KeyboardInterrupt):
        run(plan, store, Interrupted(tmp_path / "queue"))
    parts = store.root / "unfinished" / planned_step(plan, "index").key / ".parts"
    assert listed(parts / "claims") == listed(parts / "done")  # a worker that is told to end gives its part back
    assert run(plan, store, Member.of("executors", {"name": "local"}).build())[0].failures == {}
    assert store.find(*planned_step(plan, "index").ref).facts["resumed_after"] == 1


def test_an_error_skips_what_needs_the_step_and_nothing_else(maker, plan_of, tmp_path):
    maker.whole("en")
    maker.whole("fi")
    maker.corpus("fi", raw=b'{"docid": "1#0"}\n')
    store = Store(tmp_path / "store")
    plan = plan_of(store, ("en", "fi"), size=100)
    outcome, events = run(plan, store, Threads(tmp_path / "queue"))
    told = {
        kind: [f"{e.step.scope} {e.step.stage}" for e in events if e.kind == kind] for kind in ("failed", "skipped")
    }
    assert told["failed"] == ["fi corpus"]
    assert sorted(told["skipped"]) == ["all average", "fi evaluate", "fi index", "fi search", "fi topics"]
    assert all("'text' is missing" in str(error) for error in outcome.failures.values())
    assert plan.by_language["en"].evaluate.ref in outcome.artifacts


@pytest.mark.medium
def test_parts_that_were_made_with_different_packages_are_not_put_together(maker, plan_of, tmp_path, monkeypatch):
    maker.whole("en")
    store = Store(tmp_path / "store")
    plan, here = plan_of(store), environment.describe()
    versions = cycle(["2.12.0", "2.13.0"])
    monkeypatch.setattr(
        environment, "describe", lambda: here | {"packages": here["packages"] | {"torch": next(versions)}}
    )
    index = planned_step(plan, "index")
    outcome, _ = run(plan, store, Threads(tmp_path / "queue"))
    assert "parts of index of 'en' were made with 2.12.0 and 2.13.0 of torch" in str(outcome.failures[index.ref])
    monkeypatch.setattr(environment, "describe", lambda: here)
    assert run(plan, store, Threads(tmp_path / "queue"))[0].failures == {}


def test_what_a_killed_process_left_is_in_no_artifact_and_an_empty_plan_is_made_again(maker, plan_of, tmp_path):
    maker.whole("en")
    store = Store(tmp_path / "store")
    plan = plan_of(store)
    search, corpus = plan.by_language["en"].run, planned_step(plan, "corpus")
    left = store.work_dir(search.key) / ".run.trec.gz.1-2.tmp"
    left.write_text("half")
    for name in FOLDERS:  # killed before the plan of the parts was written
        (store.work_dir(corpus.key, resume=True) / ".parts" / name).mkdir(parents=True)
    assert run(plan, store, Threads(tmp_path / "queue"))[0].failures == {}
    assert list(store.find(*search.ref).manifest["files"]) == ["run.trec.gz"]


def test_a_disk_that_takes_no_claim_stops_the_run(maker, plan_of, tmp_path, monkeypatch):
    def full(self, attempt, said):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    maker.whole("en")
    store = Store(tmp_path / "store")
    plan = plan_of(store)
    monkeypatch.setattr(Parts, "_beat", full)
    outcome, _ = run(plan, store, Threads(tmp_path / "queue"))
    assert "no space is left" in str(outcome.failures[plan.average.ref])


def test_a_queue_that_others_may_write_to_is_refused(tmp_path):
    assert open_queue(tmp_path / "queue").stat().st_mode & 0o777 == 0o700
    (tmp_path / "queue").chmod(0o770)
    with pytest.raises(UsageError, match="others may write to this queue"):
        open_queue(tmp_path / "queue")


def test_others_cannot_read_a_task(maker, plan_of, store, tmp_path):
    maker.whole("en")
    path = post(open_queue(tmp_path / "queue"), 0, Task(planned_step(plan_of(store), "index"), tmp_path, [], "", {}))
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_task_of_another_mdrbench_is_named(tmp_path):
    queue = open_queue(tmp_path / "queue")
    (queue / "000000-key").write_bytes(b"cmdrbench.pipeline.queue\nNoSuchTask\n.")
    with pytest.raises(SetupError, match="NoSuchTask") as caught:
        Worker(queue, EVERYTHING, 1).run()
    assert caught.value.where == str(queue / "000000-key")


def test_workers_of_a_cluster_get_the_variables_that_steps_need(plan_of, maker, monkeypatch, store):
    maker.whole("en")
    for name in ("HF_HOME", "OPENAI_API_KEY", "MY_JUDGE_KEY", "UNRELATED_TOKEN"):
        monkeypatch.setenv(name, "value")
    [step] = [step for step in plan_of(store).steps() if step.stage == "index"]
    judge = Member.of("judges", {"name": "llm", "model": "m", "api_key_env": "MY_JUDGE_KEY"})
    step.members["judge"] = judge
    found = passed_variables([step])
    assert {"HF_HOME", "OPENAI_API_KEY", "MY_JUDGE_KEY", "MDRBENCH_CACHE"} <= found.keys()
    assert "UNRELATED_TOKEN" not in found
    assert (step.needs, judge.name) == ("gpu", "llm")
