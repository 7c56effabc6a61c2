"""Verify one measured result: its kept files, the data, every cell and average, and its trainings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mdrbench import results
from mdrbench.commands.audit import claims, data_claims, kept_files, references, step_keys
from mdrbench.commands.audit.data_claims import Corpora, close
from mdrbench.core.errors import DataError
from mdrbench.data.miracl_layout import MiraclFolder
from mdrbench.evaluation import measures, statistics
from mdrbench.results import Cell, Result
from mdrbench.results.stored import ANY_SEAL
from mdrbench.results.verified import Verified

if TYPE_CHECKING:
    import numpy as np


def verified(path: Path, dataset: MiraclFolder | None, corpora: Corpora | None) -> Verified:
    """Verify a result file.

    Args:
        dataset: the data that its runs are scored on, if it is the data set of the result.
        corpora: reads a corpus, if the corpora are to be read.
    """
    found = Verified(path)
    try:
        result = references.require_measured(path, ANY_SEAL)
    except DataError as error:
        found.problem(error.message, mend=error.mend or "")
        return found
    dataset = _scope(found, result, dataset, corpora)
    for one in claims.contradictions(path, result):
        found.problem(one.what, lang=one.lang, stored=one.stored, derived=one.derived, mend=one.mend)
    for place, what in step_keys.contradictions(result, found.unchecked):
        found.problem(what, lang=place, mend="run the recipe again")
    groups = {}
    for lang in result.language_codes():
        scores = _language(found, result, lang, dataset, corpora)
        if scores is not None:
            groups[lang] = scores
    _averages(found, result, groups)
    _trainings(found, result)
    return found


def _scope(
    found: Verified, result: Result, dataset: MiraclFolder | None, corpora: Corpora | None
) -> MiraclFolder | None:
    """Record what the data allow to check; return the data if the result is of them."""
    if dataset is None:
        found.unchecked.append("runs were not re-scored, nor topics and qrels compared: give --data")
    elif dataset.name != result.dataset:
        found.unchecked.append(f"runs were not re-scored: of '{result.dataset}', not '{dataset.name}'")
        dataset = None
    if dataset is not None:
        stated = result.evaluated.corpus_variant
        found.same("evaluated.corpus_variant is not the data set's", stated, dataset.corpus_variant)
        found.rescored = True
        found.corpus = corpora is not None
    if dataset is None or corpora is None:
        lacking = "--corpus" if dataset is not None else "--data and --corpus"
        found.unchecked.append(f"the corpus's fingerprint was not recomputed: give {lacking}")
    return dataset


def _language(
    found: Verified, result: Result, lang: str, dataset: MiraclFolder | None, corpora: Corpora | None
) -> np.ndarray | None:
    """Check all about a language; return its topic-level scores, (topics, measures), None if there are none."""
    entry = result.languages[lang]
    scores, queries = kept_files.topic_scores(found, result, lang)
    run = kept_files.run(found, result, lang)
    if run is not None and scores is not None and result.system.recipe is not None:
        stated = entry.conventions.get("judged_topics_without_hits")
        without = sum(not run.get(qid) for qid in scores)
        found.same("conventions.judged_topics_without_hits", stated, without, lang=lang)
    if dataset is not None:
        derived = data_claims.rescored(found, result, lang, run, dataset, corpora)
        if derived is not None and scores is not None:
            data_claims.compare_topics(found, result, lang, scores, derived)
            data_claims.compare_queries(found, result, lang, queries, dataset)
        scores = derived if derived is not None else scores
    if scores is None:
        found.unchecked.append(f"no cell of '{lang}' could be derived again")
        return None
    if entry.dataset is not None:
        found.same("dataset.judged_topics", entry.dataset.judged_topics, len(scores), lang=lang)
    matrix = measures.matrix(scores, tuple(result.evaluated.measures))
    found.topics += len(scores)
    _cells(found, result, lang, entry.scores, [matrix])
    return matrix


def _cells(found: Verified, result: Result, place: str, stored: dict[str, Cell], groups: list[np.ndarray]) -> None:
    """Compare stored means and interval ends with those that the topic-level scores give."""
    evaluated = result.evaluated
    names = evaluated.measures
    for name in dict.fromkeys([*names, *stored]):
        if name not in stored or name not in names:
            what = "is missing" if name in names else "is not a measure of the result"
            found.problem(f"the cell {what}", lang=place, measure=name)
    confidence, resamples, seed = evaluated.confidence, evaluated.resamples, evaluated.seed
    if confidence is None or resamples is None or seed is None:
        found.problem("evaluated lacks confidence, resamples or seed: no interval can be derived", lang=place)
        return
    derived = statistics.bootstrap(groups, confidence=confidence, resamples=resamples, seed=seed)
    for name, interval in zip(names, derived, strict=True):
        for part, value in interval._asdict().items() if name in stored else ():
            found.cells += 1
            number = getattr(stored[name], part)
            if number is None or not close(number, value):
                found.problem(part, lang=place, measure=name, stored=number, derived=value)


def _averages(found: Verified, result: Result, groups: dict[str, np.ndarray]) -> None:
    """Check labels and cells of the averages, and that the average over all languages is there."""
    langs = result.language_codes()
    if not any(set(average.languages) == set(langs) for average in result.averages):
        found.problem(f"lacks the {results.average_label(langs)}", mend="run the recipe again")
    for average in result.averages:
        found.same("label of the average", average.label, results.average_label(average.languages))
        if all(lang in groups for lang in average.languages):
            _cells(found, result, average.label, average.scores, [groups[lang] for lang in average.languages])
        else:
            found.unchecked.append(f"the {average.label} could not be derived again")


def _trainings(found: Verified, result: Result) -> None:
    """Check that each training is one that a language names, and its log's bytes. Losses are not derived again."""
    named = {entry.steps["train"].key for entry in result.languages.values() if "train" in entry.steps}
    for name, training in result.trainings.items():
        train = training.steps.get("train")
        if train is None or not train.key.startswith(name) or train.key not in named:
            found.problem(f"training {name} is not named by any language", mend="run the recipe again")
        if "queries" in training.facts:
            languages = sorted(training.facts["queries"])
            found.same(f"the languages of training {name}", training.languages, languages)
        if training.log is not None and (log := kept_files.whole(found, training.log, None)):
            found.same(f"the steps of training {name}", training.facts.get("steps"), kept_files.last_step(log))
            found.unchecked.append(f"the losses of training {name} were not derived again")
