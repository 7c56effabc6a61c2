"""Batches of one language with all its domains in each, and no query twice in an epoch.

Every domain of a language is spread evenly over the language's batches of the epoch, so each batch holds a domain as
often as the language does: nothing runs out, and nothing has to recur. The batches of the languages are spread over the
epoch alike.

Exponents smooth the shares: a language with n queries gets a share proportional to n^languages, and a domain with m
queries one of its language's places proportional to m^domains. 1 is as the data has them, 0 the same for all. What is
small then recurs, at most ``repeats`` times in an epoch; the places beyond that go to the others. With ``repeats: 1``
each query comes once whatever the exponents, except those that fill the last batch of a language.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import Field

from mdrbench.core.members import MemberConfig, Spec
from mdrbench.core.types import Example
from mdrbench.training.samplers._batches import Batches, Pool, epoch_batches, shuffled
from mdrbench.training.samplers._packing import filled

Name = TypeVar("Name", bound=Hashable)


class Config(MemberConfig):
    """How shares are smoothed, and how often a query may come in an epoch."""

    same_language: bool = True
    languages: float = Field(default=1.0, ge=0, le=1, description="exponent of a language's size")
    domains: float = Field(default=1.0, ge=0, le=1, description="exponent of a domain's size in its language")
    repeats: int = Field(default=1, ge=1, description="times that a query may come in an epoch")


class Diverse(Batches):
    """See :class:`mdrbench.training.samplers.Sampler`."""

    spec = Spec(Config, version=1)

    def __init__(self, config: Config):
        self.config = config
        self.same_language = config.same_language

    def conventions(self) -> dict[str, Any]:
        """Return the settings."""
        return {"sampler": "diverse", **self.config.model_dump(mode="json")}

    def _draw(
        self,
        examples: Sequence[Example],
        pools: dict[str | None, Pool],
        marks: Sequence[frozenset[int]],
        seed: str,
        epoch: int,
    ) -> Iterator[list[int]]:
        """Share out the batches among the pools, order each pool's examples, and spread the batches."""
        name, repeats = f"{seed}/diverse/{epoch}", self.config.repeats
        total = sum(map(epoch_batches, pools.values()))
        most = {label: -(-len(pool.members) * repeats // pool.width) for label, pool in pools.items()}
        each = quotas({label: epoch_batches(pool) for label, pool in pools.items()}, total, self.config.languages, most)
        turns = spread({label: [label] * count for label, count in each.items()}, name)
        batches = {
            label: filled(
                pool,
                self._order(examples, pool, each[label] * pool.width, f"{name}/{label}"),
                marks,
                each[label],
                f"{name}/{label}",
            )
            for label, pool in pools.items()
        }
        for label in turns:
            yield next(batches[label])

    def _order(self, examples: Sequence[Example], pool: Pool, places: int, name: str) -> list[int]:
        """Return ``places`` examples of a pool in the order of the epoch, or fewer if they would recur too often."""
        cells: dict[str, dict[str, list[int]]] = {}
        for i in pool.members:
            cells.setdefault(examples[i].lang, {}).setdefault(examples[i].domain, []).append(i)
        repeats = self.config.repeats
        sizes = {lang: sum(map(len, found.values())) for lang, found in cells.items()}
        of_language = quotas(sizes, places, self.config.languages, {k: n * repeats for k, n in sizes.items()})
        chosen: dict[tuple[str, str], list[int]] = {}
        for lang, found in cells.items():
            of_domain = {domain: len(members) for domain, members in found.items()}
            limits = {domain: n * repeats for domain, n in of_domain.items()}
            for domain, count in quotas(of_domain, of_language[lang], self.config.domains, limits).items():
                rounds = -(-count // len(found[domain]))
                picked = [i for r in range(rounds) for i in shuffled(found[domain], f"{name}/{lang}/{domain}/{r}")]
                chosen[lang, domain] = picked[:count]
        return spread(chosen, name)


def quotas(sizes: Mapping[Name, int], total: int, exponent: float, limits: Mapping[Name, int]) -> dict[Name, int]:
    """Share out ``total`` places in proportion to size^exponent, whole numbers, none above its limit.

    Places that a limit forbids go to the others, in proportion again. If all are at their limits, fewer are given.
    """
    given = dict.fromkeys(sizes, 0)
    while (left := min(total, sum(limits.values())) - sum(given.values())) > 0:
        open_ = [name for name in sizes if given[name] < limits[name]]
        weights = {name: sizes[name] ** exponent for name in open_}
        exact = {name: left * weights[name] / sum(weights.values()) for name in open_}
        whole = {name: min(math.floor(exact[name]), limits[name] - given[name]) for name in open_}
        if not any(whole.values()):  # the rest is smaller than the number of names: largest fractions first
            for name in sorted(open_, key=lambda name: -exact[name])[:left]:
                given[name] += 1
            continue
        for name, more in whole.items():
            given[name] += more
    return given


def spread(parts: Mapping[Name, Sequence[Any]], seed: str) -> list[Any]:
    """Merge sequences so that each is spread evenly over the whole; where each begins is drawn by the seed."""
    starts = shuffled(range(len(parts)), f"{seed}/spread")
    placed = [
        ((at + (start + 0.5) / len(parts)) / len(items), start, item)
        for start, items in zip(starts, parts.values(), strict=True)
        for at, item in enumerate(items)
    ]
    return [item for _, _, item in sorted(placed, key=lambda entry: entry[:2])]
