"""The leaderboard as a reader meets it in a browser, and every kind of page under axe and a strict HTML parser."""

from __future__ import annotations

import csv
import json
import re
import warnings
from html import unescape
from pathlib import Path

import pytest
from support.browser import axe_violations
from support.site_rows import make_site

pytestmark = pytest.mark.slow

MIRACL = "miracl/index.html"
MANY = "synthetic-0/index.html"


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The folder of the site."""
    return make_site(tmp_path_factory.mktemp("site"))


def names(page) -> list[str]:
    """Systems in the order shown, once all rows have entered the table."""
    page.locator(".ranking[aria-busy=false]").wait_for()
    rows = ".ranking tbody tr:not(.group)"
    return page.locator(f"{rows} th[scope=row] > :is(:first-child, .tick + *):is(a, span)").all_inner_texts()


def column(page, code: str) -> list[float]:
    index = page.evaluate(
        "code => [...document.querySelectorAll('.ranking thead th')].findIndex(h => h.dataset.key === code)", code
    )
    page.locator(".ranking[aria-busy=false]").wait_for()
    values = page.evaluate(
        "i => [...document.querySelectorAll('.ranking tbody tr:not(.group)')].map(row => row.cells[i].dataset.v)",
        index,
    )
    return [float(value) for value in values if value is not None]


def test_sorting_by_a_column_is_announced_shared_and_undone(open_page):
    page = open_page(MIRACL)
    first = names(page)
    button = page.get_by_role("button", name="Sort by Swahili")
    button.focus()
    page.keyboard.press("Enter")
    assert column(page, "sw") == sorted(column(page, "sw"), reverse=True)
    assert page.locator("th[aria-sort=descending]").get_attribute("data-key") == "sw"
    shared = open_page(MIRACL + "#" + page.url.split("#")[1])
    assert names(shared) == names(page) != first
    arrow = {"x": 20.0, "y": 8.0}  # the link to the language stands below it, in the middle of the button
    button.click(position=arrow)
    assert column(page, "sw") == sorted(column(page, "sw"))
    button.click(position=arrow)
    assert names(page) == first
    assert "#" not in page.url


def test_filters_of_rows_and_columns_live_in_the_address(open_page):
    page = open_page(MIRACL)
    every = names(page)
    assert len(every) > 30
    page.get_by_label("Family").select_option("bm25")
    rows = ["BM25 (Lucene)"]  # two versions of Pyserini and a paper are one row
    assert names(page) == rows
    page.get_by_label("Script").select_option("Arabic")
    assert page.locator(".ranking thead th:visible").all_inner_texts()[2:] == ["ar", "fa"]
    assert page.locator("td.average .rank").inner_text() == "1"  # ranks are those of the rows shown
    mean = page.locator("td.average")
    ar, fa = (column(page, code)[0] for code in ("ar", "fa"))
    assert float(mean.get_attribute("data-v")) == pytest.approx((ar + fa) / 2, abs=2e-6)
    assert page.locator("thead th.average").inner_text().split() == ["Mean", "of", "2", "shown"]
    assert page.locator(".state").inner_text().startswith("1 of 227 rows, 2 of 18 languages")
    shared = open_page(MIRACL + "#" + page.url.split("#")[1])
    assert names(shared) == rows
    assert shared.get_by_label("Script").input_value() == "Arabic"
    other = shared.get_by_role("link", name="Recall@100").get_attribute("href")
    assert "family=bm25" in other
    page.get_by_role("button", name="Reset").click()
    page.wait_for_function("!location.hash")
    assert names(page) == every


def test_a_hostile_address_changes_nothing(open_page):
    assert open_page(MIRACL + "#q=%3Cimg%3E").locator("img").count() == 0
    page = open_page(MIRACL + "#sort=%3Cscript%3E&family=none&langs=xx&show=zz")
    assert len(names(page)) > 30
    assert "family “none”" in page.locator(".state").inner_text()
    assert "language “xx”" in page.locator(".state").inner_text()
    assert page.locator("thead th[aria-sort]").count() == 0


def test_an_anchor_keeps_the_view_and_language_filters_drop_empty_rows(open_page):
    page = open_page(MIRACL + "#kind=sparse")
    shown = names(page)
    page.evaluate("location.hash = '#main'")
    page.wait_for_function("location.hash === '#kind=sparse'")
    assert names(page) == shown
    page = open_page(MIRACL + "#langs=sw")
    scores = column(page, "sw")
    assert scores == sorted(scores, reverse=True)
    assert page.locator("tbody tr:not(.group) td:nth-child(17)", has_text="–").count() == 0


def test_two_ticked_systems_are_compared(open_page):
    page = open_page(MIRACL)
    for box in page.locator(".tick").all()[:4]:
        box.check()
    page.get_by_role("button", name="Compare selected").click()
    page.wait_for_url("**/compare/several.html#s=*")
    assert page.locator("#drawn thead th").count() == 5
    assert "cannot be tested" in page.locator("#said").inner_text()


def test_the_start_page_answers_a_question_and_keeps_it_in_the_address(open_page):
    page = open_page("index.html#lang=th&size=300&licence=free")
    page.locator("#answer table").wait_for()
    assert page.locator("#answer .answer").inner_text().startswith("In Thai: multilingual-e5-base 0.753")
    page.get_by_label("Training data").select_option("declared not")
    page.wait_for_function("location.hash.includes('training=declared+not')")
    assert "trained on MIRACL" not in page.locator("#answer td.left").all_inner_texts()


def test_the_plot_has_a_front(open_page):
    page = open_page("miracl/plot.html#y=sw&x=d")
    page.locator("#drawn svg .front").wait_for()
    assert "Pareto front" in page.locator("#said").inner_text()


@pytest.mark.parametrize("kind", ["csv", "json", "tex", "md"])
def test_the_view_is_downloaded_as_it_is_shown(open_page, kind):
    page = open_page(MIRACL + "#family=bm25&langs=fa,sw&sort=fa")
    with page.expect_download() as waiting:
        page.locator(f".downloads a[data-kind={kind}]").click()
    assert waiting.value.suggested_filename == f"ndcg-10-view.{kind}"
    text = Path(waiting.value.path()).read_text(encoding="utf-8")
    if kind == "csv":
        rows = list(csv.DictReader(text.splitlines()))
        assert [(row["system"], row["source"], row["fa"]) for row in rows] == [("BM25 (Lucene)", "Pyserini", "0.3568")]
        assert list(rows[0])[-2:] == ["fa", "sw"]
    elif kind == "json":
        assert [row["scores"]["fa"] for row in json.loads(text)["systems"]] == [0.3568]
    else:
        assert (r"\textbf{.357}" if kind == "tex" else "**0.357**") in text


def test_intervals_and_submissions_are_shown(open_page):
    page = open_page("sample/index.html")
    assert not page.locator("td .interval").first.is_visible()
    page.get_by_label("interval").check()
    assert page.locator("td .interval").first.is_visible()
    assert "show=rank%2Cinterval%2Cheat" in page.url
    row = page.locator("tr", has_text="theirs <b>")
    assert row.locator(".tag").inner_text() == "submitted"
    assert row.locator("td.average").inner_text().split() == ["0.500", "of", "2", "only"]


def test_search_finds_systems_and_languages_by_keyboard(open_page):
    page = open_page(MIRACL)
    page.keyboard.press("/")
    page.keyboard.type("boosted")
    options = page.locator("#found [role=option]")
    options.nth(3).wait_for()
    page.keyboard.press("ArrowDown")
    assert page.locator("#search").get_attribute("aria-activedescendant") == "found-0"
    page.keyboard.press("Enter")
    page.wait_for_url("**/systems/*.html")
    page.locator("#search").fill("multilingal-e5")  # a typo
    options.first.wait_for()
    assert "multilingual-e5" in options.first.inner_text()
    page.locator("#search").fill("holm")
    assert "Holm" in options.first.inner_text()
    page.locator("#search").fill("kiswah")
    assert "Swahili" in options.first.inner_text()
    page.locator("#search").fill("no such thing")
    assert options.all_inner_texts() == ["Nothing of that name"]


def test_a_hundred_systems_are_sorted_and_filtered_at_once(open_page):
    page = open_page(MANY)
    assert len(names(page)) == 60
    page.get_by_role("button", name="Show all 100 rows").click()
    assert len(names(page)) == 100
    took = page.evaluate(
        """() => { const from = performance.now();
        document.querySelector("th[data-key=sw] .sort").click(); document.body.offsetHeight;
        const box = document.querySelector("[name=script]"); box.value = "Latin";
        box.dispatchEvent(new Event("input", { bubbles: true }));
        document.body.offsetHeight; return performance.now() - from; }"""
    )
    assert took < 1000


def test_without_scripts_the_table_is_whole_and_its_switches_work(open_page):
    page = open_page("sample/index.html", java_script_enabled=False)
    assert page.locator(".ranking tbody tr:not(.group):not(.variant)").count() == 2
    assert not page.locator(".filters").is_visible()
    assert not page.locator(".search").is_visible()
    page.get_by_label("interval").check()
    assert page.locator("td .interval").first.is_visible()
    page.get_by_role("link", name="Recall@100").click()
    assert "Recall@100" in page.title()
    assert page.get_by_role("link", name="CSV").get_attribute("href") == "../sample/recall-100.csv"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_colour_schemes_follow_the_system(open_page, scheme):
    page = open_page(MIRACL, color_scheme=scheme)
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    light = sum(map(int, re.findall(r"\d+", paper))) > 380
    assert light == (scheme == "light")


def kinds(folder: Path) -> list[str]:
    """One page of each kind: the first of each folder's shape, dev and other splits alike."""
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*.html")):
        address = path.relative_to(folder).as_posix()
        parts = address.split("/")
        place = next((p for p in parts if p in ("systems", "languages", "compare", "ablations", "docs")), None)
        if place:
            kind = f"{place}/{parts[-1] == 'index.html'}" + f" {parts[0]}" * (place == "systems")
        elif len(parts) == 1:
            kind = "start" if address == "index.html" else "document"
        else:
            kind = f"board {parts[0]}"
        found.setdefault(kind, address)
    return list(found.values())


