"""Is every number of a result what its files say? Re-scores kept runs and re-derives every cell and average.

Without the data: the files' bytes, the recipe's digest, and every cell and interval from the topic-level scores. With
it also: topics, qrels and counts, and the topic-level scores from the runs. With the corpus also: its fingerprint, and
that runs and qrels hold only its passages. ``docs/check.md`` says what none of this can find.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from mdrbench import results
from mdrbench.commands.audit import references
from mdrbench.core import console
from mdrbench.core.errors import DataError, MdrbenchError, UsageError
from mdrbench.core.store import file_sha256, key_of
from mdrbench.data import miracl_layout
from mdrbench.data.miracl_layout import CorpusReport, MiraclFolder
from mdrbench.evaluation import measures, statistics
from mdrbench.evaluation.measures import TopicScores
from mdrbench.formats import trec
from mdrbench.pipeline import write_result
from mdrbench.recipe import Recipe
from mdrbench.results import Cell, File, LanguageResult, Result
from mdrbench.results import ablations as ablation_results
from mdrbench.results import effects as ablation_effects
from mdrbench.results.verified import Problem, Verified

CLOSE = 1e-9
"""Two computations of a mean agree within this; what is printed has four digits."""


def verify(
    paths: list[Path], dataset: MiraclFolder | None, *, corpus: bool = False, progress: Callable[[str], None] = print
) -> list[Verified]:
    """Verify result files, or all measured ones of a results folder.

    Args:
        dataset: the data that results of its name are re-scored on; others are verified without.
        corpus: also read every passage of the corpora.

    Raises:
        UsageError: there is no result, or none of the data set.
    """
    files = [file for path in paths for file in (_stored(path) if path.is_dir() else [path])]
    if not files:
        raise UsageError(f"no results in {paths[0]}", mend="`mdrbench run bm25 --data sample` makes one")
    found = []
    with tempfile.TemporaryDirectory(prefix="mdrbench-") as scratch:

        @cache
        def corpora(lang: str) -> tuple[CorpusReport, Callable[[str], bool]]:
            table = Path(scratch) / f"{lang}.u64"
            return miracl_layout.check_corpus(dataset, lang, table), miracl_layout.DocidTable.lookup(table)

        for path in files:
            progress(console.shown(path))
            if ablation_results.is_one(path):
                found.append(ablation_effects.verified(path))
            else:
                found.append(_Verification(path, dataset, corpora if corpus else None).run())
    if dataset is not None and not any(one.rescored or one.problems for one in found):
        raise UsageError(f"none of these results is of the data set '{dataset.name}'", mend="give its --data")
    return found


def _stored(root: Path) -> list[Path]:
    return [*results.files(root), *ablation_results.files(root)]


class _Verification:
    """One result file. ``corpora`` reads a language's corpus: its report, and whether it has a docid."""

    def __init__(self, path: Path, dataset: MiraclFolder | None, corpora: Callable[[str], Any] | None):
        self.path = path
        self.dataset = dataset
        self.corpora = corpora
        self.found = Verified(path)

    def problem(self, what: str, **details: Any) -> None:
        file = details.pop("file", None) or console.shown(self.path)
        self.found.problems.append(Problem(file, what, **details))

    def run(self) -> Verified:
        try:
            result = references.require_measured(self.path)
        except DataError as error:
            self.problem(error.message, mend=error.mend or "")
            return self.found
        self.scope(result)
        self.head(result)
        groups = {}
        for lang in result.language_codes():
            scores = self.language(lang, result)
            if scores is not None:
                groups[lang] = scores
        self.averages(result, groups)
        self.trainings(result)
        return self.found

    def scope(self, result: Result) -> None:
        """What the data allow to check."""
        if self.dataset is None:
            self.found.unchecked.append("runs were not re-scored, nor topics and qrels compared: give --data")
        elif self.dataset.name != result.dataset:
            self.found.unchecked.append(f"runs were not re-scored: of '{result.dataset}', not '{self.dataset.name}'")
            self.dataset = None
        if self.dataset is not None:
            self.found.rescored = True
            self.found.corpus = self.corpora is not None
        if self.dataset is None or self.corpora is None:
            self.found.unchecked.append("the corpus's fingerprint was not recomputed: give --data and --corpus")

    def head(self, result: Result) -> None:
        """Place, recipe and way of scoring."""
        if _file_name(result) != self.path.name:
            self.problem("the file's name is not the system's", stored=self.path.name, derived=_file_name(result))
        evaluated, system = result.evaluated, result.system
        ours = {"depth": measures.DEPTH, "tie_rule": write_result.TIE_RULE, "denominator": write_result.DENOMINATOR}
        for key, value in ours.items():
            self.same(f"evaluated.{key} is not how this mdrbench scores", getattr(evaluated, key), value)
        if system.recipe is None:
            if system.submission is None:
                self.problem("has neither a recipe nor a submission", mend="write it with `mdrbench run` or `submit`")
            return
        for key, environment in result.environments.items():
            self.same(f"environment {key} is not the one of its hash", key, key_of(environment)[:12])
        try:
            recipe = Recipe.model_validate(system.recipe)
            digest = recipe.digest
        except (MdrbenchError, ValueError, KeyError) as error:
            self.problem(f"the recipe is none of this mdrbench's: {str(error).splitlines()[0]}")
            return
        self.same("the recipe is not the one of recipe_digest", system.recipe_digest, digest)
        self.same("system.name is not the recipe's", system.name, recipe.name)
        self.same("evaluated.measures are not the recipe's", evaluated.measures, list(recipe.evaluation.measures))
        for key in ("confidence", "resamples"):
            self.same(f"evaluated.{key} is not the recipe's", getattr(evaluated, key), getattr(recipe.evaluation, key))
        self.same("evaluated.seed is not the recipe's", evaluated.seed, recipe.seed)

    def same(self, what: str, stored: Any, derived: Any, **details: Any) -> None:
        if stored != derived:
            self.problem(what, stored=stored, derived=derived, **details)

    def language(self, lang: str, result: Result) -> Any:
        """Check all about a language; its topic-level scores as (topics, measures), None where they cannot be had."""
        entry, names = result.languages[lang], tuple(result.evaluated.measures)
        scores, queries = self.kept_topics(lang, entry, names)
        run_file = self.kept(lang, entry, "run")
        if self.dataset is not None:
            derived = self.rescore(lang, result, run_file)
            if derived is not None and scores is not None:
                self.compare_topics(lang, entry, scores, derived)
                self.compare_queries(lang, result.split, queries, entry)
            scores = derived if derived is not None else scores
        if scores is None:
            self.found.unchecked.append(f"no cell of '{lang}' could be re-derived")
            return None
        if entry.dataset is not None:
            self.same("dataset.judged_topics", entry.dataset.judged_topics, len(scores), lang=lang)
        matrix = measures.matrix(scores, names)
        self.found.topics += len(scores)
        self.cells(lang, entry.scores, [matrix], result)
        return matrix

    def kept(self, lang: str, entry: LanguageResult, kind: str) -> Path | None:
        """A file beside the result, None (and a problem) where its bytes are not those recorded."""
        file: File | None = entry.files.get(kind)
        if file is None:
            self.problem(f"no {kind} file is recorded", lang=lang, mend="run the recipe again")
            return None
        return self.whole(file, lang)

    def whole(self, file: File, lang: str | None) -> Path | None:
        """The path of a recorded file, None (and a problem) where it has gone or is another."""
        path = self.path.parent / file.path
        if not path.is_file():
            self.problem("is missing", file=console.shown(path), lang=lang, mend="keep it beside the result")
            return None
        size, sha = path.stat().st_size, file_sha256(path)
        if (size, sha) == (file.bytes, file.sha256):
            return path
        self.problem(
            "is not the file that was recorded", file=console.shown(path), lang=lang,
            stored=f"{file.bytes} bytes, {file.sha256[:12]}", derived=f"{size} bytes, {sha[:12]}",
            mend="restore it, or run the recipe again",
        )  # fmt: skip
        return None

    def kept_topics(self, lang: str, entry: LanguageResult, names: tuple[str, ...]) -> tuple[TopicScores | None, dict]:
        path = self.kept(lang, entry, "topics")
        if path is None:
            return None, {}
        try:
            scores, queries = measures.read_topic_scores(path)
        except (MdrbenchError, ValueError) as error:
            self.problem(f"cannot be read: {error}", file=console.shown(path), lang=lang)
            return None, {}
        lacking = [name for name in names if any(name not in row for row in scores.values())]
        if lacking or not scores:
            self.problem(f"lacks {', '.join(lacking) or 'topics'}", file=console.shown(path), lang=lang)
            return None, {}
        return scores, queries

    def rescore(self, lang: str, result: Result, run_file: Path | None) -> TopicScores | None:
        """Compare the data with the record, and score the kept run; None where either cannot be read."""
        try:
            known = self.data(lang, result)
            if run_file is None:
                return None
            qrels = trec.read_qrels(self.dataset.qrels_file(lang, result.split))
            topics = trec.read_topics(self.dataset.topics_file(lang, result.split))
            run = trec.read_run(run_file)
            scores = measures.score_topics(run, qrels, tuple(result.evaluated.measures))
        except DataError as error:
            self.problem(error.message, file=error.where, lang=lang, mend=error.mend or "")
            return None
        file = console.shown(run_file)
        for qid in run:
            if qid not in topics:
                self.problem(f"ranks passages for topic '{qid}', which the data lack", file=file, lang=lang)
        unknown = [(qid, hit.docid) for qid, hits in run.items() for hit in hits if known and not known(hit.docid)]
        if unknown:
            qid, docid = unknown[0]
            more = f" (and {len(unknown) - 1} more)" if len(unknown) > 1 else ""
            self.problem(f"topic '{qid}' ranks '{docid}', which the corpus lacks{more}", file=file, lang=lang)
        return scores

    def data(self, lang: str, result: Result) -> Callable[[str], bool] | None:
        """Compare topics, qrels and counts with the record; with the corpus also that, and return its docids."""
        stored = result.languages[lang].dataset
        if stored is None:
            self.problem("no data set is recorded", lang=lang, mend="run the recipe again")
            return None
        for path in (
            self.dataset.topics_file(lang, result.split),
            self.dataset.qrels_file(lang, result.split),
        ):
            self.same(
                f"{path.name} is another than was used", stored.files.get(path.name), file_sha256(path), lang=lang
            )
        known = None
        if self.corpora is not None:
            corpus, known = self.corpora(lang)
            self.same("the corpus is another than was searched", stored.fingerprint, corpus.fingerprint, lang=lang)
            self.same("dataset.passages", stored.passages, corpus.passages, lang=lang)
        counts = miracl_layout.check_topics(self.dataset, lang, result.split, known or (lambda docid: True))
        for key in ("topics", "judged_topics", "judgments", "positives"):
            self.same(f"dataset.{key}", getattr(stored, key), counts[key], lang=lang)
        return known

    def compare_topics(self, lang: str, entry: LanguageResult, kept: TopicScores, derived: TopicScores) -> None:
        """Topic-level scores as kept against those of the run; the first of each measure is named."""
        file = console.shown(self.path.parent / entry.files["topics"].path)
        for qid in [*(q for q in derived if q not in kept), *(q for q in kept if q not in derived)]:
            what = "is judged and not in the file" if qid in derived else "is not judged"
            self.problem(f"topic '{qid}' {what}", file=file, lang=lang)
        for measure in next(iter(derived.values())):
            off = [q for q in derived if q in kept and not _close(kept[q][measure], derived[q][measure])]
            if off:
                more = f" (and {len(off) - 1} more)" if len(off) > 1 else ""
                self.problem(
                    f"topic '{off[0]}'{more}", file=file, lang=lang, measure=measure,
                    stored=kept[off[0]][measure], derived=derived[off[0]][measure],
                )  # fmt: skip

    def compare_queries(self, lang: str, split: str, kept: dict[str, str], entry: LanguageResult) -> None:
        """The queries beside the scores against the data's topics."""
        topics = trec.read_topics(self.dataset.topics_file(lang, split))
        file = console.shown(self.path.parent / entry.files["topics"].path)
        for qid, query in kept.items():
            if topics.get(qid) != query:
                self.problem(f"the query of topic '{qid}'", file=file, lang=lang, stored=query, derived=topics.get(qid))
                return

    def cells(self, place: str, stored: dict[str, Cell], groups: list[Any], result: Result) -> None:
        """Means and interval ends as stored against those that the topic-level scores give."""
        evaluated = result.evaluated
        names = evaluated.measures
        for name in dict.fromkeys([*names, *stored]):
            if name not in stored or name not in names:
                what = "is missing" if name in names else "is no measure of the result"
                self.problem(f"the cell {what}", lang=place, measure=name)
        settings = (evaluated.confidence, evaluated.resamples, evaluated.seed)
        if None in settings:
            self.problem("evaluated lacks confidence, resamples or seed: no interval can be re-derived", lang=place)
            return
        confidence, resamples, seed = settings
        derived = statistics.bootstrap(groups, confidence=confidence, resamples=resamples, seed=seed)
        for name, interval in zip(names, derived, strict=True):
            for part, value in interval._asdict().items() if name in stored else ():
                self.found.cells += 1
                number = getattr(stored[name], part)
                if number is None or not _close(number, value):
                    self.problem(part, lang=place, measure=name, stored=number, derived=value)

    def averages(self, result: Result, groups: dict[str, Any]) -> None:
        """Labels and cells of the averages; there must be the one over all languages."""
        langs = result.language_codes()
        if not any(set(average.languages) == set(langs) for average in result.averages):
            self.problem(f"lacks the {results.average_label(langs)}", mend="run the recipe again")
        for average in result.averages:
            self.same("label of the average", average.label, results.average_label(average.languages))
            if all(lang in groups for lang in average.languages):
                self.cells(average.label, average.scores, [groups[lang] for lang in average.languages], result)
            else:
                self.found.unchecked.append(f"the {average.label} could not be re-derived")

    def trainings(self, result: Result) -> None:
        """The logs' bytes; every training must be the one that a language names. Losses are not derived anew."""
        named = {entry.steps["train"].key for entry in result.languages.values() if "train" in entry.steps}
        for name, training in result.trainings.items():
            train = training.steps.get("train")
            if train is None or not train.key.startswith(name) or train.key not in named:
                self.problem(f"training {name} is of no language", mend="run the recipe again")
            if training.log is not None:
                self.whole(training.log, None)


def _close(stored: float, derived: float) -> bool:
    return math.isclose(stored, derived, rel_tol=0, abs_tol=CLOSE)


def _file_name(result: Result) -> str:
    return results.path_of(Path(), result).name
