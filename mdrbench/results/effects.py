"""The numbers of an ablation, from the topic-level scores beside the results that it names.

The statistics are those of ``mdrbench compare``: tests and intervals count topics and paired seeds
(:mod:`mdrbench.evaluation.inference`). Two families are corrected: the languages of one variant and measure, and the
averages of all variants of one kind.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mdrbench import results
from mdrbench.core.errors import DataError
from mdrbench.evaluation import inference, measures, statistics
from mdrbench.evaluation.inference import Difference
from mdrbench.results import Result, comparison, seeds
from mdrbench.results.ablations import Ablation, Complete, Counts, Effect, Score, SeedRun, Variant, read
from mdrbench.results.stored import ANY_SEAL
from mdrbench.results.verified import Verified

if TYPE_CHECKING:
    import numpy as np

CLOSE = 1e-9
"""Two computations of a mean agree within this."""


class _Scores(NamedTuple):
    """One recipe's topic-level scores by language, of shape (seeds, topics, measures), and whether it is trained."""

    topics: dict[str, list[str]]
    stacks: dict[str, np.ndarray]
    trained: bool
    counts: Counts | None

    @property
    def per_seed(self) -> np.ndarray:
        """The average of each seed, of shape (seeds, measures)."""
        import numpy as np

        averages: np.ndarray = np.mean([stack.mean(axis=1) for stack in self.stacks.values()], axis=0)
        return averages

    def spread(self, names: tuple[str, ...]) -> dict[str, float | None]:
        """The standard deviation of the average over the seeds, by measure."""
        if len(self.per_seed) < 2:
            return dict.fromkeys(names)
        return dict(zip(names, self.per_seed.std(axis=0, ddof=1).tolist(), strict=True))


def derive(found: Ablation, folder: Path) -> None:
    """Compute every number of an ablation from the results in the data set's folder.

    Raises:
        DataError: a result is missing, is another recipe's, or cannot be compared with the complete one.
    """
    names = tuple(found.measures)
    complete = _scores(found, found.complete.runs, folder)
    for lang in found.languages:
        found.complete.languages[lang] = dict(zip(names, _of_complete(found, complete, [lang]), strict=True))
    spread = complete.spread(names)
    averages = _of_complete(found, complete, found.languages)
    found.complete.average = {
        name: score.model_copy(update={"spread": spread[name]}) for name, score in zip(names, averages, strict=True)
    }
    found.complete.counts = complete.counts
    averaged, every = [], [complete]
    for variant in found.variants:
        scores = _scores(found, variant.runs, folder)
        for lang in found.languages:
            if scores.topics[lang] != complete.topics[lang]:
                raise DataError(f"'{variant.label}' judges other topics of '{lang}' than the complete recipe")
        every.append(scores)
        variant.counts = scores.counts
        averaged.append(_effects(found, variant, scores, complete))
    found.alike = _alike([found.label(one) for one in found.entries], every)
    found.families = {}
    for variant in found.variants:
        found.families.setdefault(variant.family, []).append(variant.label)
    for family in found.families:
        members = [(v, effects) for v, effects in zip(found.variants, averaged, strict=True) if v.family == family]
        for name in names:
            corrected = inference.corrected([effects[name][1].p for _, effects in members], found.tested.correction)
            for (variant, effects), p in zip(members, corrected, strict=True):
                variant.average[name] = _effect(*effects[name], p, variant.paired_seeds)


def _alike(labels: list[str], every: list[_Scores]) -> list[list[str]]:
    """Group the labels of recipes that have the same score on every topic, with every seed."""
    groups: dict[bytes, list[str]] = {}
    for label, scores in zip(labels, every, strict=True):
        groups.setdefault(b"".join(stack.tobytes() for stack in scores.stacks.values()), []).append(label)
    return [group for group in groups.values() if len(group) > 1]


def _counts(result: Result, langs: list[str]) -> Counts | None:
    training = (result.system.recipe or {}).get("training")
    if not training:
        return None
    stages = [result.languages[lang].negatives or {} for lang in langs]

    def total(key: str, *names: str) -> int:
        """Sum a count of the first of these stages that a language has."""
        return sum(int(next((one[name] for name in names if name in one), {}).get(key, 0)) for one in stages)

    mined, kept = total("negatives", "mine"), total("negatives", "unjudged", "judge", "mine")
    of_judge = total("candidates", "judge")
    if any("unjudged" in one for one in stages):  # the judge was asked for how many to keep, and for nothing else
        mined, of_judge = kept, 0
    batch, hard = training["batch_size"], training["negatives"] if (result.system.recipe or {}).get("negatives") else 0
    last = ("top_up", "unjudged", "judge", "mine", "pair")
    return Counts(
        queries=total("queries", *last),
        mined=mined,
        judged=of_judge,
        dropped=mined - kept,
        generated=total("generated", "top_up"),
        negatives=total("negatives", *last),
        passages_a_step=batch * (1 + hard),
    )


def _of_complete(found: Ablation, scores: _Scores, langs: list[str]) -> list[Score]:
    """The complete recipe's average over languages, by measure, with intervals over topics and seeds."""
    import numpy as np

    settings = found.tested.model_dump(include={"confidence", "resamples", "seed"})
    intervals = statistics.bootstrap([scores.stacks[lang].mean(axis=0) for lang in langs], **settings)
    per_seed = np.mean([scores.stacks[lang].mean(axis=1) for lang in langs], axis=0)
    widened = inference.with_seeds(intervals, per_seed, confidence=found.tested.confidence)
    return [Score(**interval._asdict()) for interval in widened]


