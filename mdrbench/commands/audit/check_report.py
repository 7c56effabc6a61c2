"""What a check found, and how it is told: JUnit's XML, annotations of GitHub Actions, Markdown."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any
from xml.etree import ElementTree

from mdrbench.core.errors import DataError, UsageError, did_you_mean
from mdrbench.evaluation import measures
from mdrbench.evaluation.statistics import PROTOCOL

TOLERANCE = 0.001
"""What a score may differ by, unless told otherwise."""

CHANGEABLE = ("recipe", "conventions", "data")
"""What may be declared changed; the way of scoring (depth, ties, denominator, pool) may not."""

REGRESSION = 6
"""Exit code of a check that found a drop or something gone; other failures end with the code of wrong data, 3."""


@dataclass(frozen=True)
class Settings:
    """How strict to be. ``tolerances`` holds the measures with a tolerance of their own; no ``langs`` means all."""

    tolerance: float = TOLERANCE
    tolerances: dict[str, float] = field(default_factory=dict)
    statistical: bool = False
    alpha: float = PROTOCOL.level
    allowed: frozenset[str] = frozenset()
    langs: frozenset[str] = frozenset()

    def tolerated(self, measure: str) -> float:
        """The tolerance of a measure."""
        return self.tolerances.get(measure, self.tolerance)


@dataclass(frozen=True)
class Row:
    """One score beside its reference. ``p`` is Holm-corrected; ``lang`` is the label where it is an average.

    ``verdict``: same, drop, drop?, rise, rise?, gone, new or unlike; ``?`` marks what the paired test did not confirm.
    """

    result: str
    lang: str
    measure: str
    before: float | None
    now: float | None
    verdict: str
    p: float | None = None

    @property
    def difference(self) -> float | None:
        """Now less before."""
        return None if self.before is None or self.now is None else self.now - self.before


@dataclass(frozen=True)
class Finding:
    """What a reader must know. ``severity``: failure, warning or notice; ``kind``: drop, gone, unlike, damaged,
    untestable, rise, unconfirmed, changed or new."""

    severity: str
    kind: str
    result: str
    file: str
    message: str
    mend: str = ""
    lang: str | None = None
    measure: str | None = None


@dataclass
class Report:
    """All rows and findings of a check."""

    against: str
    settings: Settings
    rows: list[Row] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def of(self, severity: str) -> list[Finding]:
        """The findings of one severity."""
        return [finding for finding in self.findings if finding.severity == severity]

    @property
    def exit_code(self) -> int:
        """0 without failures, 6 where a score dropped or something is gone, else 3."""
        kinds = {finding.kind for finding in self.of("failure")}
        return REGRESSION if kinds & {"drop", "gone"} else DataError.exit_code if kinds else 0

    def summary(self) -> str:
        """One sentence."""
        counts = {verdict: sum(row.verdict == verdict for row in self.rows) for verdict in VERDICTS}
        told = ", ".join(f"{n} {VERDICTS[verdict]}" for verdict, n in counts.items() if n)
        fails, warns = len(self.of("failure")), len(self.of("warning"))
        found = len({row.result for row in self.rows})
        return (
            f"{'FAILED' if fails else 'passed'} against {self.against}: {len(self.rows)} scores in {found} "
            f"result{'s' * (found != 1)}: {told or 'none'}; {fails} failure{'s' * (fails != 1)}, "
            f"{warns} warning{'s' * (warns != 1)}"
        )


VERDICTS = {
    "same": "within tolerance",
    "drop": "dropped",
    "drop?": "dropped unconfirmed",
    "rise": "risen",
    "rise?": "risen unconfirmed",
    "gone": "gone",
    "new": "new",
    "unlike": "not compared",
}


def parse_tolerances(texts: list[str]) -> tuple[float, dict[str, float]]:
    """``["0.002", "nDCG@10=0.01"]`` -> the general tolerance and those of single measures."""
    general, single = TOLERANCE, {}
    for text in texts:
        measure, equals, number = text.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not 0 <= value < 1:
            raise UsageError(f"--tolerance {text}: no number from 0 to 1", mend="write 0.001 or nDCG@10=0.001")
        if equals:
            measures.parse_measure(measure)
            single[measure] = value
        else:
            general = value
    return general, single


def parse_allowed(texts: list[str]) -> frozenset[str]:
    """``["recipe,conventions"]`` -> the names; an unknown one is a UsageError."""
    names = [name for text in texts for name in text.replace(",", " ").split()]
    for name in names:
        if name not in CHANGEABLE:
            raise UsageError(f"--allow-changed {name}: unknown", mend=did_you_mean(name, list(CHANGEABLE)))
    return frozenset(names)


def junit(report: Report) -> str:
    """A suite for each result, a case for each score; what is not about one score is a case of its own."""
    suites = ElementTree.Element("testsuites", name="mdrbench check")
    names = dict.fromkeys([*(row.result for row in report.rows), *(found.result for found in report.findings)])
    for name in names:
        suite = ElementTree.SubElement(suites, "testsuite", name=_clean(name))
        findings = [found for found in report.findings if found.result == name]
        for row in (row for row in report.rows if row.result == name):
            case = ElementTree.SubElement(suite, "testcase", classname=_clean(name), name=f"{row.lang} {row.measure}")
            place = (row.lang, row.measure)
            _outcome(case, row.verdict, [f for f in findings if (f.lang, f.measure) == place])
        told = {(row.lang, row.measure) for row in report.rows if row.result == name}
        for found in findings:
            if (found.lang, found.measure) not in told:
                case = ElementTree.SubElement(suite, "testcase", classname=_clean(name), name=_case(found))
                _outcome(case, found.kind, [found])
        suite.set("tests", str(len(suite)))
        suite.set("failures", str(len(suite.findall("testcase/failure"))))
        suite.set("skipped", str(len(suite.findall("testcase/skipped"))))
        suite.set("errors", "0")
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _case(found: Finding) -> str:
    return f"{found.lang or 'result'} {found.kind}"


def _outcome(case: ElementTree.Element, verdict: str, findings: list[Finding]) -> None:
    failures = [found for found in findings if found.severity == "failure"]
    for found in failures[:1]:
        told = "\n".join(_clean(line) for f in failures for line in (f.message, f"mend: {f.mend}" if f.mend else ""))
        failure = ElementTree.SubElement(case, "failure", type=found.kind, message=_clean(found.message))
        failure.text = told.strip()
    if not failures and verdict in ("unlike", "gone"):
        ElementTree.SubElement(case, "skipped", message="not compared: see the failures of the result")
    others = [_clean(f"{found.severity}: {found.message}") for found in findings if found.severity != "failure"]
    if others:
        ElementTree.SubElement(case, "system-out").text = "\n".join(others)


def _clean(text: str) -> str:
    """Without the control characters that XML cannot hold."""
    return re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", "?", text)


def github(report: Report) -> Iterator[str]:
    """Workflow commands of GitHub Actions, one a finding; in the log they show as annotations."""
    commands = {"failure": "error", "warning": "warning", "notice": "notice"}
    for found in report.findings:
        title = " ".join(filter(None, ("mdrbench", found.kind, found.result, found.lang, found.measure)))
        text = f"{found.message}\nmend: {found.mend}" if found.mend else found.message
        place = f"file={_property(found.file)},title={_property(title)}"
        yield f"::{commands[found.severity]} {place}::{_escaped(text)}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")


def markdown(report: Report) -> str:
    """The summary, what was found, and a table of scores and differences for each result."""
    lines = ["## mdrbench check", "", report.summary(), ""]
    if told := [found for found in report.findings if found.severity != "notice"]:
        lines += ["| | result | where | what |", "|---|---|---|---|"]
        for f in told:
            where = " ".join(filter(None, (f.lang, f.measure)))
            lines.append("| " + " | ".join(_cell(text) for text in (f.severity, f.result, where, f.message)) + " |")
        lines.append("")
    for name in dict.fromkeys(row.result for row in report.rows):
        rows = [row for row in report.rows if row.result == name]
        names = list(dict.fromkeys(row.measure for row in rows))
        lines += [f"### {name}", "", "| | " + " | ".join(names) + " |", "|---" + "|---:" * len(names) + "|"]
        for lang in dict.fromkeys(row.lang for row in rows):
            by_measure = {row.measure: row for row in rows if row.lang == lang}
            cells = [score_text(by_measure[m]) if m in by_measure else "" for m in names]
            lines.append(f"| {_cell(lang)} | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def score_text(row: Row) -> str:
    """``0.6770 -0.0120 drop``: the score now, its difference where it is not nought, and any verdict but same."""
    if row.now is None:
        return "gone"
    difference = row.difference
    moved = f" {difference:+.4f}" if difference is not None and abs(difference) >= 0.00005 else ""
    return f"{row.now:.4f}{moved}" + ("" if row.verdict == "same" else f" {row.verdict}")


def as_json(report: Report) -> dict[str, Any]:
    """Everything, for scripts."""
    return {
        "against": report.against,
        "passed": report.exit_code == 0,
        "exit_code": report.exit_code,
        "summary": report.summary(),
        "rows": [asdict(row) | {"difference": row.difference} for row in report.rows],
        "findings": [asdict(found) for found in report.findings],
    }
