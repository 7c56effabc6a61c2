"""The site over HTTP, to this machine alone; built again when what it is made from changes."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from mdrbench.core.console import say
from mdrbench.core.errors import MdrbenchError, SetupError
from mdrbench.site.engine import inputs
from mdrbench.site.engine.build import build

LOOPBACK = "127.0.0.1"
PAUSE = 1.0
"""Seconds between two looks at the inputs."""

RELOAD = b'<script src="/reload.js"></script>'
"""Put into pages while watching, never into the files."""


class _Handler(SimpleHTTPRequestHandler):
    """Files of the site. Other names for this machine than its own are refused, so that no page of another site can
    read this one by pointing its name here."""

    def __init__(self, *words: Any, watch: bool, **options: Any):
        self.watch = watch
        super().__init__(*words, **options)

    def send_head(self) -> IO[bytes] | None:
        host = self.headers.get("Host", "").rsplit(":", 1)[0]
        if host not in (LOOPBACK, "localhost"):
            self.send_error(403, "this server answers to localhost only")
            return None
        path = Path(self.translate_path(self.path))
        path = path / "index.html" if path.is_dir() and self.path.endswith("/") else path
        if self.watch and path.suffix == ".html" and path.is_file():
            data = path.read_bytes().replace(b"</body>", RELOAD + b"</body>")
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            return BytesIO(data)
        return super().send_head()

    def list_directory(self, path: Any) -> None:
        self.send_error(404, "no such page")

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, *words: Any) -> None:
        pass


class Site:
    """A built site and its server; ``run`` returns when interrupted.

    Raises:
        SetupError: the port is taken.
        DataError, UsageError: as ``build``, for the first build only; later ones are reported and the old site stays.
    """

    def __init__(self, results: Path, out: Path, data: Sequence[str], port: int, watch: bool):
        self._build = partial(build, results, out, data)
        self._inputs = partial(inputs.files, results, data)
        self._watch = watch
        self._done = threading.Event()
        self._seen = self._inputs()
        self._build()
        handler = partial(_Handler, directory=str(out), watch=watch)
        try:
            self._server = ThreadingHTTPServer((LOOPBACK, port), handler)
        except OSError as error:
            mend = "give another with --port, or 0 for a free one"
            raise SetupError(f"port {port} cannot be had: {error.strerror}", mend=mend) from None
        self.address = f"http://{LOOPBACK}:{self._server.server_port}/"

    def __enter__(self) -> Site:
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._server.server_close()

    def run(self) -> None:
        """Serve until interrupted."""
        if self._watch:
            threading.Thread(target=self._look, daemon=True).start()
        try:
            self._server.serve_forever()
        except KeyboardInterrupt:
            say("stopped")

    def stop(self) -> None:
        """End ``run`` from another thread."""
        self._server.shutdown()

    def _look(self) -> None:
        while not self._done.wait(PAUSE):
            try:
                now = self._inputs()
                if now != self._seen:
                    self._seen = now
                    self._build()
                    say("built again")
            except (MdrbenchError, OSError) as error:
                say(f"the site stays as it was: {error}")
