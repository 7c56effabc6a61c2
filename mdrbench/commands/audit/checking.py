"""Compare results with reference results: did anything drop, vanish, or change its meaning?

Every language and measure (and the average) of each result is compared with the reference's. A result that was measured
on other data, with another recipe, other conventions or another way of scoring is *unlike*: it is not compared, and
that is a failure, unless the change is declared. ``docs/check.md`` has the rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mdrbench.commands.audit import references
from mdrbench.commands.audit.check_report import CHANGEABLE, Finding, Report, Row, Settings
from mdrbench.commands.audit.references import Pair
from mdrbench.core import console
from mdrbench.core.errors import DataError, UsageError
from mdrbench.evaluation.measures import TopicScores
from mdrbench.results import Average, LanguageResult, Result, comparison, kept

NOISE = 1e-9
"""Differences up to this are due to the machine's arithmetic, whatever the tolerance."""


def check(pairs: list[Pair], against: str, settings: Settings) -> Report:
    """Compare each result with its reference.

    Raises:
        UsageError: no result has one of the languages that were chosen.
    """
    report = Report(against, settings)
    for pair in pairs:
        _Check(pair, report).run()
    if settings.langs and not (report.rows or report.findings):
        raise UsageError(
            f"no result has a language of --langs ({', '.join(sorted(settings.langs))})",
            mend="choose languages that a result has",
        )
    return report


