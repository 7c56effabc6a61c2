from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.folders import FolderMaker
from support.project import PROJECT


def _caught_signals() -> list[str]:
    """Return the set of signals with an action of this process, as Linux shows it."""
    status = Path("/proc/self/status")
    return [line for line in status.read_text().splitlines() if line.startswith("SigCgt")] if status.exists() else []


@pytest.mark.slow
def test_ray_makes_what_the_local_executor_makes_and_isolates_failures(cli, tmp_path):
    local = cli("run", "bm25", "--data", "sample", "--langs", "fi,sw", "-q", "--json", "--cache", tmp_path / "local")
    before = _caught_signals()
    on_ray = cli("run", "bm25", "--data", "sample", "--langs", "fi,sw", "--json", "--executor", "ray")
    assert on_ray.returncode == 0, on_ray.stderr
    assert _caught_signals() == before  # Java in this process needs its own action for SIGSEGV
    one, two = (json.loads(done.stdout)[0]["languages"] for done in (local, on_ray))
    for lang in ("fi", "sw"):
        assert one[lang]["scores"] == two[lang]["scores"]
        assert one[lang]["files"]["run"]["sha256"] == two[lang]["files"]["run"]["sha256"]
        assert {s: r["key"] for s, r in one[lang]["steps"].items()} == {
            s: r["key"] for s, r in two[lang]["steps"].items()
        }
    maker = FolderMaker(tmp_path / "tiny")
    maker.whole("en")
    maker.whole("fi")
    maker.corpus("fi", raw=b"{}\n")
    done = cli("run", "bm25", "--data", maker.root, "--executor", "ray")
    assert done.returncode == 3
    assert "docs-0.jsonl.gz:1: 'docid' is missing or not a string" in done.stderr
    assert " fi evaluate skipped: a step before it failed" in done.stderr
    written = json.loads((tmp_path / "results" / "tiny" / "bm25.json").read_text())
    assert list(written["languages"]) == ["en"]


def test_without_ray_the_mend_names_the_extra(tmp_path):
    script = (
        "import sys; sys.modules['ray'] = None; from mdrbench.core.members import Member; from pathlib import Path; "
        "list(Member.of('executors', {'name': 'ray'}).build().run([None], Path('.'), print))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=PROJECT, check=False)
    assert "SetupError" in done.stderr
    assert "pip install 'mdrbench[ray]'" in done.stderr


def test_an_unknown_executor_answers_with_near_names(cli):
    done = cli("run", "bm25", "--data", "sample", "--langs", "sw", "--executor", "rai")
    assert done.returncode == 2
    assert "did you mean 'ray'" in done.stderr


def test_several_workers_share_a_gpu_if_their_number_is_a_multiple(tmp_path, monkeypatch):
    from mdrbench.pipeline.executors.local import Processes

    started = []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    monkeypatch.setattr(
        "mdrbench.pipeline.executors.local.subprocess.Popen",
        lambda command, env, **_: started.append(env["CUDA_VISIBLE_DEVICES"]),
    )
    Processes(4, 2).start(tmp_path, {"gpu"})
    assert started == ["4", "6", "4", "6"]
