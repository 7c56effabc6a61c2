"""Files that a build keeps for the next one, beside the site: whole or not at all, and dropped when long unused."""

from __future__ import annotations

import os
import time
from pathlib import Path

UNUSED = 30 * 24 * 3600
"""Seconds after which a kept file that no build has read is dropped."""

DAY = 24 * 3600


def keep(path: Path, data: bytes) -> None:
    """Write a file whole, without waiting for the disk: who reads it checks what it finds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(data)
    os.replace(temporary, path)


def kept(path: Path) -> bytes | None:
    """What was kept, None where nothing was; the time of the file's last change becomes that of its last use."""
    try:
        data = path.read_bytes()
        if path.stat().st_mtime < time.time() - DAY:
            os.utime(path)
    except OSError:
        return None
    return data


def drop_unused(cache: Path) -> None:
    """Remove files of a cache that no build has used for :data:`UNUSED` seconds, and what was left half-written."""
    before = time.time() - UNUSED
    for folder, _, names in os.walk(cache):
        for name in names:
            path = Path(folder, name)
            try:
                if path.stat().st_mtime < before:
                    path.unlink()
            except OSError:  # another build was faster, or the file is not ours to remove: it is only a cache
                continue
