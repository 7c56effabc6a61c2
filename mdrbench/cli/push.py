"""``mdrbench push``. Imports typer alone at top level."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from mdrbench.cli.options import AsJson
from mdrbench.core.console import print_json


def push(
    folder: Annotated[Path, typer.Argument(help="Folder of a trained model, or of results.")],
    repo: Annotated[str, typer.Argument(help="OWNER/NAME on the hub; created if it is absent.")],
    revision: Annotated[str, typer.Option(help="Branch; created if it is absent.")] = "main",
    message: Annotated[Optional[str], typer.Option(help="Title of the commit [default: Push FOLDER].")] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    as_json: AsJson = False,
) -> None:
    """Push a trained model or results to the Hugging Face hub.

    Results become a data set repository. The push is one commit. Then every file is compared with the hub's checksum.

    Example: mdrbench push results OWNER/my-results --private
    """
    from mdrbench.commands.push import run

    pushed = run(folder, repo, revision, message, private)
    if as_json:
        print_json(pushed._asdict())
    else:
        from mdrbench.cli.tables import human_bytes

        print(f"{pushed.files} files, {human_bytes(pushed.bytes)}: {pushed.url} at {pushed.commit}")
