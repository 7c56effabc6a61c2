"""Facts of a result besides its scores: costs, training groups, domains, conventions, files."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from stat import S_ISREG
from typing import Any, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

from mdrbench.core.errors import DataError
from mdrbench.core.languages import ALL
from mdrbench.results import File, LanguageResult, Result, StepRecord
from mdrbench.site.model.collection import Entry

Value = TypeVar("Value")

ORDER = (
    *("corpus", "topics", "canaries", "index", "structure", "search", "draw", "positives", "pair", "mine", "judge"),
    *("unjudged", "generate", "top_up", "label", "train", "fuse", "rerank", "evaluate", "average"),
)
"""Stages in the order in which they run."""
TRAINING = "all languages together"
"""The scope of the steps that train."""


@dataclass
class StageCost:
    """All steps of one stage; an artifact that several languages share counts once."""

    stage: str
    seconds: float = 0.0
    peak: int = 0
    steps: int = 0
    by_scope: dict[str, StepRecord] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The stage without its part of the recipe."""
        return self.stage.rpartition("/")[2]

    @property
    def part(self) -> str:
        """The part of the recipe that the stage belongs to; empty for the recipe itself."""
        return self.stage.rpartition("/")[0].replace("groups", "training groups", 1).replace("/", ", ")


class Cost(NamedTuple):
    """The cost of a result; the seconds were measured on the machines that computed each step."""

    stages: list[StageCost]
    seconds: float
    peak: int
    steps: int
    slowest: float
    whole_process: bool
    environments: list[tuple[str, dict[str, Any]]]


def cost_of(entry: Entry) -> Cost | None:
    """Return :func:`cost` of an entry, computed once."""
    if entry not in _COSTS:
        _COSTS[entry] = cost(entry.result)
    return _COSTS[entry]


_COSTS: WeakKeyDictionary[Entry, Cost | None] = WeakKeyDictionary()


def queries_a_second(entry: Entry) -> float | None:
    """Return how many queries a second the search took, over all languages; None if no search is recorded."""
    searched = [
        language for language in entry.result.languages.values() if language.dataset and "search" in language.steps
    ]
    seconds = sum(language.steps["search"].seconds for language in searched)
    topics = sum(language.dataset.topics for language in searched if language.dataset)
    return topics / seconds if seconds else None


def index_bytes(entry: Entry) -> float | None:
    """Return the bytes on disk of the index, and of its structure, a passage; None if a size is not recorded."""
    size, passages = 0, 0
    for language in entry.result.languages.values():
        own = [step.bytes for name, step in language.steps.items() if name in ("index", "structure")]
        if language.dataset is None or not own or None in own:
            return None
        size += sum(step for step in own if step)
        passages += language.dataset.passages
    return size / passages if passages else None


def cost(result: Result) -> Cost | None:
    """Return the cost of all steps by stage, in the order in which they ran; None if no step is recorded."""
    stages: dict[str, StageCost] = {}
    seen: set[str] = set()
    for scope, steps in _scopes(result):
        for stage, step in steps.items():
            total = stages.setdefault(stage, StageCost(stage))
            total.by_scope[scope] = step
            if step.key not in seen:
                seen.add(step.key)
                total.seconds += step.seconds
                total.peak = max(total.peak, step.peak_bytes)
                total.steps += 1
    if not stages:
        return None
    rows = sorted((row for row in stages.values() if row.steps), key=lambda row: _order(row.stage))
    return Cost(
        stages=rows,
        seconds=sum(row.seconds for row in rows),
        peak=max(row.peak for row in rows),
        steps=len(seen),
        slowest=max(row.seconds for row in rows),
        whole_process=any(step.peak_of == "process" for row in rows for step in row.by_scope.values()),
        environments=list(result.environments.items()),
    )


def _scopes(result: Result) -> Iterable[tuple[str, dict[str, StepRecord]]]:
    """Yield each scope with its steps. The steps of a training have one scope, although each language records them."""
    trained = {step.key for training in result.trainings.values() for step in training.steps.values()}
    for training in result.trainings.values():
        yield TRAINING, training.steps
    for lang in result.language_codes():
        yield lang, {stage: step for stage, step in result.languages[lang].steps.items() if step.key not in trained}


def _order(stage: str) -> tuple[int, int]:
    """Sort stages: corpus and topics, then training groups, training, evaluation; unknown stages come last."""
    if stage in ORDER[:2]:
        return 0, ORDER.index(stage)
    name = stage.rpartition("/")[2]
    place = ORDER.index(name) if name in ORDER else len(ORDER)
    return (1 if stage.startswith("groups/") else 3 if name in ("label", "train") else 4), place


