"""MIRACL through a hub on this machine: bytes, resuming, retries, gating, commits and counts."""

from __future__ import annotations

import errno
import fcntl
import gzip
import hashlib
import json
import os
import pickle
import random
import resource
import shutil
import threading
import time

import pytest
from support.hub_server import Answering, FakeHub, serving
from support.project import PROJECT

from mdrbench.core.errors import DataError, SetupError, UsageError
from mdrbench.core.languages import ALL, SURPRISE, parse_langs
from mdrbench.core.types import Passage
from mdrbench.data.access import available
from mdrbench.data.datasets import miracl
from mdrbench.data.downloads import DownloadedFolder
from mdrbench.data.miracl_layout import MiraclFolder
from mdrbench.hub import dataset_files, downloads, transfer
from mdrbench.retrieval import lucene
from mdrbench.retrieval.retrievers import bm25

GATED, OPEN, CORPUS = "miracl/miracl", "macavaney/miracl-noauth", "miracl/miracl-corpus"
PINNED = {remote.repo: remote.revision for remote in (miracl.CORPUS, miracl.GATED, miracl.OPEN)}
SW = "miracl-corpus-v1.0-sw/docs-0.jsonl.gz"
TOPICS = "miracl-v1.0-sw/topics/topics.miracl-v1.0-sw-dev.tsv"
QRELS = "miracl-v1.0-sw/qrels/qrels.miracl-v1.0-sw-dev.tsv"


def corpus(passages: int, words: int = 40) -> bytes:
    """Passages of random words, compressed too little to be small: a body of several network blocks."""
    source = random.Random(7)
    rows = []
    for number in range(passages):
        text = " ".join(f"neno{source.randrange(10**6)}" for _ in range(words))
        rows.append(json.dumps({"docid": f"{number}#0", "title": f"Kichwa {number}", "text": text}) + "\n")
    return gzip.compress("".join(rows).encode(), mtime=0)


BODY = corpus(1200)


@pytest.fixture
def fake(monkeypatch, hub_cache):
    """A hub with Swahili: a corpus of 1,200 passages and the 482 dev topics that MIRACL has; topics need a token."""
    fake = FakeHub()
    fake.commits.update(PINNED)
    fake.put(CORPUS, SW, BODY)
    for repo in (GATED, OPEN):
        fake.put(repo, TOPICS, "".join(f"{n}#0\tKichwa {n}\n" for n in range(482)).encode())
        fake.put(repo, QRELS, "".join(f"{n}#0\tQ0\t{n}#0\t1\n" for n in range(482)).encode())
    fake.gated.add(GATED)
    with fake.running():
        monkeypatch.setenv("HF_ENDPOINT", fake.url)
        monkeypatch.setenv("HF_TOKEN", fake.token)
        yield fake


@pytest.fixture
def data(tmp_path) -> miracl.Miracl:
    return miracl.Miracl(miracl.Config(root=tmp_path / "miracl"))


class Ear(list):
    """A listener that keeps what it hears."""

    def __call__(self, event: downloads.Event) -> None:
        self.append(event)

    def texts(self, kind: str) -> list[str]:
        return [event.text for event in self if event.kind == kind]


def parts(cache) -> list:
    return sorted(cache.rglob("*.incomplete"))


def blob(cache, repo: str = CORPUS, body: bytes = BODY):
    """Where huggingface_hub keeps a large file."""
    return cache / f"datasets--{repo.replace('/', '--')}" / "blobs" / hashlib.sha256(body).hexdigest()


