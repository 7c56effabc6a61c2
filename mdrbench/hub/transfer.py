"""Requests for files: repeated while they may yet succeed, resumed where they stopped, stopped together."""

from __future__ import annotations

import email.utils
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeVar

from mdrbench.core.errors import DataError, SetupError
from mdrbench.hub.downloads import Event, Listen

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests

ATTEMPTS = 6
"""Failures in a row, without a byte gained, after which a file is given up."""
BACKOFF, LONGEST_WAIT = 1.0, 600.0
"""Seconds: the first wait, doubled each time; the longest Retry-After that is honoured."""
TIMEOUT = (10, 60)
"""Seconds to connect, and between two packets."""
BLOCK = 1 << 16  # bytes

T = TypeVar("T")
Task = TypeVar("Task")


class Again(Exception):
    """A failure that may pass: ``after`` is what the server asks to wait (seconds), ``gained`` whether bytes came."""

    def __init__(self, reason: str, after: float | None = None, gained: bool = False):
        super().__init__(reason)
        self.after, self.gained = after, gained


class Stopped(Exception):
    """Another download failed, or the user interrupted."""


@contextmanager
def open_session(jobs: int) -> Iterator[requests.Session]:
    """Open an HTTP session that asks for bytes as they are stored, for ``jobs`` requests at a time."""
    import requests

    with requests.Session() as session:
        session.headers.update({"Accept-Encoding": "identity", "User-Agent": "mdrbench"})
        for scheme in ("http://", "https://"):
            session.mount(scheme, requests.adapters.HTTPAdapter(pool_maxsize=jobs))
        yield session


def run_all(fetching: Fetching, work: Callable[[Task], None], tasks: Iterable[Task], jobs: int) -> None:
    """Do tasks, ``jobs`` at a time; the first failure stops all others and is raised."""
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(work, task) for task in tasks]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:
            fetching.stop.set()
            for future in futures:
                future.cancel()
            raise


class Fetching:
    """The tasks of one fetch, shared by its threads: they report, repeat what failed, and stop together.

    Attributes:
        option: the environment variable that names the server.
        unreachable: the error if a server stays away.
    """

    option = ""
    unreachable: type[SetupError] = SetupError

    def __init__(self, listen: Listen):
        self._listen = listen
        self.stop = threading.Event()
        self._lock = threading.Lock()

    def say(self, event: Event) -> None:
        """Pass an event on, one at a time."""
        with self._lock:
            self._listen(event)

    def patiently(self, name: str, work: Callable[[], T]) -> T:
        """Repeat work that raises :class:`Again`, waiting longer each time or as long as the server asks.

        A wait that may seem a hang is a warning, so that it is shown even with ``--quiet``.

        Raises:
            SetupError: it failed :data:`ATTEMPTS` times in a row.
            Stopped: another task failed.
        """
        failures = 0
        while True:
            self.check_stop()
            try:
                return work()
            except Again as error:
                failures = 1 if error.gained else failures + 1
                wait = BACKOFF * 2 ** (failures - 1) if error.after is None else min(error.after, LONGEST_WAIT)
                if failures >= ATTEMPTS:
                    mend = f"check the network and {self.option}; run again: what has come is kept"
                    message = f"given up after {failures} attempts: {error}"
                    raise self.unreachable(message, where=name, mend=mend) from None
                self.say(Event("warning" if wait > 10 else "note", name, text=f"{error}; again in {wait:.0f} s"))
                self.stop.wait(wait)

    def check_stop(self) -> None:
        """Raise :class:`Stopped` if another task failed, or the user interrupted."""
        if self.stop.is_set():
            raise Stopped


class Transfer(Fetching):
    """Requests of plain files through one session.

    Attributes:
        host: what errors call the server.
    """

    host = "the server"

    def __init__(self, session: requests.Session, listen: Listen):
        super().__init__(listen)
        self.session = session

    def append(self, url: str, local: str, size: int, part: Path) -> None:
        """Make one request for the bytes that a part still lacks.

        Args:
            url: the file.
            local: its name in events.
            size: bytes of the whole file.
            part: the file to append to; a server without ranges makes it begin anew.

        Raises:
            Again: the connection broke, or the server is busy.
            SetupError, DataError: see :meth:`check`; or the disk is full.
        """
        import requests

        start = part.stat().st_size if part.exists() else 0
        if start >= size > 0:
            return
        wanted = {"Range": f"bytes={start}-"} if start else {}
        have = start
        try:
            with self.session.get(url, headers=wanted, stream=True, timeout=TIMEOUT) as response:
                if response.status_code == 416:
                    part.unlink()
                    raise Again("the part on disk does not fit")
                self.check(response, url)
                appending = response.headers.get("Content-Range", "").startswith(f"bytes {start}-")
                have = start if appending else 0
                with open(part, "ab" if appending else "wb") as file:
                    for block in response.iter_content(BLOCK):
                        self.check_stop()
                        have += _write(file, block, part)
                        self.say(Event("progress", local, have, size))
        except requests.RequestException as error:
            raise Again(reason(error), gained=have > start) from None
        if have < size:
            raise Again(f"{have} of {size} bytes came", gained=have > start)

    def check(self, response: requests.Response, url: str) -> None:
        """Raise the error that a status other than success or redirect means."""
        status = response.status_code
        if status < 400:
            return
        if status in (408, 429) or status >= 500:
            after = wait_asked(response.headers)
            raise Again(f"{self.host} answers {status}", after=after)
        message = f"{self.host} answers {status}"
        if status in (404, 410):
            mend = f"{self.host} has no such file at this commit; check {self.option} and the pinned revision"
            raise DataError(message, where=url, mend=mend)
        raise SetupError(message, where=url, mend=f"check {self.option}, and that no proxy is in between")


def _write(file: IO[bytes], block: bytes, part: Path) -> int:
    try:
        return file.write(block)
    except OSError as error:
        mend = "free some space, or set MDRBENCH_DATA to another disk; what has come is kept"
        raise SetupError(f"cannot be written: {error.strerror}", where=str(part), mend=mend) from None


def put_in_place(part: Path, target: Path) -> None:
    """Give a complete part its name, and remove the parts of other versions."""
    os.replace(part, target)
    for stale in target.parent.glob(f"{target.name}.*.part"):
        stale.unlink()


def reason(error: Exception) -> str:
    """Return the innermost words of a network error."""
    return str(error).rsplit(": ", 1)[-1].strip("'\")(") or type(error).__name__


def wait_asked(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a server asks to wait: its Retry-After, or the time until a spent RateLimit resets."""
    from huggingface_hub.utils._http import parse_ratelimit_headers

    text = headers.get("Retry-After", "")
    if text.isdigit():
        return float(text)
    if date := email.utils.parsedate_tz(text):
        return max(0.0, email.utils.mktime_tz(date) - time.time())
    limit = parse_ratelimit_headers(headers)
    return float(limit.reset_in_seconds) if limit and limit.remaining == 0 else None
