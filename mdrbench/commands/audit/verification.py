"""Derive every number of a result again: score the kept runs, and compute every cell and average.

Without the data: the seal, the files' bytes, what the file says about itself (:mod:`claims`), the layout of kept files,
and every cell and interval from the topic-level scores. With the data also: topics, qrels and counts, and the
topic-level scores from the runs. With the corpus also: its fingerprint and files, and that runs and qrels hold only its
passages. ``docs/check.md`` says what none of this can find.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdrbench import results
from mdrbench.commands.audit import ablation_claims, canonical, claims, references, signatures
from mdrbench.core import console
from mdrbench.core.errors import DataError, UsageError
from mdrbench.core.store import file_sha256
from mdrbench.core.types import Run, Topics
from mdrbench.data.checks import CorpusReport, check_corpus, check_topics
from mdrbench.data.docid_table import DocidTable
from mdrbench.data.miracl_layout import MiraclFolder
from mdrbench.evaluation import measures, statistics
from mdrbench.evaluation.measures import TopicScores
from mdrbench.formats import trec
from mdrbench.results import Cell, File, LanguageResult, Result, kept, published, stored
from mdrbench.results import ablations as ablation_results
from mdrbench.results import effects as ablation_effects
from mdrbench.results.verified import Problem, Verified

if TYPE_CHECKING:
    import numpy as np

CLOSE = 1e-9
"""Two computations of a mean agree within this; what is printed has four digits."""


Corpora = Callable[[str], tuple[CorpusReport, Callable[[str], bool]]]
"""Reads a language's corpus: its report, and a function that says whether it has a docid."""


def verify(
    paths: list[Path],
    dataset: MiraclFolder | None,
    *,
    corpus: bool = False,
    signers: Path | None = None,
    progress: Callable[[str], None] = print,
) -> list[Verified]:
    """Verify result files, ablations and published figures, or all results and ablations of a folder.

    Args:
        paths: files, or folders: of results, of one data set, of its variants or ablations.
        dataset: the data on which results of its name are scored again; others are verified without.
        corpus: also read every passage of the corpora.
        signers: a file of allowed signers, as ``ssh-keygen`` reads it; each file must carry a signature of one.

    Raises:
        UsageError: there is no result, or none of the data set.
    """
    files = [file for path in paths for file in (stored_in(path) if path.is_dir() else [path])]
    if not files:
        raise UsageError(f"no results in {paths[0]}", mend="`mdrbench run bm25 --data sample` makes one")
    found = []
    with tempfile.TemporaryDirectory(prefix="mdrbench-") as scratch:

        @cache
        def corpora(lang: str) -> tuple[CorpusReport, Callable[[str], bool]]:
            assert dataset is not None
            table = Path(scratch) / f"{lang}.u64"
            return check_corpus(dataset, lang, table), DocidTable.lookup(table)

        for path in files:
            progress(console.shown(path))
            one = _verified(path, dataset, corpora if corpus else None)
            if signers is not None and (why := signatures.refused(path, signers)):
                one.problems.append(Problem(console.shown(path), why, mend="ask for a signed copy: `mdrbench sign`"))
            found.append(one)
    if dataset is not None and not any(one.rescored or one.problems for one in found):
        measured = sorted({results.read(path).dataset for path in files if not ablation_results.is_one(path)})
        mend = f"the results are of {', '.join(measured)}; give --data the data set that they were measured on"
        raise UsageError(f"None of these results is of the data set '{dataset.name}'.", mend=mend)
    return found


UNSEALED = "is not sealed: an older mdrbench wrote it"


def _verified(path: Path, dataset: MiraclFolder | None, corpora: Corpora | None) -> Verified:
    broken = seal_problems(path)
    if results.PUBLISHED in path.resolve().parts:
        one = _published(path)
    elif ablation_results.is_one(path):
        one = ablation_effects.verified(path)
        try:
            ablation_claims.check(path, one)
        except DataError as error:
            if not one.problems:
                one.problems.append(Problem(error.where or console.shown(path), error.message, mend=error.mend or ""))
    else:
        one = _Verification(path, dataset, corpora).run()
    one.problems[:0] = broken
    return one


