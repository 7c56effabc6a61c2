"""The domain whose one-sentence description has the highest cosine with the passage.

Works in every language that the recipe's own encoder knows, without labelled data. The twelve domains are those of
Huang et al., "Boosting Data Utilization for Multilingual Dense Retrieval" (EMNLP 2025), who find them with classifiers
of English text (the domains ``fasttext``); the descriptions are ours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import Field, field_validator

from mdrbench.core.members import Spec
from mdrbench.core.types import Passage
from mdrbench.training.domains import DOMAINS, Embed, _embedding, agreement, shares

DESCRIPTIONS = {
    "Books & Literature": "A novel, poem, play, comic, magazine or sacred text: its author, story or style.",
    "Science & Mathematics": (
        "A discovery, law, theory, number, chemical element, planet, star or experiment in physics, chemistry, "
        "astronomy or mathematics."
    ),
    "Life & Health": "A plant, animal, part of the body, disease, medicine, food or treatment.",
    "Jobs & Education": "A school, university, degree, teacher, profession, career or training for a job.",
    "Computers & Internet": "A computer, program, programming language, video game, website, phone or network.",
    "Sports": "An athlete, team, club, match, championship, stadium or the rules of a game such as football.",
    "Business & Finance": "A company, brand, bank, currency, market, trade, tax or the economy of a country.",
    "Politics & Government": (
        "A ruler, president, party, election, law, court, state, army, war, revolution or treaty between countries."
    ),
    "Traffic & Transportation": "A car, train, ship, aircraft, road, railway, bridge, airport, port or metro.",
    "Arts & Entertainment": (
        "A film, television series, song, album, singer, actor, painter, painting, dance or festival."
    ),
    "Geography": "A country, city, village, river, lake, mountain, island or region: where it lies, how large it is.",
    "Others": "A religion, belief, custom, family, people, language or the ordinary life and death of a person.",
}


class Config(_embedding.EmbeddingConfig):
    """The descriptions (domain -> sentence), and how passages are compared. Your descriptions replace all twelve.

    ``centre`` subtracts the mean of all passages, or of each language's passages, from the passages, and the mean of
    the descriptions from the descriptions. Without it, the domain next to the common part of all texts attracts most of
    them. Of 640 positives of wiki16-lite in the space of multilingual-e5-small, the largest domain had 16% with
    ``all``; with ``none`` it had 17% or 22%, depending on a few words of two descriptions.
    """

    descriptions: dict[str, str] = Field(
        default=DESCRIPTIONS, min_length=2, description="domain -> one sentence about it"
    )
    centre: _embedding.Centre = "all"
    title_separator: str = Field(default=" ", description="text between title and text")

    @field_validator("descriptions")
    @classmethod
    def _each_says_something(cls, descriptions: dict[str, str]) -> dict[str, str]:
        empty = [name for name, text in descriptions.items() if not name.strip() or not text.strip()]
        if empty:
            raise ValueError(f"'{empty[0]}' has no name or no description")
        return descriptions


assert tuple(DESCRIPTIONS) == DOMAINS


class Nearest:
    """See :class:`mdrbench.training.domains.Labeller`."""

    spec = Spec(Config, version=1, added=_embedding.ADDED)

    def __init__(self, config: Config):
        self.config = config
        self._labels: dict[str, list[str]] = {}
        self._agreement: dict[str, float | None] | None = None

    def prepare(self, say: Callable[[str], None]) -> None:
        """Fetch the model of a named encoder; the recipe's own is there."""
        self.config.prepare(say)

    def conventions(self) -> dict[str, Any]:
        """Return the descriptions, in order, and the settings for the embeddings."""
        return {"domains": "nearest", **self.config.conventions()}

    def label(self, passages: dict[str, list[Passage]], embed: Embed | None) -> dict[str, list[str]]:
        """Return the domain of the nearest description; the first if several are equally near."""
        self._labels = self._nearest(passages, self.config.embed(embed))
        self._agreement = None
        if self.config.encoder is not None and embed is not None:
            self._agreement = agreement(self._labels, self._nearest(passages, embed))
        return self._labels

    def _nearest(self, passages: dict[str, list[Passage]], embed: Embed | None) -> dict[str, list[str]]:
        config, names = self.config, list(self.config.descriptions)
        vectors = _embedding.passages("nearest", passages, config.title_separator, embed, config.centre)
        labels: dict[str, list[str]] = {lang: [] for lang in passages}
        if embed is None or not any(passages.values()):
            return labels
        described = _embedding.unit(_embedding.embedded(embed, list(config.descriptions.values())))
        if config.centre != "none":
            described = _embedding.unit(described - described.mean(axis=0))
        for lang, found in vectors.items():
            if len(found):
                best = (found @ described.T).argmax(axis=1)  # (passages,)
                labels[lang] = [names[i] for i in best]
        return labels

    def facts(self) -> dict[str, Any]:
        """Return the number of passages by language and domain, and the share of the largest domain.

        With a named encoder also how far its labels agree with those of the recipe's own encoder.
        """
        compared = {} if self._agreement is None else {"agreement_with_own_encoder": self._agreement}
        return {**shares(self._labels), **compared}