class _Check:
    """One result and its reference."""

    def __init__(self, pair: Pair, report: Report):
        self.pair = pair
        self.report = report
        self.settings = report.settings
        self.explained: set[str | None] = set()  # languages with a change that was declared; None stands for all
        self.scores: dict[str, tuple[TopicScores, TopicScores]] = {}
        self.rows: list[Row] = []

    def say(self, severity: str, kind: str, message: str, mend: str = "", **place: str | None) -> None:
        places = [console.shown(path) for path in (self.pair.now, self.pair.before) if path]
        file = next((place for place in places if not place.startswith("/")), places[0])
        self.report.findings.append(Finding(severity, kind, self.pair.name, file, message, mend, **place))

    def row(
        self, lang: str, measure: str, before: float | None, now: float | None, verdict: str, p: float | None = None
    ) -> None:
        self.rows.append(Row(self.pair.name, lang, measure, before, now, verdict, p))

    def run(self) -> None:
        if self.pair.now is None:
            return self.say("failure", "gone", "the result is gone", "run its recipe again, or commit its removal")
        if self.pair.before is None:
            return self.say("notice", "new", "a new result: nothing to compare it with")
        try:
            before, now = (references.require_measured(path) for path in (self.pair.before, self.pair.now))
        except DataError as error:
            return self.say("failure", "damaged", f"{error.where}: {error.message}", error.mend or "")
        comparable = self.alike(_scoring(before), _scoring(now), "way of scoring", None)
        comparable &= self.alike(_recipe(before), _recipe(now), "recipe", None)
        langs = [lang for lang in before.language_codes() if not self.settings.langs or lang in self.settings.langs]
        self.languages(langs, before, now, comparable)
        order = {lang: place for place, lang in enumerate(langs)}
        self.report.rows += sorted(self.rows, key=lambda row: order.get(row.lang, len(order)))
        for lang in now.language_codes():
            if lang not in before.languages and (not self.settings.langs or lang in self.settings.langs):
                self.say("notice", "new", "a new language: nothing to compare it with", lang=lang)
        return None

    def alike(self, before: dict[str, Any], now: dict[str, Any], what: str, lang: str | None) -> bool:
        """Return whether two records are the same, or declared changed; report the difference if there is one."""
        differing = "; ".join(_differences(before, now))
        if not differing:
            return True
        allowed = what in self.settings.allowed
        told = f"the {what} changed: {differing}"
        if allowed:
            self.explained.add(lang)
            self.say("warning", "changed", f"{told}; compared nevertheless, as allowed", lang=lang)
        else:
            mend = f"if it is meant: --allow-changed {what}" if what in CHANGEABLE else "score both the same way"
            self.say("failure", "unlike", f"{told}; unlike results are not compared", mend, lang=lang)
        return allowed

    def languages(self, langs: list[str], before: Result, now: Result, comparable: bool) -> None:
        compared = []
        for lang in langs:
            if lang not in now.languages:
                self.say("failure", "gone", "the language is gone", "run the recipe on it again", lang=lang)
                for measure, cell in before.languages[lang].scores.items():
                    self.row(lang, measure, cell.value, None, "gone")
                continue
            one, other = before.languages[lang], now.languages[lang]
            same = self.alike(_data(one), _data(other), "data", lang)
            same &= self.alike(one.conventions, other.conventions, "conventions", lang)
            if not (comparable and same):
                for measure, cell in one.scores.items():
                    found = other.scores.get(measure)
                    self.row(lang, measure, cell.value, found.value if found else None, "unlike")
            elif self.topics(lang, one, other):
                compared.append(lang)
        for measure in before.evaluated.measures:
            self.measure(measure, compared, before, now)
        for average in before.averages:
            if set(average.languages) <= set(compared):
                self.average(average, now)

    def topics(self, lang: str, before: LanguageResult, now: LanguageResult) -> bool:
        """Read the topic-level scores of a language; False where they are damaged, which is a failure."""
        assert self.pair.before is not None
        assert self.pair.now is not None
        try:
            one = read_topics(self.pair.before, before)
            other = read_topics(self.pair.now, now)
        except DataError as error:
            self.say("failure", "damaged", f"{error.where}: {error.message}", error.mend or "", lang=lang)
            return False
        if one is not None and other is not None:
            self.scores[lang] = one, other
            lost = [qid for qid in one if qid not in other]
            if lost:
                severity = "warning" if "data" in self.settings.allowed else "failure"
                named = ", ".join(lost[:3]) + (", ..." if len(lost) > 3 else "")
                mend = "every judged topic is scored: run the recipe again on the same qrels"
                topics = f"{len(lost)} topic{'s are' if len(lost) > 1 else ' is'} gone: {named}"
                self.say(severity, "gone", topics, mend, lang=lang)
        elif one is not None or self.settings.statistical:
            whose = "the reference" if one is None else "the result"
            mend = "run the recipe again, or check without --statistical" if one is None else "run the recipe again"
            self.say("failure", "untestable", f"{whose} keeps no topic-level scores", mend, lang=lang)
            return False
        return True

    def measure(self, measure: str, langs: list[str], before: Result, now: Result) -> None:
        """One measure of all languages that can be compared."""
        cells = {}
        for lang in langs:
            earlier, later = before.languages[lang].scores.get(measure), now.languages[lang].scores.get(measure)
            if earlier is None:
                continue
            if later is None:
                self.row(lang, measure, earlier.value, None, "gone")
                mend = "run the recipe with the measure in `evaluation.measures`"
                self.say("failure", "gone", f"{measure} is gone", mend, lang=lang, measure=measure)
            else:
                cells[lang] = earlier.value, later.value
        p_values = self.p_values(measure, cells)
        for lang, (earlier_score, later_score) in cells.items():
            p = p_values.get(lang)
            confirmed = p is None or p < self.settings.alpha
            told = "" if p is None else f", p {p:.4f} after Holm's correction"
            self.judge(lang, measure, earlier_score, later_score, confirmed, told, p)

    def p_values(self, measure: str, cells: dict[str, tuple[float, float]]) -> dict[str, float]:
        """Return p values of the paired t test, Holm-corrected over the languages, if a difference needs one.

        A language with fewer than two shared topics is not tested: the tolerance alone decides.
        """
        tolerance = self.settings.tolerated(measure)
        if not self.settings.statistical or all(abs(b - a) <= tolerance + NOISE for a, b in cells.values()):
            return {}
        both = {lang: self.paired(lang, measure) for lang in cells}
        both = {lang: scores for lang, scores in both.items() if len(scores[0]) > 1}
        return {row.lang: row.p_corrected for row in comparison.paired_tests(both)}

    def paired(self, lang: str, measure: str) -> tuple[Any, Any]:
        """Return scores now and before of the topics that both have, each of shape (topics,)."""
        import numpy as np

        before, now = self.scores[lang]
        shared = [qid for qid in before if qid in now]
        return np.array([now[qid][measure] for qid in shared]), np.array([before[qid][measure] for qid in shared])

    def average(self, before: Average, now: Result) -> None:
        """Compare the average over the same languages; with the test, its interval must exclude no change."""
        found = next((one for one in now.averages if set(one.languages) == set(before.languages)), None)
        if found is None:
            if set(before.languages) == set(now.languages):
                self.say("failure", "gone", f"the {before.label} is gone", "run the recipe again", lang=before.label)
            return
        for measure, cell in before.scores.items():
            if measure not in found.scores:
                continue  # each language has said so
            confirmed, told = True, ""
            if self.settings.statistical and abs(found.scores[measure].value - cell.value) > NOISE:
                confidence = 1 - self.settings.alpha
                both = (self.paired(lang, measure) for lang in before.languages)
                ends = comparison.difference(both, confidence=confidence)
                confirmed = ends.high < 0 or ends.low > 0
                told = f", {confidence:.0%} interval of the difference {ends.low:+.4f} to {ends.high:+.4f}"
            self.judge(before.label, measure, cell.value, found.scores[measure].value, confirmed, told, None)

    def judge(
        self, lang: str, measure: str, before: float, now: float, confirmed: bool, told: str, p: float | None
    ) -> None:
        """Add a row for a pair of scores, and a finding if they differ by more than the tolerance."""
        tolerance = self.settings.tolerated(measure)
        if abs(now - before) <= tolerance + NOISE:
            return self.row(lang, measure, before, now, "same", p)
        way = "drop" if now < before else "rise"
        self.row(lang, measure, before, now, way if confirmed else f"{way}?", p)
        moved = f"{measure} {'fell' if way == 'drop' else 'rose'} from {before:.4f} to {now:.4f}"
        text = f"{moved} ({now - before:+.4f}, tolerance {tolerance:g}{told})"
        place = {"lang": lang, "measure": measure}
        if way == "drop" and confirmed:
            return self.say("failure", "drop", text, f"`mdrbench compare` shows the topics of {measure}", **place)
        if not confirmed:
            return self.say("warning" if way == "drop" else "notice", "unconfirmed", f"{text}: unconfirmed", **place)
        is_average = lang not in self.scores
        if self.explained & {None, lang} or (is_average and self.explained):
            return self.say("notice", "rise", text, **place)
        return self.say(
            "warning", "rise", f"{text}: unexplained, nothing recorded changed", "find what changed", **place
        )


