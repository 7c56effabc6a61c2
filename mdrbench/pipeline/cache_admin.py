"""What ``mdrbench cache`` does, on top of :class:`mdrbench.core.store.Store`."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

from mdrbench.core.errors import UsageError
from mdrbench.core.store import Store

DAY = 86_400.0


def rows(store: Store) -> list[dict]:
    """All artifacts, least recently used first; a damaged one has no size and is marked."""
    found = []
    for stage, key in store.all():
        artifact = store.find(stage, key)
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
            }
        )
    return sorted(found, key=lambda row: row["used"])


def verify(store: Store) -> list[dict]:
    """Every problem of every artifact, found by re-hashing all files under a shared lock."""
    problems = []
    for stage, key in list(store.all()):
        with store.locked(key, shared=True):
            problems += [{"stage": stage, "key": key, "problem": text} for text in store.verify(stage, key)]
    return problems


def parse_size(text: str) -> int:
    """``20GB`` -> bytes; decimal units kB, MB, GB, TB or none."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kMGT]?)B?", text.strip())
    if not match:
        raise UsageError(f"'{text}' is no size", mend="write for instance 20GB")
    return int(float(match[1]) * 1000 ** "kMGT".find(match[2] or "-") * 1000) if match[2] else int(float(match[1]))


def collect(store: Store, older_than: float, max_size: str | None, dry_run: bool) -> str:
    """Delete what was not used for ``older_than`` days or more, damaged artifacts, and the least recently used beyond
    ``max_size``; artifacts in use stay. Returns a sentence on what was done."""
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
    """Delete artifacts by key, beginning of a key, or stage; those in use stay. Returns a sentence."""
    doomed = dict.fromkeys(ref for key in keys for ref in store.matching(key))
    busy = [key for stage, key in doomed if not store.remove(stage, key)]
    kept = f"; in use and kept: {', '.join(key[:12] for key in busy)}" if busy else ""
    return f"deleted {len(doomed) - len(busy)} artifacts{kept}"
