"""The commands of ``mdrbench cache``, on top of :class:`mdrbench.core.store.Store`."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Any

from mdrbench.core.environment import PACKAGES, package_version
from mdrbench.core.errors import UsageError
from mdrbench.core.store import Artifact, Store
from mdrbench.pipeline.plan.steps import VERSIONS

DAY = 86_400.0


def rows(store: Store) -> list[dict[str, Any]]:
    """Return all artifacts, least recently used first. A damaged artifact has no size and is marked.

    ``unreachable`` says why no command of this mdrbench can use an artifact any more; None if one can.
    """
    found = []
    artifacts = {(stage, key): store.find(stage, key) for stage, key in list(store.all())}
    for (stage, key), artifact in artifacts.items():
        used = store.last_used(stage, key)
        found.append(
            {
                "key": key,
                "stage": stage,
                "scope": artifact.manifest["scope"] if artifact else "?",
                "bytes": artifact.bytes if artifact else 0,
                "used": datetime.fromtimestamp(used, UTC).isoformat(timespec="seconds"),
                "age_days": round((time.time() - used) / DAY, 3),
                "damaged": artifact is None,
                "unreachable": _unreachable(artifact) if artifact else "damaged, or made by another mdrbench",
            }
        )
    return sorted(found, key=lambda row: str(row["used"]))


def _unreachable(artifact: Artifact) -> str | None:
    """Return why no key of this mdrbench leads to an artifact, judged by its lineage; None if a key can.

    An artifact is out of reach if a stage that it was made by has another version now, or if it was made with another
    version of an installed package. Recipes are not looked at: any recipe can be run again.
    """
    made_of = artifact.manifest["made_of"]
    version = made_of.get("version")
    if (now := VERSIONS.get(artifact.stage)) != version:
        return f"stage {artifact.stage} has version {now} now, this is of version {version}"
    for name, version in _packages(made_of.get("params")).items():
        if (installed := package_version(name)) != version:
            return f"made with {name} {version}, {installed or 'no version'} is installed"
    return None


def _packages(params: Any) -> dict[str, str]:
    """Return the versions of installed packages that a step's parameters name."""
    if not isinstance(params, dict):
        return {}
    named = {name: value for name, value in params.items() if name in PACKAGES and isinstance(value, str)}
    for value in params.values():
        named |= _packages(value)
    return named


def verify(store: Store) -> list[dict[str, str]]:
    """Return every problem of every artifact, found by reading all files again under a shared lock."""
    problems = []
    for stage, key in list(store.all()):
        with store.locked(key, shared=True):
            if (store.root / "artifacts" / stage / key).exists():
                problems += [{"stage": stage, "key": key, "problem": text} for text in store.verify(stage, key)]
    return problems


def parse_size(text: str) -> int:
    """Return the bytes of ``20GB``; the units kB, MB, GB, TB are decimal, none means bytes."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kMGT]?)B?", text.strip())
    if not match:
        raise UsageError(f"'{text}' is not a size", mend="write a number and a unit, for example 20GB")
    return int(float(match[1]) * 1000 ** "kMGT".find(match[2] or "-") * 1000) if match[2] else int(float(match[1]))


def collect(store: Store, older_than: float, max_size: str | None, dry_run: bool) -> str:
    """Delete artifacts that were not used for ``older_than`` days, damaged ones, and the least recently used ones
    beyond ``max_size``. Artifacts that a running command reads or still needs stay. Returns a sentence about it."""
    limit = parse_size(max_size) if max_size else None
    found = rows(store)
    keep_bytes = sum(row["bytes"] for row in found)
    doomed = []
    for row in found:
        too_much = limit is not None and keep_bytes > limit
        if row["damaged"] or row["age_days"] >= older_than or too_much:
            doomed.append(row)
            keep_bytes -= row["bytes"]
    size = sum(row["bytes"] for row in doomed)
    if dry_run:
        return f"would delete {len(doomed)} of {len(found)} artifacts, {size} bytes"
    busy = sum(not store.remove(row["stage"], row["key"]) for row in doomed)
    cleared = store.clear_work()
    return f"deleted {len(doomed) - busy} of {len(found)} artifacts, {size} bytes, and {cleared} unfinished" + (
        f"; {busy} in use were kept" if busy else ""
    )


def remove(store: Store, keys: list[str]) -> str:
    """Delete artifacts by key, beginning of a key, or stage; artifacts in use stay. Returns a sentence about it."""
    doomed = dict.fromkeys(ref for key in keys for ref in store.matching(key))
    busy = [key for stage, key in doomed if not store.remove(stage, key)]
    kept = f"; in use and kept: {', '.join(key[:12] for key in busy)}" if busy else ""
    return f"deleted {len(doomed) - len(busy)} artifacts{kept}"
