"""The rankings kept beside results: of a few topics, in the order of the tie rule."""

from __future__ import annotations

from pathlib import Path

from mdrbench.formats import trec
from mdrbench.site.engine.memo import Memo
from mdrbench.site.model.board import Entry
from mdrbench.site.model.scores import kept_file

FORMAT = 1


def ranked(entry: Entry, lang: str, qids: list[str], cache: Path) -> dict[str, list[str]] | None:
    """The docids that a system ranks for each of ``qids``, best first, down to the depth that counts.

    Returns:
        qid -> docids (none for a topic without hits); None where the result's run file is not at hand.

    Raises:
        DataError: the run file is not the one that the result was recorded with.
    """
    found = kept_file(entry, entry.result.languages[lang], "run")
    if found is None:
        return None
    path, file = found
    depth = entry.result.evaluated.depth

    def read(missing: list[str]) -> dict[str, list[str]]:
        run = trec.read_run(path)
        return {qid: [hit.docid for hit in run.get(qid, [])[:depth]] for qid in missing}

    return Memo(cache, "ranking", [FORMAT, file.sha256, depth]).get(qids, read)
