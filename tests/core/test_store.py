from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import suppress
from pathlib import Path

import pytest
from support.forks import run_at_once
from support.project import PROJECT

from mdrbench.core import leases
from mdrbench.core.errors import UsageError
from mdrbench.core.locks import file_lock
from mdrbench.core.store import Store, key_of, seal_of
from mdrbench.pipeline import cache_admin as caching

MADE_OF = {"stage": "index", "n": 1}
KEY = key_of(MADE_OF)


def make(store: Store, made_of=MADE_OF, text: str = "hello"):
    key = key_of(made_of)
    with store.locked(key):
        work = store.work_dir(key)
        (work / "sub").mkdir()
        (work / "sub" / "data.txt").write_text(text)
        return store.commit("index", key, work, {"scope": "sw", "made_of": made_of, "facts": {"n": len(text)}})


def test_a_committed_artifact_is_found_with_its_facts_and_is_sound(store):
    make(store)
    found = store.find("index", KEY)
    assert (found.path / "sub" / "data.txt").read_text() == "hello"
    assert found.facts == {"n": 5}
    assert found.bytes == 5
    assert store.verify("index", KEY) == []
    assert list((store.root / "unfinished").iterdir()) == []


def test_equal_values_have_equal_keys_whatever_their_order():
    assert key_of({"b": [1, 2], "a": "ä"}) == key_of({"a": "ä", "b": [1, 2]}) != key_of({"a": "ä", "b": [2, 1]})


def test_a_vanished_or_shortened_file_makes_a_miss(store):
    artifact = make(store)
    (artifact.path / "sub" / "data.txt").write_text("hell")
    assert store.find("index", KEY) is None
    (artifact.path / "sub" / "data.txt").unlink()
    assert store.find("index", KEY) is None
    make(store)
    assert store.find("index", KEY).facts == {"n": 5}


def test_a_file_of_the_same_size_with_other_bytes_makes_a_miss(store):
    artifact = make(store)
    path = artifact.path / "sub" / "data.txt"
    stat = path.stat()
    path.write_text("jello")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as a careful hand would
    assert store.find("index", KEY) is None
    path.write_text("hello")
    assert store.find("index", KEY).facts == {"n": 5}


def test_what_was_compared_once_is_not_read_again(store, monkeypatch):
    make(store)
    monkeypatch.setattr("mdrbench.core.store.file_sha256", lambda path: pytest.fail(f"{path} was read"))
    assert store.find("index", KEY)


@pytest.mark.parametrize("forged", [False, True])
def test_facts_edited_in_a_manifest_are_noticed(store, forged):
    path = make(store).path / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["facts"]["n"] = 6
    if forged:  # the seal shows accidents; the key shows other inputs
        manifest["made_of"]["n"] = 2
        manifest["seal"] = seal_of(manifest)
    path.write_text(json.dumps(manifest))
    assert store.find("index", KEY) is None
    [problem] = store.verify("index", KEY)
    assert ("belong to index" if forged else "its seal does not match") in problem


def test_steps_that_a_running_command_needs_are_kept(store):
    made = make(store)
    with store.in_use([KEY, "f" * 64]):
        assert not store.remove("index", KEY)
        assert "1 in use were kept" in caching.collect(store, 0, None, dry_run=False)
    assert list((store.root / "in-use").iterdir()) == []
    (store.root / "in-use" / "killed").write_text(KEY)  # nobody holds it
    assert store.remove("index", KEY)
    assert not made.path.exists()


def _collect(wait, number: int, root: str) -> None:
    wait()
    caching.collect(Store(Path(root)), 0, None, dry_run=False)


def test_a_lease_that_ends_while_it_is_read_protects_nothing(store, monkeypatch):
    folder = store.root / leases.FOLDER
    folder.mkdir()
    (folder / "lease").write_text("key\n")

    def held_and_gone(path):
        path.unlink()

    monkeypatch.setattr(leases, "try_lock", held_and_gone)
    assert leases.leased(store.root) == set()


def test_garbage_collectors_side_by_side_do_not_crash(store):
    for number in range(100):
        make(store, {"n": number})
    run_at_once(_collect, 4, store.root)
    assert list(store.all()) == []


def test_locks_are_open_for_reading_and_writing(tmp_path):
    """NFSv4 refuses a shared lock on a descriptor that cannot read, and an exclusive one on one that cannot write."""
    for shared in (False, True):
        with file_lock(tmp_path / "lock", shared=shared):
            [flags] = [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in open_descriptors(tmp_path / "lock")]
            assert flags & os.O_ACCMODE == os.O_RDWR


