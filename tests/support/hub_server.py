"""A hub on this machine: downloads, uploads, redirects to a content network, gated repositories, faults on demand."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections import defaultdict
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import unquote, urlsplit


class Answering(BaseHTTPRequestHandler):
    """Sends each HEAD and GET to ``answer`` of a subclass, without messages on standard error."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *words):
        """Nothing on standard error."""

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        self.answer()

    def reply(self, status: int, headers: dict[str, str], body: bytes = b"", cut: bool = False):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) * 2 // 3] if cut else body)
        if cut:
            self.close_connection = True


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request, client_address):
        """Ignore clients that hang up."""


@contextmanager
def serving(*handlers: type[BaseHTTPRequestHandler]):
    """Serve each handler on its own port while the block runs, and yield the URLs."""
    servers = [_Server(("127.0.0.1", 0), handler) for handler in handlers]
    threads = [threading.Thread(target=server.serve_forever, args=(0.02,)) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield [f"http://127.0.0.1:{server.server_address[1]}" for server in servers]
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            server.server_close()
            thread.join()


class Request(NamedTuple):
    """A request. ``at`` is hub or cdn, ``path`` the path of the file in its repository."""

    at: str
    method: str
    path: str
    range: str | None
    token: str | None


class FakeHub:
    """Holds repositories and answers as the hub does: LFS files from a CDN, small files through ``/api/resolve-cache``.

    A name is a model or a data set, whichever a client calls it. Uploads need ``token`` and change the commit.

    Attributes:
        commits: repository -> full commit that its answers name.
        gated: repositories that want ``token``.
        faults: path -> faults, one a GET of the bytes (or, where the name begins with ``head``, a HEAD), oldest first:
            429, 503, truncate, corrupt, refuse-range, head-429.
    """

    def __init__(self):
        self.files: dict[tuple[str, str], bytes] = {}
        self.commits: dict[str, str] = {}
        self.gated: set[str] = set()
        self.token = "hf_good"
        self.faults: dict[str, list[str]] = defaultdict(list)
        self.log: list[Request] = []
        self.sent: dict[str, bytes] = {}
        self.messages: list[str] = []
        self.url = self.cdn = ""

    def put(self, repo: str, path: str, body: bytes) -> None:
        self.files[repo, path] = body
        self.commits.setdefault(repo, hashlib.sha1(repo.encode()).hexdigest())

    def bodies(self) -> list[Request]:
        """Return the requests for bytes."""
        return [r for r in self.log if r.method == "GET" and not (r.at == "hub" and self.large(r.path))]

    @staticmethod
    def large(path: str) -> bool:
        return path.endswith((".gz", ".parquet", ".safetensors"))

    def fault(self, path: str, kinds: tuple[str, ...]) -> str | None:
        if self.faults[path] and self.faults[path][0] in kinds:
            return self.faults[path].pop(0)
        return None

    @contextmanager
    def running(self):
        hub = self

        class Hub(_Handler):
            fake, at = hub, "hub"

        class Cdn(_Handler):
            fake, at = hub, "cdn"

        with serving(Hub, Cdn) as (self.url, self.cdn):
            yield self


class _Handler(Answering):
    fake: FakeHub
    at: str

    def answer(self):
        """``/datasets/A/B/resolve/REVISION/PATH``, also below ``/api/resolve-cache``; on the CDN ``/blob/A/B/PATH``."""
        path = unquote(urlsplit(self.path).path)
        for kind in ("/api/datasets/", "/api/models/"):
            if path.startswith(kind):
                return self.api(*path.removeprefix(kind).split("/"))
        path = path.removeprefix("/api/resolve-cache").removeprefix("/blob")
        if self.at == "hub":
            repo, _, rest = path.removeprefix("/datasets").lstrip("/").partition("/resolve/")
            _, _, path = rest.partition("/")
        else:
            owner, name, path = path.lstrip("/").split("/", 2)
            repo = f"{owner}/{name}"
        token = self.headers.get("Authorization")
        cached = "/api/resolve-cache" in self.path
        if not cached:
            self.fake.log.append(Request(self.at, self.command, path, self.headers.get("Range"), token))
        head_fault = self.command == "HEAD" and self.fake.fault(path, ("head-429",))
        if head_fault:
            return self.reply(429, {"Retry-After": "0"})
        if self.at == "hub" and repo in self.fake.gated and token != f"Bearer {self.fake.token}":
            return self.reply(401, {"X-Error-Code": "GatedRepo"})
        body = self.fake.files.get((repo, path))
        if body is None:
            return self.reply(404, {"X-Error-Code": "EntryNotFound"})
        if self.at == "hub":
            return self.hub_answer(repo, path, body, cached)
        return self.serve(path, body, {"ETag": f'"{hashlib.md5(body).hexdigest()}"'})

    def api(self, owner: str, name: str, what: str = "revision", revision: str = "main", *folder: str):
        """``/api/datasets/A/B/revision/R``, ``.../tree/R/FOLDER`` and ``.../paths-info/R``, as huggingface_hub asks."""
        repo = f"{owner}/{name}"
        files = {path: body for (of, path), body in self.fake.files.items() if of == repo}
        if what in ("preupload", "commit"):
            return self.upload(repo, what)
        if not files:
            return self.json({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        if revision not in ("main", self.fake.commits[repo]):
            return self.json({"error": "Invalid rev id"}, 404, {"X-Error-Code": "RevisionNotFound"})
        if what == "revision":
            return self.json(
                {"id": repo, "sha": self.fake.commits[repo], "siblings": [self.sibling(p, b) for p, b in files.items()]}
            )
        if what == "paths-info":
            return self.json(
                [self.entry(path, files[path]) for path in json.loads(self.posted())["paths"] if path in files]
            )
        return self.json(self.tree(files, "".join(f"{part}/" for part in folder)))

    def tree(self, files: dict[str, bytes], inside: str) -> list[dict]:
        """Return the files of a folder, and the names of its folders unless ``recursive`` is set."""
        below = {path: body for path, body in files.items() if path.startswith(inside)}
        if "recursive=true" in self.path.lower():
            return [self.entry(path, body) for path, body in below.items()]
        here = {path: body for path, body in below.items() if "/" not in path.removeprefix(inside)}
        folders = {inside + path.removeprefix(inside).split("/")[0] for path in below if path not in here}
        named = [{"type": "directory", "path": path, "oid": "0" * 40, "size": 0} for path in sorted(folders)]
        return [*named, *(self.entry(path, body) for path, body in here.items())]

    def posted(self) -> bytes:
        """Return the body of a request, which may come in chunks."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def entry(self, path: str, body: bytes) -> dict:
        """Return a file as an entry of a repository's tree."""
        blob = hashlib.sha1(f"blob {len(body)}\0".encode() + body).hexdigest()
        sha256 = hashlib.sha256(body).hexdigest()
        large = {"lfs": {"oid": sha256, "size": len(body), "pointerSize": 130}} if self.fake.large(path) else {}
        return {"type": "file", "path": path, "size": len(body), "oid": blob, **large}

    def sibling(self, path: str, body: bytes) -> dict:
        """Return a file as an entry of a repository's list."""
        entry = self.entry(path, body)
        large = {"lfs": {**entry["lfs"], "sha256": entry["lfs"]["oid"]}} if "lfs" in entry else {}
        return {"rfilename": path, "size": len(body), "blobId": entry["oid"], **large}

    def upload(self, repo: str, what: str):
        """Tell how each file is to come, or make a commit of those that came: small files in it, LFS files before."""
        if self.headers.get("Authorization") != f"Bearer {self.fake.token}":
            return self.reply(403, {})
        if what == "preupload":
            names = [file["path"] for file in json.loads(self.posted())["files"]]
            modes = {True: "lfs", False: "regular"}
            named = [{"path": n, "uploadMode": modes[self.fake.large(n)], "shouldIgnore": False} for n in names]
            return self.json({"files": named})
        for line in map(json.loads, self.posted().splitlines()):
            value = line["value"]
            if line["key"] == "header":
                self.fake.messages.append(value["summary"])
            elif line["key"] == "file":
                self.fake.files[repo, value["path"]] = base64.b64decode(value["content"])
            else:
                self.fake.files[repo, value["path"]] = self.fake.sent[value["oid"]]
        files = sorted((path, body) for (of, path), body in self.fake.files.items() if of == repo)
        commit = self.fake.commits[repo] = hashlib.sha1(repr(files).encode()).hexdigest()
        kind = "datasets/" if self.path.startswith("/api/datasets/") else ""
        return self.json({"commitUrl": f"{self.fake.url}/{kind}{repo}/commit/{commit}", "commitOid": commit})

    def create(self):
        """Create a repository."""
        if self.headers.get("Authorization") != f"Bearer {self.fake.token}":
            return self.reply(401, {})
        asked = json.loads(self.posted())
        repo = f"{asked['organization']}/{asked['name']}"
        kind = "datasets/" if asked.get("type") == "dataset" else ""
        return self.json({"url": f"{self.fake.url}/{kind}{repo}", "name": repo})

    def batch(self):
        """Say where to put each object of git LFS."""
        objects = json.loads(self.posted())["objects"]
        there = [{**one, "actions": {"upload": {"href": f"{self.fake.url}/put/{one['oid']}"}}} for one in objects]
        return self.json({"objects": there, "transfer": "basic"})

    def do_PUT(self):
        self.fake.sent[self.path.removeprefix("/put/")] = self.posted()
        self.reply(200, {})

    def json(self, value: object, status: int = 200, headers: dict[str, str] | None = None):
        self.reply(status, {"Content-Type": "application/json", **(headers or {})}, json.dumps(value).encode())

    def do_POST(self):
        if self.path == "/api/repos/create":
            self.create()
        elif self.path == "/api/validate-yaml":
            self.posted()
            self.json({"errors": [], "warnings": []})
        elif self.path.endswith(".git/info/lfs/objects/batch"):
            self.batch()
        else:
            self.answer()

    def hub_answer(self, repo: str, path: str, body: bytes, cached: bool):
        commit = {"X-Repo-Commit": self.fake.commits[repo]}
        if self.fake.large(path):
            linked = {"X-Linked-Etag": f'"{hashlib.sha256(body).hexdigest()}"', "X-Linked-Size": str(len(body))}
            where = f"{self.fake.cdn}/blob/{repo}/{path}?signed=1"
            return self.reply(302, {**commit, **linked, "ETag": '"pointer"', "Location": where}, b"Found")
        blob = hashlib.sha1(f"blob {len(body)}\0".encode() + body).hexdigest()
        if not cached:
            where = f"/api/resolve-cache{self.path}"
            return self.reply(307, {**commit, "Location": where}, b"Temporary Redirect")
        return self.serve(path, body, {**commit, "ETag": f'W/"{blob}"'})

    def serve(self, path: str, body: bytes, headers: dict[str, str]):
        """Answer with the bytes, a range of them, or a fault."""
        if self.command == "HEAD":
            return self.reply(200, headers, body)
        fault = self.fake.fault(path, ("429", "503", "truncate", "corrupt", "refuse-range"))
        if fault == "429":
            return self.reply(429, {"Retry-After": "1"})
        if fault == "503":
            return self.reply(503, {})
        status, start = 200, 0
        if (wanted := self.headers.get("Range")) and fault != "refuse-range":
            start = int(wanted.removeprefix("bytes=").partition("-")[0])
            if start >= len(body):
                return self.reply(416, {})
            status = 206
            headers = {**headers, "Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}
        part = body[start:]
        if fault == "corrupt":
            part = bytes([part[0] ^ 255]) + part[1:]
        return self.reply(status, headers, part, cut=fault == "truncate")