def seal_problems(path: Path) -> list[Problem]:
    """Compare a file with its seal; other mistakes are left to those who read it further."""
    try:
        state = stored.seal_state(stored.read_json(path, again="run the recipe again"))
    except DataError:
        return []
    told = {
        "broken": "its seal does not match: the file was changed after it was written",
        "missing": "has no seal",
        "unsealed": UNSEALED,
    }
    mends = {"unsealed": f"`mdrbench seal {path} --data DATA`"}
    if state == "sealed":
        return []
    return [Problem(console.shown(path), told[state], mend=mends.get(state, "restore the file, or run again"))]


def _published(path: Path) -> Verified:
    """Verify figures from the literature: seal and schema, and averages that were computed from the cells."""
    found = Verified(path)
    try:
        if path.parent.name == ablation_results.FOLDER:
            found.cells = 1 + len(published.read_ablation(path, ANY_SEAL).variants)
        else:
            result = results.read(path, ANY_SEAL)
            found.cells = sum(len(one.scores) for one in result.languages.values())
            for what, was, now in published.wrong_averages(result):
                found.problems.append(Problem(console.shown(path), what, stored=was, derived=now))
    except DataError as error:
        found.problems.append(Problem(console.shown(path), error.message, mend=error.mend or ""))
    found.unchecked.append("figures were not compared with their publication")
    return found


def stored_in(folder: Path) -> list[Path]:
    """Return the results and ablations of a folder; of a folder of published figures, those."""
    if results.PUBLISHED in folder.resolve().parts:
        tables = {path for path in folder.rglob("*.json") if path.parent.name in ("tables", "calibration")}
        return sorted({*folder.rglob("*.json")} - tables)
    if folder.name == ablation_results.FOLDER:
        return sorted(folder.glob("*.json"))
    nested = {*folder.glob(f"{ablation_results.FOLDER}/*.json"), *ablation_results.files(folder)}
    return [*results.under(folder), *sorted(path for path in nested if results.PUBLISHED not in path.parts)]


ANY_SEAL: tuple[stored.SealState, ...] = ("sealed", "unsealed", "missing", "broken")
"""Verifying reads on after a wrong seal, to name what was changed."""


