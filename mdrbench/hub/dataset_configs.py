"""The configurations of a data set repository on the hub: which files hold which split.

A repository states them in the front matter of its ``README.md``. If it states none, a configuration is a folder of the
repository, and a file's split is the beginning of its name (``sw-corpus/dev-00000-of-00001.parquet``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from mdrbench.core.errors import DataError
from mdrbench.hub.dataset_files import fetch, snapshot_of
from mdrbench.hub.downloads import Listen, Remote, Wanted, nobody

README = "README.md"
_SHARD = re.compile(r"(.+?)(-\d+(-of-\d+)?)?\.(parquet|jsonl|tsv)(\.gz)?")

Configs = dict[str, dict[str, list[str]]]
"""configuration -> split -> paths in the repository, in order."""


class Repository(NamedTuple):
    """A data set repository at a revision: a commit, a branch or a tag."""

    name: str
    revision: str


def read_configs(repository: Repository, root: Path, folder: str, listen: Listen = nobody) -> Configs:
    """Ask the hub for a repository's files, and fetch its ``README.md`` into ``root/folder``.

    Raises:
        DataError: there is no such repository or revision.
        SetupError: the hub cannot be reached.
    """
    files = list_files(repository)
    stated: list[dict[str, Any]] = []
    if README in files:
        fetch_files(repository, [README], root, folder, 1, listen)
        front = front_matter((root / folder / README).read_text(encoding="utf-8"))
        stated = [config for config in front.get("configs") or [] if isinstance(config, dict)]
    return configs_of(files, stated)


def list_files(repository: Repository) -> list[str]:
    """Return the paths of a repository's files."""
    return sorted(snapshot_of(repository.name, repository.revision).files)


def fetch_files(
    repository: Repository, paths: Iterable[str], root: Path, folder: str, jobs: int = 4, listen: Listen = nobody
) -> None:
    """Fetch files of a repository into ``root/folder``: verified, and recorded in ``root/manifest.json``."""
    wanted = (Wanted(f"{folder}/{path}", (Remote(repository.name, repository.revision, path),)) for path in paths)
    fetch(root, wanted, jobs, listen)


def configs_of(files: list[str], stated: list[dict[str, Any]]) -> Configs:
    """Return the configurations of a repository from its files and what its front matter states."""
    configs: Configs = {}
    for config in stated:
        splits = {split: _matching(files, patterns) for split, patterns in _patterns(config)}
        configs[str(config.get("config_name", "default"))] = splits
    return configs or _inferred(files)


def files_of(configs: Configs, config: str, split: str) -> list[str]:
    """Return the files of a configuration's split; of its only split, if it has one under another name.

    Raises:
        DataError: there is no such configuration or split, or it has no files.
    """
    splits = configs.get(config, {})
    paths = splits.get(split) or (next(iter(splits.values())) if len(splits) == 1 else [])
    if not paths:
        known = ", ".join(f"{name} ({', '.join(named)})" for name, named in configs.items())
        raise DataError(f"The repository has no configuration '{config}' with a split '{split}'. It has: {known}.")
    return paths


def licence_of(folder: Path) -> str:
    """Return the licence that a repository's ``README.md`` states; empty if it states none."""
    path = folder / README
    stated = front_matter(path.read_text(encoding="utf-8")).get("license", "") if path.is_file() else ""
    return ", ".join(map(str, stated)) if isinstance(stated, list) else str(stated)


def front_matter(readme: str) -> dict[str, Any]:
    """Return the YAML mapping at the beginning of a README; empty if there is none.

    Raises:
        DataError: it is not YAML.
    """
    import yaml

    match = re.match(r"---\n(.*?)\n---", readme, re.DOTALL)
    try:
        front = yaml.safe_load(match[1]) if match else {}
    except yaml.YAMLError as error:
        raise DataError(f"The front matter of {README} is not YAML: {error}.") from None
    return front if isinstance(front, dict) else {}


def _patterns(config: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """Return split -> patterns of its files, from the ways in which ``data_files`` may be written."""
    stated = config.get("data_files", [])
    if isinstance(stated, str):
        return [("train", [stated])]
    if isinstance(stated, dict):
        return [(str(split), _listed(patterns)) for split, patterns in stated.items()]
    if all(isinstance(entry, str) for entry in stated):
        return [("train", list(stated))]
    return [(str(entry["split"]), _listed(entry["path"])) for entry in stated if isinstance(entry, dict)]


def _listed(patterns: str | list[str]) -> list[str]:
    return [patterns] if isinstance(patterns, str) else list(patterns)


def _matching(files: list[str], patterns: list[str]) -> list[str]:
    return [file for file in files if any(fnmatch(file, pattern) for pattern in patterns)]


def _inferred(files: list[str]) -> Configs:
    """Return folder -> split -> files; the folder of files at the top is called ``default``."""
    configs: Configs = {}
    for file in files:
        path = PurePosixPath(file)
        if match := _SHARD.fullmatch(path.name):
            config = "default" if str(path.parent) == "." else str(path.parent)
            configs.setdefault(config, {}).setdefault(match[1], []).append(file)
    return configs
