"""Full disks: recognise a failure that a full disk, a quota or a limit on file sizes caused, and say what to free."""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from mdrbench.core.errors import SetupError

NUMBERS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
TEXTS = ("no space left on device", "disk quota exceeded", "file too large")
"""What libraries that are not Python's (Lucene, safetensors, faiss) put into their errors."""

PROBE = 1 << 20
"""A disk that does not take a file of so many bytes is full. Lucene loses the system's message in its threads."""


def out_of_space(error: BaseException, folder: Path) -> SetupError | None:
    """Return the error to show if a full disk caused ``error``, else None.

    Args:
        folder: a folder on the disk that was written to.
    """
    if not any(_names_full_disk(link) for link in _chain(error)) and takes_writes(folder):
        return None
    name = next((str(link.filename) for link in _chain(error) if isinstance(link, OSError) and link.filename), None)
    return SetupError(
        f"no space is left to write to ({free_bytes(folder):,} bytes are free in {folder})",
        where=name,
        mend="free space on this disk (`mdrbench cache gc --older-than 0` deletes all artifacts that no command uses), "
        "raise the quota or `ulimit -f`, or choose another disk with --cache and --results; then run the same command",
    )


def takes_writes(folder: Path) -> bool:
    """Return whether a file of :data:`PROBE` bytes can be written to a folder, within disk, quota and limits."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(PROBE))
            file.flush()
    except OSError as error:
        return error.errno not in NUMBERS
    return True


def free_bytes(folder: Path) -> int:
    """Return the free bytes of the disk that holds ``folder``; 0 if it cannot be asked."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0


def _names_full_disk(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in NUMBERS:
        return True
    return any(text in str(error).lower() for text in TEXTS)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and the errors that led to it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
