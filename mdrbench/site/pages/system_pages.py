"""A page for every system: what it is, how well it does, how it was made, what it cost, and how to make it again."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import yaml

from mdrbench.core import registry
from mdrbench.core.store import file_sha256
from mdrbench.results import File, Training, published
from mdrbench.site.engine.page import Asset, Copy, Page, slug
from mdrbench.site.model import ablation_data, recipe_diff, system_facts, traits, units
from mdrbench.site.model.board import Board, Collection, Entry
from mdrbench.site.pages import system_tables
from mdrbench.site.pages.charts import Drawing, Figure
from mdrbench.site.pages.system_charts import training_curve


class Download(NamedTuple):
    """A file of a result; ``address`` is None where it was not copied along, or is another than was recorded."""

    scope: str
    kind: str
    bytes: int
    sha256: str
    address: str | None


class DomainTable(NamedTuple):
    """Queries by language and domain; ``rows``: language, its queries, and (queries, heat 0 to 9) by domain."""

    names: list[str]
    rows: list[tuple[str, int, list[tuple[int, int]]]]


class TrainingShown(NamedTuple):
    """A training as its section shows it."""

    name: str
    training: Training
    facts: list[tuple[str, str]]
    figure: Figure | None
    domains: DomainTable | None


class Claims(NamedTuple):
    """What says that it reproduces a published system: shipped recipes with the systems' names, and measured entries by
    the system's name."""

    shipped: dict[str, list[str]]
    measured: dict[str, list[tuple[Collection, Entry]]]


def pages(board: Board, drawing: Drawing) -> Iterator[Page | Asset | Copy]:
    """The page of each entry of each collection, and the files that it offers."""
    ablations = ablation_data.load(board)
    claims = _claims(board) if any(collection.published for collection in board.made) else Claims({}, {})
    for collection in board.made:
        for entry in collection.entries:
            files = list(_files(collection, entry)) if entry.measured else []
            downloads = [download for download, _ in files]
            context = partial(_context, board, collection, entry, drawing, ablations, claims, downloads)
            yield Page(board.page_of(collection, entry), "system.html", entry.name, context, "systems")
            yield from (item for _, item in files if item is not None)


def _context(
    board: Board,
    collection: Collection,
    entry: Entry,
    drawing: Drawing,
    ablations: list[ablation_data.Shown],
    claims: Claims,
    files: list[Download],
) -> dict[str, Any]:
    return {
        "collection": collection,
        "entry": entry,
        "result": entry.result,
        "system": entry.result.system,
        "units": units,
        "headline": _headline(entry),
        "languages_shown": system_facts.languages_of(entry.result),
        "scores": system_tables.scores(entry.result),
        **(_measured(board, collection, entry, drawing) if entry.measured else {}),
        **({} if entry.measured else _published(collection, entry, claims)),
        "ablations": [(one.address, one.name) for one in ablations if one.uses(entry)],
        "files": files,
    }


def _headline(entry: Entry) -> tuple[str, Any, Any] | None:
    """The first measure that has an average, the average and its cell."""
    for measure in entry.result.evaluated.measures:
        if found := entry.average(measure):
            return measure, *found
    return None


# -- measured ----------------------------------------------------------------------------------------------------------


def _measured(board: Board, collection: Collection, entry: Entry, drawing: Drawing) -> dict[str, Any]:
    result = entry.result
    groups, cost = system_facts.groups(result), system_facts.cost(result)
    return {
        "about": about(entry),
        "yaml": _yaml(result.system.recipe) if result.system.recipe else None,
        "difference": recipe_diff.difference(board, collection, entry),
        "variants": _variants(collection, entry),
        "conventions": system_facts.conventions(result),
        "cost": cost,
        "durations": system_tables.durations(cost, result) if cost else [],
        "asked": system_facts.asked(result),
        "groups": groups,
        "most": max((row.kept + (row.eliminated or 0) + (row.generated or 0) for row in groups), default=0),
        "trainings": [_training(drawing, entry, name, one) for name, one in result.trainings.items()],
        "commands": system_facts.commands(result),
        "digest": file_sha256(entry.path),
        "recorded": system_tables.recorded(result),
        "training_steps": system_tables.training_steps,
    }


def about(entry: Entry) -> list[tuple[str, str]]:
    """What the system is in a few words: family, model, negatives, who ran it."""
    result, known = entry.result, traits.of(entry)
    system, recipe = result.system, result.system.recipe or {}
    retriever = _section(recipe, "retriever")
    encoder, negatives = _section(retriever, "encoder"), _section(recipe, "negatives")
    found: list[tuple[str, Any]] = [("family", known.family), ("backbone", encoder.get("model"))]
    first = next(iter(result.languages.values()), None)
    conventions = first.conventions if first else {}
    if encoder:
        found += [("weights", _short(conventions.get("model_revision"))), ("dimensions", conventions.get("dim"))]
    if not system.submission:
        found += [("size", known.shown and f"{known.shown} parameters"), ("licence", known.licence)]
    if retriever.get("name") == "bm25":
        found.append(("k1, b", f"{retriever.get('k1')}, {retriever.get('b')}"))
    for part in ("mining", "judge", "generation"):
        found.append((part, _section(negatives, part).get("name")))
    if submission := system.submission:
        found += [
            ("licence", submission.license),
            ("size", submission.size),
            ("described at", submission.link),
            ("handed in", submission.submitted_at),
        ]
    found.append(("depth of the ranking", conventions.get("search_depth")))
    return [(term, str(value)) for term, value in found if value not in (None, "", "none", "no model", "not stated")]


