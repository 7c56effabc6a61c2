"""A host of raw files on this machine, with ranges and faults on demand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

from support.hub_server import Answering, serving


class SourceHost:
    """Serves the bytes that ``read`` returns for a path; it returns None for an unknown path.

    Attributes:
        faults: path -> faults, one for each GET, oldest first: 404, 429, 503, truncate, corrupt, refuse-range.
        log: path and Range header of each request.
    """

    def __init__(self, read: Callable[[str], bytes | None]):
        self.read = read
        self.faults: dict[str, list[str]] = defaultdict(list)
        self.log: list[tuple[str, str | None]] = []

    @contextmanager
    def running(self) -> Iterator[str]:
        """Serve while the block runs, and yield the address."""
        host = self

        class Handler(_Handler):
            source_host = host

        with serving(Handler) as [url]:
            yield url


class _Handler(Answering):
    source_host: SourceHost

    def answer(self):
        path = unquote(urlsplit(self.path).path).lstrip("/")
        wanted = self.headers.get("Range")
        self.source_host.log.append((path, wanted))
        fault = self.source_host.faults[path].pop(0) if self.source_host.faults[path] else ""
        body = self.source_host.read(path)
        if body is None or fault in ("404", "429", "503"):
            self.reply(int(fault or 404), {})
            return
        if fault == "corrupt":
            body = body[:-1] + bytes([body[-1] ^ 1])
        if wanted and fault != "refuse-range":
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            headers = {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}
            self.reply(206, headers, body[start:], cut=fault == "truncate")
        else:
            self.reply(200, {}, body, cut=fault == "truncate")
