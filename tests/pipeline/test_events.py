"""What `mdrbench status` and scripts see of a run: its events while it works, nothing once it has ended."""

from __future__ import annotations

import json
import os
import time

from mdrbench.pipeline import events
from mdrbench.pipeline.runner import Event


def lines(root) -> list[list[dict]]:
    return [[json.loads(line) for line in path.read_text().splitlines()] for path in (root / "runs").glob("*.jsonl")]


def test_a_runs_events_are_those_of_its_steps(cli, tmp_path):
    words = "run", "bm25", "--data", "sample", "--langs", "sw", "-q", "--cache", tmp_path / "cache"
    assert cli(*words).returncode == 0
    [found] = lines(tmp_path / "cache")
    assert (found[0]["event"], found[0]["steps"]) == ("run", 6)
    assert found[-1]["event"] == "end"
    made = [(one["event"], one["scope"], one["stage"]) for one in found[1:-1] if one["event"] != "progress"]
    stages = [("sw", stage) for stage in ("corpus", "topics", "index", "search", "evaluate")] + [("all", "average")]
    assert made == [(kind, *step) for step in stages for kind in ("start", "done")]
    assert cli(*words).returncode == 0
    assert len(lines(tmp_path / "cache")) == 1  # nothing was made the second time
    assert cli("status", "--cache", tmp_path / "cache").stdout == "nothing runs on this cache\n"


class Step:
    stage, scope = "index", "sw"

    def __init__(self, key):
        self.key = key


def test_status_shows_what_is_at_work(cli, tmp_path, store, monkeypatch):
    monkeypatch.setattr("sys.argv", ["/somewhere/mdrbench", "run", "x", "--set", "a=http://me:hidden-password@host/v1"])
    with events.recorded(store.root, 3) as listen:
        listen(Event("start", Step("a")))
        listen(Event("start", Step("b")))
        listen(Event("failed", Step("b"), text="no"))
        listen(Event("progress", Step("a"), done=50, total=200))
        listen(Event("progress", Step("a"), done=51, total=200))  # within the same second
        text = cli("status", "--cache", store.root).stdout
        [run] = json.loads(cli("status", "--cache", store.root, "--json").stdout)
    first, second, third = text.splitlines()
    assert first == "mdrbench run x --set a=http://***@host/v1"
    assert f"process {os.getpid()}" in second
    assert second.endswith("0 of 3 steps made, 1 failed")
    assert third.startswith("   sw index    50/200")
    assert (run["steps"], run["failed"], run["done"]) == (3, 1, 0)
    assert [(one["key"], one["done"], one["total"]) for one in run["working"]] == [("a", 50, 200)]
    assert json.loads(cli("status", "--cache", store.root, "--json").stdout) == []


def test_a_killed_run_is_not_at_work_and_old_files_go(store):
    (store.root / "runs").mkdir()
    killed = store.root / "runs" / "1.jsonl"
    killed.write_text('{"event": "run", "time": "2026-01-01T00:00:00+00:00", "steps": 1}\n')
    assert events.at_work(store.root) == []
    with events.recorded(store.root, 1):
        assert killed.exists()
    os.utime(killed, (time.time() - 8 * 86400,) * 2)
    with events.recorded(store.root, 1):
        assert not killed.exists()