def test_what_is_fetched_has_the_hubs_bytes_in_our_layout_and_is_recorded(fake, data, hub_cache):
    heard = Ear()
    data.fetch(["sw"], ["dev"], heard)
    [shard] = data.corpus_files("sw")
    assert shard == data.root / "miracl-corpus" / SW
    assert shard.read_bytes() == BODY
    assert data.topics_file("sw", "dev").read_bytes() == fake.files[GATED, TOPICS]
    assert len(list(data.passages("sw"))) == 1200
    manifest = json.loads((data.root / "manifest.json").read_text())
    assert manifest["files"][f"miracl-corpus/{SW}"] == {
        "url": f"{fake.url}/datasets/{CORPUS}/resolve/{PINNED[CORPUS]}/{SW}",
        "repo": CORPUS,
        "revision": PINNED[CORPUS],
        "commit": PINNED[CORPUS],
        "etag": hashlib.sha256(BODY).hexdigest(),
        "bytes": len(BODY),
        "sha256": hashlib.sha256(BODY).hexdigest(),
    }
    topics = manifest["files"][f"miracl/{TOPICS}"]
    assert (topics["repo"], topics["revision"], topics["commit"]) == (GATED, PINNED[GATED], PINNED[GATED])
    assert topics["sha256"] == hashlib.sha256(fake.files[GATED, TOPICS]).hexdigest()
    assert manifest["repos"][CORPUS] == {"revision": PINNED[CORPUS], "commit": PINNED[CORPUS]}
    assert heard[0] == downloads.Event("begin", str(data.root), total=3)
    assert sorted(event.name for event in heard if event.kind == "done") == sorted(manifest["files"])
    assert not parts(hub_cache)
    assert shard.samefile(blob(hub_cache))  # one copy on disk, which other programs share


def test_the_token_goes_to_the_hub_and_not_to_its_content_network(fake, data):
    data.fetch(["sw"], ["dev"])
    assert {request.token for request in fake.log if request.at == "hub"} == {"Bearer hf_good"}
    assert [request.token for request in fake.log if request.at == "cdn"] == [None]


def test_a_mirror_that_redirects_to_another_host_is_followed(fake, data, monkeypatch):
    class Mirror(Answering):
        def answer(self):
            self.reply(308, {"Location": f"{fake.url}{self.path}"})

    with serving(Mirror) as [url]:
        monkeypatch.setenv("HF_ENDPOINT", url)
        data.fetch(["sw"], ["dev"])
    assert data.missing(["sw"], ["dev"]) == []
    assert data.manifest(["sw"], ["dev"])[f"miracl-corpus/{SW}"]["url"].startswith(fake.url)


def test_a_second_fetch_asks_the_hub_nothing(fake, data):
    data.fetch(["sw"], ["dev"])
    fake.log.clear()
    data.fetch(["sw"], ["dev"])
    assert fake.log == []
    assert data.missing(["sw"], ["dev"]) == []
    assert data.missing(["sw"], ["train"]) == [
        f"miracl/{path}" for path in (TOPICS.replace("dev", "train"), QRELS.replace("dev", "train"))
    ]


def test_a_truncated_body_is_resumed_where_it_stopped(fake, data):
    fake.faults[SW] = ["truncate"]
    heard = Ear()
    data.fetch(["sw"], ["dev"], heard)
    first, second = (request for request in fake.bodies() if request.path == SW)
    assert first.range is None
    start = int(second.range.removeprefix("bytes=").removesuffix("-"))
    assert 0 < start <= len(BODY) * 2 // 3
    assert data.corpus_files("sw")[0].read_bytes() == BODY


def test_a_part_left_by_a_killed_process_is_resumed_and_a_spoilt_one_fetched_anew(fake, data, hub_cache):
    target, whole = data.root / "miracl-corpus" / SW, blob(hub_cache)
    whole.parent.mkdir(parents=True)
    part = whole.with_name(f"{whole.name}.0123abcd.incomplete")  # as huggingface_hub calls it
    part.write_bytes(BODY[:1000])
    data.fetch(["sw"], ["dev"])
    assert [r.range for r in fake.bodies() if r.path == SW] == ["bytes=1000-"]
    assert target.read_bytes() == BODY
    target.unlink()
    whole.unlink()
    part.write_bytes(b"x" * 1000)
    whole.with_name(f"{whole.name}.4567abcd.incomplete").write_bytes(b"x" * 500)
    fake.log.clear()
    data.fetch(["sw"], ["dev"])
    assert [r.range for r in fake.bodies()] == ["bytes=1000-", None]
    assert target.read_bytes() == BODY
    assert not parts(hub_cache)


def test_a_server_without_ranges_sends_all_again(fake, data):
    fake.faults[SW] = ["truncate", "refuse-range"]
    data.fetch(["sw"], ["dev"])
    assert data.corpus_files("sw")[0].read_bytes() == BODY


