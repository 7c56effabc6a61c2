"""The large tables of a system's page, with every cell formatted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from mdrbench.results import Cell, DatasetRecord, Result, StepRecord
from mdrbench.site.model.collection import language_name
from mdrbench.site.model.number_format import count, duration, number, size
from mdrbench.site.model.system_facts import Cost


class PrintedScore(NamedTuple):
    """A score, its interval, and CSS that places both on a line from 0 to 1; ``value`` is empty without a score."""

    value: str
    interval: str
    band: str
    tick: str


class ScoreRow(NamedTuple):
    """The scores by measure of a language, or of an average (``lang`` is then empty)."""

    lang: str
    label: str
    scores: list[PrintedScore]


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
    measures = result.evaluated.measures
    rows = [ScoreRow("", a.label, [_printed(a.scores.get(name)) for name in measures]) for a in result.averages]
    for lang in result.language_codes():
        cells = result.languages[lang].scores
        rows.append(ScoreRow(lang, lang, [_printed(cells.get(name)) for name in measures]))
    return rows


def _printed(cell: Cell | None) -> PrintedScore:
    if cell is None:
        return PrintedScore("", "", "", "")
    tick = f"left:{100 * cell.value:.1f}%"
    if cell.low is None or cell.high is None:
        return PrintedScore(number(cell.value), "", "", tick)
    band = f"left:{100 * cell.low:.1f}%;width:{100 * (cell.high - cell.low):.1f}%"
    return PrintedScore(number(cell.value), f"{number(cell.low)}–{number(cell.high)}", band, tick)


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


def durations(cost: Cost, result: Result) -> list[list[str]]:
    """Return the time of each stage in each language, empty if a language has no such step."""
    langs = result.language_codes()
    rows = ([stage.by_scope.get(lang) for lang in langs] for stage in cost.stages)
    return [[duration(step.seconds) if step else "" for step in row] for row in rows]
