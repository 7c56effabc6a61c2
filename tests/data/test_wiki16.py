"""wiki16 as a data set: fetched from a host on this machine, built, verified; the real one where its sources are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import zipfile

import pytest
from support.project import PROJECT, WIKI16
from support.source_host import SourceHost
from support.tiny_wiki16 import LANG, TinyWiki16, clear_listings

from mdrbench.core.errors import DataError, SetupError, StepError, UsageError
from mdrbench.core.languages import ALL
from mdrbench.data.access import open_dataset, open_downloaded
from mdrbench.data.datasets import wiki16
from mdrbench.data.wiki16 import workers
from mdrbench.data.wiki16.content import content_files, content_of
from mdrbench.data.wiki16.sources import SOURCES, source_files
from mdrbench.hub import pinned_files, transfer

SOURCES_ZIP = WIKI16.parent / "wiki16-sources" / "sources.zip"


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A wiki16 of one language, with its pinned content."""
    tiny = TinyWiki16(tmp_path / "host", monkeypatch)
    tiny.pin(tmp_path / "scratch")
    yield tiny
    monkeypatch.undo()
    clear_listings()


@pytest.fixture
def host(tiny, monkeypatch):
    host = SourceHost(tiny.read)
    with host.running() as url:
        monkeypatch.setenv("MDRBENCH_SOURCES", url)
        monkeypatch.setattr(transfer, "BACKOFF", 0.01)
        yield host


@pytest.fixture
def data(tmp_path) -> wiki16.Wiki16:
    return wiki16.Wiki16(wiki16.Config(root=tmp_path / "wiki16"))


def test_the_pinned_listings_are_those_of_the_real_collection():
    lines = {(file.lang, file.kind, file.split): file.lines for file in content_files()}
    assert sum(lines[lang, "corpus", ""] for lang in ALL) == 104_604
    assert sum(lines[lang, "topics", "train"] for lang in ALL) == 33_014
    assert sum(lines[lang, "topics", "dev"] for lang in ALL) == 3_986
    assert len(source_files()) == 172
    assert {file.source for file in source_files()} == set(SOURCES)


def test_fetch_downloads_the_sources_and_builds_the_language(host, data):
    assert data.missing([LANG], ["dev"])
    data.fetch([LANG], ["dev"])
    assert data.missing([LANG]) == []
    assert data.fetched() == [LANG]
    assert data.verify([LANG]) == []
    assert {passage.docid for passage in data.passages(LANG)} > {"900000001#0", "31#0"}
    assert (data.root / "README.md").read_text().startswith("# wiki16")
    assert list((data.root / "unfinished").glob("*/")) == []


