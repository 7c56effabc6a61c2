"""Which files of a model's repository PyTorch needs, and whether huggingface_hub's cache has all of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from mdrbench.hub.repositories import cache_folder

BESIDE = (
    "vocab.txt",
    "merges.txt",
    "chat_template.jinja",
    "sparse_linear.pt",
    "colbert_linear.pt",
    "artifact.metadata",
)
"""Files of a model that have no ending of their own; the last ones are heads of BGE-M3 and ColBERT's settings."""


def model_files(paths: Iterable[str], without: tuple[str, ...] = ()) -> list[str]:
    """Return the paths of a repository that PyTorch needs: configuration, tokenizer, weights and code, sorted.

    They are at the top, in the folders of sentence-transformers' layers (``1_Pooling``) and in those of adapters.
    Pickled weights are taken only if their folder has no safetensors. Files with a name in ``without`` are left out.
    """
    kept: dict[str, list[PurePosixPath]] = {}
    places = [PurePosixPath(path) for path in paths]
    adapters = {str(path.parent) for path in places if path.name == "adapter_config.json"}
    for path in places:
        parent = str(path.parent)
        if (parent in (".", *adapters) or re.fullmatch(r"\d+_\w+", parent)) and path.name not in without:
            kept.setdefault(parent, []).append(path)
    result = []
    for folder in kept.values():
        weights = [p for p in folder if p.suffix == ".safetensors"]
        weights = weights or [p for p in folder if re.fullmatch(r"(pytorch|adapter)_model.*\.bin", p.name)]
        result += weights + [p for p in folder if p.suffix in (".json", ".model", ".py") or p.name in BESIDE]
    return sorted(map(str, result))


def has_weights(names: list[str]) -> bool:
    """Whether these files hold a configuration and weights."""
    return "config.json" in names and any(name.endswith((".safetensors", ".bin")) for name in names)


WHOLE = ".gitattributes"
"""Every repository has it, and no program asks for it alone: a snapshot with it holds all files that matter."""


def whole_snapshot(repo: str, revision: str) -> Path | None:
    """Return the snapshot of a revision in huggingface_hub's cache if it provably lacks no file that matters.

    A program may have downloaded some files of a repository only. A snapshot is whole if it has weights with all their
    shards, as links to blobs, and :data:`WHOLE`. Instead of the latter it may have sentence-transformers' settings
    (``modules.json`` and the prompts), or the cache's note that the repository has none.
    """
    folder = cache_folder(repo)
    ref = folder / "refs" / revision
    commit = ref.read_text(encoding="utf-8").strip() if ref.is_file() else revision
    snapshot = folder / "snapshots" / commit
    if not snapshot.is_dir():
        return None
    names = model_files(p.relative_to(snapshot).as_posix() for p in snapshot.rglob("*") if p.is_file())
    shards = [
        shard
        for index in snapshot.glob("*.index.json")
        for shard in json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
    ]
    absent = folder / ".no_exist" / commit
    prompts = "config_sentence_transformers.json"
    known = (
        (snapshot / WHOLE).is_file()
        or (absent / "modules.json").is_file()
        or ((snapshot / "modules.json").is_file() and any((at / prompts).is_file() for at in (snapshot, absent)))
    )
    linked = all((snapshot / name).is_symlink() for name in {*names, *shards})
    return snapshot if has_weights(names) and known and linked else None
