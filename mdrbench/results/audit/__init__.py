"""The audit of published figures: contradictions between them, and figures that cannot be compared.

A low score is no finding. A finding says that two statements cannot both be true, or that two figures must not stand
in one ranking, and gives the figures, their settings and the reason.
"""

from __future__ import annotations

from pathlib import Path

from mdrbench.results.audit import groups, printed, sources
from mdrbench.results.audit.findings import Finding
from mdrbench.results.audit.pools import pool_findings
from mdrbench.results.audit.rows import PublishedRow, read_rows


def audit(root: Path) -> list[Finding]:
    """Audit every published figure under a results folder; errors come first, then by rule, system and language.

    Raises:
        DataError: a published file is not of its schema.
    """
    return audit_rows(read_rows(root))


def audit_rows(rows: list[PublishedRow]) -> list[Finding]:
    """Audit rows that are read already."""
    findings = [
        *pool_findings(rows),
        *printed.findings(rows),
        *sources.findings(rows),
        *groups.findings(rows),
    ]
    return sorted(findings, key=Finding.order)