def test_busy_answers_are_repeated_as_long_as_the_server_asks(monkeypatch):
    class Clock(threading.Event):
        waited: list[float] = []  # noqa: RUF012

        def wait(self, timeout=None):
            self.waited.append(timeout)

    monkeypatch.setattr(transfer, "BACKOFF", 1.0)
    client = transfer.Fetching(downloads.nobody)
    client.stop = Clock()
    again = transfer.Again
    answers = [again("429", after=7.0), again("503"), again("503"), again("cut", gained=True)]

    def work():
        if answers:
            raise answers.pop(0)
        return "done"

    assert client.patiently("file", work) == "done"
    assert Clock.waited == [7.0, 2.0, 4.0, 1.0]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"RateLimit": '"resolvers";r=0;t=60', "RateLimit-Policy": '"fixed window";"resolvers";q=3000;w=300'}, 60.0),
        ({"RateLimit": '"resolvers";r=2999;t=300'}, None),
        ({}, None),
    ],
)
def test_the_wait_that_a_server_asks_for(headers, seconds):
    assert transfer.wait_asked(headers) == seconds


def test_faults_of_the_hub_are_outlived(fake, data):
    fake.faults[SW] = ["head-429", "503", "429", "truncate", "503"]
    heard = Ear()
    data.fetch(["sw"], ["dev"], heard)
    assert data.corpus_files("sw")[0].read_bytes() == BODY
    said = heard.texts("note")
    assert [text.split(";")[0] for text in said] == [f"the hub answers {code}" for code in (429, 503, 503)]


def test_a_hub_that_stays_away_is_given_up_and_the_part_kept(fake, data, hub_cache):
    fake.faults[SW] = ["truncate"] + ["503"] * 20
    with pytest.raises(
        SetupError, match=r"given up after 6 attempts: the hub answers 503\n  mend: .*what has come is kept"
    ):
        data.fetch(["sw"], ["dev"])
    [part] = parts(hub_cache)
    kept = part.stat().st_size
    assert 0 < kept < len(BODY)
    assert not (data.root / "miracl-corpus" / SW).exists()
    fake.faults[SW].clear()
    fake.log.clear()
    data.fetch(["sw"], ["dev"])
    assert [r.range for r in fake.bodies() if r.path == SW] == [f"bytes={kept}-"]
    assert data.corpus_files("sw")[0].read_bytes() == BODY


