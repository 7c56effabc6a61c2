"""MTEB's public results, papers and Pyserini on the site: one ranking, marks of the audit, predictions, own pages."""

from __future__ import annotations

import pytest
from support.project import PROJECT
from support.results import measured
from support.site_pages import save

from mdrbench.core import registry
from mdrbench.site.cache import Cache
from mdrbench.site.engine.render import Renderer
from mdrbench.site.model import answers, properties
from mdrbench.site.model.site_model import load
from mdrbench.site.pages import audit, home, leaderboard, published
from mdrbench.site.pages.page import Page

pytestmark = pytest.mark.medium


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """Everything that a site of all published figures shows."""
    folder = tmp_path_factory.mktemp("published-site")
    save(folder / "results", measured())
    return load(folder / "results", (), Cache(folder / "cache"))


@pytest.fixture(scope="module")
def pages(shown, tmp_path_factory):
    """Address -> text of some pages."""
    wanted = ("index.html", "audit.html", "miracl/index.html")
    systems = [system.address for name, system in shown.published.items() if "jina-embeddings-v3" in name]
    makers = (home, audit, leaderboard, published)
    files = [file for maker in makers for file in maker.pages(shown)]
    renderer = Renderer(
        registry.resource("site") / "templates", (f.path for f in files), Cache(tmp_path_factory.mktemp("c"))
    )
    return {
        file.path: renderer.render(file).decode()
        for file in files
        if isinstance(file, Page) and file.path in (*wanted, *systems)
    }


def board(shown, name, measure="nDCG@10"):
    return next(boards[measure] for c, boards in shown.leaderboards.items() if (c.name, c.split) == (name, "dev"))


def rows(shown, name, measure="nDCG@10"):
    return {
        row.name: row for group in board(shown, name, measure).groups for row in group.rows if group.kind == "published"
    }


def test_full_corpus_and_pools_are_apart_and_depths_are_one_group_where_they_do_not_matter(shown):
    names = [c.name for c in shown.collections if c.split == "dev"]
    assert names == ["miracl", "miracl-hard-negatives", "miracl-hard-negatives-v2", "tiny"]
    groups = board(shown, "miracl").groups
    assert [group.kind for group in groups] == ["published", "predicted"]
    depths = {row.entry.result.evaluated.depth for row in groups[0].rows}
    assert depths == {100, 1000}
    assert [group.kind for group in board(shown, "miracl", "Recall@100").groups] == ["published"]


def test_a_wrong_figure_and_its_average_are_shown_and_never_ranked(shown, pages):
    row = rows(shown, "miracl")["Alibaba-NLP/gte-Qwen2-1.5B-instruct"]
    assert row.scores["th"].wrong
    assert row.scores["th"].rank is None
    on_pool = rows(shown, "miracl-hard-negatives")["Alibaba-NLP/gte-Qwen2-1.5B-instruct"]
    assert on_pool.scores["th"].rank is not None
    averages = sum(row.scores["average"].wrong for row in rows(shown, "miracl").values() if "average" in row.scores)
    suspects = [
        (row, lang)
        for row in rows(shown, "miracl").values()
        for lang, s in row.scores.items()
        if s.wrong and lang != "average"
    ]
    assert suspects
    assert all(row.scores[lang].rank is None for row, lang in suspects)
    assert pages["miracl/index.html"].count("</s></a>") == len(suspects) + averages


def test_low_is_ranked_and_marked_if_the_model_was_not_built_for_the_language(shown):
    foreign = [
        row.scores["sw"] for row in rows(shown, "miracl").values() if "sw" in row.scores and row.scores["sw"].foreign
    ]
    assert len(foreign) > 20
    assert all(score.rank for score in foreign if not score.wrong)


def test_one_system_of_four_sources_is_one_row(shown):
    row = rows(shown, "miracl")["BGE-M3 (dense)"]
    sources = [each.entry.source for each in (row, *row.others)]
    assert sources == [
        "chen2024m3",
        "flagembedding-rerankers",
        "huang2025boosting",
        "mteb",
    ]
    assert row.scores["yo"].disputed


def test_training_has_three_states_and_unknown_is_not_declared(shown, pages):
    states = [row.properties.training for row in rows(shown, "miracl-hard-negatives").values()]
    assert {state: states.count(state) > 20 for state in properties.TRAINING} == dict.fromkeys(
        properties.TRAINING, True
    )
    assert rows(shown, "miracl")["BGE + boosted"].properties.training == "trained"
    assert pages["miracl/index.html"].count("zero-shot") == 1  # "is never called zero-shot"


def test_kinds_are_marked_and_answers_do_not_mix_them(shown):
    kinds = {row.properties.kind for row in rows(shown, "miracl").values()}
    assert kinds >= set(properties.KINDS)
    found = answers.answer(board(shown, "miracl"), "sw")
    assert [place.row.properties.kind for place in found.best] == ["single vector"] * 3
    assert found.verdict == answers.UNTESTED
    assert found.small.row.properties.parameters <= 300


def test_predictions_have_intervals_and_no_rank_and_stay_inside_the_fitted_range(shown):
    group = board(shown, "miracl").groups[1]
    names = set(rows(shown, "miracl"))
    scores = [score for row in group.rows for score in row.scores.values()]
    assert len(group.rows) > 50
    assert all(score.rank is None and score.interval for score in scores)
    complete = {row.name for row in rows(shown, "miracl").values() if row.complete}
    assert names & complete & {row.name for row in group.rows} == set()
    pools = rows(shown, "miracl-hard-negatives")
    assert (
        min(pools[row.name].scores[lang].cell.value for row in group.rows for lang in row.scores if lang != "average")
        >= 0.3
    )


def test_the_audit_page_and_the_page_of_a_system_give_every_reason(shown, pages):
    text = pages["audit.html"]
    missing = {finding.rule for finding in shown.marks.findings if text.count(f'id="{finding.rule}"') != 1}
    assert missing == set()
    page = next(text for path, text in pages.items() if path.startswith("systems/jinaai"))
    assert (page.count("pool-below-full"), page.count("fell-with-mteb"), page.count("572,000,000")) == (1, 1, 1)


def test_the_start_page_answers_in_each_language(pages):
    text = pages["index.html"]
    assert text.count("In <strong>Swahili</strong>") == 1
    assert text.count('class="winner"') == 18
    assert text.count("v-not-testable") == 18
    assert (PROJECT / "site/static/ask.js").stat().st_size + len(text) < 60_000
