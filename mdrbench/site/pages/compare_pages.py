"""Two systems side by side: a page for each chosen pair, and one that compares any two in the browser."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from mdrbench.site.engine.page import Asset, Page
from mdrbench.site.model import behind, compare_data, pairs, scores, texts
from mdrbench.site.model.behind import Behind, Picked
from mdrbench.site.model.board import Board
from mdrbench.site.model.pairs import ALPHA, Pair
from mdrbench.site.model.texts import Texts
from mdrbench.site.pages import compare_charts
from mdrbench.site.pages.charts import Drawing


def pages(board: Board, drawing: Drawing) -> Iterator[Page | Asset]:
    """For each collection: a page a pair, the page for any two, and the data it loads."""
    reader = scores.reader(drawing.cache.with_name("scores"))
    memo = drawing.cache.with_name("memo")
    at_hand = texts.at_hand(board, board.data, memo)
    for collection in board.made:
        if len(collection.entries) < 2:
            continue
        found = pairs.compared(collection, reader, memo)
        picked = [behind.pick(pair, memo) for pair in found]
        for one, topics in zip(picked, _topics(picked, at_hand), strict=True):
            title = f"{one.pair.a.name} against {one.pair.b.name} on {collection.title}"
            yield Page(one.pair.path, "compare.html", title, partial(_context, board, one, topics), "compare")
        yield from compare_data.assets(collection, [(pair.a, pair.b) for pair in found], reader)
        context = {"collection": collection, "built": found, "alpha": ALPHA}
        title = f"Compare systems on {collection.title}"
        yield Page(f"{collection.folder}compare/index.html", "compare_index.html", title, context, "compare")


def _topics(picked: Sequence[Picked], at_hand: Texts) -> list[dict[str, list[Behind]]]:
    """For each pair the topics of each language with their texts; a corpus is read once for all pairs."""
    shown: list[dict[str, list[Behind]]] = [{} for _ in picked]
    for lang in dict.fromkeys(lang for one in picked for lang in one.by_language):
        for data, group in _by_data([one for one in picked if lang in one.by_language], lang, at_hand):
            qrels = data.qrels() if data else None
            excerpts = data.passages(behind.needed(group, lang, qrels or {})) if data else {}
            for one in group:
                shown[picked.index(one)][lang] = behind.views(one, lang, qrels, excerpts)
    return shown


def _by_data(picked: list[Picked], lang: str, at_hand: Texts) -> list[tuple[texts.Source | None, list[Picked]]]:
    """The pairs by the data that a language of theirs was measured on."""
    found: dict[str, tuple[texts.Source | None, list[Picked]]] = {}
    for one in picked:
        result = one.pair.a.result
        record = result.languages[lang].dataset
        key = record.model_dump_json() if record else ""
        if key not in found:
            found[key] = at_hand.find(result.dataset, result.split, lang, record), []
        found[key][1].append(one)
    return list(found.values())


def _context(board: Board, picked: Picked, topics: dict[str, list[Behind]]) -> dict[str, Any]:
    pair = picked.pair
    real = [row for row in pair.languages if row.p_randomisation_holm < ALPHA]
    return {
        "collection": pair.collection,
        "pair": pair,
        "alpha": ALPHA,
        "for_a": [row.lang for row in real if row.test.difference > 0],
        "for_b": [row.lang for row in real if row.test.difference < 0],
        "dumbbell": compare_charts.dumbbell(pair),
        "scatter": compare_charts.scatter(pair),
        "panels": compare_charts.panels(pair),
        "most": [(moved, behind.anchor(moved)) for moved in picked.most],
        "topics": {lang: shown for lang, shown in topics.items() if shown},
        "at_hand": any(one.judged is not None for shown in topics.values() for one in shown),
        "ranked": any(one.a is not None or one.b is not None for shown in topics.values() for one in shown),
        "command": _command(board, pair),
    }


def _command(board: Board, pair: Pair) -> str:
    """The command that prints the same numbers."""
    names = [entry.path.relative_to(board.root).with_suffix("").as_posix() for entry in (pair.a, pair.b)]
    return shlex.join(["mdrbench", "compare", *names])