def test_nobody_there_is_a_setup_error(data, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(SetupError, match=r"the hub cannot be reached \(ConnectError\)"):
        data.fetch(["sw"], ["dev"])


@pytest.mark.parametrize("path", [SW, TOPICS], ids=["sha256", "git blob"])
def test_altered_bytes_never_get_their_name(fake, data, hub_cache, path):
    fake.faults[path] = ["corrupt"]
    with pytest.raises(DataError, match="the download differs from what the hub announced"):
        data.fetch(["sw"], ["dev"])
    for folder in (data.root, hub_cache):
        assert not list(folder.rglob(path.rsplit("/", 1)[-1]))
    data.fetch(["sw"], ["dev"])


def test_files_put_there_by_hand_are_verified_and_recorded_not_fetched(fake, data):
    target = data.root / "miracl-corpus" / SW
    target.parent.mkdir(parents=True)
    target.write_bytes(BODY)
    data.fetch(["sw"], ["dev"])
    assert not [r for r in fake.bodies() if r.path == SW]
    assert data.missing(["sw"], ["dev"]) == []


def test_what_an_earlier_mdrbench_fetched_is_accepted_as_it_is(fake, data):
    data.fetch(["sw"], ["dev"])
    shard = data.corpus_files("sw")[0]
    shard.unlink()
    shard.write_bytes(BODY)  # a file of its own, not a link
    fake.log.clear()
    data.fetch(["sw"], ["dev"])
    assert fake.log == []
    assert data.manifest(["sw"], ["dev"])[f"miracl-corpus/{SW}"]["sha256"] == hashlib.sha256(BODY).hexdigest()


def test_offline_a_snapshot_of_another_program_is_used_in_place(fake, data, hub_cache, monkeypatch):
    from huggingface_hub import constants, snapshot_download

    fake.gated.clear()
    for repo in (CORPUS, OPEN):
        snapshot_download(repo, repo_type="dataset", revision=PINNED[repo], cache_dir=hub_cache, endpoint=fake.url)
    fake.log.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    heard = Ear()
    data.fetch(["sw"], ["dev"], heard)
    assert heard.texts("warning")[0].startswith(f"files of {GATED} are missing in the Hugging Face cache")
    assert fake.log == []
    assert data.corpus_files("sw")[0].samefile(blob(hub_cache))
    assert data.manifest(["sw"], ["dev"])[f"miracl/{TOPICS}"]["commit"] == PINNED[OPEN]
    with pytest.raises(SetupError, match=r"sw-train\.tsv: files of .* are missing in the Hugging Face cache"):
        data.fetch(["sw"], ["train"])
    elsewhere = miracl.Miracl(miracl.Config(root=data.root / "other"))
    monkeypatch.setenv("HF_HUB_CACHE", str(hub_cache / "empty"))
    with pytest.raises(SetupError, match="missing in the Hugging Face cache, and HF_HUB_OFFLINE is set"):
        elsewhere.fetch(["sw"], ["dev"])


@pytest.mark.parametrize("links", ["symbolic", "none"])
def test_a_disk_that_takes_no_hard_link_gets_a_symbolic_one_or_a_copy(fake, data, hub_cache, monkeypatch, links):
    def refuse(*words):
        raise OSError(errno.EPERM, "not permitted")

    monkeypatch.setattr("mdrbench.hub.dataset_files.os.link", refuse)
    if links == "none":
        monkeypatch.setattr("mdrbench.hub.dataset_files.os.symlink", refuse)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_SYMLINKS", True)
    data.fetch(["sw"], ["dev"])
    [shard] = data.corpus_files("sw")
    assert (shard.read_bytes(), shard.is_symlink()) == (BODY, links == "symbolic")
    shutil.rmtree(hub_cache)  # its files are fetched again if they are gone
    assert (f"miracl-corpus/{SW}" in data.missing(["sw"], ["dev"])) == (links == "symbolic")
    data.fetch(["sw"], ["dev"])
    assert data.corpus_files("sw")[0].read_bytes() == BODY


def test_a_damaged_file_of_the_shared_cache_is_downloaded_again_but_stays_offline(fake, data, hub_cache, monkeypatch):
    data.fetch(["sw"], ["dev"])
    [shard] = data.corpus_files("sw")
    with open(shard, "r+b") as file:
        file.write(b"x")
    shard.unlink()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match=r"differs from the checksum .*\n  mend: unset HF_HUB_OFFLINE"):
        data.fetch(["sw"], ["dev"])
    assert blob(hub_cache).is_file()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    data.fetch(["sw"], ["dev"])
    assert shard.read_bytes() == BODY