def read_topics(path: Path, entry: LanguageResult) -> TopicScores | None:
    """Return the topic-level scores kept beside a result, None if it keeps none; a changed file is a DataError."""
    found = kept.topic_scores(path, entry)
    return found[0] if found else None


def _scoring(result: Result) -> dict[str, Any]:
    keys = ("depth", "tie_rule", "denominator", "corpus_variant")
    return {"dataset": result.dataset, "split": result.split, **{k: getattr(result.evaluated, k) for k in keys}}


def _recipe(result: Result) -> dict[str, Any]:
    return {"digest": (result.system.recipe_digest or "none")[:12]}


def _data(entry: LanguageResult) -> dict[str, Any]:
    """Return the facts that are equal if two scores are of the same data; corpus files may be packed in another way."""
    data = entry.dataset
    if data is None:
        return {}
    parts = {name: sha[:12] for name, sha in data.files.items() if name.startswith(("topics.", "qrels."))}
    return {"corpus": data.fingerprint[:12], "passages": data.passages, "judged topics": data.judged_topics, **parts}


def _differences(before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    for key in dict.fromkeys([*before, *now]):
        one, other = before.get(key), now.get(key)
        if one != other:
            yield f"{key} {_plain(one)} -> {_plain(other)}"


def _plain(value: Any) -> str:
    return repr(value) if isinstance(value, str) and value.split() != [value] else str(value)
