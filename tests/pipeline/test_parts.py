"""Parts of a step: claims, late and dead workers, damaged parts, and lists of files that are out of date."""

from __future__ import annotations

import json
import subprocess
import threading
import time

import pytest

from mdrbench.core import environment
from mdrbench.core.errors import DataError, StepError
from mdrbench.pipeline import parts as parts_of
from mdrbench.pipeline.parts import WHOLE, Part, Parts, take_over

WINDOWS = [Part(f"{n:05}", 10 * n, 10 * n + 10) for n in range(4)]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "KEY" / ".parts"


def made(parts: Parts, claim, text: str = "bits", **packages: str) -> bool:
    (claim.out / f"{claim.part.name}.txt").write_text(f"{claim.part.name} {text}")
    used = {"packages": environment.describe()["packages"] | packages}
    return parts.finish(claim, {"facts": {}, "environment": used})


def edited(folder, name: str, **changes) -> None:
    """Change who holds a claim."""
    path = folder / "claims" / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_each_part_is_claimed_once_and_finished_once(folder, tmp_path):
    parts = Parts.create(folder, WINDOWS)
    others = Parts(folder, WINDOWS)
    claims = [parts.claim(), others.claim(), parts.claim(), others.claim()]
    assert [claim.part for claim in claims] == WINDOWS
    assert parts.claim() is None
    assert all(made(parts, claim) for claim in claims)
    assert parts.finished() == {part.name for part in WINDOWS}
    for part in WINDOWS:
        assert parts.checked(part.name)["files"].keys() == {f"{part.name}.txt"}
        parts.place(part.name, tmp_path / "out")
        parts.place(part.name, tmp_path / "out")  # a coordinator that was killed does it again
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"{part.name}.txt" for part in WINDOWS]


def test_a_worker_gives_back_its_own_claim_and_nobody_elses(folder):
    parts = Parts.create(folder, WINDOWS[:1])
    claim = parts.claim()
    parts.give_up(claim._replace(attempt="00000-before"))
    assert parts.claim() is None
    parts.give_up(claim)
    assert parts.claim().part == WINDOWS[0]


def test_the_claim_of_a_process_that_died_is_free_at_once(folder):
    parts = Parts.create(folder, WINDOWS[:1])
    parts.claim()
    with subprocess.Popen(["true"]) as dead:
        dead.wait()
    edited(folder, "00000", pid=dead.pid)
    assert parts.claim().part == WINDOWS[0]
    assert parts.claim() is None  # this process lives


def test_the_claim_of_a_machine_that_fell_silent_is_free_later(folder, monkeypatch):
    monkeypatch.setattr(parts_of, "STALE_S", 0.05)
    parts = Parts.create(folder, WINDOWS[:1])
    late = parts.claim()
    edited(folder, "00000", machine="another")
    assert parts.claim() is None  # first look
    time.sleep(0.03)
    parts._beat(late.attempt, {"beat": 1})
    assert parts.claim() is None  # it lives
    time.sleep(0.1)
    taken = parts.claim()
    assert taken.part == late.part
    assert made(parts, taken, "first")
    assert not made(parts, late, "late")  # and its files are thrown away
    assert (folder / "done" / "00000" / "00000.txt").read_text() == "00000 first"
    assert list((folder / "attempts").iterdir()) == []


def test_a_worker_that_comes_after_the_end_changes_nothing(folder):
    parts = Parts.create(folder, WINDOWS[:2])
    first, second = parts.claim(), parts.claim()
    assert made(parts, first)
    parts.close()
    assert not folder.exists()
    assert not parts.finish(second, {"facts": {}})
    parts.give_up(second, StepError("late"))
    assert parts.claim() is None
    assert not folder.exists()


def test_a_damaged_part_is_made_again(folder):
    parts = Parts.create(folder, WINDOWS[:1])
    made(parts, parts.claim())
    (folder / "done" / "00000" / "00000.txt").write_text("spoiled")
    assert parts.checked("00000") is None
    assert made(parts, parts.claim())
    assert parts.checked("00000") is not None


def test_an_error_stops_the_step_and_a_second_run_begins_without_it(folder):
    parts = Parts.create(folder, WINDOWS[:2])
    parts.give_up(parts.claim(), DataError("wrong line", where="docs-0.jsonl:1"))
    assert str(parts.failure()).startswith("docs-0.jsonl:1: wrong line")
    assert parts.claim() is None
    assert Parts.create(folder, []).failure() is None
    (folder / "failed" / "00001").touch()  # what a worker can still write on a full disk
    assert "part 00001 failed" in str(parts.failure())


def test_a_part_that_kills_its_workers_stops_the_step(folder, monkeypatch):
    monkeypatch.setattr(parts_of, "MOST_DEATHS", 3)
    parts = Parts.create(folder, WINDOWS[:1])
    for _ in range(3):
        assert parts.claim() is not None
        edited(folder, "00000", began="another process")
    assert parts.claim() is None
    assert "3 workers died while they made part 00000" in str(parts.failure())


def test_a_whole_step_that_resumes_continues_what_the_dead_attempt_wrote(folder):
    parts = Parts.create(folder, [Part(WHOLE, 0, 0)], resumable=True)
    first = parts.claim()
    (first.out / "checkpoint").write_text("half")
    edited(folder, WHOLE, began="another process")
    second = parts.claim()
    assert (second.out / "checkpoint").read_text() == "half"
    assert not parts.finish(first, {"facts": {}})  # its folder has another name now
    first.out.mkdir()  # it slept, and goes on: its next file makes the folder again
    assert not made(parts, first)
    assert parts.finish(second, {"facts": {}})


def test_a_process_alone_takes_over_the_parts_up_to_the_first_gap(folder):
    parts = Parts.create(folder, WINDOWS)
    claims = [parts.claim() for _ in range(4)]
    for claim in (claims[0], claims[1], claims[3]):
        made(parts, claim)
    take_over(folder)
    assert sorted(path.name for path in folder.parent.iterdir()) == ["00000.txt", "00001.txt"]


def test_a_process_alone_makes_a_part_again_that_was_made_with_other_packages(folder):
    parts = Parts.create(folder, WINDOWS[:2])
    made(parts, parts.claim())
    made(parts, parts.claim(), numpy="1.0")
    take_over(folder)
    assert sorted(path.name for path in folder.parent.iterdir()) == ["00000.txt"]


def test_lists_of_files_that_are_out_of_date_cost_time_only(folder, monkeypatch):
    """An NFS client may show a folder as it was a while ago; link and rename are decided by the server."""
    fresh, kept = parts_of.listed, {}

    def late(path, *, hidden=False):
        told, names = kept.get(path, (0.0, set()))
        if time.monotonic() - told > 0.05:
            kept[path] = time.monotonic(), fresh(path, hidden=hidden)
        return names if time.monotonic() - told <= 0.05 else kept[path][1]

    monkeypatch.setattr(parts_of, "listed", late)
    windows = [Part(f"{n:05}", n, n + 1) for n in range(20)]
    Parts.create(folder, windows)
    wins: list[str] = []

    def work() -> None:
        own = Parts(folder, windows)
        while len(fresh(folder / "done")) < len(windows):
            if (claim := own.claim()) is None:
                time.sleep(0.005)
            elif made(own, claim):
                wins.append(claim.part.name)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(wins) == [part.name for part in windows]
    parts = Parts(folder, windows)
    assert all(parts.checked(part.name) for part in windows)