def test_a_full_disk_is_told_and_what_came_is_kept(fake, data, hub_cache):
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, unlimited[1]))
    try:
        with pytest.raises(SetupError, match=r"cannot be written: File too large\n  mend: free some space"):
            data.fetch(["sw"], ["dev"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    [part] = parts(hub_cache)
    assert part.stat().st_size == 100_000
    data.fetch(["sw"], ["dev"])
    assert data.corpus_files("sw")[0].read_bytes() == BODY


def test_shards_come_side_by_side_and_a_second_process_waits(fake, data):
    bodies = {f"miracl-corpus-v1.0-fr/docs-{n}.jsonl.gz": corpus(n + 1) for n in range(30)}
    for path, body in bodies.items():
        fake.put(CORPUS, path, body)
    wanted = [miracl._file("corpus", "fr", shard=n) for n in range(30)]
    heard = Ear()
    data.root.mkdir()
    with open(data.root / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        thread = threading.Thread(target=dataset_files.fetch, args=(data.root, wanted, 8, heard))
        thread.start()
        while thread.is_alive() and not heard:
            time.sleep(0.01)
        assert "another process downloads" in heard[0].text
        assert fake.log == []
    thread.join()
    assert [path.read_bytes() for path in data.corpus_files("fr")] == list(bodies.values())
    assert len(fake.bodies()) == 30


def test_one_failure_stops_the_others_and_leaves_whole_files_only(fake, data):
    for n in range(29):
        fake.put(CORPUS, f"miracl-corpus-v1.0-fr/docs-{n}.jsonl.gz", BODY)
    with pytest.raises(DataError, match=r"docs-29\.jsonl\.gz: the hub has no such file"):
        dataset_files.fetch(data.root, [miracl._file("corpus", "fr", shard=n) for n in reversed(range(30))], 2)
    assert len(fake.bodies()) < 29
    assert all(path.read_bytes() == BODY for path in data.root.rglob("docs-*.gz"))


def test_news_on_a_terminal_and_in_quiet(capsys, monkeypatch):
    events = [
        downloads.Event("begin", "/data", total=2),
        downloads.Event("progress", "a/docs-0.jsonl.gz", 5, 10),
        downloads.Event("note", "a/docs-0.jsonl.gz", text="the hub answers 503; again in 1 s"),
        downloads.Event("warning", "", text="taking the open copy"),
        downloads.Event("done", "a/docs-0.jsonl.gz", 10, 10),
    ]
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with downloads.listener(False) as listen:
        for event in events:
            listen(event)
    said = capsys.readouterr().err
    for text in ("2 files to fetch into /data", "a/docs-0.jsonl.gz: the hub answers 503", "10 bytes, 1 files left"):
        assert text in said
    with downloads.listener(True) as listen:
        for event in events:
            listen(event)
    assert capsys.readouterr().err == "taking the open copy\n"


@pytest.mark.parametrize("token", [None, "hf_not_accepted"])
def test_without_access_topics_come_from_the_open_copy_and_it_is_said_once(fake, data, monkeypatch, token, tmp_path):
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    heard = Ear()
    data.fetch(["sw"], ["dev"], heard)
    [said] = heard.texts("warning")
    assert "miracl/miracl is gated; taking the open copy macavaney/miracl-noauth" in said
    assert f"accept the terms at {fake.url}/datasets/miracl/miracl, then set HF_TOKEN" in said
    files = data.manifest(["sw"], ["dev"])
    assert {entry["repo"] for path, entry in files.items() if path.startswith("miracl/")} == {OPEN}


def test_where_the_open_copy_is_closed_too_the_token_is_asked_for(fake, data, monkeypatch):
    fake.gated.add(OPEN)
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(SetupError, match=r"miracl-noauth is gated\n  mend: .*set HF_TOKEN"):
        data.fetch(["sw"], ["dev"])


def test_another_commit_is_an_error_before_and_after_it_was_recorded(fake, data):
    earlier, fake.commits[CORPUS] = fake.commits[CORPUS], "e" * 40
    with pytest.raises(DataError, match=f"the hub has no revision '{earlier}'"):
        data.fetch(["sw"], ["dev"])
    fake.commits[CORPUS] = earlier
    data.fetch(["sw"], ["dev"])
    (data.root / "miracl" / TOPICS).unlink()
    manifest = data.root / "manifest.json"
    fake.commits[GATED] = "f" * 40
    manifest.write_text(manifest.read_text().replace(PINNED[GATED], "f" * 40))
    with pytest.raises(
        DataError, match=f"miracl/miracl is at commit f{{12}}, but {PINNED[GATED][:12]} is the one that is pinned"
    ):
        data.fetch(["sw"], ["dev"])


def test_the_recorded_commit_is_asked_for_ever_after(fake, data):
    data.fetch(["sw"], ["dev"])
    (data.root / "miracl" / TOPICS).unlink()
    data.fetch(["sw"], ["dev"])
    assert f"/resolve/{fake.commits[GATED]}/" in data.manifest(["sw"], ["dev"])[f"miracl/{TOPICS}"]["url"]


def test_a_missing_file(fake, data):
    fake.put(CORPUS, "README.md", fake.files.pop((CORPUS, SW)))
    with pytest.raises(DataError, match=r"docs-0.jsonl.gz: the hub has no such file"):
        data.fetch(["sw"], ["dev"])


def test_a_server_that_is_no_hub(data, monkeypatch, hub_cache):
    class Portal(Answering):
        def answer(self):
            self.reply(200, {"Content-Type": "text/html"}, b"<html>Log in to the network</html>")

    with serving(Portal) as [url]:
        monkeypatch.setenv("HF_ENDPOINT", url)
        with pytest.raises(SetupError, match="no commit or no checksums, so it is not the hub's"):
            data.fetch(["sw"], ["dev"])


def test_a_wrong_count_names_language_and_numbers(fake, data, monkeypatch):
    monkeypatch.setitem(miracl.QUERIES["dev"], "sw", 483)
    with pytest.raises(
        DataError, match=r"topics\.miracl-v1\.0-sw-dev\.tsv: language 'sw' has 482 dev topics, MIRACL has 483"
    ):
        data.fetch(["sw"], ["dev"])


def test_verify_finds_altered_missing_and_miscounted_files(fake, data, monkeypatch):
    data.fetch(["sw"], ["dev"])
    folder = "miracl-corpus/miracl-corpus-v1.0-sw"
    problem = "language 'sw' has 1200 passages, MIRACL has 131924"
    assert data.verify() == [{"language": "sw", "file": folder, "problem": problem}]
    monkeypatch.setitem(miracl.PASSAGES, "sw", 1200)
    assert data.verify() == []
    (data.root / "miracl-corpus" / SW).write_bytes(b"x" + BODY[1:])
    (data.root / "miracl" / QRELS).unlink()
    assert [(row["file"], row["problem"]) for row in data.verify(["sw"])] == [
        (f"miracl/{QRELS}", "missing"),
        (f"miracl-corpus/{SW}", "bytes differ from the recorded SHA-256"),
    ]
    assert [row["problem"] for row in data.verify(["yo"])] == ["not fetched"]


def test_a_damaged_manifest_is_an_error_that_says_how_to_make_it_anew(fake, data):
    data.fetch(["sw"], ["dev"])
    (data.root / "manifest.json").write_text("{")
    with pytest.raises(DataError, match=r"manifest\.json: the manifest cannot be read[\s\S]*mend: remove it"):
        data.fetch(["sw"], ["dev"])
    (data.root / "manifest.json").unlink()
    fake.log.clear()
    data.fetch(["sw"], ["dev"])
    assert fake.bodies() == []


def test_the_tables_are_those_that_were_published():
    every = {*ALL, *SURPRISE}
    assert set(miracl.PASSAGES) == set(miracl.SHARDS) == set(miracl.QUERIES["dev"]) == every
    assert set(miracl.QUERIES["train"]) == set(ALL)
    assert sum(miracl.QUERIES["train"].values()) == 40_203
    assert sum(miracl.QUERIES["dev"][lang] for lang in ALL) == 13_071
    assert {lang: -(-n // 500_000) for lang, n in miracl.PASSAGES.items()} == miracl.SHARDS
    assert set(lucene.analyzers()) >= every


def test_the_data_set_travels_between_processes_and_is_a_folder_of_the_layout(data):
    again = pickle.loads(pickle.dumps(data))
    assert again == data
    assert isinstance(data, MiraclFolder)
    assert isinstance(data, DownloadedFolder)
    assert data.languages() == [*ALL, *SURPRISE]


def test_where_it_lies(monkeypatch, tmp_path):
    monkeypatch.setenv("MDRBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MDRBENCH_DATA", raising=False)
    assert miracl.Miracl(miracl.Config()).root == tmp_path / "cache" / "data" / "miracl"
    monkeypatch.setenv("MDRBENCH_DATA", str(tmp_path / "disk"))
    assert miracl.Miracl(miracl.Config()).root == tmp_path / "disk" / "miracl"


@pytest.mark.parametrize("lang", ["de", "yo"])
def test_surprise_languages_are_named_to_be_had_and_have_no_train_split(data, maker, lang):
    for call in (data.fetch, data.missing):
        with pytest.raises(DataError, match=f"language '{lang}' has no train split"):
            call([lang], ["train"])
    with pytest.raises(DataError, match="no judgments for split 'test-b'"):
        data.topics_file(lang, "test-b")
    assert parse_langs(f"{lang},sw", available(data)) == ["sw", lang]
    assert parse_langs("all", available(data)) == list(ALL)
    maker.whole("en")
    with pytest.raises(UsageError, match=f"The data set has no language '{lang}'"):
        parse_langs(lang, available(maker.folder()))
    assert parse_langs(lang, available(maker.whole(lang))) == [lang]
    assert data._wanted([lang], None)[0].local.endswith("-dev.tsv")


@pytest.mark.slow
def test_a_run_fetches_what_it_needs_and_the_commands_tell_what_is_there(fake, cli, tmp_path):
    environment = {
        **os.environ,
        "MDRBENCH_CACHE": str(tmp_path / "store"),
        "PYTHONPATH": str(PROJECT),
        "HF_TOKEN": "no",
    }
    words = ("bm25", "--data", "miracl", "--langs", "sw")
    refused = cli("plan", *words, env=environment)
    assert refused.returncode == 3
    assert "miracl is not fetched yet in sw (dev)" in refused.stderr
    assert "mend: run `mdrbench data fetch --langs sw --split dev`" in refused.stderr
    done = cli("run", *words, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("3 files to fetch into ")
    assert f"miracl-corpus/{SW}  {len(BODY)} bytes\n" in done.stderr
    assert "taking the open copy macavaney/miracl-noauth" in done.stderr
    result = json.loads((tmp_path / "results/miracl/bm25.json").read_text())
    assert result["languages"]["sw"]["dataset"]["topics"] == 482
    assert result["languages"]["sw"]["scores"]["Recall@100"]["value"] == 1.0
    assert cli("plan", *words, env=environment).returncode == 0
    stats = json.loads(cli("data", "stats", "--json", env=environment).stdout)
    assert stats["sw"].pop("bytes") > len(BODY)
    counts = {"passages": 1200, "topics": 482, "judged_topics": 482, "judgments": 482, "positives": 482}
    none = ("passages_without_title", "passages_that_repeat_a_text", "passages_in_another_script")
    lengths = {
        "passage_characters": {"mean": 434.5, "median": 435, "longest": 439},
        "topic_characters": {"mean": 9.8, "median": 10, "longest": 10},
    }
    rest = {"topics_in_other_splits": {}, "topics_in_another_script": 0, "warnings": {}}
    assert stats == {"sw": {**counts, **dict.fromkeys(none, 0), **lengths, **rest}}
    fake.log.clear()
    fetched = json.loads(cli("data", "fetch", "--langs", "sw", "--split", "dev", "--json", env=environment).stdout)
    assert fake.log == []
    assert fetched["root"] == str(tmp_path / "store" / "data" / "miracl")
    assert len(fetched["files"]) == 3
    verified = cli("data", "verify", "--json", "-q", env=environment)
    assert verified.returncode == 3
    [row] = json.loads(verified.stdout)
    assert row["problem"] == "language 'sw' has 1200 passages, MIRACL has 131924"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("data verify", 3, "Nothing is fetched"),
        ("data stats", 3, "mdrbench data fetch"),
        ("data fetch --langs de --split train", 3, "language 'de' has no train split in MIRACL"),
        ("data fetch --langs sv", 2, "has no language 'sv'"),
        ("data fetch --jobs 0", 2, "--jobs"),
    ],
)
def test_mistakes_of_the_data_commands(cli, words, code, said):
    done = cli(*words.split())
    assert done.returncode == code
    assert said in done.stderr


def test_stats_of_any_folder(cli):
    done = cli("data", "stats", "--data", "sample", "--langs", "sw")
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["passages", "sw", "all"]


def test_flaws_of_topics_and_qrels_are_told_by_stats(cli, maker):
    maker.corpus()
    maker.split("topics", "qid\tquery\nq1\tlake\nq2\tseal\n")
    maker.split("qrels", "# made by hand\nq1\tQ0\t1#0\t0\n")
    done = cli("data", "stats", "--data", maker.root)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("note: ")] == [
        "note: en: comment line ignored: 1",
        "note: en: first line looks like a header, read as a topic: 1",
        "note: en: no judgment is positive, every score is 0: 1",
        "note: en: topic without a positive, scores 0: 1",
        "note: en: topic without judgments, not scored: 2",
    ]


@pytest.mark.medium
@pytest.mark.parametrize(
    ("lang", "text", "query"),
    [("de", "Die Häuser am Saimaasee", "Haus"), ("yo", "Adágún Saimaa wà ní Finland", "Adágún")],
)
def test_german_is_stemmed_and_yoruba_split_at_white_space(tmp_path, lang, text, query):
    retriever = bm25.BM25(bm25.Config())
    assert retriever.conventions(lang)["analyzer"] == {"de": "GermanAnalyzer", "yo": "WhitespaceAnalyzer"}[lang]
    assert retriever.index(lang, [Passage("1#0", "", text)], tmp_path / lang, lambda done: None)["indexed"] == 1
    hits = retriever.search(lang, tmp_path / lang, {"q": query, "none": "Lappland"}, 10)
    assert [hit.docid for hit in hits["q"]] == ["1#0"]
    assert hits["none"] == []