def groups_of_equal(languages: Iterable[tuple[str, Value]]) -> list[tuple[list[str], Value]]:
    """Group languages that have the same value, in the order of their first language."""
    groups: dict[str, tuple[list[str], Value]] = {}
    for lang, value in languages:
        groups.setdefault(json.dumps(value, sort_keys=True, default=str), ([], value))[0].append(lang)
    return list(groups.values())


def conventions(result: Result) -> tuple[dict[str, Any], list[tuple[list[str], dict[str, Any]]]]:
    """Return the conventions of all languages, and the others for each group of languages that share them."""
    by_lang = {lang: result.languages[lang].conventions for lang in result.language_codes()}
    first = next(iter(by_lang.values()), {})
    shared = {
        key: value for key, value in first.items() if all(key in own and own[key] == value for own in by_lang.values())
    }
    rest = [(lang, {k: v for k, v in own.items() if k not in shared}) for lang, own in by_lang.items()]
    return shared, [(langs, values) for langs, values in groups_of_equal(rest) if values]


# -- training groups ---------------------------------------------------------------------------------------------------


class GroupCounts(NamedTuple):
    """Counts of one language's training groups; None if no stage of the recipe counts it.

    Attributes:
        kept: mined negatives that stayed.
        eliminated: mined negatives that the judge removed.
        generated: negatives that generated queries found.
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
        """The share of mined negatives that the judge removed."""
        return self.eliminated / self.mined if self.eliminated is not None and self.mined else None


def groups(result: Result) -> list[GroupCounts]:
    """Return a row for each language whose training groups are counted. Malformed counts have no row."""
    rows = []
    for lang in result.language_codes():
        stages = result.languages[lang].negatives
        if stages and (row := _groups(lang, stages)):
            rows.append(row)
    return rows


def _groups(lang: str, stages: dict[str, dict[str, Any]]) -> GroupCounts | None:
    mine, judge, top_up = (stages.get(name, {}) for name in ("mine", "judge", "top_up"))
    final = top_up or stages.get("unjudged") or judge or mine or stages.get("pair", {})
    queries, negatives = _count(final, "queries"), _count(final, "negatives")
    if queries is None or negatives is None:
        return None
    generated, eliminated = _count(top_up, "generated"), _count(judge, "eliminated")
    mined = _count(judge, "candidates") or _count(mine, "negatives") or 0
    grades = judge.get("grades", {})
    return GroupCounts(
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
"""Counts that judges and generators report."""


def asked(result: Result) -> list[tuple[str, dict[str, float]]]:
    """Return the totals of judge and generator over all languages."""
    totals: dict[str, dict[str, float]] = {}
    for lang in result.language_codes():
        for facts in (result.languages[lang].negatives or {}).values():
            for member in ("judge", "generator"):
                reported = facts.get(member)
                counts: dict[str, Any] = reported if isinstance(reported, dict) else {}
                for name in ASKED:
                    value = counts.get(name)
                    if isinstance(value, int | float) and not isinstance(value, bool):
                        total = totals.setdefault(member, {})
                        total[name] = total.get(name, 0) + value
    return list(totals.items())


def answered_by(result: Result) -> list[str]:
    """Name the models that answered judge and generator, as their endpoints name them."""
    names: dict[str, None] = {}
    for lang in result.language_codes():
        for facts in (result.languages[lang].negatives or {}).values():
            for member in ("judge", "generator"):
                reported = facts.get(member)
                served = reported.get("served") if isinstance(reported, dict) else None
                names |= dict.fromkeys(served if isinstance(served, dict) else ())
    return [str(name) for name in names]


def trial(result: Result) -> str | None:
    """Tell how the trial of the judge ended, such as ``passed in 16 languages``; None if there was none."""
    ends: dict[str, int] = {}
    for lang in result.language_codes():
        canaries = (result.languages[lang].negatives or {}).get("canaries", {})
        outcome = canaries.get("outcome") if isinstance(canaries, dict) else None
        if isinstance(outcome, dict):
            verdict = str(outcome.get("verdict"))
            verdict = "below the threshold" if verdict == "below" else verdict
            ends[verdict] = ends.get(verdict, 0) + 1
    parts = [f"{verdict} in {count} language{'s' * (count > 1)}" for verdict, count in ends.items()]
    return ", ".join(parts) or None


def domains(facts: dict[str, Any] | None) -> tuple[list[str], dict[str, dict[str, int]]] | None:
    """Return the domains, the most frequent first, and language -> domain -> queries; None without labels."""
    distribution = facts.get("distribution") if isinstance(facts, dict) else None
    if not isinstance(distribution, dict):
        return None
    rows = {
        str(lang): {str(name): n for name in counts if (n := _count(counts, name))}
        for lang, counts in distribution.items()
        if isinstance(counts, dict)
    }
    totals: dict[str, int] = {}
    for counts in rows.values():
        for name, n in counts.items():
            totals[name] = totals.get(name, 0) + n
    return (sorted(totals, key=lambda name: (-totals[name], name)), rows) if totals else None


# -- files -------------------------------------------------------------------------------------------------------------


def read_log(entry: Entry, file: File) -> list[dict[str, Any]] | None:
    """Read a training's log; None if the file was not copied along with its result.

    Raises:
        DataError: the file is not a log.
    """
    path = entry.path.parent / file.path
    if not path.is_file():
        return None
    try:
        lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).decode("utf-8").splitlines()]
        numbers = [(line["step"], line["loss"]) for line in lines if line["kind"] in ("train", "validation")]
        if not all(isinstance(value, int | float) for pair in numbers for value in pair):
            raise ValueError("a step or a loss is not a number")
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"not a log of a training: {error!r}", where=str(path), mend="run the recipe again") from None
    return lines


def kept_file_sizes(entry: Entry) -> dict[str, int]:
    """Return the size of each plain file that the result keeps, by its recorded path.

    Files that are absent, are links, or lie outside the result's folder are left out.
    """
    home = entry.path.parent
    inside: dict[str, bool] = {}  # folder -> whether it lies in the result's
    sizes = {}
    for _, _, file in kept_files(entry):
        path = os.path.join(home, file.path)
        try:
            stat = os.lstat(path)
        except OSError:
            continue
        folder = os.path.dirname(path)
        if folder not in inside:
            inside[folder] = Path(folder).resolve().is_relative_to(home.resolve())
        if S_ISREG(stat.st_mode) and inside[folder]:
            sizes[file.path] = stat.st_size
    return sizes


def kept_files(entry: Entry) -> list[tuple[str, str, File]]:
    """Return language (or ``training``), kind and record of every file that the result keeps."""
    result = entry.result
    files = [
        (lang, kind, file) for lang in result.language_codes() for kind, file in result.languages[lang].files.items()
    ]
    return files + [("training", "log", training.log) for training in result.trainings.values() if training.log]


def commands(result: Result) -> list[tuple[list[str], str]]:
    """Return the commands that record the same result again, each with its languages.

    If a language was recorded by a command that ran several recipes, such as ``mdrbench ablate``, or ``mdrbench run``
    with two names, the command that runs this recipe alone is given.
    """
    commands = []
    for lang in result.language_codes():
        recorded = result.languages[lang].command
        if recorded:
            commands.append((lang, recorded if _runs_one(recorded) else _run(result)))
    return groups_of_equal(commands)


@lru_cache(maxsize=1024)
def _runs_one(command: str) -> bool:
    """Whether a command records one system: a submission, or a run of one recipe."""
    if not command.startswith("mdrbench run "):
        return command.startswith("mdrbench submit ")
    recipes = itertools.takewhile(lambda word: not word.startswith("-"), shlex.split(command)[2:])
    return len(list(recipes)) == 1


def recorded_by(result: Result) -> str:
    """Return the command of another kind that recorded the result, or nothing."""
    recorded = dict.fromkeys(result.languages[lang].command or "" for lang in result.language_codes())
    return next((command for command in recorded if command.startswith("mdrbench ablate ")), "")


def _run(result: Result) -> str:
    system = result.system
    langs = result.language_codes()
    words = ["mdrbench", "run", system.variant_of or system.name, "--data", result.dataset]
    words += ["--langs", "all" if sorted(langs) == sorted(ALL) else ",".join(langs)]
    words += ["--split", result.split] if result.split != "dev" else []
    return shlex.join([*words, *(part for change in system.overrides for part in ("--set", change))])


def languages_of(result: Result) -> list[tuple[str, LanguageResult]]:
    """Return languages and their results in the order of every table."""
    return [(lang, result.languages[lang]) for lang in result.language_codes()]
