"""The large tables of a system's page, with every cell formatted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from markupsafe import Markup

from mdrbench.results import Cell, DatasetRecord, Result, StepRecord
from mdrbench.site.model.collection import language_name
from mdrbench.site.model.number_format import count, duration, number, size
from mdrbench.site.model.system_facts import Cost


class ScoreRow(NamedTuple):
    """The scores by measure of a language, or of an average (``lang`` is then empty); ``cells`` is HTML."""

    lang: str
    label: str
    cells: Markup


class Fact(NamedTuple):
    """A term, a value that is printed as code, and words about it."""

    term: str
    code: str
    note: str


class LanguageRecord(NamedTuple):
    """The record of one language: a heading, its data, its steps."""

    title: str
    data: list[Fact]
    steps: list[Fact]


def scores(result: Result) -> list[ScoreRow]:
    """Return the averages, then the languages in the order of every table."""
    rows = [("", average.label, average.scores) for average in result.averages]
    rows += [(lang, lang, result.languages[lang].scores) for lang in result.language_codes()]
    measures = result.evaluated.measures
    return [
        ScoreRow(lang, label, Markup("".join(_printed(cells.get(name)) for name in measures)))
        for lang, label, cells in rows
    ]


def _printed(cell: Cell | None) -> str:
    """Write a score and its interval, and draw both on a line from 0 to 1."""
    if cell is None:
        return '<td class="none">–</td>'
    interval = band = ""
    if cell.low is not None and cell.high is not None:
        interval = f'<small class="interval">{number(cell.low)}–{number(cell.high)}</small>'
        band = f'<i style="left:{100 * cell.low:.1f}%;width:{100 * (cell.high - cell.low):.1f}%"></i>'
    place = f'<span class="place" aria-hidden="true">{band}<b style="left:{100 * cell.value:.1f}%"></b></span>'
    return f'<td><span class="score">{number(cell.value)}</span>{interval}{place}</td>'


def records(result: Result) -> list[LanguageRecord]:
    """Return data and steps of every language whose data is recorded."""
    return [
        LanguageRecord(_title(lang, language.dataset), list(_data(language.dataset)), steps(language.steps))
        for lang in result.language_codes()
        if (language := result.languages[lang]).dataset
    ]


def _title(lang: str, data: DatasetRecord) -> str:
    return f"{language_name(lang)}: {count(data.passages)} passages, {count(data.judged_topics)} judged topics"


def _data(data: DatasetRecord) -> Iterator[Fact]:
    for name in ("passages", "topics", "judged_topics", "judgments", "positives"):
        yield Fact(name.replace("_", " "), "", count(getattr(data, name)))
    yield Fact("fingerprint", data.fingerprint, "")
    for warning, times in data.warnings.items():
        yield Fact(warning, "", count(times))
    for name, sha256 in data.files.items():
        yield Fact(name, sha256, "")


def steps(recorded: dict[str, StepRecord]) -> list[Fact]:
    """Return a row for each step: its key, when and where it was computed, and its cost."""
    return [
        Fact(
            stage,
            step.key,
            f"{step.made_at}, {duration(step.seconds)}, {size(step.peak_bytes)} ({step.peak_of}), "
            f"environment {step.environment}",
        )
        for stage, step in recorded.items()
    ]


def durations(cost: Cost, result: Result) -> list[Markup]:
    """Return the cells of each stage's row: its time in each language; a dash if a language has no such step."""
    langs = result.language_codes()
    rows = ([stage.by_scope.get(lang) for lang in langs] for stage in cost.stages)
    absent = '<span class="none">–</span>'
    return [Markup("".join(f"<td>{duration(step.seconds) if step else absent}</td>" for step in row)) for row in rows]
