"""Published systems: all sources of one system together, and figures that are predicted from the pool."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from mdrbench.core.languages import ALL, SURPRISE
from mdrbench.results import Average, Cell, LanguageResult, Result, average_label, pool_to_full
from mdrbench.results.mteb_tables import ModelFacts
from mdrbench.results.pool_to_full import Calibration
from mdrbench.site.model.collection import Collection, Entry, packaged_results, published_page


@dataclass(frozen=True, eq=False)
class PublishedSystem:
    """A published system with the rows of all its sources, in the order of the collections."""

    identity: str
    rows: list[tuple[Collection, Entry]] = field(default_factory=list)

    @property
    def address(self) -> str:
        """The address of its page."""
        return published_page(self.identity)

    @property
    def facts(self) -> ModelFacts | None:
        """What mteb says about the model."""
        return next((entry.facts for _, entry in self.rows if entry.facts), None)

    @property
    def names(self) -> list[str]:
        """The names that its sources give to it."""
        return list(dict.fromkeys(entry.result.system.name for _, entry in self.rows))


def published_systems(collections: Iterable[Collection]) -> dict[str, PublishedSystem]:
    """Return the published systems of all collections by identity, in alphabetical order."""
    systems: dict[str, PublishedSystem] = {}
    for collection in collections:
        for entry in collection.published:
            system = systems.setdefault(entry.identity, PublishedSystem(entry.identity))
            system.rows.append((collection, entry))
    return dict(sorted(systems.items(), key=lambda item: item[0].casefold()))


@lru_cache(maxsize=2)
def calibration(root: Path) -> Calibration | None:
    """Read the calibration from the pool to the full corpus, if there is one."""
    return pool_to_full.read(root) if (root / pool_to_full.PATH).exists() else None


def predictions(collection: Collection, systems: Mapping[str, PublishedSystem]) -> dict[str, list[Entry]]:
    """Predict the figures of a full corpus for the models that have figures on its pool alone.

    Languages whose pool figure is outside the fitted range have no prediction.

    Returns:
        Measure -> entries whose cells are predictions with 95% intervals.
    """
    known = calibration(packaged_results())
    if known is None or collection.name != known.full or collection.split != "dev":
        return {}
    have = {entry.identity for entry in collection.published if len(entry.result.languages) >= len(ALL)}
    entries = []
    for identity, system in systems.items():
        pool = next((entry for c, entry in system.rows if c.name == known.pool and c.split == "dev"), None)
        if pool is not None and identity not in have and (entry := _predicted(pool, known)):
            entries.append(entry)
    return {known.measure: entries}


def _predicted(pool: Entry, known: Calibration) -> Entry | None:
    languages = pool.result.languages
    figures = {lang: cell.value for lang in languages if (cell := pool.cell(lang, known.measure))}
    inside = {
        lang: value
        for lang, value in figures.items()
        if lang in known.lines and known.lines[lang].low <= value <= known.lines[lang].high
    }
    if not inside:
        return None
    found = known.predict_all(inside)
    cells = {lang: Cell(value=p.value, low=p.low, high=p.high) for lang, p in found.languages.items()}
    averages = []
    if found.average:
        langs = [lang for lang in cells if lang not in SURPRISE]
        cell = Cell(value=found.average.value, low=found.average.low, high=found.average.high)
        averages = [Average(label=average_label(langs), languages=langs, scores={known.measure: cell})]
    result = Result.model_construct(
        **{
            **dict(pool.result),
            "languages": {lang: LanguageResult(scores={known.measure: cell}) for lang, cell in cells.items()},
            "averages": averages,
            "evaluated": pool.result.evaluated.model_copy(
                update={"measures": [known.measure], "corpus_variant": "full"}
            ),
        }
    )
    return replace(pool, result=result)
