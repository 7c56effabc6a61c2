"""Collections and the systems that were scored on them, read from result files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple, TypeVar

from mdrbench import results
from mdrbench.core import console, registry
from mdrbench.core.errors import DataError
from mdrbench.core.languages import ALL, LANGUAGES, SURPRISE
from mdrbench.evaluation import measures
from mdrbench.results import Average, Cell, Result, ablations, mteb_tables
from mdrbench.results.ablations import Ablation
from mdrbench.results.audit.rows import encoder_name
from mdrbench.results.mteb_tables import ModelFacts

PUBLISHED_DATASET = "miracl"
"""The data set of almost all published figures; its collections come first."""

SMOKE_TEST = "sample"
"""The data set that only shows that everything works; systems must not be ranked by it."""

_UNSAFE = re.compile(r"[^a-z0-9._-]+")

Stored = TypeVar("Stored")


@lru_cache(maxsize=1 << 14)
def slug(name: str) -> str:
    """Return a part of an address made of ``a-z 0-9 . _ -``. A hash keeps names apart if characters were replaced."""
    safe = _UNSAFE.sub("-", name.lower()).strip(".-")[:80]
    if safe == name:
        return safe
    return f"{safe}-{hashlib.sha256(name.encode()).hexdigest()[:6]}".lstrip("-")


def language_name(code: str) -> str:
    """Return a language's English name, or its code if the language is unknown."""
    language = LANGUAGES.get(code) or SURPRISE.get(code)
    return language.name if language else code


@dataclass(frozen=True, eq=False)
class Entry:
    """One result file: a system on a collection.

    Attributes:
        slug: its part of addresses, unique in its collection.
        variant: the name that an ablation gives to this result; empty if it belongs to no ablation.
        row_id: the id under which the audit names a published row; empty for measured systems.
        facts: what mteb says about a published model.
    """

    result: Result
    path: Path
    slug: str
    variant: str = ""
    row_id: str = ""
    facts: ModelFacts | None = None

    @property
    def measured(self) -> bool:
        """Whether mdrbench scored the system; the other entries are figures from publications."""
        return self.result.kind == "measured"

    @property
    def submitted(self) -> bool:
        """Whether mdrbench scored run files that somebody else made."""
        return self.result.system.submission is not None

    @property
    def is_variant(self) -> bool:
        """Whether it is a variant of a recipe: a run of an ablation, or a run with ``--set``."""
        return self.measured and bool(self.variant or self.result.system.overrides or self.result.system.variant_of)

    @cached_property
    def source(self) -> str:
        """The citation key of a published row's source; empty for a measured system."""
        return "" if self.measured else self.row_id.split("/")[1] if self.row_id else self.path.parent.name

    @cached_property
    def identity(self) -> str:
        """The name under which all sources of a published system are shown together; the slug of a measured one."""
        return self.slug if self.measured else encoder_name(self.source, self.result.system.name)

    @cached_property
    def name(self) -> str:
        """The system's name, followed by the ablation's name for the variant or by the ``--set`` changes."""
        changes = [self.variant] if self.variant else self.result.system.overrides
        return " ".join([self.result.system.name, *changes])

    @cached_property
    def foreign(self) -> frozenset[str]:
        """The languages of a published row that the model's own list of languages lacks."""
        facts = None if self.measured else self.facts
        known = (*ALL, *SURPRISE)
        langs = (lang for lang in self.result.languages if facts and lang in known)
        return frozenset(lang for lang in langs if facts and facts.built_for(lang) is False)

    def cell(self, lang: str, measure: str) -> Cell | None:
        """Return a language's score, or None if the result has none."""
        language = self.result.languages.get(lang)
        return language.scores.get(measure) if language else None

    def average(self, measure: str) -> tuple[Average, Cell] | None:
        """Return the first average of this measure and its cell."""
        average = next((a for a in self.result.averages if measure in a.scores), None)
        return (average, average.scores[measure]) if average else None


