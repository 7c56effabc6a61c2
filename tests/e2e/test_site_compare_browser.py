"""Comparing systems in a real browser, from files on disk."""

from __future__ import annotations

import re

import pytest
from scipy import stats
from support.browser import axe_violations
from support.comparisons import record

from mdrbench import site
from mdrbench.evaluation import measures
from mdrbench.results import comparison

pytestmark = pytest.mark.slow

COMPARE = "sample/compare/index.html"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    for name, skill in (("one", 0.1), ("two", 0.3), ("three", 0.8)):
        record(folder / "results", name, skill, langs=["ar", "fi", "ja", "sw"])
    site.build(folder / "results", folder / "public")
    return folder


@pytest.fixture(scope="module")
def built(root):
    return root / "public"


def cells(page, language: str) -> list[str]:
    row = page.locator("#compared .tests tbody tr", has_text=language)
    return [text.strip() for text in row.locator("th, td").all_inner_texts()]


def choose(page, a: str, b: str) -> None:
    page.locator("#a").select_option(a)
    page.locator("#b").select_option(b)


def test_two_systems_are_picked_and_their_numbers_and_charts_appear(open_page, root):
    page = open_page(COMPARE)
    choose(page, "three", "one")
    page.locator("#said", has_text="A (three) is better in 4").wait_for()
    expected = comparison.compare(
        root / "results/sample/three.json", root / "results/sample/one.json", "nDCG@10", top=3
    )
    row = next(row for row in expected.languages if row.lang == "ja")
    shown = cells(page, "Japanese")
    assert shown[1:4] == ["12", f"{row.test.mean_a:.4f}", f"{row.test.mean_b:.4f}"]
    assert shown[5:8] == [str(row.test.wins), str(row.test.ties), str(row.test.losses)]
    assert float(shown[8].removeprefix("< ")) == pytest.approx(row.test.p, abs=2e-4)
    assert shown[9] in ("< 0.05", "≥ 0.05")  # the leaderboard's verdict, over its three pairs
    assert page.locator("#compared svg").count() == 2
    assert page.locator("#compared svg circle.a").count() == 4
    first = page.locator("#compared .topics tbody tr").first
    assert expected.moved[0].query in first.inner_text()


def test_the_t_test_is_scipys(open_page, root):
    page = open_page(f"{COMPARE}#a=one&b=two&m=MAP%40100")
    page.locator("#compared .tests").wait_for()
    for lang, name in (("ar", "Arabic"), ("fi", "Finnish"), ("sw", "Swahili")):
        one, two = (
            [
                row["MAP@100"]
                for row in measures.read_topic_scores(root / f"results/sample/{s}/{lang}-dev.topics.tsv.gz")[0].values()
            ]
            for s in ("one", "two")
        )
        assert float(cells(page, name)[8]) == pytest.approx(stats.ttest_rel(one, two).pvalue, abs=2e-3)


def test_the_address_holds_the_choice_and_restores_it(open_page, root):
    page = open_page(COMPARE)
    choose(page, "two", "three")
    page.locator("#measure").select_option("MRR@10")
    page.locator("#said", has_text="MRR@10").wait_for()
    address = page.url
    assert re.search(r"#a=two&b=three&m=MRR%4010$", address)
    again = open_page(address.split("public/")[1])
    again.locator("#said", has_text="MRR@10").wait_for()
    assert again.locator("#said").inner_text() == page.locator("#said").inner_text()
    assert [again.locator(f"#{key}").input_value() for key in ("a", "b", "measure")] == ["two", "three", "MRR@10"]
    swapped = page.locator("#swap")
    swapped.focus()
    page.keyboard.press("Enter")
    page.locator("#said", has_text="A (three)").wait_for()
    assert "a=three&b=two" in page.url


def test_an_address_of_a_system_that_is_not_there_shows_another(open_page):
    page = open_page(f"{COMPARE}#a=__proto__&b=%3Cscript%3E&m=constructor")
    page.locator("#compared .tests").wait_for()
    assert page.locator("#measure").input_value() == "nDCG@10"


def test_several_systems_are_compared_with_their_letters(open_page):
    page = open_page("sample/compare/several.html")
    page.locator("#drawn table").wait_for()
    assert page.locator("#drawn thead th").count() == 4
    assert "share a letter" in page.locator("#said").inner_text()


def test_a_link_to_a_topic_opens_it(open_page):
    page = open_page("sample/compare/one--three.html")
    link = page.locator("a.to").first
    inside = page.locator(f"[id='{link.get_attribute('href')[1:]}']")
    assert not inside.is_visible()
    link.click()
    inside.wait_for(state="visible")
    assert inside.locator(".ranked").count() == 2
    assert inside.locator(".judged li").count() >= 1


def test_with_scripts_off_the_built_pairs_are_there(open_page):
    page = open_page(COMPARE, java_script_enabled=False)
    assert not page.locator("#choose").is_visible()
    page.get_by_role("link", name="one against two").click()
    assert "one" in page.locator("h1").inner_text()
    summary = page.locator("details.topic summary").first
    summary.click()
    assert page.locator("details.topic").first.locator(".ranked").first.is_visible()


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_window(open_page, width):
    for path in (COMPARE, "sample/compare/one--two.html", "sample/languages/ar.html", "sample/languages/index.html"):
        page = open_page(path, width=width, height=800)
        page.wait_for_load_state()
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_violation(open_page, scheme):
    for path in (COMPARE, "sample/compare/one--three.html", "sample/languages/ar.html", "sample/languages/index.html"):
        page = open_page(path, color_scheme=scheme)
        if path == COMPARE:
            page.locator("#compared .tests").wait_for()
        assert axe_violations(page) == {}, path