def open_descriptors(path: Path) -> list[int]:
    found = []
    for descriptor in range(4096):
        with suppress(OSError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                found.append(descriptor)
    return found


def _count(wait, number: int, folder: str) -> None:
    count = Path(folder) / "count"
    wait()
    for _ in range(50):
        with file_lock(Path(folder) / ".lock", temporary=True):
            count.write_text(str(int(count.read_text()) + 1))


def test_a_temporary_lock_excludes_others_and_leaves_nothing(tmp_path):
    (tmp_path / "count").write_text("0")
    run_at_once(_count, 4, tmp_path)
    assert (tmp_path / "count").read_text() == "200"
    assert [path.name for path in tmp_path.iterdir()] == ["count"]


def test_verify_finds_changed_bytes_foreign_files_and_a_manifest_of_another_key(store):
    artifact = make(store)
    (artifact.path / "sub" / "data.txt").write_text("jello")
    (artifact.path / "extra").write_text("x")
    assert store.verify("index", KEY) == [
        "sub/data.txt: bytes differ from the manifest's SHA-256",
        "extra: not in the manifest",
    ]
    os.rename(artifact.path, artifact.path.with_name("0" * 64))
    assert "its contents belong to index" in store.verify("index", "0" * 64)[0]
    assert [row["stage"] for row in caching.verify(store)] == ["index"] * 3


def test_a_builder_killed_at_any_moment_leaves_no_artifact_and_no_lock(store):
    script = textwrap.dedent(f"""
        import sys, time
        sys.path.insert(0, {str(PROJECT)!r})
        from pathlib import Path
        from mdrbench.core.store import Store
        store = Store(Path({str(store.root)!r}))
        with store.locked({KEY!r}):
            work = store.work_dir({KEY!r})
            (work / "half.txt").write_text("half")
            print("working", flush=True)
            time.sleep(60)
    """)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as builder:
        assert builder.stdout.readline() == "working\n"
        builder.send_signal(signal.SIGKILL)
    assert store.find("index", KEY) is None
    artifact = make(store)
    assert sorted(p.name for p in artifact.path.iterdir()) == ["manifest.json", "sub"]


def _build_slowly(wait, number: int, root: str, log: str) -> None:
    store = Store(Path(root))
    wait()
    with store.locked(KEY):
        if store.find("index", KEY):
            return
        with Path(log).open("a") as file:
            file.write("made\n")
        time.sleep(0.3)
        work = store.work_dir(KEY)
        (work / "data.txt").write_text("hello")
        store.commit("index", KEY, work, {"scope": "sw", "made_of": MADE_OF, "facts": {}})


def test_processes_that_need_the_same_key_share_one_build(store, tmp_path):
    log = tmp_path / "log"
    run_at_once(_build_slowly, 4, store.root, log)
    assert log.read_text() == "made\n"
    assert store.verify("index", KEY) == []


def test_gc_deletes_the_old_the_large_and_the_unfinished_but_nothing_in_use(store):
    old = make(store, {"n": "old"})
    new = make(store, {"n": "new"}, text="x" * 1000)
    os.utime(old.path / "manifest.json", (0, 0))
    (store.root / "unfinished" / ("f" * 64)).mkdir()
    assert "would delete 1 of 2" in caching.collect(store, 30, None, dry_run=True)
    with store.locked(old.key, shared=True):
        assert "1 in use were kept" in caching.collect(store, 30, None, dry_run=False)
    assert "deleted 1 of 2 artifacts, 5 bytes" in caching.collect(store, 30, None, dry_run=False)
    assert [row["key"] for row in caching.rows(store)] == [new.key]
    assert list((store.root / "unfinished").iterdir()) == []
    assert "deleted 1 of 1" in caching.collect(store, 30, "0.5kB", dry_run=False)


def test_rm_takes_the_beginning_of_a_key_or_a_stage(store):
    make(store)
    with pytest.raises(UsageError, match="no artifact 'nope'"):
        caching.remove(store, ["nope"])
    assert caching.remove(store, [KEY[:8], "index"]) == "deleted 1 artifacts"
    assert store.find("index", KEY) is None


@pytest.mark.parametrize(("text", "size"), [("20GB", 20 * 10**9), ("1.5 kB", 1500), ("7", 7), ("2T", 2 * 10**12)])
def test_sizes_are_decimal(text, size):
    assert caching.parse_size(text) == size


def test_source_files_are_hashed_again_only_when_they_change(store, tmp_path):
    path = tmp_path / "corpus"
    path.write_text("one")
    first = store.hash_files([path])[path]
    assert store.hash_files([path])[path] == first
    path.write_text("two")
    assert store.hash_files([path])[path] != first