def _scores(found: Ablation, runs: list[SeedRun], folder: Path) -> _Scores:
    first = folder / found.complete.runs[0].result
    complete = results.read(first, ("sealed",))
    per_run, trained, counts = [], False, None
    for run in runs:
        path = folder / run.result
        result = results.read(path, ("sealed",))
        trained |= seeds.of(result) is not None
        counts = counts or _counts(result, found.languages)
        if result.system.recipe_digest != run.digest:
            raise DataError(
                f"is not of the recipe {run.digest[:10]} that the ablation names",
                where=str(path),
                mend="run `mdrbench ablate` again",
            )
        for measure in found.measures:
            shared = comparison.comparable(result, complete, path, first, measure)
        if lacking := [lang for lang in found.languages if lang not in shared]:
            raise DataError(f"lacks {', '.join(lacking)}", where=str(path), mend="run `mdrbench ablate` again")
        per_run.append({lang: comparison.topic_scores(path, result, lang)[0] for lang in found.languages})
    return _stacked(per_run, found, trained, counts)


def _stacked(
    per_run: list[dict[str, measures.TopicScores]], found: Ablation, trained: bool, counts: Counts | None
) -> _Scores:
    import numpy as np

    names = tuple(found.measures)
    topics = {lang: list(per_run[0][lang]) for lang in found.languages}
    stacks = {}
    for lang, qids in topics.items():
        if any(list(one[lang]) != qids for one in per_run):
            raise DataError(f"the seeds judge different topics of '{lang}'", mend="run `mdrbench ablate` again")
        stacks[lang] = np.stack([measures.matrix(one[lang], names) for one in per_run])  # (seeds, topics, measures)
    return _Scores(topics, stacks, trained, counts)


Averaged = tuple[float, Difference, "float | None"]
"""Score, difference and spread of the score of an average, before the correction over its family."""


def _effects(found: Ablation, variant: Variant, scores: _Scores, complete: _Scores) -> dict[str, Averaged]:
    """Write a variant's effects in each language; return its averages by measure."""
    import numpy as np

    names, settings = tuple(found.measures), {"confidence": found.tested.confidence}
    gaps = {lang: scores.stacks[lang] - complete.stacks[lang] for lang in found.languages}
    trained = scores.trained or complete.trained
    variant.paired_seeds = len(next(iter(gaps.values()))) if trained else None
    by_lang = {lang: inference.differences([gap], **settings) for lang, gap in gaps.items()}
    variant.languages = {lang: {} for lang in found.languages}
    for at, name in enumerate(names):
        corrected = inference.corrected([by_lang[lang][at].p for lang in gaps], found.tested.correction)
        for lang, p in zip(gaps, corrected, strict=True):
            score = float(scores.stacks[lang][:, :, at].mean())
            variant.languages[lang][name] = _effect(score, by_lang[lang][at], None, p, variant.paired_seeds)
    means = np.mean(scores.per_seed, axis=0).tolist()
    averages = inference.differences(list(gaps.values()), **settings)
    spread = scores.spread(names)
    return {name: (mean, gap, spread[name]) for name, mean, gap in zip(names, means, averages, strict=True)}


def _effect(
    score: float, gap: Difference, spread: float | None, p_corrected: float, paired_seeds: int | None
) -> Effect:
    return Effect(
        score=score,
        difference=gap.value,
        low=gap.low,
        high=gap.high,
        p=gap.p,
        p_corrected=p_corrected,
        starred=inference.starred(p_corrected, paired_seeds),
        spread=spread,
        spread_of_difference=gap.seeds_spread,
    )


def verified(path: Path) -> Verified:
    """Derive every number of a stored ablation again from the results that it names."""
    found = Verified(path)
    try:
        stored = read(path, ANY_SEAL)
        derived = stored.model_copy(deep=True)
        for one in derived.entries:
            one.languages, one.average = {}, {}
            one.counts = None
            if isinstance(one, Variant):
                one.paired_seeds = None
        derive(derived, path.parent.parent)
    except DataError as error:
        found.unreadable(error)
        return found
    if stored.alike != derived.alike:
        found.problem("the recipes that are alike are not these")
    if stored.families != derived.families:
        found.problem("the families are not those of its variants")
    for one, other in zip(stored.entries, derived.entries, strict=True):
        place = one.label if isinstance(one, Variant) else "complete"
        was, now = dict(_numbers(one)), dict(_numbers(other))
        found.cells += len(now)
        for key in {**now, **was}:
            if not _close(was.get(key), now.get(key)):
                lang, measure, part = key
                what = f"{place}: {part}"
                found.problem(what, lang=lang, measure=measure, stored=was.get(key), derived=now.get(key))
    return found


def _numbers(one: Complete | Variant) -> Iterator[tuple[tuple[str, str, str], float]]:
    for name, count in one.counts.model_dump().items() if one.counts else ():
        yield ("", "", f"count of {name}"), count
    if isinstance(one, Variant) and one.paired_seeds is not None:
        yield ("", "", "paired seeds"), one.paired_seeds
    for lang, cells in [*one.languages.items(), ("average", one.average)]:
        for measure, cell in cells.items():
            for part, value in cell.model_dump(exclude_none=True).items():
                yield (lang, measure, part), value


def _close(stored: float | None, derived: float | None) -> bool:
    return stored is not None and derived is not None and math.isclose(stored, derived, rel_tol=0, abs_tol=CLOSE)
