"""Recipes: YAML data, checked by pydantic, every mistake reported at once.

A recipe names its parts by family member (``retriever: {name: bm25, k1: 0.9}``); the member's own ``Config`` checks
the rest of the mapping. ``extends`` merges one parent recipe (whose own ``extends`` is an error), ``--set a.b=value``
overrides single keys. Errors carry the path of the key, the line of the file and the nearest known name.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from mdrbench.core import registry
from mdrbench.core.errors import MdrbenchError, UsageError
from mdrbench.core.store import key_of
from mdrbench.evaluation import measures
from mdrbench.evaluation.statistics import PROTOCOL
from mdrbench.recipe import members
from mdrbench.recipe.yaml_files import merge, parse_overrides, read_yaml
from mdrbench.training.settings import RUN_ONLY, Settings


def _measure(value: str) -> str:
    try:
        measures.parse_measure(value)
    except MdrbenchError as error:
        raise ValueError(f"{error.message}; {error.mend}") from None
    return value


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Search(_Section):
    """How deep to search."""

    depth: int = Field(default=100, ge=1, le=10_000, description="hits kept for each topic")


class Evaluation(_Section):
    """What is measured and how sure we are of it."""

    measures: tuple[Annotated[str, AfterValidator(_measure)], ...] = Field(default=measures.DEFAULT, min_length=1)
    confidence: float = Field(
        default=PROTOCOL.confidence, gt=0.5, lt=1, description="coverage of the bootstrap intervals"
    )
    resamples: int = Field(default=PROTOCOL.resamples, ge=100, le=100_000, description="bootstrap resamples")


class Published(_Section):
    """The published rows that this recipe reproduces: the ``system`` names used in ``results/published``."""

    systems: tuple[str, ...]


class Negatives(_Section):
    """Where hard negatives come from: mined from a ranking, judged, and topped up through generated queries."""

    retriever: dict[str, Any] | None = Field(default=None, description="whose ranking is mined; None: the recipe's own")
    mining: dict[str, Any] = Field(description="a member of the family mining")
    judged_zeros: Literal["keep", "drop"] = Field(default="keep", description="may passages judged 0 be negatives?")
    judge: dict[str, Any] = Field(default={"name": "none"}, description="a member of the family judges")
    reference: bool = Field(default=True, description="whether the judge sees a positive of the query")
    keep: Literal["irrelevant", "not-relevant"] = Field(
        default="irrelevant", description="grades that stay: 0 alone (the paper's text), or 0 and 1 (its appendix)"
    )
    unreadable: Literal["drop", "keep"] = Field(default="drop", description="candidates without a readable verdict")
    generation: dict[str, Any] = Field(default={"name": "none"}, description="a member of the family generation")
    size: int = Field(default=30, ge=1, description="negatives a query; what is missing is topped up by generation")


class Weights(_Section):
    """Weights of training queries; see :mod:`mdrbench.training.weighting`."""

    mode: Literal["share", "fixed", "none"] = "share"
    alpha: float = Field(default=0.45, ge=0, description="coefficient of the language")
    beta: float = Field(default=0.40, ge=0, description="coefficient of the domain")


class Training(Settings):
    """How the retriever's encoder is trained: batches, weights, and the settings of the loop."""

    domains: dict[str, Any] = Field(default={"name": "nearest"}, description="a member of the family domains")
    sampler: dict[str, Any] = Field(default={"name": "homogeneous"}, description="a member of the family samplers")
    weights: Weights = Weights()
    batch_size: int = Field(default=24, ge=2, description="queries of a step")
    epochs: int = Field(default=20, ge=1)
    steps: int | None = Field(default=None, ge=1, description="steps in all, in place of epochs")
    queries_per_language: int | None = Field(
        default=None, ge=2, description="the first queries of each language alone; None: all"
    )
    processes: int = Field(default=1, ge=1, description="processes that train as one, one a GPU; batches are joint")


class Recipe(_Section):
    """A resolved recipe. ``retriever`` is the member's complete configuration, defaults included, with its name."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    summary: str = Field(min_length=1)
    retriever: dict[str, Any]
    negatives: Negatives | None = None
    training: Training | None = None
    search: Search = Search()
    evaluation: Evaluation = Evaluation()
    seed: int = Field(default=PROTOCOL.seed, ge=0)
    published: Published | None = None
    extends: str | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of all that can change a score: not name, summary, parent, published rows and what only says how
        to run (``RUN_ONLY``)."""
        data = self.model_dump(mode="json", exclude={"name", "summary", "extends", "published"}, exclude_none=True)
        for place, family in FAMILY_OF.items():
            if (section := _at(data, place)) is not None:
                data = _replaced(data, place, registry.keyed(family, section))
        for name in (*RUN_ONLY, "processes") if self.training else ():
            data["training"].pop(name, None)
        return key_of(data)


