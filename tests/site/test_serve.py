from __future__ import annotations

import os
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from threading import Thread

import pytest
from support.results import measured
from support.site_pages import save

from mdrbench.core.errors import SetupError
from mdrbench.site.engine.serve import SiteServer


@contextmanager
def serving(tmp_path, watch: bool):
    with SiteServer(tmp_path / "results", tmp_path / "public", (), 0, watch) as server:
        thread = Thread(target=server.run, daemon=True)
        thread.start()
        yield server
        server.stop()
        thread.join(60)


def fetch(address: str, **headers: str) -> str:
    request = urllib.request.Request(address, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read().decode("utf-8")


@pytest.mark.medium
def test_serve_answers_this_machine_only_and_builds_again_when_results_change(tmp_path):
    save(tmp_path / "results", measured())
    with serving(tmp_path, watch=True) as server:
        assert server.address.startswith("http://127.0.0.1:")
        assert "/reload.js" in fetch(server.address)
        with pytest.raises(urllib.error.HTTPError, match="403"):
            fetch(server.address, Host="evil.example")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            fetch(f"{server.address}nowhere/")
        before = fetch(f"{server.address}.mdrbench-site")
        save(tmp_path / "results", measured(schema_version=9), name="broken")
        save(tmp_path / "results", measured(system={"name": "later", "summary": ""}), name="broken")
        deadline = time.monotonic() + 300
        while fetch(f"{server.address}.mdrbench-site") == before and time.monotonic() < deadline:
            time.sleep(0.05)
        assert "later" in fetch(f"{server.address}tiny/index.html")
        with pytest.raises(SetupError, match="cannot be used"):
            SiteServer(tmp_path / "results", tmp_path / "public", (), int(server.address.split(":")[2][:-1]), False)


@pytest.mark.parametrize("watch", [False, True])
def test_serve_refuses_hostile_paths_and_links_that_leave_the_site(tmp_path, watch):
    save(tmp_path / "results", measured())
    (tmp_path / "secret.html").write_text("a secret")
    with serving(tmp_path, watch) as server:
        (tmp_path / "public" / "link.html").symlink_to(tmp_path / "secret.html")
        (tmp_path / "public" / "folder").symlink_to(tmp_path, target_is_directory=True)
        (tmp_path / "public" / "inside.html").symlink_to(tmp_path / "public" / "index.html")
        (tmp_path / "public" / "loop.html").symlink_to(tmp_path / "public" / "loop.html")
        os.mkfifo(tmp_path / "public" / "pipe.html")
        outside = ("link.html", "folder/secret.html", "..%2fsecret.html")
        for path in ("%00", "index.html%00", *outside, "a" * 5000, "loop.html", "pipe.html"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                fetch(f"{server.address}{path}")
        assert "mdrbench" in fetch(f"{server.address}inside.html")
        assert "mdrbench" in fetch(server.address)
