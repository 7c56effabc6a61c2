"""An outside system's run files become a result: checked, scored as our own are, and marked as handed in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

from mdrbench import results
from mdrbench.commands.audit import handed_in
from mdrbench.commands.audit.handed_in import Checked, Judged
from mdrbench.commands.run import failure, run_steps
from mdrbench.core import registry
from mdrbench.core.atomic_files import whole, write_atomically
from mdrbench.core.errors import DataError, UsageError
from mdrbench.core.languages import in_order, parse_langs
from mdrbench.core.store import Artifact, Store, file_sha256, key_of
from mdrbench.data.access import FINAL_SPLITS
from mdrbench.data.docid_table import DocidTable
from mdrbench.data.miracl_layout import MiraclFolder
from mdrbench.evaluation import measures, statistics
from mdrbench.evaluation.statistics import PROTOCOL
from mdrbench.formats import trec
from mdrbench.pipeline import write_result
from mdrbench.pipeline.plan.planner import Planner
from mdrbench.recipe.schema import Evaluation
from mdrbench.results import (
    Average,
    Cell,
    DatasetRecord,
    Evaluated,
    File,
    LanguageResult,
    Result,
    StepRecord,
    Submission,
    System,
    identity,
)

SEED = PROTOCOL.seed

Prepared = tuple[Artifact, Artifact, dict[str, str]]
"""A language's artifacts of corpus and topics, and the SHA-256 of the files they were made from."""


@dataclass(frozen=True)
class Words:
    """What is said of the system."""

    name: str
    summary: str = ""
    link: str | None = None
    license: str | None = None
    size: str | None = None

    def check(self) -> None:
        """Raise a UsageError where the name cannot be a result's, or the link is none."""
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", self.name) or self.name == "variants":
            raise UsageError(f"'{self.name}' cannot name a system", mend="use a-z, 0-9, dot, dash and underscore")
        if self.name in registry.recipe_files():
            raise UsageError(f"'{self.name}' is the name of a shipped recipe", mend="give another --system NAME")
        if self.link is not None and not re.match(r"https?://[^\s/]", self.link):
            raise UsageError(f"--link {self.link}: no web address", mend="write https://...")


def parse_runs(words: list[str], langs: str | None, available: list[str]) -> dict[str, Path]:
    """Run files by language: ``LANG=FILE``, a pattern with ``{lang}``, or one file with ``--langs LANG``.

    With ``langs`` there must be a file for each of them; a pattern without it takes the files that exist.
    """
    wanted = parse_langs(langs, available) if langs else None
    found: dict[str, Path] = {}
    for word in words:
        for lang, path in _named(word, wanted, available):
            if lang in found:
                raise UsageError(f"two runs for '{lang}': {found[lang]} and {path}", mend="give one a language")
            if lang not in available:
                raise UsageError(
                    f"{word}: the data set has no language '{lang}'", mend=f"it has {', '.join(available)}"
                )
            if not path.is_file():
                raise DataError(
                    f"no run for '{lang}'", where=str(path), mend="check the path, or leave it out of --langs"
                )
            found[lang] = path
    if wanted and (absent := [lang for lang in wanted if lang not in found]):
        raise DataError(f"no run for {', '.join(absent)}", mend="give a file for each language of --langs")
    if wanted and (more := [lang for lang in found if lang not in wanted]):
        raise UsageError(
            f"runs for {', '.join(more)}, which --langs leaves out", mend="add to --langs, or drop the runs"
        )
    return {lang: found[lang] for lang in in_order(found)}


def _named(word: str, wanted: list[str] | None, available: list[str]) -> list[tuple[str, Path]]:
    lang, equals, path = word.partition("=")
    if equals and re.fullmatch(r"[a-z]{2,3}", lang):
        return [(lang, Path(path))]
    if "{lang}" in word:
        paths = {lang: Path(word.replace("{lang}", lang)) for lang in wanted or available}
        found = [(lang, path) for lang, path in paths.items() if wanted or path.is_file()]
        if not found:
            raise DataError("no run file of this pattern", where=word, mend=f"tried {', '.join(available)}")
        return found
    if wanted and len(wanted) == 1:
        return [(wanted[0], Path(word))]
    raise UsageError(
        f"{word}: of which language is this run?", mend="write LANG=FILE, a pattern with {lang}, or --langs LANG"
    )


