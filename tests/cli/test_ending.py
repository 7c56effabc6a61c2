"""Every way in which a command can end has the exit code of docs/cli.md, and leaves nothing half-written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.project import PROJECT

pytestmark = pytest.mark.medium

RUN = "run bm25 --data sample --langs sw --quiet"


def shell(command: str, folder: Path) -> subprocess.CompletedProcess:
    """Run a line of bash in which ``mdrbench`` is this checkout."""
    environment = {**os.environ, "MDRBENCH_CACHE": str(folder / "store"), "PYTHONPATH": str(PROJECT)}
    line = f'set -o pipefail; mdrbench() {{ "{sys.executable}" -m mdrbench "$@"; }}; {command}'
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("command", "reader"),
    [
        ("list --json", "true"),
        (f"audit --json --results {PROJECT / 'results'}", "head -1"),  # more than a pipe holds
    ],
)
def test_a_reader_that_stops_early_is_no_bug(tmp_path, command, reader):
    ended = shell(f"mdrbench {command} | {reader}", tmp_path)
    assert (ended.returncode, ended.stderr) == (141, "")


@pytest.mark.parametrize("command", ["list", "list --json", RUN])
def test_a_full_standard_output_is_told_and_the_work_is_kept(tmp_path, command):
    ended = shell(f"mdrbench {command} >/dev/full", tmp_path)
    assert ended.returncode == 4
    assert "standard output cannot be written: No space left on device" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert (tmp_path / "results" / "sample" / "bm25.json").exists() == (command == RUN)


def test_a_closed_standard_output_is_told_before_the_work(tmp_path):
    ended = shell(f"mdrbench {RUN} >&-", tmp_path)
    assert ended.returncode == 4
    assert "standard output is closed" in ended.stderr
    assert not (tmp_path / "results").exists()


def test_closed_standard_input_and_error_get_no_file_of_ours(tmp_path):
    ended = shell(f"mdrbench {RUN} <&- 2>&-", tmp_path)
    assert ended.returncode == 0
    assert "bm25" in ended.stdout
    assert shell("mdrbench verify results", tmp_path).returncode == 0


@pytest.mark.parametrize("kilobytes", [1, 4])
def test_a_full_disk_is_no_bug_and_says_what_to_free(tmp_path, kilobytes):
    """A limit on file sizes meets Python's writes and Lucene's, as a full disk does."""
    ended = shell(f"ulimit -f {kilobytes}; mdrbench {RUN}", tmp_path)
    assert ended.returncode == 4, ended.stderr
    assert "cache gc" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_disk_that_fills_up_within_lucene_is_told(tmp_path):
    disk = tmp_path / "store"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this machine does not let root mount")
    try:
        ended = shell("mdrbench run bm25 --data sample --langs sw,fi,ar --quiet", tmp_path)
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert ended.returncode == 4, ended.stderr
    assert "space" in ended.stderr
    assert "cache gc" in ended.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_terminated_run_ends_as_an_interrupted_one_and_leaves_nothing_behind(tmp_path, number, code):
    environment = {**os.environ, "MDRBENCH_CACHE": str(tmp_path / "store"), "PYTHONPATH": str(PROJECT)}
    command = ["env", "--default-signal=INT", sys.executable, "-m", "mdrbench", "run", "bm25", "--data", "sample"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        while not list((tmp_path / "store").glob("artifacts/search/*")):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        _, said = process.communicate(timeout=300)
    assert process.returncode == code
    assert "Traceback" not in said
    assert list((tmp_path / "store" / "in-use").iterdir()) == []
    assert list((tmp_path / "store" / "unfinished").iterdir()) == []
    assert not list(tmp_path.rglob("*.tmp"))


CLEAN_UP = """
import os, signal, sys, time
from mdrbench.cli import ending
ending.AGAIN_S, ending.GRACE_S = 0.2, 4

def terminated(seconds):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(seconds)

def swallowed():
    try:
        terminated(1)
    except BaseException:
        pass
    time.sleep(600)
    print("ran to its end")

def slow():
    try:
        terminated(1)
    finally:
        time.sleep(1)
        print("clean")

def passages():
    try:
        yield from range(3)
    finally:
        time.sleep(1)
        print("clean")

def generator():
    for passage in passages():
        terminated(1)

class File:
    def __del__(self):
        terminated(0.1)

def destructor():
    File()
    time.sleep(600)
    print("ran to its end")

def endless():
    try:
        terminated(1)
    finally:
        time.sleep(600)

ending.run(globals()[sys.argv[1]])
"""


@pytest.mark.parametrize(
    ("end", "told"),
    [("swallowed", ""), ("destructor", ""), ("slow", "clean\n"), ("generator", "clean\n"), ("endless", "")],
)
def test_a_terminated_process_always_ends_and_its_clean_up_is_not_cut_short(end, told):
    """Bare handlers and destructors lose the exception; a clean-up may take long, and may never end."""
    ended = subprocess.run(
        [sys.executable, "-c", CLEAN_UP, end], cwd=PROJECT, capture_output=True, text=True, timeout=300, check=False
    )
    assert (ended.returncode, ended.stdout) == (143, told)
