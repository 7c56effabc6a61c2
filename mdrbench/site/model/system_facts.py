"""What the page of a system shows besides its scores: costs, training groups, domains, conventions, files."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISREG
from typing import Any, NamedTuple

from mdrbench.core.errors import DataError
from mdrbench.results import File, LanguageResult, Result, StepRecord
from mdrbench.site.model.board import Entry

ORDER = (
    *("corpus", "topics", "index", "structure", "search", "draw", "positives", "pair", "mine", "judge", "generate"),
    *("top_up", "label", "train", "fuse", "evaluate", "average"),
)
"""Stages in the order in which they run."""
TRAINING = "all languages together"
"""The scope of the steps that train."""


@dataclass
class StageCost:
    """All steps of one stage: each artifact counts once, however many languages share it."""

    stage: str
    seconds: float = 0.0
    peak: int = 0
    steps: int = 0
    by_scope: dict[str, StepRecord] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The stage alone."""
        return self.stage.rpartition("/")[2]

    @property
    def of(self) -> str:
        """What the stage is part of, where several steps of the result are of one stage."""
        return self.stage.rpartition("/")[0].replace("groups", "training groups", 1).replace("/", ", ")


class Cost(NamedTuple):
    """What a result took to compute; seconds are those of the machines that really computed each step."""

    stages: list[StageCost]
    seconds: float
    peak: int
    steps: int
    slowest: float
    whole_process: bool
    environments: list[tuple[str, dict[str, Any]]]


def cost(result: Result) -> Cost | None:
    """The cost of all steps by stage, in the order in which they ran; None where none is recorded."""
    stages: dict[str, StageCost] = {}
    seen: set[str] = set()
    for scope, steps in _scopes(result):
        for stage, step in steps.items():
            one = stages.setdefault(stage, StageCost(stage))
            one.by_scope[scope] = step
            if step.key not in seen:
                seen.add(step.key)
                one.seconds += step.seconds
                one.peak = max(one.peak, step.peak_bytes)
                one.steps += 1
    if not stages:
        return None
    rows = sorted((one for one in stages.values() if one.steps), key=lambda one: _order(one.stage))
    return Cost(
        stages=rows,
        seconds=sum(one.seconds for one in rows),
        peak=max(one.peak for one in rows),
        steps=len(seen),
        slowest=max(one.seconds for one in rows),
        whole_process=any(step.peak_of == "process" for one in rows for step in one.by_scope.values()),
        environments=list(result.environments.items()),
    )


def _scopes(result: Result) -> Iterable[tuple[str, dict[str, StepRecord]]]:
    """Scope and its steps; those of a training once, not for each language."""
    trained = {step.key for training in result.trainings.values() for step in training.steps.values()}
    for training in result.trainings.values():
        yield TRAINING, training.steps
    for lang in result.language_codes():
        yield lang, {stage: step for stage, step in result.languages[lang].steps.items() if step.key not in trained}


def _order(stage: str) -> tuple[int, int]:
    """Where a stage stands: what all need, what makes groups, training, what evaluates; unknown ones last."""
    if stage in ORDER[:2]:
        return 0, ORDER.index(stage)
    name = stage.rpartition("/")[2]
    place = ORDER.index(name) if name in ORDER else len(ORDER)
    return (1 if stage.startswith("groups/") else 3 if name in ("label", "train") else 4), place


def groups_of_equal(languages: Iterable[tuple[str, Any]]) -> list[tuple[list[str], Any]]:
    """Languages that have the same value, together, in the order of the first."""
    found: dict[str, tuple[list[str], Any]] = {}
    for lang, value in languages:
        found.setdefault(json.dumps(value, sort_keys=True, default=str), ([], value))[0].append(lang)
    return list(found.values())


def conventions(result: Result) -> tuple[dict[str, Any], list[tuple[list[str], dict[str, Any]]]]:
    """What holds for all languages, and what does not, for each group of languages that share it."""
    by_lang = {lang: result.languages[lang].conventions for lang in result.language_codes()}
    first = next(iter(by_lang.values()), {})
    shared = {
        key: value for key, value in first.items() if all(key in one and one[key] == value for one in by_lang.values())
    }
    rest = [(lang, {k: v for k, v in one.items() if k not in shared}) for lang, one in by_lang.items()]
    return shared, [(langs, values) for langs, values in groups_of_equal(rest) if values]


# -- training groups ---------------------------------------------------------------------------------------------------


class Groups(NamedTuple):
    """How one language's training groups were made; None is what no stage of the recipe counts.

    ``kept`` were mined and stayed, ``eliminated`` were mined and taken out by the judge, ``generated`` were added.
    """

    lang: str
    queries: int
    retrieved: int | None
    mined: int
    kept: int
    eliminated: int | None
    generated: int | None
    negatives: int
    short: int | None
    missing: int | None
    grades: dict[str, int]
    unreadable: int | None

    @property
    def share(self) -> float | None:
        """What the judge eliminated of what was mined."""
        return self.eliminated / self.mined if self.eliminated is not None and self.mined else None