def submit(
    runs: dict[str, Path],
    words: Words,
    dataset: MiraclFolder,
    split: str,
    root: Path,
    store: Store,
    *,
    names: tuple[str, ...] = measures.DEFAULT,
    allow_missing: bool = False,
    replace: bool = False,
    quiet: bool = True,
    command: str = "",
) -> tuple[Path, list[str]]:
    """Check and score runs, and write their result.

    Returns:
        The result's path, and notes on what was tolerated.

    Raises:
        DataError: with all mistakes of all files; nothing is written then.
        UsageError: the name is taken, or the words make no sense.
    """
    words.check()
    for name in names:
        measures.parse_measure(name)
    result = _draft(words, dataset, split, names, runs)
    path = results.path_of(root, result)
    _refuse_taken(path, words, replace)
    with _data(runs, dataset, split, store, quiet) as artifacts:
        checked, mistakes = {}, []
        for lang, file in runs.items():
            checked[lang] = handed_in.check_run(
                file, _judged(dataset, lang, split, artifacts[lang]), names, allow_missing
            )
            mistakes += checked[lang].mistakes
        if mistakes:
            listed = "\n".join(f"  - {text}" for text in mistakes)
            raise DataError(
                f"{len(mistakes)} mistake{'s' * (len(mistakes) > 1)} in the runs:\n{listed}",
                mend="nothing was written; mend all of them",
            )
        for lang in runs:
            result.languages[lang] = _language(lang, split, dataset, artifacts[lang], result, checked[lang], command)
    with identity.writing(root, dataset.name):
        _refuse_taken(path, words, replace)
        contents = {lang: identity.content_of(one.dataset) for lang, one in result.languages.items() if one.dataset}
        identity.refuse_other_content(root, dataset.name, split, contents, replaced=path)
        _score(path, result, dataset, checked)
        write_atomically(path, results.dump(result))
        _clear(path, result)
    return path, [note for one in checked.values() for note in one.notes]


def _draft(words: Words, dataset: MiraclFolder, split: str, names: tuple[str, ...], runs: dict[str, Path]) -> Result:
    defaults = Evaluation()
    submission = Submission(
        submitted_at=datetime.now(UTC).isoformat(timespec="seconds"),
        link=words.link,
        license=words.license,
        size=words.size,
        runs={lang: file_sha256(file) for lang, file in runs.items()},
    )
    return Result(
        kind="measured",
        dataset=dataset.name,
        split=split,
        final=True if split in FINAL_SPLITS else None,
        system=System(name=words.name, summary=words.summary or "run files handed in", submission=submission),
        evaluated=Evaluated(
            measures=list(names),
            depth=measures.DEPTH,
            tie_rule=write_result.TIE_RULE,
            denominator=write_result.DENOMINATOR,
            confidence=defaults.confidence,
            resamples=defaults.resamples,
            seed=SEED,
            corpus_variant=dataset.corpus_variant,
        ),
        languages={},
    )


def _refuse_taken(path: Path, words: Words, replace: bool) -> None:
    if not path.exists():
        return
    if results.read(path).system.submission is None:
        raise UsageError(f"{path} is the result of a recipe", mend="give the system another --system NAME")
    if not replace:
        raise UsageError(f"'{words.name}' has been submitted before: {path}", mend="--replace it, or give another name")


@contextmanager
def _data(langs: Any, dataset: MiraclFolder, split: str, store: Store, quiet: bool) -> Iterator[dict[str, Prepared]]:
    """Check corpora, topics and qrels as a run does, through the store; by language: the artifacts and file hashes."""
    planners = {lang: Planner(dataset, lang, store) for lang in langs}
    targets = {lang: (planner.corpus(), planner.topics(split)) for lang, planner in planners.items()}
    steps = [step for pair in targets.values() for step in pair]
    outcome = run_steps(steps, steps, store, quiet)
    if error := failure(outcome, steps):
        raise error
    with ExitStack() as held:
        for step in steps:
            held.enter_context(store.locked(step.key, shared=True))
        yield {
            lang: (
                outcome.artifacts[corpus.ref],
                outcome.artifacts[topics.ref],
                {**corpus.sources, **topics.sources},
            )
            for lang, (corpus, topics) in targets.items()
        }


