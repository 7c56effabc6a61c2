"""What moved: from the history of the results folder to the page and the feed."""

from __future__ import annotations

import subprocess
from xml.etree import ElementTree

from support.comparisons import record

from mdrbench.site.cache import Cache
from mdrbench.site.model import history
from mdrbench.site.pages import changes

ATOM = "{http://www.w3.org/2005/Atom}"


def commit(folder, title):
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for words in (["add", "-A"], [*who, "commit", "-q", "-m", title]):
        subprocess.run(["git", "-C", str(folder), *words], check=True)


def test_a_version_lists_what_was_added_what_moved_and_what_went(tmp_path):
    root = tmp_path / "results"
    (root / "published" / "somebody").mkdir(parents=True)
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / "README.md").write_text("no result\n")
    commit(tmp_path, "Begin")
    record(root, "one", 0.2, langs=["fi"])
    commit(tmp_path, "One system")
    path = record(root, "one", 0.2, langs=["fi", "sw"])
    commit(tmp_path, "Swahili")
    (root / "published" / "somebody" / "table.json").write_text("{}\n")
    path.unlink()
    commit(tmp_path, "A paper in place of it")

    found = history.versions(root, Cache(tmp_path / "cache"))
    assert [version.title for version in found] == ["A paper in place of it", "Swahili", "One system"]
    assert [[(c.system, c.what, c.added) for c in version.changes] for version in found] == [
        [("one", "removed", [])], [("one", "changed", ["sw"])], [("one", "added", ["fi"])],
    ]  # fmt: skip
    assert found[0].published == {"somebody": 1}
    assert changes.lines(found[0]) == ["one on sample removed", "published figures of somebody: 1 file"]
    assert changes.lines(found[1])[0].startswith("one on sample, nDCG@10: new in Swahili; average ")
    assert changes.lines(found[2])[0].startswith("one on sample added: 1 language, average nDCG@10 0.")
    assert found == history.versions(root, Cache(tmp_path / "cache"))  # now from the cache
    assert history.latest(root) == found[0].commit

    feed = ElementTree.fromstring(changes._feed(found))
    entries = feed.findall(f"{ATOM}entry")
    assert [entry.findtext(f"{ATOM}title") for entry in entries] == [version.title for version in found]
    assert entries[0].findtext(f"{ATOM}id").endswith(found[0].commit)
    assert feed.findtext(f"{ATOM}updated") == found[0].date


def test_a_title_of_control_characters_and_a_shallow_clone_tell_nothing_wrong(tmp_path):
    root = tmp_path / "whole" / "results"
    record(root, "one", 0.2, langs=["fi"])
    subprocess.run(["git", "init", "-q", str(tmp_path / "whole")], check=True)
    commit(tmp_path / "whole", "Begin")
    record(root, "two", 0.3, langs=["fi"])
    commit(tmp_path / "whole", "Two\x01 \x08<b>\x0c\u2028end")
    found = history.versions(root, Cache(tmp_path / "cache"))
    assert [version.title for version in found] == ["Two   <b> \u2028end", "Begin"]
    feed = ElementTree.fromstring(changes._feed(found))
    assert feed.findtext(f"{ATOM}entry/{ATOM}title") == found[0].title
    clone = ["git", "clone", "-q", "--depth", "1", f"file://{tmp_path / 'whole'}", str(tmp_path / "shallow")]
    subprocess.run(clone, check=True)
    assert history.versions(tmp_path / "shallow" / "results", Cache(tmp_path / "other")) == []


def test_a_folder_without_git_has_no_versions(tmp_path):
    record(tmp_path, "one", 0.2, langs=["fi"])
    assert history.versions(tmp_path, Cache(tmp_path / "cache")) == []
    assert history.latest(tmp_path) == ""
