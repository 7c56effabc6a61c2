"""The commands ``report`` and ``serve``. Imports typer alone at top level."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from mdrbench.cli.options import AsJson, Results
from mdrbench.core.console import print_json

Out = Annotated[Path, typer.Option(help="Folder to write the site to.")]
At = Annotated[
    Optional[list[str]],
    typer.Option("--data", help="A data set at hand, so that passages are shown: as for `run`; repeatable."),
]
Open = Annotated[bool, typer.Option("--open", help="Open the start page in the browser.")]


def report(
    results: Results = Path("results"),
    out: Out = Path("site/public"),
    data: At = None,
    open_: Open = False,
    as_json: AsJson = False,
) -> None:
    """Render results and published figures to a static site; it works from the disk and from any host."""
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
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    watch: Annotated[
        bool, typer.Option("--watch", help="Build again when results or templates change; open pages reload.")
    ] = False,
    open_: Open = False,
) -> None:
    """Render the site and serve it to this machine alone, until interrupted."""
    from mdrbench.site.engine import serving

    with serving.Site(results, out, data or (), port, watch) as server:
        print(f"site: {server.address}" + ("; watching" if watch else ""), flush=True)
        if open_:
            _open(server.address)
        server.run()


def _open(address: str) -> None:
    import webbrowser

    from mdrbench.core.console import say

    if not webbrowser.open(address):
        say(f"no browser could be opened; the page is {address}")