def _judged(dataset: MiraclFolder, lang: str, split: str, artifacts: Prepared) -> Judged:
    corpus = artifacts[0]
    return Judged(
        topics=frozenset(trec.read_topics(dataset.topics_file(lang, split))),
        judged=tuple(trec.read_qrels(dataset.qrels_file(lang, split))),
        known=cache(DocidTable.lookup(corpus.path / "docids.u64")),
        passages=corpus.facts["passages"],
    )


def _language(
    lang: str, split: str, dataset: MiraclFolder, artifacts: Prepared, result: Result, checked: Checked, command: str
) -> LanguageResult:
    """All of a language but its scores and files."""
    corpus, topics, sources = artifacts
    steps = {}
    for name, entry in topics.manifest["lineage"].items():
        environment = key_of(entry["environment"])[:12]
        result.environments[environment] = entry["environment"]
        steps[name] = StepRecord(key=entry["key"], made_at=entry["made_at"], environment=environment, **entry["usage"])
    counts = {key: topics.facts[key] for key in ("topics", "judged_topics", "judgments", "positives")}
    return LanguageResult(
        scores={},
        dataset=DatasetRecord(
            fingerprint=corpus.facts["fingerprint"],
            passages=corpus.facts["passages"],
            **counts,
            files={Path(name).name: digest for name, digest in sources.items()},
            warnings={**corpus.facts["warnings"], **topics.facts["warnings"]},
        ),
        conventions={
            "run": "handed in; how text was analysed is the system's own",
            "run_tag": ", ".join(checked.tags),
            "search_depth": checked.depth,
            "judged_topics_without_hits": checked.without_hits,
        },
        steps=steps,
        command=command or None,
    )


def _score(path: Path, result: Result, dataset: MiraclFolder, checked: dict[str, Checked]) -> None:
    """Scores, and the files beside the result: the run in our own form, and the topic-level scores."""
    names, settings = tuple(result.evaluated.measures), result.evaluated
    assert settings.confidence is not None
    assert settings.resamples is not None
    bootstrap = partial(
        statistics.bootstrap, confidence=settings.confidence, resamples=settings.resamples, seed=settings.seed or 0
    )
    beside, groups = path.with_suffix(""), []
    for lang, one in checked.items():
        qrels = trec.read_qrels(dataset.qrels_file(lang, result.split))
        queries = trec.read_topics(dataset.topics_file(lang, result.split))
        scores = measures.score_topics(one.run, qrels, names)
        run, topics = (beside / f"{lang}-{result.split}.{kind}" for kind in ("run.trec.gz", "topics.tsv.gz"))
        trec.write_run(run, one.run, tag=result.system.name)
        with whole(topics) as temporary:
            measures.write_topic_scores(temporary, scores, queries, names)
        groups.append(measures.matrix(scores, names))
        entry = result.languages[lang]
        entry.scores.update(_cells(names, bootstrap(groups[-1:])))
        entry.files.update(run=_file(run), topics=_file(topics))
    label, languages = results.average_label(list(checked)), result.language_codes()
    cells = _cells(names, bootstrap(groups))
    result.averages.append(Average(label=label, languages=languages, scores=cells))


def _cells(names: tuple[str, ...], intervals: list[statistics.Interval]) -> dict[str, Cell]:
    return {name: Cell(**interval._asdict()) for name, interval in zip(names, intervals, strict=True)}


def _file(path: Path) -> File:
    return File(path=f"{path.parent.name}/{path.name}", bytes=path.stat().st_size, sha256=file_sha256(path))


def _clear(path: Path, result: Result) -> None:
    """Remove the files of languages that an earlier submission had and this one has not."""
    kept = {path.parent / file.path for entry in result.languages.values() for file in entry.files.values()}
    for kind in ("run.trec.gz", "topics.tsv.gz"):
        for old in path.with_suffix("").glob(f"*-{result.split}.{kind}"):
            if old not in kept:
                old.unlink()
