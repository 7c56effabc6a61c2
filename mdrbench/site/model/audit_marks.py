"""What the audit of published figures says about each row and cell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from mdrbench.results.audit import audit_rows
from mdrbench.results.audit.findings import Finding, wrong_cells
from mdrbench.results.audit.rows import PublishedRow, as_row
from mdrbench.site.model.collection import Collection, Entry

ROW_RULES = ("pool-not-full", "trained-on-miracl", "training-unknown", "mrr-ties", "same-figures")
"""Rules about whole collections: tables show them as groups, filters and notes, not as marks of cells."""


@dataclass(frozen=True)
class AuditMarks:
    """The findings, and what they mark.

    Attributes:
        wrong: (row id, language) of figures that are probably wrong; they are never ranked.
        disputed: (row id, measure, language) of figures that other figures contradict or disagree with.
        by_row: row id -> findings about the row, without those of :data:`ROW_RULES`.
    """

    findings: list[Finding] = field(default_factory=list)
    wrong: set[tuple[str, str]] = field(default_factory=set)
    disputed: set[tuple[str, str, str]] = field(default_factory=set)
    by_row: dict[str, list[Finding]] = field(default_factory=dict)

    def of(self, entries: Iterable[Entry]) -> list[Finding]:
        """Return the findings about any of these rows, each once."""
        return list(dict.fromkeys(finding for entry in entries for finding in self.by_row.get(entry.row_id, ())))


def audit_marks(collections: Iterable[Collection]) -> AuditMarks:
    """Audit the published rows of all collections."""
    entries = [entry for collection in collections for entry in collection.published]
    findings = audit_rows([_row(entry) for entry in entries])
    disputed = {
        (row, finding.measure, lang)
        for finding in findings
        if finding.kind in ("error", "disagreement")
        for row in finding.rows
        for lang in finding.languages
    }
    by_row: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.rule not in ROW_RULES:
            for row in finding.rows:
                by_row.setdefault(row, []).append(finding)
    return AuditMarks(findings, wrong_cells(findings), disputed, by_row)


def _row(entry: Entry) -> PublishedRow:
    return as_row(entry.result, entry.row_id, entry.source, entry.facts)
