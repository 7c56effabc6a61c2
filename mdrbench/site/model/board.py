"""What the site shows: collections, the systems in them, topic-level scores and ablations, without a word of HTML."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from mdrbench import results
from mdrbench.core import registry
from mdrbench.core.languages import ALL
from mdrbench.results import Average, Cell, Result, ablations
from mdrbench.site.engine.page import slug

PUBLISHED_DATASET = "miracl"

HELD_BACK = ("chen2024m3", "cohere-notebooks", "flagembedding-rerankers")
"""Sources that the pages leave out until they tell kinds of system apart (single vector, multi-vector, reranked)."""


@dataclass(frozen=True, eq=False)
class Entry:
    """One result file: a system on a collection and split.

    ``slug`` is its part of addresses, unique in its collection; ``variant`` what an ablation calls it.
    """

    result: Result
    path: Path
    slug: str
    variant: str = ""

    @property
    def measured(self) -> bool:
        return self.result.kind == "measured"

    @property
    def submitted(self) -> bool:
        """Whether mdrbench only scored what others ran."""
        return self.result.system.submission is not None

    @cached_property
    def name(self) -> str:
        """The system's name, with what makes it a variant: in an ablation's words, else what ``--set`` changed."""
        changes = [self.variant] if self.variant else self.result.system.overrides
        return " ".join([self.result.system.name, *changes])

    def cell(self, lang: str, measure: str) -> Cell | None:
        """A language's score, None where the result has none."""
        entry = self.result.languages.get(lang)
        return entry.scores.get(measure) if entry else None

    def average(self, measure: str) -> tuple[Average, Cell] | None:
        """The labelled average that has this measure, and its cell."""
        found = next((a for a in self.result.averages if measure in a.scores), None)
        return (found, found.scores[measure]) if found else None


@dataclass(frozen=True, eq=False)
class Collection:
    """What was searched and judged, and all systems on it; measured first, each group by name.

    ``name`` is the data set's, with the pool's where not the whole corpus was searched.
    """

    name: str
    split: str
    entries: list[Entry]

    @cached_property
    def folder(self) -> str:
        """The folder of its pages, with a slash at its end."""
        return f"{slug(self.name)}/" if self.split == "dev" else f"{slug(self.name)}/{slug(self.split)}/"

    @property
    def title(self) -> str:
        return f"{self.name} ({self.split})"

    @cached_property
    def measured(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.measured]

    @cached_property
    def published(self) -> list[Entry]:
        return [entry for entry in self.entries if not entry.measured]

    @cached_property
    def named(self) -> dict[str, list[Entry]]:
        """Measured systems by the name of their recipe."""
        found: dict[str, list[Entry]] = {}
        for entry in self.measured:
            found.setdefault(entry.result.system.name, []).append(entry)
        return found

    @cached_property
    def measures(self) -> list[str]:
        """All measures of its systems, in the order of the first that has them."""
        return list(dict.fromkeys(m for entry in self.entries for m in entry.result.evaluated.measures))

    @cached_property
    def languages(self) -> list[str]:
        """All languages of its systems, in the order of every table."""
        covered = {lang for entry in self.entries for lang in entry.result.languages}
        return [code for code in ALL if code in covered] + sorted(covered - set(ALL))

    def entry(self, name: str) -> Entry | None:
        """The first entry of a slug."""
        return next((entry for entry in self.entries if entry.slug == name), None)


@dataclass
class Board:
    """Everything the pages are made from. MIRACL's collections come first, then by name; dev before other splits.

    ``data`` names the data sets at hand besides the packaged sample, as ``--data`` does (see
    :mod:`mdrbench.site.model.texts`).
    """

    root: Path
    collections: list[Collection] = field(default_factory=list)
    data: list[str] = field(default_factory=list)
    only: Collection | None = None

    @property
    def made(self) -> list[Collection]:
        """The collections whose pages are asked for: ``only`` that one, or all of them."""
        return [self.only] if self.only else self.collections

    def page_of(self, collection: Collection, entry: Entry) -> str:
        """The address of a system's page."""
        return f"{collection.folder}systems/{entry.slug}.html"


def load(root: Path) -> Board:
    """Read all results under ``root``, and all published figures of it and of the package.

    Raises:
        DataError: a file that is no valid result; it names the file and the key.
    """
    published_root = registry.resource("results")
    files = {path.relative_to(r): path for r in (published_root, root) for path in results.published_files(r)}
    published = [files[name] for name in sorted(files) if name.parent.name not in HELD_BACK]
    paths = [*results.files(root), *published]
    groups: dict[tuple[str, str], list[tuple[Path, Result]]] = {}
    for path in paths:
        result = results.read(path)
        groups.setdefault((collection_name(result), result.split), []).append((path, result))
    ordered = sorted(groups, key=lambda g: (g[0] != PUBLISHED_DATASET, g[0], g[1] != "dev", g[1]))
    variants = _variants(root)
    return Board(root, [Collection(*group, _entries(groups[group], variants)) for group in ordered])


def _variants(root: Path) -> dict[Path, str]:
    """Result file -> what the ablation that it was made for calls it."""
    named = {}
    for path in ablations.files(root):
        for variant in ablations.read(path).variants:
            for run in variant.runs:
                seed = f", seed {run.seed}" if len(variant.runs) > 1 else ""
                named[path.parent.parent / run.result] = variant.names[0].label + seed
    return named


def collection_name(result: Result) -> str:
    """What was searched: the data set's name, with the pool's where not the whole corpus was."""
    variant = result.evaluated.corpus_variant
    return result.dataset if variant == "full" else f"{result.dataset}-{variant}"


def _entries(found: list[tuple[Path, Result]], variants: dict[Path, str]) -> list[Entry]:
    """Entries with slugs from their file names; a second of the same slug gets a number."""
    entries: list[Entry] = []
    taken: dict[str, int] = {}
    for path, result in found:
        stem = path.stem if result.kind == "measured" else f"{path.parent.name}-{path.stem}"
        base = slug(stem.removesuffix(f".{result.split}"))
        taken[base] = taken.get(base, 0) + 1
        place = base if taken[base] == 1 else f"{base}-{taken[base]}"
        entries.append(Entry(result, path, place, variants.get(path, "")))
    return sorted(entries, key=lambda e: (not e.measured, e.name, e.slug))
