"""Most tests of the site need no mteb tables: their pages take as long as everything else together."""

from __future__ import annotations

import pytest
from support.project import PROJECT

from mdrbench.results import PUBLISHED
from mdrbench.site.model import collection

FEW = ("huang2025boosting", "pyserini-2cr")


@pytest.fixture(scope="session")
def few_published(tmp_path_factory):
    """A results folder with the published figures of two sources."""
    folder = tmp_path_factory.mktemp("published")
    (folder / PUBLISHED).mkdir()
    for source in FEW:
        (folder / PUBLISHED / source).symlink_to(PROJECT / "results" / PUBLISHED / source)
    return folder


@pytest.fixture(autouse=True)
def without_mteb(monkeypatch, few_published):
    """Read the published figures of two sources alone."""
    monkeypatch.setattr(collection, "packaged_results", lambda: few_published)