def groups(result: Result) -> list[Groups]:
    """One row a language whose training groups are counted; malformed counts are a row the less."""
    rows = []
    for lang in result.language_codes():
        stages = result.languages[lang].negatives
        if stages and (row := _groups(lang, stages)):
            rows.append(row)
    return rows


def _groups(lang: str, stages: dict[str, dict[str, Any]]) -> Groups | None:
    mine, judge, top_up = (stages.get(name, {}) for name in ("mine", "judge", "top_up"))
    final = top_up or judge or mine or stages.get("pair", {})
    queries, negatives = _count(final, "queries"), _count(final, "negatives")
    if queries is None or negatives is None:
        return None
    generated, eliminated = _count(top_up, "generated"), _count(judge, "eliminated")
    mined = _count(judge, "candidates") or _count(mine, "negatives") or 0
    grades = judge.get("grades", {})
    return Groups(
        lang=lang,
        queries=queries,
        retrieved=_count(mine, "retrieved"),
        mined=mined,
        kept=max(0, negatives - (generated or 0)),
        eliminated=eliminated,
        generated=generated,
        negatives=negatives,
        short=_count(final, "short"),
        missing=_count(final, "missing"),
        grades={grade: n for grade in ("0", "1", "2") if (n := _count(grades, grade)) is not None},
        unreadable=_count(judge, "unreadable"),
    )


def _count(counts: Any, name: str) -> int | None:
    value = counts.get(name) if isinstance(counts, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


ASKED = ("judged", "requests", "stored", "failed", "input_tokens", "output_tokens", "cost", "stored_cost")
"""What judges and generators say that they took."""


def asked(result: Result) -> list[tuple[str, dict[str, float]]]:
    """What judge and generator were asked, over all languages: ``judge``, ``generator`` -> totals."""
    totals: dict[str, dict[str, float]] = {}
    for lang in result.language_codes():
        for facts in (result.languages[lang].negatives or {}).values():
            for member in ("judge", "generator"):
                said = facts.get(member)
                for name in ASKED if isinstance(said, dict) else ():
                    value = said.get(name)
                    if isinstance(value, int | float) and not isinstance(value, bool):
                        total = totals.setdefault(member, {})
                        total[name] = total.get(name, 0) + value
    return list(totals.items())


def domains(facts: dict[str, Any] | None) -> tuple[list[str], dict[str, dict[str, int]]] | None:
    """Domains, most frequent first, and language -> domain -> queries; None where nothing was labelled."""
    found = facts.get("distribution") if isinstance(facts, dict) else None
    if not isinstance(found, dict):
        return None
    rows = {
        str(lang): {str(name): n for name in counts if (n := _count(counts, name))}
        for lang, counts in found.items()
        if isinstance(counts, dict)
    }
    totals: dict[str, int] = {}
    for counts in rows.values():
        for name, n in counts.items():
            totals[name] = totals.get(name, 0) + n
    return (sorted(totals, key=lambda name: (-totals[name], name)), rows) if totals else None


# -- files -------------------------------------------------------------------------------------------------------------


def read_log(entry: Entry, file: File) -> list[dict[str, Any]] | None:
    """The lines of a training's log, None where it was not copied along.

    Raises:
        DataError: it is no log.
    """
    path = entry.path.parent / file.path
    if not path.is_file():
        return None
    try:
        lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).decode("utf-8").splitlines()]
        numbers = [(line["step"], line["loss"]) for line in lines if line["kind"] in ("train", "validation")]
        if not all(isinstance(value, int | float) for pair in numbers for value in pair):
            raise ValueError("a step or a loss is no number")
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"is no log of a training: {error!r}", where=str(path), mend="run the recipe again") from None
    return lines


def plain_file(path: Path, home: Path, inside: dict[Path, bool]) -> int | None:
    """The size of a plain file in ``home`` or a folder of it; None where there is none, or one that lies elsewhere.

    ``inside`` keeps what was found of each folder.
    """
    folder = path.parent
    if folder not in inside:
        inside[folder] = folder.resolve().is_relative_to(home.resolve())
    try:
        stat = os.lstat(path)
    except OSError:
        return None
    return stat.st_size if inside[folder] and S_ISREG(stat.st_mode) else None


def kept_files(entry: Entry) -> list[tuple[str, str, File]]:
    """Language (or ``training``), kind and record of every file that the result keeps."""
    result = entry.result
    found = [
        (lang, kind, file) for lang in result.language_codes() for kind, file in result.languages[lang].files.items()
    ]
    return found + [("training", "log", one.log) for one in result.trainings.values() if one.log]


def commands(result: Result) -> list[tuple[list[str], str]]:
    """The commands that recorded the languages, each with its languages."""
    found = [(lang, result.languages[lang].command) for lang in result.language_codes()]
    return groups_of_equal((lang, command) for lang, command in found if command)


def languages_of(result: Result) -> list[tuple[str, LanguageResult]]:
    """Languages and their results in the order of every table."""
    return [(lang, result.languages[lang]) for lang in result.language_codes()]
