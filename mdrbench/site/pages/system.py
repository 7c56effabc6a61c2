"""A page for every system: its scores, how it was made, its cost, and how to reproduce it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

from mdrbench.core.store import file_sha256
from mdrbench.results import File, Training
from mdrbench.site.model import number_format, properties, recipe_diff, system_facts
from mdrbench.site.model.collection import Collection, Entry, language_name, slug
from mdrbench.site.model.number_format import count, duration
from mdrbench.site.model.site_model import SiteModel
from mdrbench.site.pages import system_tables
from mdrbench.site.pages.charts import Figure
from mdrbench.site.pages.page import Copy, Page
from mdrbench.site.pages.system_charts import training_curve


class Download(NamedTuple):
    """A file of a result; ``address`` is None if the file was not copied along or differs from the recorded one."""

    scope: str
    kind: str
    bytes: int
    sha256: str
    address: str | None


class DomainTable(NamedTuple):
    """Queries by language and domain; ``rows``: language, its queries, and (queries, heat 0 to 9) by domain."""

    names: list[str]
    rows: list[tuple[str, int, list[tuple[int, int]]]]


class TrainingSection(NamedTuple):
    """A training as its section shows it."""

    name: str
    training: Training
    facts: list[tuple[str, str]]
    figure: Figure | None
    domains: DomainTable | None
    steps: list[system_tables.Fact]


def pages(model: SiteModel) -> Iterator[Page | Copy]:
    """Yield the page of each measured system of each collection, and the files that it offers."""
    for collection in model.collections:
        names: dict[str, list[Entry]] = {}
        for entry in collection.measured:
            names.setdefault(entry.result.system.name, []).append(entry)
        for entry in collection.measured:
            same_name = names[entry.result.system.name]
            variants = [other for other in same_name if other is not entry and not other.submitted]
            files = list(_files(collection, entry))
            context = {
                **_context(model, collection, entry),
                **_measured(model, collection, entry),
                "variants": variants,
            }
            context |= {"files": [download for download, _ in files], "digest": files[0][0].sha256}
            yield from (copy for _, copy in files if copy)
            yield Page(collection.system_page(entry), "system.html", entry.name, context, "systems")


def _context(model: SiteModel, collection: Collection, entry: Entry) -> dict[str, Any]:
    result = entry.result
    averages = ((measure, entry.average(measure)) for measure in result.evaluated.measures)
    return {
        "collection": collection,
        "entry": entry,
        "result": result,
        "system": result.system,
        "units": number_format,
        "headline": next(((measure, *average) for measure, average in averages if average), None),
        "languages_shown": system_facts.languages_of(result),
        "scores": system_tables.scores(result),
        "ablations": [recipe for recipe in model.ablations_of(collection) if entry in recipe.entries],
    }


# -- measured ----------------------------------------------------------------------------------------------------------


def _measured(model: SiteModel, collection: Collection, entry: Entry) -> dict[str, Any]:
    result = entry.result
    groups, cost = system_facts.groups(result), system_facts.cost_of(entry)
    return {
        "about": about(entry),
        "yaml": _yaml(result.system.recipe) if result.system.recipe else None,
        "diff": recipe_diff.diff_to_parent(model.collections, collection, entry),
        "conventions": system_facts.conventions(result),
        "cost": cost,
        "durations": system_tables.durations(cost, result) if cost else [],
        "asked": system_facts.asked(result),
        "groups": groups,
        "most": max((row.kept + (row.eliminated or 0) + (row.generated or 0) for row in groups), default=0),
        "trainings": [_training(entry, name, training) for name, training in result.trainings.items()],
        "commands": system_facts.commands(result),
        "recorded_by": system_facts.recorded_by(result),
        "records": system_tables.records(result),
    }


def about(entry: Entry) -> list[tuple[str, str]]:
    """Describe the system in a few terms: family, model, negatives, who ran it."""
    result, known = entry.result, properties.of_system(entry)
    system, recipe = result.system, result.system.recipe or {}
    retriever = _section(recipe, "retriever")
    encoder, negatives = _section(retriever, "encoder"), _section(recipe, "negatives")
    terms: list[tuple[str, Any]] = [("family", known.family), ("backbone", encoder.get("model"))]
    first = next(iter(result.languages.values()), None)
    conventions = first.conventions if first else {}
    if encoder:
        terms += [("weights", _short(conventions.get("model_revision"))), ("dimensions", conventions.get("dim"))]
    if not system.submission:
        terms += [("size", known.printed_size and f"{known.printed_size} parameters"), ("licence", known.licence)]
    if retriever.get("name") == "bm25":
        terms.append(("k1, b", f"{retriever.get('k1')}, {retriever.get('b')}"))
    for part in ("mining", "judge", "generation"):
        terms.append((part, _section(negatives, part).get("name")))
    terms += [
        ("trial of the judge", system_facts.trial(result)),
        ("answered by", ", ".join(system_facts.answered_by(result))),
    ]
    if submission := system.submission:
        terms += [
            ("licence", submission.license),
            ("size", submission.size),
            ("described at", submission.link),
            ("submitted", submission.submitted_at),
        ]
    terms.append(("depth of the ranking", conventions.get("search_depth")))
    return [(term, str(value)) for term, value in terms if value not in (None, "", "none", "no model", "not stated")]


def _short(revision: Any) -> Any:
    """Shorten a long hash; the conventions show all of it."""
    kind, colon, digits = str(revision).rpartition(":")
    return f"{kind}{colon}{digits[:12]}…" if isinstance(revision, str) and len(digits) > 24 else revision


def _section(mapping: dict[str, Any], key: str) -> dict[str, Any]:
    value = mapping.get(key)
    return value if isinstance(value, dict) else {}


def _yaml(recipe: dict[str, Any]) -> str:
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text: str = yaml.dump(
        recipe, Dumper=dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=100
    )
    return text


def _training(entry: Entry, name: str, training: Training) -> TrainingSection:
    log = system_facts.read_log(entry, training.log) if training.log else None
    figure = training_curve(log, entry.name) if log else None
    steps = system_tables.steps(training.steps)
    return TrainingSection(name, training, _training_facts(training), figure, _domains(training), steps)


def _training_facts(training: Training) -> list[tuple[str, str]]:
    """Describe a training by the facts that it recorded."""
    facts = training.facts
    settings, validations, seconds = facts.get("settings"), facts.get("validation"), facts.get("seconds")
    terms: list[tuple[str, Any]] = [("start", facts.get("base"))]
    queries = facts.get("queries")
    if isinstance(queries, dict):
        total = sum(n for n in queries.values() if isinstance(n, int))
        terms.append(("queries", f"{count(total)} in {len(queries)} languages"))
    terms.append(("held out", facts.get("held_out")))
    if isinstance(shown := (facts.get("exposure") or {}).get("all"), dict):
        text = "least {least}, median {median}, most {most}, never {never}, effective sample {effective}".format(
            **shown
        )
        terms.append(("times shown", text))
    steps, planned = facts.get("steps"), facts.get("planned_steps")
    terms.append(("steps", f"{steps} of {planned}, stopped early" if planned not in (None, steps) else steps))
    if facts.get("kept_step") not in (None, steps):
        terms.append(("weights kept", f"of step {facts['kept_step']}"))
    if isinstance(validations, list) and validations and isinstance(validations[-1], dict):
        terms.append(("held-out loss", validations[-1].get("loss")))
    if isinstance(settings, dict):
        keys = ("learning_rate", "temperature", "negatives")
        terms += [(key.replace("_", " "), settings.get(key)) for key in keys]
    terms += [("precision", facts.get("precision")), ("device", facts.get("device"))]
    if isinstance(seconds, dict) and isinstance(seconds.get("train"), int | float):
        terms.append(("time", duration(seconds["train"])))
    return [(term, f"{v:.4g}" if isinstance(v, float) else str(v)) for term, v in terms if v is not None]


def _domains(training: Training) -> DomainTable | None:
    distribution = system_facts.domains(training.domains)
    if distribution is None:
        return None
    names, by_lang = distribution
    rows = []
    for lang, counts in by_lang.items():
        total = sum(counts.values())
        shares = [counts.get(name, 0) / total if total else 0.0 for name in names]
        cells = [(counts.get(name, 0), min(9, round(18 * share))) for name, share in zip(names, shares, strict=True)]
        rows.append((lang, total, cells))
    return DomainTable(names, rows)


# -- files -------------------------------------------------------------------------------------------------------------


def _files(collection: Collection, entry: Entry) -> Iterator[tuple[Download, Copy | None]]:
    """Yield the result file and all files that it keeps, each with its record and the copy that the site offers."""
    folder = f"{collection.folder}files/{entry.slug}/"
    taken: set[str] = set()
    own = File(path=entry.path.name, bytes=entry.path.stat().st_size, sha256=file_sha256(entry.path))
    sizes = {own.path: own.bytes, **system_facts.kept_file_sizes(entry)}
    for scope, kind, file in [("", "result", own), *system_facts.kept_files(entry)]:
        source = entry.path.parent / file.path
        address = folder + slug(source.name)
        name = language_name(scope)
        if sizes.get(file.path) == file.bytes and address not in taken:
            taken.add(address)
            yield Download(name, kind, file.bytes, file.sha256, address), Copy(address, source, file.sha256)
        else:
            yield Download(name, kind, file.bytes, file.sha256, None), None
