"""Pages of systems and ablations in a real browser: light, dark, narrow, without scripts, by keyboard, for axe."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.browser import axe_violations
from support.site_ablations import made_up
from support.site_ablations import save as save_ablation
from support.site_systems import KEY, LOG, RECIPE, save, trained

from mdrbench import site
from mdrbench.core.languages import ALL
from mdrbench.site.model.collection import published_page

pytestmark = pytest.mark.slow
html5lib = pytest.importorskip("html5lib", reason="pip install html5lib")

SYSTEM, ABLATION, PUBLISHED = "tiny/systems/mine.html", "tiny/ablations/mine.html", "miracl/ablations/boosted.html"
PAGES = (SYSTEM, ABLATION, PUBLISHED, published_page("BGE + boosted"))


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("site")
    save(root / "results", trained(), LOG)
    parent = {**RECIPE, "name": "base", "training": {"batch_size": 24}}
    system = {"name": "base", "summary": "what it extends", "recipe": parent, "recipe_digest": "2" * 64}
    save(root / "results", {**trained(), "system": system, "trainings": {}})
    save_ablation(root / "results", made_up(langs=ALL))
    return site.build(root / "results", root / "public").parent


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_no_serious_violation(open_page, path, scheme):
    page = open_page(path, color_scheme=scheme)
    assert axe_violations(page) == {}


@pytest.mark.parametrize("path", PAGES)
def test_nothing_is_wider_than_a_phone(open_page, path):
    page = open_page(path, width=360)
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("path", PAGES)
def test_the_markup_is_valid(built, path):
    parser = html5lib.HTMLParser(strict=False)
    parser.parse((built / path).read_text(encoding="utf-8"))
    assert [error for error in parser.errors if "svg" not in str(error).lower()] == []


def test_all_of_it_can_be_read_without_scripts(open_page):
    page = open_page(SYSTEM, java_script_enabled=False)
    assert page.locator("h1").inner_text() == "mine"
    page.get_by_text("Data of this figure").click()
    assert page.get_by_role("cell", name="0.125").is_visible()
    page.get_by_text("The whole recipe with all defaults").click()
    assert page.get_by_text("model: bge-m3").is_visible()
    assert page.locator(".command").first.inner_text() == "mdrbench run mine --data tiny --langs all"


def test_a_command_is_copied(open_page):
    page = open_page(SYSTEM, permissions=["clipboard-read", "clipboard-write"])
    page.locator(".command").get_by_role("button").click()
    assert page.evaluate("navigator.clipboard.readText()") == "mdrbench run mine --data tiny --langs all"


def test_files_are_offered_as_they_were_recorded(open_page, built):
    page = open_page(SYSTEM)
    for name, kept in (("result", "mine.json"), ("log", f"mine/training-{KEY[:12]}.jsonl.gz")):
        address = page.get_by_role("link", name=name, exact=True).evaluate("one => one.href")
        assert Path(address.removeprefix("file://")).read_bytes() == (built.parent / "results/tiny" / kept).read_bytes()


def test_a_system_leads_to_its_ablation_and_back_and_to_what_it_extends(open_page):
    page = open_page(SYSTEM)
    page.get_by_role("link", name="mine", exact=True).click()
    assert page.locator("h1").inner_text() == "The effect of each part of mine"
    page.get_by_role("link", name="the complete recipe").click()
    assert page.locator("h1").inner_text() == "mine"
    page.get_by_role("link", name="base").click()
    assert page.locator("h1").inner_text() == "base"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_colours_of_a_heat_map_differ_and_its_numbers_stay_legible(open_page, scheme):
    page = open_page(ABLATION, color_scheme=scheme)
    found = page.evaluate(
        "[...document.querySelectorAll('.diverging td')].map(cell => [cell.className.split(' ')[0],"
        " getComputedStyle(cell).backgroundColor])"
    )
    shades = dict(found)
    assert {name[:2] for name in shades} == {"lo", "hi"}
    assert len({shades[name] for name in shades if not name.endswith("0")}) == sum(n[-1] != "0" for n in shades)


def test_tables_that_scroll_can_be_reached_by_keyboard(open_page):
    page = open_page(ABLATION, width=390)
    region = page.get_by_role("region", name="Differences in nDCG@10 by language")
    region.focus()
    before = region.evaluate("one => one.scrollLeft")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.activeElement.scrollLeft > 0")
    assert region.evaluate("one => one.scrollLeft") > before
