"""Real results on the packaged sample for the tests of check, verify and submit, recorded once a session."""

from __future__ import annotations

import atexit
import gzip
import json
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from mdrbench.core.store import file_sha256, seal_of
from support import commands

LANGS = ("ar", "fi", "sw")


@cache
def recorded() -> Path:
    """Return a folder with ``results`` and ``cache`` of the recipe ``quick`` on three languages of the sample."""
    root = Path(tempfile.mkdtemp(prefix="mdrbench-trust-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    recipe = root / "quick.yaml"
    recipe.write_text("extends: bm25\nsummary: BM25 with few resamples\nevaluation: {resamples: 100}\n")
    words = ["run", str(recipe), "--data", "sample", "--langs", ",".join(LANGS), "--cache", str(root / "cache")]
    done = commands.run([*words, "--results", str(root / "results"), "--quiet"], root)
    assert done.returncode == 0, done.stderr
    return root


def copied(folder: Path) -> Path:
    """Copy the results, to spoil the copy."""
    return Path(shutil.copytree(recorded() / "results", folder / "results"))


def quick(root: Path) -> Path:
    return root / "sample" / "quick.json"


def edit(path: Path, change: Callable[[dict], object], *, reseal: bool = True) -> None:
    """Change a stored file. With ``reseal`` compute its seal again, as a forger would."""
    data = json.loads(path.read_text(encoding="utf-8"))
    change(data)
    if reseal and "seal" in data:
        data["seal"] = seal_of(data)
    path.write_text(json.dumps(data), encoding="utf-8")


def kept(root: Path, lang: str, kind: str) -> Path:
    return root / "sample" / "quick" / f"{lang}-dev.{'run.trec' if kind == 'run' else 'topics.tsv'}.gz"


def rewrite(root: Path, lang: str, kind: str, change: Callable[[list[str]], list[str]], *, record: bool = True) -> None:
    """Change the lines of a stored file. With ``record`` put the new hash into the result, as a forger would."""
    path = kept(root, lang, kind)
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    path.write_bytes(gzip.compress("".join(f"{line}\n" for line in change(lines)).encode(), mtime=0))
    if record:
        entry = {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
        edit(quick(root), lambda data: data["languages"][lang]["files"][kind].update(entry))
