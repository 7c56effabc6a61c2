"""Pages in headless Chromium."""

from __future__ import annotations

CHROMIUM_ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)


def axe_violations(page, rules: list[str] | None = None) -> dict[str, str]:
    """Return what axe finds serious or critical on a page with all details open: rule -> HTML of the first element.

    Long tables keep their first 12 rows: the rest are like them, and axe looks at each for minutes.
    ``rules``: the rules to check; None: all.
    """
    from axe_playwright_python.sync_playwright import Axe

    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    page.evaluate("for (const b of document.querySelectorAll('tbody')) [...b.rows].slice(12).forEach(r => r.remove())")
    options = {"preload": False, "resultTypes": ["violations"], **({"runOnly": rules} if rules else {})}
    found = Axe().run(page, options=options).response["violations"]
    return {one["id"]: one["nodes"][0]["html"][:200] for one in found if one["impact"] in ("serious", "critical")}