FAMILY_OF = {
    "retriever": "retrievers",
    "negatives.retriever": "retrievers",
    "negatives.mining": "mining",
    "negatives.judge": "judges",
    "negatives.generation": "generation",
    "training.domains": "domains",
    "training.sampler": "samplers",
}
"""Dotted path of each section that names a family's member -> the family."""

DEFAULTS = {
    "negatives.judge": Negatives.model_fields["judge"].default,
    "negatives.generation": Negatives.model_fields["generation"].default,
    "training.domains": Training.model_fields["domains"].default,
    "training.sampler": Training.model_fields["sampler"].default,
}
"""Those that a recipe may leave out."""


def load(name: str, overrides: list[str] | None = None) -> Recipe:
    """Load, merge and check a recipe given by name or YAML path.

    Raises:
        UsageError: with all that is wrong with it, a line for each mistake.
    """
    path = registry.recipe_file(name)
    data, origin = _read(name)
    data.setdefault("name", path.stem)
    if overrides:
        data = _expanded(merge(_with_defaults(data), parse_overrides(overrides)), (name,))
        origin.update({item.partition("=")[0]: "--set" for item in overrides})
    mistakes = _check(data)
    if mistakes:
        listed = "\n".join(f"  - {_place(key, origin)}{text}" for key, text in mistakes)
        raise UsageError(
            f"{len(mistakes)} mistake{'s' * (len(mistakes) > 1)} in the recipe:\n{listed}",
            where=str(path),
            mend="`mdrbench show RECIPE` prints every key with its value",
        )
    shipped = registry.recipe_files().get(data["name"])
    if shipped is not None and shipped.resolve() != path.resolve():
        raise UsageError(
            f"'{data['name']}' is the name of a shipped recipe",
            where=str(path),
            mend="rename the file or give the recipe a `name` of its own, so that results cannot be mixed up",
        )
    defaults = Recipe.model_validate(data).model_dump(mode="json", exclude_none=True)
    for place, family in FAMILY_OF.items():
        if (section := _at(defaults, place)) is not None:
            defaults = _replaced(defaults, place, members.resolve(family, section))
    return Recipe.model_validate(defaults)


def _read(name: str, before: tuple[str, ...] = ()) -> tuple[dict[str, Any], dict[str, str]]:
    """A recipe's YAML with its parent merged in and recipe names written out, and where each key comes from."""
    if name in before:
        raise UsageError(
            f"recipes name each other in a circle: {' -> '.join([*before, name])}", mend="break the circle"
        )
    path = registry.recipe_file(name)
    data, at = read_yaml(path)
    parent_name = data.get("extends")
    if parent_name is not None:
        parent, _ = _read(str(parent_name), (*before, name))
        if "extends" in parent:
            raise UsageError(
                f"'{parent_name}' itself extends '{parent['extends']}'",
                where=f"{path}:{at['extends']}",
                mend="extend one level only",
            )
        data = _expanded(data, (*before, name))
        data = merge({k: v for k, v in parent.items() if k not in ("name", "published")}, data)
    return _expanded(data, (*before, name)), {key: f"line {line}" for key, line in at.items()}


def _expanded(data: dict[str, Any], before: tuple[str, ...]) -> dict[str, Any]:
    for place, family in FAMILY_OF.items():
        if (section := _at(data, place)) is not None:
            data = _replaced(
                data, place, members.expand(family, section, lambda name: _read(name, before)[0].get("retriever", {}))
            )
    return data


def _with_defaults(data: dict[str, Any]) -> dict[str, Any]:
    """The data with the sections that were left out, so that a single key of one can be set."""
    for place, default in DEFAULTS.items():
        parent, _, key = place.partition(".")
        if isinstance(data.get(parent), dict) and key not in data[parent]:
            data = _replaced(data, place, dict(default))
    return data


def _place(path: str, origin: dict[str, str]) -> str:
    return f"{path} ({origin[path]}): " if path in origin else f"{path}: "


def _check(data: dict[str, Any]) -> list[tuple[str, str]]:
    """All mistakes as (dotted key, text)."""
    mistakes: list[tuple[str, str]] = []
    try:
        Recipe.model_validate(data)
    except ValidationError as error:
        mistakes += members.explain(error, Recipe, "")
    for path, family in FAMILY_OF.items():
        section = _at(data, path)
        if isinstance(section, dict):
            mistakes += members.check(family, section, f"{path}.")
    return mistakes


def _at(data: dict[str, Any], path: str) -> Any:
    """What stands at a dotted path, None where there is nothing."""
    here: Any = data
    for key in path.split("."):
        here = here.get(key) if isinstance(here, dict) else None
    return here


def _replaced(data: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with another value at a dotted path whose parents are there."""
    key, _, rest = path.partition(".")
    return {**data, key: _replaced(data[key], rest, value) if rest else value}
