"""Everything that the site shows, as plain data: read the results once, then make every page from this."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mdrbench.core.errors import UsageError
from mdrbench.site.cache import Cache
from mdrbench.site.model import comparisons, history, passages, ranking, topic_scores
from mdrbench.site.model.ablations import RecipeAblation, recipe_ablations
from mdrbench.site.model.audit_marks import AuditMarks, audit_marks
from mdrbench.site.model.collection import Collection, Entry, read_collections
from mdrbench.site.model.comparisons import SystemComparison
from mdrbench.site.model.history import Version
from mdrbench.site.model.moved_topics import MovedTopic, moved_topics
from mdrbench.site.model.published_systems import PublishedSystem, predictions, published_systems
from mdrbench.site.model.ranking import Leaderboard
from mdrbench.site.model.topic_scores import EntryScores


@dataclass(frozen=True)
class SiteModel:
    """All collections, with what was computed of each.

    Attributes:
        root: the results folder.
        scores: measured system -> language -> topic-level scores.
        leaderboards: collection -> measure -> leaderboard; the measure that ranks comes first.
        comparisons: collection -> the pairs that have a page.
        moved: comparison -> the topics behind its difference.
        ablations: in the order of the collections.
        marks: the audit of the published figures.
        published: the published systems of all collections.
        versions: what moved between versions of the results, the latest first.
    """

    root: Path
    collections: list[Collection]
    scores: dict[Entry, EntryScores]
    leaderboards: dict[Collection, dict[str, Leaderboard]]
    comparisons: dict[Collection, list[SystemComparison]]
    moved: dict[SystemComparison, list[MovedTopic]]
    ablations: list[RecipeAblation]
    marks: AuditMarks
    published: dict[str, PublishedSystem]
    versions: list[Version]

    def ablations_of(self, collection: Collection) -> list[RecipeAblation]:
        """Return the ablations of a collection."""
        return [ablation for ablation in self.ablations if ablation.collection is collection]


def load(root: Path, data: Sequence[str], cache: Cache) -> SiteModel:
    """Read all results under ``root`` and compute everything that the pages show.

    Args:
        data: data sets whose passages are shown, as ``--data`` names them.

    Raises:
        UsageError: there is no result, or no result of one of the data sets.
        DataError: a file is damaged, or differs from the one that a result was recorded with.
    """
    collections, stored = read_collections(root)
    if not collections:
        raise UsageError(f"no results in {root}", mend="`mdrbench run bm25 --data sample` makes one")
    present = passages.open_data(collections, data, cache)
    marks = audit_marks(collections)
    systems = published_systems(collections)
    ablations = recipe_ablations(root, collections, stored)
    model = SiteModel(root, collections, {}, {}, {}, {}, ablations, marks, systems, history.versions(root, cache))
    for collection in collections:
        scores = topic_scores.read(collection)
        model.scores.update(scores)
        predicted = predictions(collection, systems)
        model.leaderboards[collection] = {
            measure: ranking.leaderboard(collection, measure, scores, marks, predicted.get(measure, ()))
            for measure in collection.measures
        }
        model.comparisons[collection] = comparisons.compare_systems(
            collection, scores, cache, model.leaderboards[collection][collection.measures[0]]
        )
        model.moved.update(moved_topics(model.comparisons[collection], present, cache))
    return model
