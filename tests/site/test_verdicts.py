"""Leaderboard, start page, pages of pairs, their browser data, terminal and Python API say the same of each pair."""

from __future__ import annotations

import json

import pytest
from support.comparisons import record
from support.project import PROJECT

import mdrbench
from mdrbench.evaluation import inference
from mdrbench.results import comparison
from mdrbench.site.cache import Cache
from mdrbench.site.model import topic_scores
from mdrbench.site.model.answers import answer
from mdrbench.site.model.collection import Collection, Entry, measured_entries
from mdrbench.site.model.comparisons import compare_systems
from mdrbench.site.model.leaderboard import AVERAGE
from mdrbench.site.model.ranking import VERDICTS, Leaderboard, leaderboard, repeats_of
from mdrbench.site.model.topic_scores import EntryScores
from mdrbench.site.pages import browser_data

MOST_PAIRS = 5


def read(folder) -> tuple[Collection, dict[Entry, EntryScores], Leaderboard]:
    """Read the results of a folder, and rank them."""
    paths = sorted([*folder.glob("*.json"), *folder.glob("variants/*.json")])
    collection = Collection(folder.name, "dev", measured_entries(paths, folder.name, "dev"))
    scores = topic_scores.read(collection)
    return collection, scores, leaderboard(collection, "nDCG@10", scores)


def shown_marks(board, a, b):
    """The mark of a pair in each column, read from the letters alone."""
    rows = {row.entry: row for group in board.groups for row in group.rows}
    found = {}
    for lang in rows[a].scores.keys() & rows[b].scores.keys():
        own = [rows[entry].scores[lang].letters for entry in (a, b)]
        if all(own):
            apart = not set(own[0].rstrip("†")) & set(own[1].rstrip("†"))
            found[lang] = ("†" if "†" in own[0] + own[1] else "*") if apart else ""
    return found


def assert_same_verdicts(folder, cache):
    """Compare what all places say of some pairs; return the marks that were seen."""
    collection, scores, board = read(folder)
    pages = compare_systems(collection, scores, Cache(cache), board)
    assets = {a.path.split("/")[-1]: a for a in browser_data.assets(collection, pages, scores, {board.measure: board})}
    browser = json.loads(assets["systems.js"].content.decode()[len("mdrbenchCompare(...") : -3])[2]["systems"]
    marks = set()
    for page in [pair for pair in pages if not (pair.a.is_variant or pair.b.is_variant)][:MOST_PAIRS]:
        a, b = page.a, page.b
        compared = mdrbench.compare(a.path, b.path, board.measure, top=0)
        terminal = {row.lang: row.mark for row in compared.languages}
        letters = shown_marks(board, a, b)
        assert terminal == {lang: mark for lang, mark in letters.items() if lang != AVERAGE}
        assert {*browser[a.slug]["letters"][board.measure]} & {
            *browser[b.slug]["letters"][board.measure]
        } == letters.keys()
        assert [row.mark for row in page.languages] == [*terminal.values()]
        assert [row.p_corrected for row in page.languages] == [row.p_corrected for row in compared.languages]
        assert page.mark(AVERAGE) == compared.average_mark
        assert page.average_p == pytest.approx(compared.average_p, abs=1e-15)
        assert (page.family, page.seeds) == (compared.family, compared.seeds)
        assert page.average == pytest.approx(compared.average)
        if AVERAGE in letters:
            assert letters[AVERAGE] == compared.average_mark
        for lang in board.languages:
            first = answer(board, lang)
            if first and first.measured and [place.row.entry for place in first.best[:2]] in ([a, b], [b, a]):
                assert first.verdict == VERDICTS[terminal[lang]]
        marks |= {*terminal.values(), compared.average_mark}
    return marks


@pytest.mark.medium
@pytest.mark.parametrize("name", ["sample", "wiki16"])
def test_all_places_say_the_same_of_each_pair(name, tmp_path):
    assert {"", "*"} <= assert_same_verdicts(PROJECT / "results" / name, tmp_path)


def recipe(seed, **training):
    retriever = {"name": "dense", "encoder": {"name": "transformer", "model": "me5-small"}}
    return {"retriever": retriever, "seed": 42 + seed, "training": {"seed": seed, **training}}


@pytest.fixture
def trainings(tmp_path):
    """BM25-like scores, a recipe trained with three seeds (two of them variants), and one trained once."""
    record(tmp_path, "plain", 0.2)
    record(tmp_path, "thrice", 0.9, recipe=recipe(0))
    for seed in (1, 2):
        record(tmp_path, f"variants/again-{seed}", 0.9, recipe=recipe(seed), overrides=[f"training.seed={seed}"])
    record(tmp_path, "once", 0.9, recipe=recipe(0, learning_rate=1e-4))
    return tmp_path


def test_trainings_with_other_seeds_are_counted_in_all_places(trainings, tmp_path):
    collection, _, board = read(trainings / "sample")
    entries = {entry.slug: entry for entry in collection.systems}
    assert {name: len(repeats_of(collection)[entry]) for name, entry in entries.items()} == {
        "once": 1, "plain": 1, "thrice": 3,
    }  # fmt: skip
    assert assert_same_verdicts(trainings / "sample", tmp_path / "cache") == {"", "*", "†"}
    plain, once, thrice = (entries[name] for name in ("plain", "once", "thrice"))
    assert board.verdict(AVERAGE, plain, thrice).mark == "*"
    assert board.verdict(AVERAGE, plain, once).mark == "†"
    letters = {row.entry.slug: row.scores[AVERAGE].letters for row in board.groups[0].rows}
    assert [letters[name].endswith("†") for name in ("plain", "once", "thrice")] == [False, True, False]
    alone = comparison.compare(plain.path, thrice.path, "nDCG@10", top=0)
    tests = [alone, *(comparison.compare(once.path, other.path, "nDCG@10", top=0) for other in (plain, thrice))]
    assert [each.seeds for each in tests] == [3, 1, 1]
    corrected = inference.holm([each.average.p for each in tests])
    assert board.verdict(AVERAGE, plain, thrice).p == pytest.approx(corrected[0])


def test_the_family_of_the_terminal_can_be_the_languages_of_the_pair(trainings):
    paths = [trainings / "sample" / f"{name}.json" for name in ("plain", "once")]
    board, alone = (mdrbench.compare(*paths, family=family) for family in ("leaderboard", "languages"))
    assert board.family == "all pairs of the leaderboard’s systems in each column (3 pairs)"
    assert alone.family == "the 2 languages of this pair; the average is one test"
    assert [row.test for row in board.languages] == [row.test for row in alone.languages]
    assert alone.average_p == alone.average.p < board.average_p
    variant = mdrbench.compare(paths[0], trainings / "sample" / "variants" / "again-1.json")
    assert (variant.family, variant.seeds) == (alone.family, 3)