def test_every_kind_of_page_fits_a_phone(open_page, built):
    for address in kinds(built):
        page = open_page(address, width=360, height=740)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 360, f"{address} is {wide} wide"
        page.context.close()


def test_axe_finds_nothing_serious_on_any_kind_of_page(open_page, built):
    serious = {}
    for address in kinds(built):
        page = open_page(address, color_scheme="light")
        serious[address] = axe_violations(page)
        page.emulate_media(color_scheme="dark")
        serious[f"{address} in the dark"] = axe_violations(page, ["color-contrast"])  # all else is the same as in light
        page.context.close()  # open pages take memory
    assert not any(serious.values()), serious


def test_pages_parse_strictly_and_every_page_is_small(built):
    import gzip

    import html5lib

    of_each_kind = {built / address for address in kinds(built)}
    for number, path in enumerate(sorted(built.rglob("*.html"))):
        data = path.read_bytes()
        assert b"&lt;!--" not in data, f"{path} shows a comment"
        assert len(data) < 500_000 or len(gzip.compress(data)) < 500_000, path
        if path not in of_each_kind and number % 8:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parser = html5lib.HTMLParser(strict=False)
            parser.parse(data, transport_encoding="utf-8")
        assert not parser.errors, f"{path}: {parser.errors[:3]}"


TAG, LINK = re.compile(r"<[a-z][^<>]*>"), re.compile(r"""\s(id|href|src)=(?:"([^"]*)"|([^\s">]+))""")


def test_every_internal_link_leads_somewhere(built):
    ids, links = {}, {}
    for path in built.rglob("*.html"):
        tags = TAG.findall(path.read_text(encoding="utf-8"))
        found = {(kind, unescape(quoted or bare)) for tag in tags for kind, quoted, bare in LINK.findall(tag)}
        ids[path.resolve()] = {value for kind, value in found if kind == "id"}
        links[path] = {value for kind, value in found if kind != "id"}
    assert sum(map(len, links.values())) > 10_000
    broken = []
    for path, addresses in links.items():
        for link in addresses:
            if not link or "://" in link or link.startswith("data:"):
                continue
            file, _, anchor = link.partition("#")
            target = (path.parent / file.split("?")[0]).resolve() if file else path.resolve()
            if not target.exists() or (anchor and "=" not in anchor and target in ids and anchor not in ids[target]):
                broken.append(f"{path.relative_to(built)}: {link}")
    assert broken == []
