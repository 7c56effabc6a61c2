"""Workers that train as one: the same weights as on one machine, also if one of them is killed on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from support.training_plans import planned, trained_recipe

from mdrbench.commands.run import run_steps
from mdrbench.core.errors import SetupError, StepError
from mdrbench.core.store import Store, file_sha256
from mdrbench.data.miracl_layout import MiraclFolder
from mdrbench.pipeline.parts import Again, Part, Parts
from mdrbench.pipeline.plan.steps import Job, silent
from mdrbench.pipeline.stages import training_seats

STEPS = 150


def until(ready, seconds: float = 300):
    end = time.monotonic() + seconds
    while not (found := ready()):
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)
    return found


def worker(queue) -> subprocess.Popen:
    words = ["-m", "mdrbench", "work", "--queue", str(queue), "--threads", "1", "--idle", "600"]
    with open(f"{queue}.log", "ab") as log:
        return subprocess.Popen([sys.executable, *words], stdout=log, stderr=log)


@pytest.mark.slow
def test_two_workers_train_what_one_trains_though_one_is_killed(tmp_path, tiny_model):
    chosen = [f"training.steps={STEPS}", "training.save_every=5", "negatives=null"]
    alone = planned(trained_recipe(tmp_path, tiny_model, *chosen, "training.processes=2"), Store(tmp_path / "alone"))
    outcome = run_steps(alone.steps(), [alone.training[-1]], Store(tmp_path / "alone"), quiet=True)
    [expected] = [outcome.artifacts[alone.training[-1].ref]]

    store, queue = Store(tmp_path / "store"), tmp_path / "queue"
    plan = planned(trained_recipe(tmp_path, tiny_model, *chosen, "training.nodes=2"), store)
    step = plan.training[-1]
    assert step.key == alone.training[-1].key
    assert plan.recipe.digest == alone.recipe.digest
    found = []
    executor = {"name": "queue", "queue": str(queue)}
    run = threading.Thread(
        target=lambda: found.append(run_steps(plan.steps(), [step], store, quiet=True, executor=executor)), daemon=True
    )
    work = store.root / "unfinished" / step.key
    workers = [worker(queue), worker(queue)]
    try:
        run.start()
        until(lambda: list(work.glob("checkpoints/step-*.pt")))
        held = json.loads((work / ".parts" / "claims" / "seat-1").read_text())
        os.kill(held["pid"], signal.SIGKILL)
        workers.append(worker(queue))
        run.join(600)
    finally:
        for process in workers:
            process.kill()
            process.wait()
    [outcome] = found
    assert outcome.failures == {}
    artifact = outcome.artifacts[step.ref]
    rounds = [json.loads(line) for line in (artifact.path / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in rounds if entry["kind"] == "train"] == list(range(1, STEPS + 1))
    weights = "model/model.safetensors"
    assert file_sha256(artifact.path / weights) == file_sha256(expected.path / weights)
    assert artifact.facts["identity"] == expected.facts["identity"]
    assert artifact.facts["processes"] == expected.facts["processes"] == 2
    assert sorted(artifact.manifest["files"]) == sorted(expected.manifest["files"])


def test_several_nodes_need_several_workers_before_anything_is_made(tmp_path, store, tiny_model):
    plan = planned(trained_recipe(tmp_path, tiny_model, "training.nodes=2"), store)
    with pytest.raises(SetupError, match=r"training\.nodes is 2, and this run has 1 worker") as caught:
        run_steps(plan.steps(), [plan.training[-1]], store, quiet=True)
    assert "--executor queue" in caught.value.mend
    assert list(store.all()) == []


def seat_job(folder, number: int) -> Job:
    """A job of a seat whose claim is held, without members and inputs."""
    parts = Parts.create(folder / ".parts", [Part(f"seat-{n}", n, n + 1) for n in range(2)])
    claims = [parts.claim() for _ in range(number + 1)]
    params = {"nodes": 2, "processes": 1}
    return Job("all", params, {}, MiraclFolder("none", folder), {}, {}, claims[-1].out, folder, silent)


def test_a_seat_that_waits_in_vain_says_how_many_came(tmp_path, monkeypatch):
    monkeypatch.setattr(training_seats, "SEATS_S", 0.1)
    monkeypatch.setattr(training_seats, "prepare", lambda job: None)
    job = seat_job(tmp_path, 0)
    with pytest.raises(StepError, match=r"only 1 of 2 workers came to train together") as caught:
        training_seats.seat(job, 0)
    assert "set training.nodes to their number" in caught.value.mend
    with pytest.raises(Again):  # a seat beside it leaves without an error
        training_seats.seat(seat_job(tmp_path / "other", 1), 1)


def test_a_worker_on_the_seat_of_a_dead_one_ends_the_round(tmp_path, monkeypatch):
    monkeypatch.setattr(training_seats, "SEATS_S", 0.1)
    job = seat_job(tmp_path, 1)
    seats = tmp_path / "seats"
    (seats / "round").mkdir(parents=True)
    (seats / "round" / "1").touch()
    (seats / "meeting.json").write_text(json.dumps(["round", "localhost", 1]))
    with pytest.raises(Again):  # seat 0 calls no other round
        training_seats.seat(job, 1)
    assert (seats / "round" / "over").exists()


def test_a_worker_that_lost_its_seat_leaves(tmp_path):
    job = seat_job(tmp_path, 1)
    claim = tmp_path / ".parts" / "claims" / "seat-1"
    claim.write_text(claim.read_text().replace(job.out.name, "seat-1-other"))
    with pytest.raises(Again):
        training_seats.seat(job, 1)