def test_a_second_fetch_asks_the_host_nothing_even_without_the_sources(host, data):
    data.fetch([LANG])
    host.log.clear()
    for path in sorted(data.sources.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    data.fetch([LANG])
    assert host.log == []


def test_a_broken_download_is_resumed_where_it_stopped(tiny, host, data):
    tiny.files["tydi", "swahili.json"] += b" " * 300_000  # several network blocks
    tiny.install()
    path = source_files()[0].local
    host.faults[path] = ["truncate", "503"]
    data.fetch([LANG])
    ranges = [wanted for at, wanted in host.log if at == path]
    assert ranges[0] is None
    assert int(ranges[-1].removeprefix("bytes=").removesuffix("-")) > 100_000
    assert not list(data.sources.rglob("*.part"))


def test_a_host_without_ranges_sends_all_again(host, data):
    host.faults[source_files()[0].local] = ["truncate", "refuse-range"]
    data.fetch([LANG])
    assert data.missing([LANG]) == []


def test_altered_bytes_never_get_their_name(host, data):
    path = source_files()[0].local
    host.faults[path] = ["corrupt"]
    with pytest.raises(DataError, match="differ from the pinned checksum"):
        data.fetch([LANG])
    assert not (data.sources / path).exists()
    data.fetch([LANG])


def test_a_spoilt_part_is_fetched_anew(host, data):
    file = source_files()[0]
    part = (data.sources / file.local).with_name(f"{file.path.rsplit('/')[-1]}.{file.sha256[:12]}.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 10)
    data.fetch([LANG])
    assert [wanted for at, wanted in host.log if at == file.local] == ["bytes=10-", None]


def test_a_file_that_the_host_lacks_is_a_data_error_and_an_absent_host_a_setup_error(host, data, monkeypatch):
    host.faults[source_files()[0].local] = ["404"]
    with pytest.raises(DataError, match=r"the host answers 404\n  mend: .*MDRBENCH_SOURCES"):
        data.fetch([LANG])
    monkeypatch.setenv("MDRBENCH_SOURCES", "http://127.0.0.1:9")
    with pytest.raises(SetupError, match="given up"):
        data.fetch([LANG])


def test_a_build_with_other_content_never_gets_its_name(tiny, host, data):
    rows = (tiny.folder / "content.tsv").read_text().replace("\t13\t", "\t14\t")
    (tiny.folder / "content.tsv").write_text(rows[:-5] + "0000\n")
    clear_listings()
    with pytest.raises(StepError, match="The built file is not the one of wiki16"):
        data.fetch([LANG])
    assert not (data.root / "miracl-corpus").exists()
    assert data.fetched() == []


def test_verify_names_altered_and_missing_files(host, data):
    data.fetch([LANG])
    topics = data.topics_file(LANG, "dev")
    topics.write_text(topics.read_text().replace("ziwa", "Ziwa"))
    (shard,) = data.corpus_files(LANG)
    shard.unlink()
    source = next(iter(data.sources.rglob("*.json")))
    source.write_bytes(source.read_bytes()[:-1] + b" ")
    problems = {row["file"].rsplit("/", 1)[-1]: row["problem"] for row in data.verify([LANG])}
    assert problems == {
        "docs-0.jsonl": "missing",
        topics.name: "content differs from the pinned SHA-256",
        source.name: "bytes differ from the pinned SHA-256",
    }
    data.fetch([LANG])
    assert data.missing([LANG]) == []


def test_sources_that_are_there_are_not_downloaded_again(tiny, data, monkeypatch):
    monkeypatch.setenv("MDRBENCH_SOURCES", "http://127.0.0.1:9")
    data.root.mkdir()
    data.sources.symlink_to(tiny.folder)
    assert pinned_files.missing(data.sources, source_files()) == []
    data.fetch([LANG])
    assert data.fetched("test") == [LANG]


def test_an_unknown_split_and_an_unknown_downloaded_data_set_are_refused(data):
    with pytest.raises(DataError, match="wiki16 has no split 'testing'"):
        data.topics_file("sw", "testing")
    with pytest.raises(UsageError, match=r"The data set 'sample' cannot be downloaded.\n  mend: .*wiki16"):
        open_downloaded("sample")


def test_every_named_data_set_has_a_card(tmp_path):
    assert "CC BY-SA 4.0" in open_dataset("wiki16").card()
    assert "104,604" in open_dataset("wiki16").card()
    for source in SOURCES.values():
        assert source.repository in open_dataset("wiki16").card()
    assert open_dataset("miracl").card().startswith("# MIRACL")
    assert open_dataset("sample").card().startswith("# sample")
    (tmp_path / "mine").mkdir()
    with pytest.raises(DataError, match="has no data card"):
        open_dataset(str(tmp_path / "mine")).card()


def fail(root, sources, lang):
    raise DataError(f"no {lang}", where="here", mend="do")


def die(root, sources, lang):
    os.kill(os.getpid(), signal.SIGKILL)


def test_an_error_of_a_worker_is_raised_as_it_is_and_a_killed_worker_is_named():
    with pytest.raises(DataError, match=r"here: no sw\n  mend: do"):
        workers.in_own_process(fail, "", "", "sw")
    with pytest.raises(StepError, match=r"builds 'sw' ended with code -9"):
        workers.in_own_process(die, "", "", "sw")


# -- the real collection -----------------------------------------------------------------------------------------------

real = pytest.mark.skipif(not SOURCES_ZIP.is_file(), reason="the sources of wiki16 are not beside the project")


@pytest.fixture
def real_host(monkeypatch):
    archive = zipfile.ZipFile(SOURCES_ZIP)
    names = set(archive.namelist())
    host = SourceHost(lambda path: archive.read(path) if path in names else None)
    with host.running() as url:
        monkeypatch.setenv("MDRBENCH_SOURCES", url)
        yield url


@pytest.mark.medium
@real
def test_a_language_with_judgments_of_both_kinds_is_built_from_the_real_sources(real_host, data):
    data.fetch(["bn"])
    assert data.verify(["bn"]) == []


@real
@pytest.mark.slow
def test_a_killed_fetch_leaves_nothing_half_written_and_is_resumed(real_host, data):
    script = "import sys; from mdrbench.data.datasets import wiki16; from pathlib import Path\n"
    script += "wiki16.Wiki16(wiki16.Config(root=Path(sys.argv[1]))).fetch(['sw', 'te', 'bn'])"
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", script, str(data.root)], cwd=PROJECT)
        time.sleep(3)
        process.kill()
        process.wait()
        for lang in data.fetched():
            assert data.verify([lang]) == []
    data.fetch(["sw", "te", "bn"])
    assert data.verify(["sw", "te", "bn"]) == []


@real
@pytest.mark.slow
def test_languages_of_other_sources_have_the_pinned_content(real_host, data):
    """Each file that a user builds is compared with its pin, so the other languages need no test of their own."""
    data.fetch(["th", "fr"])
    assert data.verify(["th", "fr"]) == []


@real
def test_the_pinned_content_is_that_of_the_whole_collection():
    listed = (SOURCES_ZIP.parent / "CONTENT.sha256").read_text().split()
    expected = dict(zip(listed[1::2], listed[::2], strict=True))
    pinned = {file.path.split("/", 1)[1]: file.sha256 for file in content_of(list(ALL))}
    assert pinned == expected


def test_the_document_is_the_card():
    document = PROJECT / "docs" / "wiki16.md"
    fresh = f"`mdrbench data card wiki16 > {document.relative_to(PROJECT)}`"
    assert document.read_text(encoding="utf-8") == open_dataset("wiki16").card(), f"run {fresh}"