@dataclass(frozen=True, eq=False)
class Collection:
    """A data set's split with all systems that were scored on it: measured systems first, then by name.

    ``name`` is the name of the data set; the name of a pool is appended if only that pool was searched.
    """

    name: str
    split: str
    entries: list[Entry]

    @property
    def title(self) -> str:
        """The name with the split."""
        return f"{self.name} ({self.split})"

    @cached_property
    def measured(self) -> list[Entry]:
        """The systems that mdrbench scored."""
        return [entry for entry in self.entries if entry.measured]

    @cached_property
    def systems(self) -> list[Entry]:
        """The measured systems that are ranked: all but the variants of recipes."""
        return [entry for entry in self.measured if not entry.is_variant]

    @property
    def is_smoke_test(self) -> bool:
        """Whether it is too small to rank systems by it."""
        return self.name == SMOKE_TEST

    @cached_property
    def published(self) -> list[Entry]:
        """Figures from publications."""
        return [entry for entry in self.entries if not entry.measured]

    @cached_property
    def measures(self) -> list[str]:
        """All measures of its systems; nDCG@10 comes first if any system has it."""
        names = list(dict.fromkeys(m for entry in self.entries for m in entry.result.evaluated.measures))
        return sorted(names, key=lambda name: name != measures.DEFAULT[0])

    @cached_property
    def languages(self) -> list[str]:
        """All languages of its systems, in the order of every table."""
        return in_table_order(lang for entry in self.entries for lang in entry.result.languages)

    # -- addresses of its pages, from the site's root ------------------------------------------------------------------

    @cached_property
    def folder(self) -> str:
        """The folder of its pages, with a slash at its end."""
        return f"{slug(self.name)}/" if self.split == "dev" else f"{slug(self.name)}/{slug(self.split)}/"

    def system_page(self, entry: Entry) -> str:
        """The address of a system's page. A published system has one page for all collections."""
        return f"{self.folder}systems/{entry.slug}.html" if entry.measured else published_page(entry.identity)

    def language_page(self, lang: str) -> str:
        """The address of a language's page."""
        return f"{self.folder}languages/{slug(lang)}.html"

    def comparison_page(self, a: Entry, b: Entry) -> str:
        """The address of the page that compares two systems, in either order."""
        return f"{self.folder}compare/{'--'.join(sorted((a.slug, b.slug)))}.html"


def published_page(identity: str) -> str:
    """The address of the page of a published system."""
    return f"systems/{slug(identity)}.html"


def in_table_order(langs: Iterable[str]) -> list[str]:
    """Return each language once: the 16 of MIRACL in their usual order, then the others by code."""
    covered = set(langs)
    return [code for code in ALL if code in covered] + sorted(covered - set(ALL))


def read_collections(root: Path) -> tuple[list[Collection], dict[Path, Ablation]]:
    """Read all results and ablations under ``root``, and the published figures under ``root`` and in the package.

    Returns:
        The collections: those of MIRACL first, then by name, ``dev`` before other splits. The ablations by their path.

    Raises:
        DataError: one or more files are damaged; the error names all of them.
    """
    problems: list[DataError] = []
    published = _published(root, problems)
    read = _read_all(results.files(root), results.read, problems)
    stored = _read_all(ablations.files(root), ablations.read, problems)
    if problems:
        raise _together(problems)
    groups: dict[tuple[str, str], list[_Row]] = {}
    for path, result in read.items():
        if reason := _unranked(result):
            console.say(f"{console.shown(path)}: left out, {reason}")
            continue
        groups.setdefault((collection_name(result), result.split), []).append(_Row(result, path))
    for row in published:
        groups.setdefault((collection_name(row.result), row.result.split), []).append(row)
    ordered = sorted(groups, key=lambda g: (g[0] != PUBLISHED_DATASET, g[0], g[1] != "dev", g[1]))
    variants = _variant_names(stored)
    return [Collection(name, split, _entries(groups[name, split], variants)) for name, split in ordered], stored


def measured_entries(paths: list[Path], name: str, split: str) -> list[Entry]:
    """Return the measured results among files that belong to one collection.

    Raises:
        DataError: one or more files are damaged; the error names all of them.
    """
    problems: list[DataError] = []
    read = _read_all(paths, results.read, problems)
    if problems:
        raise _together(problems)
    rows = [
        _Row(result, path)
        for path, result in read.items()
        if (collection_name(result), result.split, result.kind) == (name, split, "measured") and not _unranked(result)
    ]
    return _entries(rows, {})


