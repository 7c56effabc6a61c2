"""Ask a built site ten questions of a reader in Chromium, and measure pages and interactions.

    python benchmarks/questions.py SITE [--leaderboard miracl/index.html] [--weights-only]

First the weight of the start page and of a leaderboard, and how long the leaderboard takes to filter, sort and tick.
Then for each question the actions of the reader (a click, a choice in a list, a text typed) and the seconds until the
answer is on the page, without the time that a reader needs to read and to move the pointer.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from playwright.sync_api import sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


class Reader:
    """Acts on a page and counts the actions."""

    def __init__(self, page: Any):
        self.page, self.actions = page, 0

    def click(self, selector: str, text: str | None = None) -> None:
        self.actions += 1
        self.page.locator(selector, has_text=text).first.click()

    def choose(self, selector: str, value: str) -> None:
        self.actions += 1
        self.page.locator(selector).select_option(value)

    def type(self, selector: str, text: str) -> None:
        self.actions += 1
        self.page.locator(selector).fill(text)

    def tick(self, selector: str) -> None:
        self.actions += 1
        self.page.locator(selector).check()

    def read(self, selector: str, text: str = "") -> str:
        """Wait for an answer and return it in one line."""
        found = self.page.locator(selector, has_text=text).first
        found.wait_for(timeout=20_000)
        return " ".join(str(found.inner_text()).split())


def small_free_swahili(r: Reader) -> str:
    r.choose("[name=size]", "300")
    r.choose("[name=licence]", "free")
    return r.read("#answer .answer", "In Swahili")


def zero_shot_on_average(r: Reader) -> str:
    r.choose("[name=lang]", "average")
    r.choose("[name=training]", "declared not")
    return r.read("#answer .answer", "On average")


def is_it_real(r: Reader) -> str:
    r.choose("[name=on]", "wiki16/")
    r.choose("[name=lang]", "te")
    return r.read("#answer .quiet", "The first is")


def boosted_against_naive(r: Reader) -> str:
    r.click("table a", "miracl")
    r.type("[name=q]", "mdpr +")
    r.read("table.ranking tbody tr:not(.group):visible", "mDPR + boosted")
    rows = r.page.locator("table.ranking tbody tr:not(.group):visible").evaluate_all(
        "rows => rows.map(row => [row.querySelector('th a').textContent.trim(),"
        " row.querySelector('td.average').firstChild.textContent.trim()])"
    )
    return ", ".join(" ".join(row) for row in rows if "boosted" in row[0] or "Naive-Top-K" in row[0])


def source_of_a_figure(r: Reader) -> str:
    r.click(".strip-of-languages a", "Swahili")
    r.click("table th a")
    return r.read("h2:has-text('Sources') + ul li")


def add_my_model(r: Reader) -> str:
    r.click("footer a", "how to add your model")
    return r.read("pre code")


def wrong_figures(r: Reader) -> str:
    r.click("header nav a", "Audit")
    return r.read("main .lead, main p")


def what_letters_mean(r: Reader) -> str:
    r.type("#search", "leters")
    r.click("#found [data-path]")
    return r.read("h2#significance-letters + p")


def what_moved(r: Reader) -> str:
    r.click("header nav a", "What moved")
    return r.read("section.version li")


def in_my_paper(r: Reader) -> str:
    r.click("table a", "wiki16")
    r.actions += 1  # the click on the link; Chromium opens no download from the disk
    address = r.page.locator(".downloads a[data-kind=tex]").get_attribute("href")
    file = Path(r.page.url.partition("#")[0].removeprefix("file://")).parent / str(address)
    return file.read_text(encoding="utf-8").splitlines()[0]


QUESTIONS: dict[str, Callable[[Reader], str]] = {
    "Which retriever under 300 M with a free licence is best for Swahili?": small_free_swahili,
    "Which zero-shot system is best on average?": zero_shot_on_average,
    "Is the best system for Telugu on wiki16 really better than the second?": is_it_real,
    "Does the boosted mDPR beat the naive one on average?": boosted_against_naive,
    "Where does the best figure for Swahili come from?": source_of_a_figure,
    "How do I add my model?": add_my_model,
    "Which published figures are wrong?": wrong_figures,
    "What do the letters mean? (searched as “leters”)": what_letters_mean,
    "What moved since the last version?": what_moved,
    "How do I put the leaderboard into my paper?": in_my_paper,
}

INTERACTIONS = {
    "filter by name": "f.elements.q.value = f.elements.q.value ? '' : '9'; input(f.elements.q)",
    "filter by a property": "const s = f.querySelector('select'); s.selectedIndex = 1 - s.selectedIndex; input(s)",
    "hide or show a language": "f.querySelectorAll('[name=lang]')[3].click()",
    "sort by a language": "[...document.querySelectorAll('.ranking .sort')].at(-5).click()",
    "add or remove a column": "(document.getElementById('show-time') ?? document.getElementById('show-size')).click()",
    "show or hide ranks": "document.getElementById('show-rank').click()",
    "show or hide colours": "document.getElementById('show-heat').click()",
    "tick a system to compare": "document.querySelectorAll('.tick')[3].click()",
}
"""Interaction -> script; ``f`` is the form of filters."""

INTERACT = """async (script) => {
  const input = (field) => field.dispatchEvent(new Event('input', { bubbles: true }));
  const act = new Function('f', 'input', script), form = document.querySelector('.filters');
  await new Promise((done) => setTimeout(done, 100));
  performance.mark('interaction begins');
  const start = performance.now();
  act(form, input);
  await new Promise((done) => requestAnimationFrame(() => {
    const channel = new MessageChannel();  // its message is handled after the frame
    channel.port1.onmessage = done;
    channel.port2.postMessage(0);
  }));
  performance.mark('interaction is shown');
  return performance.now() - start;
}"""


def interact(browser: Any, page: Any, script: str) -> tuple[float, float]:
    """Act on the page; return milliseconds until the next frame is ready, and those of the processor in it.

    The second is the time of the page's main thread alone, so it hardly depends on what else the machine does.
    """
    browser.start_tracing(page=page, categories=["devtools.timeline", "blink.user_timing", "toplevel"])
    took = page.evaluate(INTERACT, script)
    events = json.loads(browser.stop_tracing())["traceEvents"]
    marks = {event["name"]: event for event in events if event["name"].startswith("interaction ")}
    begin, end = marks["interaction begins"], marks["interaction is shown"]
    thread = [event for event in events if (event["pid"], event["tid"]) == (begin["pid"], begin["tid"])]
    tasks = [
        task for task in thread
        if task["name"].endswith("::RunTask") and "dur" in task
        and task["ts"] < end["ts"] and task["ts"] + task["dur"] > begin["ts"]
    ]  # fmt: skip
    return took, sum(task.get("tdur", 0) for task in tasks) / 1000


def ask(browser: Any, site: Path) -> None:
    """Print the table of questions."""
    print("| question | actions | seconds | answer |\n|---|---|---|---|")
    for question, answer in QUESTIONS.items():
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto((site / "index.html").resolve().as_uri())
        page.wait_for_load_state()
        reader, started = Reader(page), time.perf_counter()
        try:
            found = answer(reader)
        except Exception as error:
            found = f"NO ANSWER: {str(error).splitlines()[0]}"
        print(f"| {question} | {reader.actions} | {time.perf_counter() - started:.1f} | {found[:150]} |", flush=True)
        page.close()


def time_interactions(browser: Any, page: Any, repeats: int = 5) -> None:
    """Print how long each interaction takes: with the first rows shown, and with all of them."""
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; medians of {repeats}")
    print("| interaction | first rows: ms | of it processor | all rows: ms | of it processor |\n|---|---|---|---|---|")
    for_all = browser.new_page(viewport=page.viewport_size)
    for_all.goto(page.url)
    more = for_all.locator(".more button")
    for_all.locator(".ranking[aria-busy=false]").wait_for()
    if more.is_visible():
        more.click()
    for name, script in INTERACTIONS.items():
        cells = []
        for shown in (page, for_all):
            shown.locator(".ranking[aria-busy=false]").wait_for()
            times = []
            for _ in range(repeats):
                times.append(interact(browser, shown, script))
                shown.locator(".ranking[aria-busy=false]").wait_for()
            cells += [f"{median(column):.0f}" for column in zip(*times, strict=True)]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    for_all.close()


def weigh(browser: Any, site: Path, leaderboard: str) -> None:
    """Print what the start page and a leaderboard weigh, and how long interactions take."""
    for address in ("index.html", leaderboard):
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        asked: list[str] = []
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        started = time.perf_counter()
        page.goto((site / address).resolve().as_uri())
        page.wait_for_load_state()
        files = {Path(url.partition("#")[0].removeprefix("file://")) for url in asked if url.startswith("file://")}
        weight = sum(len(gzip.compress(file.read_bytes())) for file in files if file.is_file())
        rows = (site / address).read_text(encoding="utf-8").count(" data-origin=")
        print(f"{address}: {weight / 1e3:.0f} kB compressed in {len(files)} files, {rows} rows, "
              f"loaded in {time.perf_counter() - started:.2f} s")  # fmt: skip
        if rows:
            time_interactions(browser, page)
        page.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("site", type=Path)
    parser.add_argument("--leaderboard", default="miracl/index.html")
    parser.add_argument("--weights-only", action="store_true", help="ask no question")
    options = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        weigh(browser, options.site, options.leaderboard)
        if not options.weights_only:
            ask(browser, options.site)
        browser.close()


if __name__ == "__main__":
    main()