class _Verification:
    """One result file."""

    def __init__(self, path: Path, dataset: MiraclFolder | None, corpora: Corpora | None):
        self.path = path
        self.dataset = dataset
        self.corpora = corpora
        self.found = Verified(path)

    def problem(self, what: str, **details: Any) -> None:
        file = details.pop("file", None) or console.shown(self.path)
        self.found.problems.append(Problem(file, what, **details))

    def run(self) -> Verified:
        try:
            result = references.require_measured(self.path, ANY_SEAL)
        except DataError as error:
            self.problem(error.message, mend=error.mend or "")
            return self.found
        self.scope(result)
        for found in claims.contradictions(self.path, result):
            self.problem(found.what, lang=found.lang, stored=found.stored, derived=found.derived, mend=found.mend)
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
            lacking = "--corpus" if self.dataset is not None else "--data and --corpus"
            self.found.unchecked.append(f"the corpus's fingerprint was not recomputed: give {lacking}")

    def same(self, what: str, stored: Any, derived: Any, **details: Any) -> None:
        if stored != derived:
            self.problem(what, stored=stored, derived=derived, **details)

    def language(self, lang: str, result: Result) -> np.ndarray | None:
        """Check all about a language; return its topic-level scores, (topics, measures), None if there are none."""
        entry, names = result.languages[lang], tuple(result.evaluated.measures)
        scores, queries = self.kept_topics(lang, entry, result)
        run = self.kept_run(lang, entry, result)
        if self.dataset is not None:
            derived = self.rescore(lang, result, run, self.dataset)
            if derived is not None and scores is not None:
                self.compare_topics(lang, entry, scores, derived)
                self.compare_queries(lang, queries, entry, self.dataset.topics_file(lang, result.split))
            scores = derived if derived is not None else scores
        if scores is None:
            self.found.unchecked.append(f"no cell of '{lang}' could be derived again")
            return None
        if entry.dataset is not None:
            self.same("dataset.judged_topics", entry.dataset.judged_topics, len(scores), lang=lang)
        matrix = measures.matrix(scores, names)
        self.found.topics += len(scores)
        self.cells(lang, entry.scores, [matrix], result)
        return matrix

    def kept(self, lang: str, entry: LanguageResult, kind: str, result: Result) -> Path | None:
        """Return a file beside the result, None (and a problem) if its name or its bytes are not those recorded."""
        file: File | None = entry.files.get(kind)
        if file is None:
            self.problem(f"no {kind} file is recorded", lang=lang, mend="run the recipe again")
            return None
        ending = {"run": "run.trec.gz", "topics": "topics.tsv.gz"}[kind]
        derived = f"{self.path.stem}/{lang}-{result.split}.{ending}"
        self.same(f"the name of the {kind} file", file.path, derived, lang=lang)
        return self.whole(file, lang)

    def whole(self, file: File, lang: str | None) -> Path | None:
        """Return the path of a recorded file, None (and a problem) if it is missing or has other bytes."""
        try:
            return kept.checked(self.path, file)
        except DataError as error:
            self.problem(error.message, file=error.where, lang=lang, mend=error.mend or "")
            return None

    def kept_topics(self, lang: str, entry: LanguageResult, result: Result) -> tuple[TopicScores | None, Topics]:
        """Read the topic-level scores and queries that a result keeps; a problem if they are not as mdrbench writes."""
        path = self.kept(lang, entry, "topics", result)
        if path is None:
            return None, {}
        names = tuple(result.evaluated.measures)
        try:
            scores, queries = kept.read_topic_scores(path)
        except DataError as error:
            self.problem(error.message, file=error.where, lang=lang)
            return None, {}
        lacking = [name for name in names if any(name not in row for row in scores.values())]
        if lacking or not scores:
            self.problem(f"lacks {', '.join(lacking) or 'topics'}", file=console.shown(path), lang=lang)
            return None, {}
        if wrong := canonical.differing_topics_line(path, scores, queries, names):
            self.problem(wrong, file=console.shown(path), lang=lang)
        return scores, queries

    def kept_run(self, lang: str, entry: LanguageResult, result: Result) -> Run | None:
        """Read the run that a result keeps; a problem if its ranks, tags or layout are not as mdrbench writes them."""
        path = self.kept(lang, entry, "run", result)
        if path is None:
            return None
        try:
            run = trec.read_run(path)
        except DataError as error:
            self.problem(error.message, file=error.where, lang=lang, mend=error.mend or "")
            return None
        recipe = result.system.recipe
        tag = result.system.name if recipe is None else str(recipe.get("retriever", {}).get("name"))
        if wrong := canonical.differing_run_line(path, run, tag):
            self.problem(wrong, file=console.shown(path), lang=lang)
        return run

    def rescore(self, lang: str, result: Result, run: Run | None, dataset: MiraclFolder) -> TopicScores | None:
        """Compare the data with the record, and score the kept run; None if either cannot be read."""
        try:
            known = self.data(lang, result, dataset)
            if run is None:
                return None
            qrels = trec.read_qrels(dataset.qrels_file(lang, result.split))
            topics = trec.read_topics(dataset.topics_file(lang, result.split))
            scores = measures.score_topics(run, qrels, tuple(result.evaluated.measures))
        except DataError as error:
            self.problem(error.message, file=error.where, lang=lang, mend=error.mend or "")
            return None
        file = console.shown(self.path.parent / result.languages[lang].files["run"].path)
        for qid in run:
            if qid not in topics:
                self.problem(f"ranks passages for topic '{qid}', which the data lack", file=file, lang=lang)
        unknown = [(qid, hit.docid) for qid, hits in run.items() for hit in hits if known and not known(hit.docid)]
        if unknown:
            qid, docid = unknown[0]
            more = f" (and {len(unknown) - 1} more)" if len(unknown) > 1 else ""
            self.problem(f"topic '{qid}' ranks '{docid}', which the corpus lacks{more}", file=file, lang=lang)
        return scores

    def data(self, lang: str, result: Result, dataset: MiraclFolder) -> Callable[[str], bool] | None:
        """Compare the data with the record: topics, qrels and counts, and the corpus if it is read.

        Returns:
            A function that says whether the corpus has a docid, None without the corpus.
        """
        recorded = result.languages[lang].dataset
        if recorded is None:
            self.problem("no data set is recorded", lang=lang, mend="run the recipe again")
            return None
        files = [dataset.topics_file(lang, result.split), dataset.qrels_file(lang, result.split)]
        known, warnings = None, {}
        if self.corpora is not None:
            corpus, known = self.corpora(lang)
            files += dataset.corpus_files(lang)
            warnings = corpus.warnings
            self.same("the corpus is another than was searched", recorded.fingerprint, corpus.fingerprint, lang=lang)
            self.same("dataset.passages", recorded.passages, corpus.passages, lang=lang)
        for path in files:
            self.same(
                f"{path.name} is another than was used", recorded.files.get(path.name), file_sha256(path), lang=lang
            )
        counts = check_topics(dataset, lang, result.split, known or (lambda docid: True))
        for key in ("topics", "judged_topics", "judgments", "positives"):
            self.same(f"dataset.{key}", getattr(recorded, key), counts[key], lang=lang)
        found = counts["warnings"]
        assert isinstance(found, dict)
        if self.corpora is not None:
            self.same("dataset.warnings", recorded.warnings, {**warnings, **found}, lang=lang)
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

    def compare_queries(self, lang: str, queries: Topics, entry: LanguageResult, topics_file: Path) -> None:
        """Compare the queries beside the scores with the data's topics."""
        topics = trec.read_topics(topics_file)
        file = console.shown(self.path.parent / entry.files["topics"].path)
        for qid, query in queries.items():
            if topics.get(qid) != query:
                self.problem(f"the query of topic '{qid}'", file=file, lang=lang, stored=query, derived=topics.get(qid))
                return

    def cells(self, place: str, stored: dict[str, Cell], groups: list[np.ndarray], result: Result) -> None:
        """Compare stored means and interval ends with those that the topic-level scores give."""
        evaluated = result.evaluated
        names = evaluated.measures
        for name in dict.fromkeys([*names, *stored]):
            if name not in stored or name not in names:
                what = "is missing" if name in names else "is not a measure of the result"
                self.problem(f"the cell {what}", lang=place, measure=name)
        confidence, resamples, seed = evaluated.confidence, evaluated.resamples, evaluated.seed
        if confidence is None or resamples is None or seed is None:
            self.problem("evaluated lacks confidence, resamples or seed: no interval can be derived", lang=place)
            return
        derived = statistics.bootstrap(groups, confidence=confidence, resamples=resamples, seed=seed)
        for name, interval in zip(names, derived, strict=True):
            for part, value in interval._asdict().items() if name in stored else ():
                self.found.cells += 1
                number = getattr(stored[name], part)
                if number is None or not _close(number, value):
                    self.problem(part, lang=place, measure=name, stored=number, derived=value)

    def averages(self, result: Result, groups: dict[str, np.ndarray]) -> None:
        """Check labels and cells of the averages, and that the average over all languages is there."""
        langs = result.language_codes()
        if not any(set(average.languages) == set(langs) for average in result.averages):
            self.problem(f"lacks the {results.average_label(langs)}", mend="run the recipe again")
        for average in result.averages:
            self.same("label of the average", average.label, results.average_label(average.languages))
            if all(lang in groups for lang in average.languages):
                self.cells(average.label, average.scores, [groups[lang] for lang in average.languages], result)
            else:
                self.found.unchecked.append(f"the {average.label} could not be derived again")

    def trainings(self, result: Result) -> None:
        """Check that each training is one that a language names, and its log's bytes. Losses are not derived again."""
        named = {entry.steps["train"].key for entry in result.languages.values() if "train" in entry.steps}
        for name, training in result.trainings.items():
            train = training.steps.get("train")
            if train is None or not train.key.startswith(name) or train.key not in named:
                self.problem(f"training {name} is not named by any language", mend="run the recipe again")
            if "queries" in training.facts:
                languages = sorted(training.facts["queries"])
                self.same(f"the languages of training {name}", training.languages, languages)
            if training.log is not None and self.whole(training.log, None):
                self.found.unchecked.append(f"the losses of training {name} were not derived again")


def _close(stored: float, derived: float) -> bool:
    return math.isclose(stored, derived, rel_tol=0, abs_tol=CLOSE)
