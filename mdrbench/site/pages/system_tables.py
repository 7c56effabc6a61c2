"""The large tables of a system's page as strings: a template that only prints them is several times as fast."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from mdrbench.core.languages import LANGUAGES, SURPRISE
from mdrbench.results import Cell, LanguageResult, Result, StepRecord, Training
from mdrbench.site.engine.rendering import number
from mdrbench.site.model import units
from mdrbench.site.model.system_facts import Cost

NAMES = {code: language.name for code, language in {**LANGUAGES, **SURPRISE}.items()}
"""English names of languages."""


class Place(NamedTuple):
    """A score as it is printed, its interval, and where both lie on a line from 0 to 1 (CSS); no value for none."""

    value: str
    interval: str
    band: str
    tick: str


class ScoreRow(NamedTuple):
    """The scores of a language, or of an average (``lang`` is then empty), by measure."""

    lang: str
    label: str
    cells: list[Place]


class Line(NamedTuple):
    """A term, a value to be printed as code, and words about it."""

    term: str
    code: str
    note: str


class Recorded(NamedTuple):
    """What is recorded of one language: a heading, its data, its steps."""

    title: str
    data: tuple[Line, ...]
    steps: list[Line]


def scores(result: Result) -> list[ScoreRow]:
    """The averages, then the languages in the order of every table."""
    measures = result.evaluated.measures
    rows = [ScoreRow("", one.label, [_place(one.scores.get(name)) for name in measures]) for one in result.averages]
    for lang in result.language_codes():
        found = result.languages[lang].scores
        rows.append(ScoreRow(lang, lang, [_place(found.get(name)) for name in measures]))
    return rows


def _place(cell: Cell | None) -> Place:
    if cell is None:
        return Place("", "", "", "")
    tick = f"left:{100 * cell.value:.1f}%"
    if cell.low is None or cell.high is None:
        return Place(number(cell.value), "", "", tick)
    band = f"left:{100 * cell.low:.1f}%;width:{100 * (cell.high - cell.low):.1f}%"
    return Place(number(cell.value), f"{number(cell.low)}–{number(cell.high)}", band, tick)


def recorded(result: Result) -> list[Recorded]:
    """Data and steps of every language that has a record of its data."""
    return [
        Recorded(_title(lang, one), tuple(_data(one)), steps(one.steps))
        for lang in result.language_codes()
        if (one := result.languages[lang]).dataset
    ]


def _title(lang: str, one: LanguageResult) -> str:
    passages, topics = units.count(one.dataset.passages), units.count(one.dataset.judged_topics)
    return f"{NAMES.get(lang, lang)}: {passages} passages, {topics} judged topics"


def _data(one: LanguageResult) -> Iterator[Line]:
    data = one.dataset
    for name in ("passages", "topics", "judged_topics", "judgments", "positives"):
        yield Line(name.replace("_", " "), "", units.count(getattr(data, name)))
    yield Line("fingerprint", data.fingerprint, "")
    for flaw, times in data.warnings.items():
        yield Line(flaw, "", units.count(times))
    for name, sha in data.files.items():
        yield Line(name, sha, "")


def steps(found: dict[str, StepRecord]) -> list[Line]:
    """A line a step: its key, when and where it was computed, what it took."""
    return [
        Line(
            stage,
            step.key,
            f"{step.made_at}, {units.duration(step.seconds)}, {units.size(step.peak_bytes)} ({step.peak_of}), "
            f"environment {step.environment}",
        )
        for stage, step in found.items()
    ]


def durations(found: Cost, result: Result) -> list[list[str]]:
    """The time of each stage of a cost in each language, nothing where there was none."""
    langs = result.language_codes()
    steps = ([stage.by_scope.get(lang) for lang in langs] for stage in found.stages)
    return [[units.duration(step.seconds) if step else "" for step in row] for row in steps]


def training_steps(training: Training) -> list[Line]:
    """The same of a training."""
    return steps(training.steps)
