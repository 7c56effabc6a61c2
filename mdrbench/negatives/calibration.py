"""Choose the cut-offs of a judge that scores pairs, on pairs that people judged: the highest kappa wins.

The qrels know one border, relevant or not, so both cut-offs are the same and no passage gets grade 1. A language with
fewer than :data:`FEWEST_ZEROS` pairs judged 0 takes the cut-off of all languages pooled.
"""

from __future__ import annotations

from typing import NamedTuple

from mdrbench.core.errors import UsageError
from mdrbench.negatives.agreement import Agreement

FEWEST_ZEROS = 50

POOLED = "default"


class Scored(NamedTuple):
    """A pair that people judged, and the judge's score of it."""

    score: float
    relevant: bool


class Chosen(NamedTuple):
    """A cut-off: the kappa that it reaches on the pairs it was chosen on, and how many pairs and zeros these are.

    Attributes:
        taken_by: the languages that take it; of ``default`` those with too few zeros.
    """

    cutoff: float
    kappa: float
    pairs: int
    zeros: int
    taken_by: list[str]


def choose(languages: dict[str, list[Scored]]) -> dict[str, Chosen]:
    """Choose a cut-off for each language with enough zeros, and one for all languages pooled (``default``).

    Raises:
        UsageError: no pair has a score, or all are relevant, or none is.
    """
    zeros = {lang: sum(not pair.relevant for pair in pairs) for lang, pairs in languages.items()}
    few = [lang for lang in languages if zeros[lang] < FEWEST_ZEROS]
    everything = [pair for pairs in languages.values() for pair in pairs]
    if len({pair.relevant for pair in everything}) < 2:
        raise UsageError(
            "there are no scores of both relevant and other passages to choose cut-offs on",
            mend="use a judge that scores (cross-encoder, bi-encoder, yes-no, llm with answer: logprob), and data "
            "whose training qrels hold zeros",
        )
    found = {POOLED: _best(everything, few)}
    for lang, pairs in languages.items():
        if lang not in few and any(pair.relevant for pair in pairs):
            found[lang] = _best(pairs, [lang])
    return found


def _best(pairs: list[Scored], taken_by: list[str]) -> Chosen:
    """Try the middle between each two neighbouring scores; of equal kappas the lowest cut-off, which drops more."""
    ordered = sorted(pairs)
    positives = sum(pair.relevant for pair in ordered)
    best: tuple[float, float] | None = None
    below = 0  # relevant pairs below the cut-off
    for at in range(1, len(ordered)):
        below += ordered[at - 1].relevant
        low, high = ordered[at - 1].score, ordered[at].score
        if low == high:
            continue
        both = positives - below
        kappa = Agreement(both, len(ordered) - at - both, below, at - below, 0, 0).kappa or 0.0
        if best is None or kappa > best[0]:
            best = kappa, (low + high) / 2
    kappa, cutoff = best or (0.0, ordered[0].score)
    return Chosen(float(f"{cutoff:.6g}"), kappa, len(ordered), len(ordered) - positives, taken_by)


def as_yaml(chosen: dict[str, Chosen]) -> str:
    """Return the cut-offs as a recipe writes them, each with what it rests on."""
    lines = ["cutoffs:"]
    for lang, one in chosen.items():
        taken = f"; taken by {', '.join(one.taken_by)}" if lang == POOLED and one.taken_by else ""
        note = f"kappa {one.kappa:.3f} on {one.pairs} pairs, {one.zeros} of them zeros{taken}"
        lines.append(f"  {lang}: [{one.cutoff:g}, {one.cutoff:g}]  # {note}")
    return "\n".join(lines)
