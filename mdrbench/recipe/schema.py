"""The schema of a recipe: YAML data in, checked members and settings out.

A recipe names its parts by family member (``retriever: {name: bm25, k1: 0.9}``). Validation turns each into a
:class:`mdrbench.core.members.Member`, which later code plans and builds. :mod:`mdrbench.recipe.loading` reads files.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from mdrbench.core.errors import MdrbenchError
from mdrbench.core.members import Member, MemberConfig, Part, RetrieverMember, keyed_parts
from mdrbench.core.store import key_of
from mdrbench.evaluation import measures
from mdrbench.evaluation.statistics import PROTOCOL
from mdrbench.training.settings import RUN_ONLY, Settings


def _measure(value: str) -> str:
    try:
        measures.parse_measure(value)
    except MdrbenchError as error:
        raise ValueError(f"{error.message}; {error.mend}") from None
    return value


class Search(MemberConfig):
    """How deep to search."""

    depth: int = Field(default=100, ge=1, le=10_000, description="hits kept for each topic")


class Evaluation(MemberConfig):
    """Which measures are computed, and their confidence intervals."""

    measures: tuple[Annotated[str, AfterValidator(_measure)], ...] = Field(default=measures.DEFAULT, min_length=1)
    confidence: float = Field(
        default=PROTOCOL.confidence, gt=0.5, lt=1, description="coverage of the bootstrap intervals"
    )
    resamples: int = Field(default=PROTOCOL.resamples, ge=100, le=100_000, description="bootstrap resamples")


class Published(MemberConfig):
    """The published rows that this recipe reproduces: the ``system`` names used in ``results/published``."""

    systems: tuple[str, ...]


NONE: Any = {"name": "none"}


class Unjudged(MemberConfig):
    """An ablation of the judge: as many top candidates of each query as the judge lets stay, without its verdicts."""

    retriever: RetrieverMember | None = Field(
        default=None, description="with `mining`: whose ranking the candidates are from; None: the recipe's own"
    )
    mining: Annotated[Member, Part("mining")] | None = Field(
        default=None, description="which candidates of that ranking; None: those that the recipe mines"
    )
    judge_generated: bool = Field(default=True, description="whether passages of generated queries are still judged")


class Canaries(MemberConfig):
    """How the judge is tried on known pairs before it is used; see :mod:`mdrbench.negatives.canaries`.

    The trial changes no verdict, so it is part of no digest; a result records it.
    """

    questions: int = Field(default=40, ge=1, description="training questions of a language that are tried")
    seed: int = Field(default=0, ge=0, description="which questions are drawn")
    threshold: float = Field(
        default=0.5, gt=0, le=1, description="share of positives dropped minus share of other passages dropped"
    )
    below: Literal["stop", "continue"] = Field(
        default="stop", description="what a run does if a language is below the threshold"
    )


class Negatives(MemberConfig):
    """Where hard negatives come from: mined from a ranking, judged, and topped up through generated queries."""

    retriever: RetrieverMember | None = Field(
        default=None, description="the retriever whose ranking is mined; None: the recipe's own"
    )
    mining: Annotated[Member, Part("mining")] = Field(description="a member of the family mining")
    judged_zeros: Literal["keep", "drop"] = Field(
        default="keep", description="whether passages judged 0 may become negatives"
    )
    judge: Annotated[Member, Part("judges")] = Field(
        default=NONE, validate_default=True, description="a member of the family judges"
    )
    reference: bool = Field(default=True, description="whether the judge sees a positive of the query")
    keep: Literal["irrelevant", "not-relevant"] = Field(
        default="irrelevant", description="grades that stay: only 0 (the paper's text), or 0 and 1 (its appendix)"
    )
    unreadable: Literal["drop", "keep"] = Field(default="drop", description="candidates without a readable verdict")
    relabel: Literal["relevant"] | None = Field(
        default=None, description="`relevant`: candidates of grade 2 become positives of the query (Thakur et al. 2025)"
    )
    unjudged: Unjudged | None = Field(
        default=None, description="an ablation: which candidates stand in place of those that the judge lets stay"
    )
    canaries: Canaries = Field(default=Canaries(), description="the trial of the judge before it is used")
    generation: Annotated[Member, Part("generation")] = Field(
        default=NONE, validate_default=True, description="a member of the family generation"
    )
    round_trip: bool | Annotated[int, Field(ge=1)] = Field(
        default=False,
        description="keep a generated query only if its positive is among the first k found for it; true: k is the "
        "mining depth",
    )
    size: int = Field(default=30, ge=1, description="negatives per query; generation adds to groups with fewer")

    @property
    def judges(self) -> bool:
        """Whether mined negatives are judged."""
        return self.judge.name != "none"

    @property
    def generates(self) -> bool:
        """Whether groups with too few negatives are topped up."""
        return self.generation.name != "none"


class Weights(MemberConfig):
    """Weights of training queries; see :mod:`mdrbench.training.weighting`."""

    mode: Literal["share", "fixed", "none"] = "share"
    alpha: float = Field(default=0.45, ge=0, description="weight of a shared language")
    beta: float = Field(default=0.40, ge=0, description="weight of a shared domain")


class Training(Settings):
    """How the retriever's encoder is trained: batches, weights, and the settings of the loop."""

    domains: Annotated[Member, Part("domains", default="nearest")] = Field(
        default={}, validate_default=True, description="a member of the family domains"
    )
    sampler: Annotated[Member, Part("samplers", default="homogeneous")] = Field(
        default={}, validate_default=True, description="a member of the family samplers"
    )
    teacher: RetrieverMember | None = Field(
        default=None, description="a retriever whose scores of pairs `distillation` and `mask_margin` use"
    )
    weights: Weights = Weights()
    batch_size: int = Field(default=24, ge=2, description="queries per step")
    epochs: int = Field(default=20, ge=1)
    steps: int | None = Field(default=None, ge=1, description="total number of steps, in place of epochs")
    queries_per_language: int | None = Field(
        default=None, ge=2, description="use only the first queries of each language; None: all"
    )
    average: int | None = Field(
        default=None,
        ge=2,
        description="trainings with seeds of their own whose weights are averaged; None: one training",
    )
    processes: int = Field(
        default=1, ge=1, description="training processes of a node, one per GPU; all share each batch"
    )
    nodes: int | None = Field(
        default=None, ge=2, description="workers that train together, each with `processes`; None: one"
    )


