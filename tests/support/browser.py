"""Pages in headless Chromium."""

from __future__ import annotations

CHROMIUM_ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)


def axe_violations(page, rules: list[str] | None = None) -> dict[str, str]:
    """What axe calls serious or critical on a page with all its details open: rule -> the first element's HTML.

    ``rules`` are those to try; all of them where it is None.
    """
    from axe_playwright_python.sync_playwright import Axe

    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    found = Axe().run(page, options={"preload": False, **({"runOnly": rules} if rules else {})}).response["violations"]
    return {one["id"]: one["nodes"][0]["html"][:200] for one in found if one["impact"] in ("serious", "critical")}
