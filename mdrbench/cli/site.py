"""The commands ``report`` and ``serve``. Imports typer alone at top level."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from mdrbench.cli.options import AsJson, Results
from mdrbench.core.console import print_json

Out = Annotated[Path, typer.Option(help="Folder that the site is written to.")]
At = Annotated[
    Optional[list[str]],
    typer.Option("--data", help="Data set on disk, as for `mdrbench run`. Its passages are shown. Repeatable."),
]
Open = Annotated[bool, typer.Option("--open", help="Open the start page in the browser.")]


def report(
    results: Results = Path("results"),
    out: Out = Path("site/public"),
    data: At = None,
    open_: Open = False,
    as_json: AsJson = False,
) -> None:
    """Build the leaderboard as a static site.

    It shows the results and the published figures. It works from the disk and from any web server.
    """
    from mdrbench import site

    page = site.build(results, out, data or ()).resolve()
    if as_json:
        print_json({"page": str(page)})
    else:
        print(f"page: {page.as_uri()}")
    if open_:
        _open(page.as_uri())


def serve(
    results: Results = Path("results"),
    out: Out = Path("site/public"),
    data: At = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port. 0 takes a free port.")] = 8000,
    watch: Annotated[
        bool, typer.Option("--watch", help="Build again when results or templates change, and reload open pages.")
    ] = False,
    open_: Open = False,
) -> None:
    """Build the site and serve it to this machine alone.

    Runs until it is interrupted.
    """
    from mdrbench.site.engine.serve import SiteServer

    with SiteServer(results, out, data or (), port, watch) as server:
        print(f"site: {server.address}" + ("; watching" if watch else ""), flush=True)
        if open_:
            _open(server.address)
        server.run()


def _open(address: str) -> None:
    import webbrowser

    from mdrbench.core.console import say

    if not webbrowser.open(address):
        say(f"No browser could be opened. The page is {address}")
