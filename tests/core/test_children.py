"""Child processes end with the process that started them, also if it was killed."""

from __future__ import annotations

import subprocess
import sys

from support.project import PROJECT

CHILD = (
    "import time; from mdrbench.core.children import end_with_parent; "
    "end_with_parent(); print('begun', flush=True); time.sleep(60)"
)
LAUNCHER = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {CHILD!r}])"
PARENT = (
    "import subprocess, sys; "
    f"subprocess.Popen([sys.executable, '-c', {LAUNCHER!r}], stdin=subprocess.PIPE, start_new_session=True).wait()"
)


def test_a_child_may_end_before_its_parent():
    words = "from mdrbench.core.children import end_with_parent; end_with_parent()"
    with subprocess.Popen([sys.executable, "-c", words], stdin=subprocess.PIPE, cwd=PROJECT) as process:
        assert process.wait(20) == 0


def test_a_child_of_a_launcher_ends_when_its_grandparent_is_killed():
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, cwd=PROJECT) as process:
        assert process.stdout.readline() == b"begun\n"
        process.kill()
        assert process.stdout.read() == b""  # the child, which holds the other end, is gone
