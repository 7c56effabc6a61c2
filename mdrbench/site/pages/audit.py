"""The audit of published figures: which cannot be right, which must not be compared, and why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from mdrbench.results.audit.findings import KINDS, Finding, Kind
from mdrbench.results.audit.rules import RULES
from mdrbench.site.model.collection import published_page, slug
from mdrbench.site.model.site_model import SiteModel
from mdrbench.site.pages.page import Page

KIND_WORDS = {
    "error": "The figures contradict each other, so at least one is wrong. The suspect is never ranked.",
    "not comparable": "The figures must not stand in one ranking.",
    "disagreement": "Sources differ, and their settings may explain it. All figures are shown.",
    "note": "A mark for readers. Nothing is wrong.",
}


class RuleFindings(NamedTuple):
    """The findings of one rule; ``anchor`` is its place on the page."""

    rule: str
    kind: str
    words: str
    anchor: str
    findings: list[tuple[Finding, str | None]]


def pages(model: SiteModel) -> Iterator[Page]:
    """Yield the page, if there is anything to tell."""
    if not model.marks.findings:
        return
    identities = {
        entry.result.system.name: name for name, system in model.published.items() for _, entry in system.rows
    }
    by_rule: dict[tuple[Kind, str], list[tuple[Finding, str | None]]] = {}
    for finding in model.marks.findings:
        identity = finding.system if finding.system in model.published else identities.get(finding.system)
        address = published_page(identity) if identity else None
        by_rule.setdefault((finding.kind, finding.rule), []).append((finding, address))
    rules = [
        RuleFindings(rule, kind, RULES.get(rule, ""), slug(rule), found)
        for (kind, rule), found in sorted(by_rule.items(), key=lambda item: KINDS.index(item[0][0]))
    ]
    context = {"rules": rules, "kinds": KIND_WORDS, "suspects": len(model.marks.wrong)}
    yield Page("audit.html", "audit.html", "Audit of published figures", context, "audit")
