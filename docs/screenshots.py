"""The pictures of the README, taken from a site built of the committed results: ``make screenshots``."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from mdrbench import site

PROJECT = Path(__file__).parent.parent
OUT = Path(__file__).parent / "images"
PICTURES = {
    "home": ("index.html#lang=sw", 1280, 900, "light"),
    "home-phone": ("index.html#lang=th&size=300&licence=free", 390, 860, "dark"),
    "language": ("miracl/languages/sw.html", 1280, 760, "light"),
    "plot": ("miracl/plot.html", 1100, 900, "dark"),
    "several": ("miracl/compare/several.html", 1100, 900, "light"),
    "audit": ("audit.html", 1280, 760, "light"),
    "leaderboard": ("miracl/index.html", 1280, 760, "light"),
    "compare": ("sample/compare/bm25--me5-small.html", 1280, 860, "light"),
    "ablation": ("sample/ablations/boosted-sample.html", 1280, 860, "dark"),
    "phone": ("sample/languages/ar.html", 390, 860, "dark"),
}
"""Name -> page, width and height of the window, colour scheme."""


def main() -> None:
    """Build the site in a temporary folder and take every picture."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("no Chromium found; mend: install Debian's `chromium`")
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        start = site.build(PROJECT / "results", Path(folder) / "site", ["sample"])
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, (address, width, height, scheme) in PICTURES.items():
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            place, _, view = address.partition("#")
            page.goto((start.parent / place).resolve().as_uri() + (f"#{view}" if view else ""))
            page.wait_for_timeout(500)  # scripts draw from the data of the collection
            page.screenshot(path=OUT / f"{name}.png")
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