class Recipe(MemberConfig):
    """A checked recipe, with every default filled in."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    summary: str = Field(min_length=1)
    retriever: RetrieverMember
    negatives: Negatives | None = None
    training: Training | None = None
    search: Search = Search()
    evaluation: Evaluation = Evaluation()
    seed: int = Field(default=PROTOCOL.seed, ge=0)
    published: Published | None = None
    extends: str | None = None

    @property
    def digest(self) -> str:
        """See :func:`digest_of`."""
        return digest_of(self.model_dump(mode="json", exclude_none=True))

    @property
    def mined_retriever(self) -> Member:
        """The retriever whose ranking is mined, unless the mining strategy names another."""
        return (self.negatives and self.negatives.retriever) or self.retriever


def digest_of(recorded: dict[str, Any]) -> str:
    """Hash everything in a recipe's JSON that can change a score.

    Left out are name, summary, parent, published rows, and settings that only say how to run. The JSON may be of an
    older mdrbench: settings that it lacks are not filled in.

    Returns:
        A SHA-256.

    Raises:
        ValueError: this is not the JSON of a recipe.
        UsageError: it names a member that this mdrbench does not have.
    """
    try:
        return key_of(_scored(recorded))
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"this is not the JSON of a recipe: {error!r}") from None


def _scored(recorded: dict[str, Any]) -> dict[str, Any]:
    left_out = ("name", "summary", "extends", "published")
    data = keyed_parts(Recipe, {key: value for key, value in recorded.items() if key not in left_out})
    if "negatives" in data:
        scored = {key: value for key, value in data["negatives"].items() if key != "canaries"}
        if scored.get("round_trip") is False:  # older results lack it, and nothing is filtered
            del scored["round_trip"]
        data["negatives"] = keyed_parts(Negatives, scored)
        if "unjudged" in data["negatives"]:
            data["negatives"]["unjudged"] = keyed_parts(Unjudged, data["negatives"]["unjudged"])
    if "training" in data:
        training = {
            key: value for key, value in data["training"].items() if key not in (*RUN_ONLY, "processes", "nodes")
        }
        data["training"] = keyed_parts(Training, training)
    return data