def _short(revision: Any) -> Any:
    """The beginning of a long hash; the conventions have all of it."""
    kind, colon, digits = str(revision).rpartition(":")
    return f"{kind}{colon}{digits[:12]}…" if isinstance(revision, str) and len(digits) > 24 else revision


def _section(mapping: dict[str, Any], key: str) -> dict[str, Any]:
    value = mapping.get(key)
    return value if isinstance(value, dict) else {}


def _yaml(recipe: dict[str, Any]) -> str:
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return yaml.dump(recipe, Dumper=dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=100)


def _variants(collection: Collection, entry: Entry) -> list[Entry]:
    """Results of the same recipe with other settings."""
    same = collection.named[entry.result.system.name]
    return [other for other in same if other is not entry and not other.submitted]


def _training(drawing: Drawing, entry: Entry, name: str, training: Training) -> TrainingShown:
    log = system_facts.read_log(entry, training.log) if training.log else None
    figure = training_curve(drawing, log, entry.name) if log else None
    return TrainingShown(name, training, _training_facts(training), figure, _domains(training))


def _training_facts(training: Training) -> list[tuple[str, str]]:
    """What was trained on what, out of the facts that the training left."""
    facts = training.facts
    settings, validations = facts.get("settings"), facts.get("validation")
    found: list[tuple[str, Any]] = [("start", facts.get("base"))]
    queries = facts.get("queries")
    if isinstance(queries, dict):
        total = sum(n for n in queries.values() if isinstance(n, int))
        found.append(("queries", f"{units.count(total)} in {len(queries)} languages"))
    found.append(("held out", facts.get("held_out")))
    steps, planned = facts.get("steps"), facts.get("planned_steps")
    found.append(("steps", f"{steps} of {planned}, stopped early" if planned not in (None, steps) else steps))
    if facts.get("kept_step") not in (None, steps):
        found.append(("weights kept", f"of step {facts['kept_step']}"))
    if isinstance(validations, list) and validations and isinstance(validations[-1], dict):
        found.append(("held-out loss", validations[-1].get("loss")))
    for key in ("learning_rate", "temperature", "negatives") if isinstance(settings, dict) else ():
        found.append((key.replace("_", " "), settings.get(key)))
    found += [("precision", facts.get("precision")), ("device", facts.get("device"))]
    if isinstance(seconds := facts.get("seconds"), dict) and isinstance(seconds.get("train"), int | float):
        found.append(("time", units.duration(seconds["train"])))
    return [(term, f"{v:.4g}" if isinstance(v, float) else str(v)) for term, v in found if v is not None]


def _domains(training: Training) -> DomainTable | None:
    found = system_facts.domains(training.domains)
    if found is None:
        return None
    names, by_lang = found
    rows = []
    for lang, counts in by_lang.items():
        total = sum(counts.values())
        shares = [counts.get(name, 0) / total if total else 0.0 for name in names]
        cells = [(counts.get(name, 0), min(9, round(18 * share))) for name, share in zip(names, shares, strict=True)]
        rows.append((lang, total, cells))
    return DomainTable(names, rows)


# -- published ---------------------------------------------------------------------------------------------------------


def _published(collection: Collection, entry: Entry, claims: Claims) -> dict[str, Any]:
    result = entry.result
    name = result.system.name.casefold()
    cells = [cell for one in result.languages.values() for cell in one.scores.values()]
    places = dict.fromkeys((cell.source, cell.table) for cell in cells if cell.source)
    return {
        "sources": [(source, published.SOURCES.get(source or ""), table) for source, table in places],
        "elsewhere": [
            other
            for other in collection.published
            if other is not entry and other.result.system.name.casefold() == name
        ],
        "reproduced_by": claims.measured.get(result.system.name, []),
        "recipes": [name for name, systems in claims.shipped.items() if result.system.name in systems],
    }


def _claims(board: Board) -> Claims:
    measured: dict[str, list[tuple[Collection, Entry]]] = {}
    for collection in board.collections:
        for entry in collection.measured:
            for name in dict.fromkeys(recipe_diff.claims(entry.result.system.recipe or {})):
                measured.setdefault(name, []).append((collection, entry))
    shipped = {name: recipe_diff.claims(recipe_diff.shipped(name) or {}) for name in registry.recipe_files()}
    return Claims(shipped, measured)


# -- files -------------------------------------------------------------------------------------------------------------


def _files(collection: Collection, entry: Entry) -> Iterator[tuple[Download, Copy | None]]:
    """The result file and all that it keeps, each with its record and where it is put in the site."""
    folder = f"{collection.folder}files/{entry.slug}/"
    taken: set[str] = set()
    home, inside = entry.path.parent, {entry.path.parent: True}
    stat = entry.path.stat()
    own = File(path=entry.path.name, bytes=stat.st_size, sha256=file_sha256(entry.path))
    for scope, kind, file in [("", "result", own), *system_facts.kept_files(entry)]:
        source = entry.path.parent / file.path
        address = folder + slug(source.name)
        of = system_tables.NAMES.get(scope, scope)
        if system_facts.plain_file(source, home, inside) == file.bytes and address not in taken:
            taken.add(address)
            yield Download(of, kind, file.bytes, file.sha256, address), Copy(address, source, file.sha256)
        else:
            yield Download(of, kind, file.bytes, file.sha256, None), None