def _unranked(result: Result) -> str:
    """Say why no collection has a result; nothing if one has it."""
    if not result.sealed:
        return "an older mdrbench wrote it: `mdrbench seal` upgrades it"
    return "" if result.evaluated.measures else "it has no measures"


class _Row(NamedTuple):
    """A result, its file, and for a published row its id and what is known about the model."""

    result: Result
    path: Path
    row_id: str = ""
    facts: ModelFacts | None = None


def packaged_results() -> Path:
    """Return the results that come with mdrbench: published figures, and in a checkout all others."""
    return registry.resource("results")


def _published(root: Path, problems: list[DataError]) -> list[_Row]:
    """Read all published rows. A file of ``root`` replaces the packaged file of the same name."""
    named = {path.relative_to(r): path for r in (packaged_results(), root) for path in results.published_files(r)}
    read = _read_all([named[name] for name in sorted(named)], results.read, problems)
    names = {path: name.as_posix() for name, path in named.items()}
    rows: list[_Row] = []
    of_encoder: dict[str, ModelFacts] = {}
    tables = root if (root / mteb_tables.FOLDER).is_dir() else packaged_results()
    try:
        for result, path, facts in mteb_tables.read_results(tables):
            row_id = f"{path.relative_to(tables).as_posix()}#{result.system.name}@{result.system.revision}"
            rows.append(_Row(result, path, row_id, facts))
            of_encoder[encoder_name("mteb", facts.name)] = facts
    except DataError as error:
        problems.append(error)
    for path, result in read.items():
        identity = encoder_name(path.parent.name, result.system.name)
        rows.append(_Row(result, path, names[path], of_encoder.get(identity)))
    return rows


def _read_all(paths: list[Path], read: Callable[[Path], Stored], problems: list[DataError]) -> dict[Path, Stored]:
    """Read every file; the errors of damaged ones are added to ``problems``."""
    contents = {}
    for path in paths:
        try:
            contents[path] = read(path)
        except DataError as error:
            problems.append(error)
    return contents


def _together(problems: list[DataError]) -> DataError:
    """Return one error that names every damaged file."""
    if len(problems) == 1:
        return problems[0]
    lines = "".join(f"\n  {problem.where}: {problem.message}" for problem in problems)
    mends = list(dict.fromkeys(problem.mend for problem in problems if problem.mend))
    return DataError(f"{len(problems)} files are damaged:{lines}", mend="; ".join(mends))


def _variant_names(stored: dict[Path, Ablation]) -> dict[Path, str]:
    """Return the result files that ablations made, each with the ablation's name for it."""
    names = {}
    for path, ablation in stored.items():
        for variant in ablation.variants:
            for run in variant.runs:
                seed = f", seed {run.seed}" if len(variant.runs) > 1 else ""
                names[path.parent.parent / run.result] = variant.names[0].label + seed
    return names


def collection_name(result: Result) -> str:
    """Return the name of what was searched: the data set, and the pool if the corpus was cut to one."""
    variant = result.evaluated.corpus_variant
    if variant == "full" or result.dataset.endswith(f"-{variant}"):
        return result.dataset
    return f"{result.dataset}-{variant}"


def _entries(rows: list[_Row], variants: dict[Path, str]) -> list[Entry]:
    """Return the entries with slugs from file names, or from models' names; a slug that is taken gets a number."""
    entries: list[Entry] = []
    taken: dict[str, int] = {}
    for result, path, row_id, facts in rows:
        stem = path.stem if result.kind == "measured" else f"{path.parent.name}-{path.stem}"
        base = slug(result.system.name if "#" in row_id else stem.removesuffix(f".{result.split}"))
        taken[base] = taken.get(base, 0) + 1
        unique = base if taken[base] == 1 else f"{base}-{taken[base]}"
        entries.append(Entry(result, path, unique, variants.get(path, ""), row_id, facts))
    return sorted(entries, key=lambda e: (not e.measured, e.name, e.slug))
