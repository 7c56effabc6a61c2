"""Serves the site over HTTP to this machine alone, and builds it again when an input changes."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from mdrbench.core.console import say
from mdrbench.core.errors import MdrbenchError, SetupError
from mdrbench.site.engine.build import MARKER, build, cache_folder, input_folders

LOOPBACK = "127.0.0.1"

TIMEOUT_MS = 5_000
"""While watching, inputs are compared this often even if no change is reported."""

RELOAD = b'<script src="/reload.js"></script>'
"""Added to pages while watching, but never to the files."""


class _Handler(SimpleHTTPRequestHandler):
    """Serves the files of the site.

    It answers only requests for this machine's own names: a page of another site cannot read this one through a name
    that points here. It serves only files inside the folder: a symbolic link cannot lead out of it.
    """

    def __init__(self, *arguments: Any, watch: bool, **options: Any):
        self.watch = watch
        super().__init__(*arguments, **options)

    def send_head(self) -> BytesIO | BinaryIO | None:
        host = self.headers.get("Host", "").rsplit(":", 1)[0]
        if host not in (LOOPBACK, "localhost"):
            self.send_error(403, "this server answers to localhost only")
            return None
        path = self._file()
        if path is None:
            self.send_error(404, "no such page")
            return None
        if self.watch and path.suffix == ".html" and path.is_file():
            return self._send_page(path)
        return super().send_head()

    def _file(self) -> Path | None:
        """Return the file or folder that is asked for, or None if there is none inside the site."""
        try:
            path = Path(self.translate_path(self.path)).resolve(strict=True)
            if path.is_dir() and self.path.endswith("/"):
                path = (path / "index.html").resolve(strict=True)
        except (OSError, ValueError, RuntimeError):  # absent, too long, with a null byte, or a link to itself
            return None
        if not (path.is_file() or path.is_dir()):  # a pipe would never end
            return None
        return path if path.is_relative_to(Path(self.directory).resolve()) else None

    def _send_page(self, path: Path) -> BytesIO:
        """Send a page with the script that reloads it after the next build."""
        content = path.read_bytes().replace(b"</body>", RELOAD + b"</body>")
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        return BytesIO(content)

    def list_directory(self, path: str | os.PathLike[str]) -> BytesIO | None:
        self.send_error(404, "no such page")
        return None

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the name in http.server
        pass


class SiteServer:
    """A built site and its server.

    Args:
        results, out, data: as for :func:`build`.
        port: 0 takes a free port.
        watch: build the site again whenever an input changes. A build that fails is reported, and the old site stays.

    Raises:
        SetupError: the port is taken.
        DataError, UsageError: the first build failed.
    """

    def __init__(self, results: Path, out: Path, data: Sequence[str], port: int, watch: bool):
        self._build = partial(build, results, out, data)
        self._folders = partial(input_folders, results, data)
        self._out = out.resolve()
        self._outputs = (self._out, cache_folder(self._out))
        self._watching = watch
        self._stopped = threading.Event()
        self._build()
        handler = partial(_Handler, directory=str(out), watch=watch)
        try:
            self._server = ThreadingHTTPServer((LOOPBACK, port), handler)
        except OSError as error:
            mend = "choose another port with --port; 0 takes a free port"
            raise SetupError(f"port {port} cannot be used: {error.strerror}", mend=mend) from None
        self.address = f"http://{LOOPBACK}:{self._server.server_port}/"

    def __enter__(self) -> SiteServer:
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        self._server.server_close()

    def run(self) -> None:
        """Serve until the process is interrupted."""
        if self._watching:
            threading.Thread(target=self._watch, daemon=True).start()
        try:
            self._server.serve_forever()
        except KeyboardInterrupt:
            say("stopped")

    def stop(self) -> None:
        """End ``run`` from another thread."""
        self._server.shutdown()

    def _watch(self) -> None:
        from watchfiles import watch

        def is_input(change: object, path: str) -> bool:
            return not any(Path(path).is_relative_to(folder) for folder in self._outputs)

        # the timeout also finds changes before the watch began, and those on file systems that report none
        for _ in watch(
            *self._folders(),
            watch_filter=is_input,
            stop_event=self._stopped,
            rust_timeout=TIMEOUT_MS,
            yield_on_timeout=True,
            raise_interrupt=False,
        ):
            self._rebuild()

    def _rebuild(self) -> None:
        marker = self._out / MARKER
        try:
            before = marker.read_text(encoding="utf-8")
            self._build()
            if marker.read_text(encoding="utf-8") != before:
                say("built again")
        except (MdrbenchError, OSError) as error:
            say(f"the old site stays: {error}")
