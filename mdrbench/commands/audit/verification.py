"""Derive every number of a result again: score the kept runs, and compute every cell and average.

A measured result is verified in :mod:`measured`, the files that it keeps in :mod:`kept_files`, what it says of the data
in :mod:`data_claims`, and what it says of itself in :mod:`claims`. An ablation is verified in
:mod:`mdrbench.results.effects` and :mod:`ablation_claims`.

Without the data: the seal, the files' bytes, what the file says about itself, the layout of kept files,
and every cell and interval from the topic-level scores. With the data also: topics, qrels and counts, and the
topic-level scores from the runs. With the corpus also: its fingerprint and files, and that runs and qrels hold only its
passages. ``docs/check.md`` says what none of this can find.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from mdrbench import results
from mdrbench.commands.audit import ablation_claims, measured, signatures
from mdrbench.commands.audit.data_claims import Corpora
from mdrbench.core import console
from mdrbench.core.errors import DataError, UsageError
from mdrbench.data.checks import CorpusReport, check_corpus
from mdrbench.data.docid_table import DocidTable
from mdrbench.data.miracl_layout import MiraclFolder
from mdrbench.results import ablations as ablation_results
from mdrbench.results import effects as ablation_effects
from mdrbench.results import published, stored
from mdrbench.results.stored import ANY_SEAL
from mdrbench.results.verified import Problem, Verified


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
                one.problem(why, mend="ask for a signed copy: `mdrbench sign`")
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
                one.unreadable(error)
    else:
        one = measured.verified(path, dataset, corpora)
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
                found.problem(what, stored=was, derived=now)
    except DataError as error:
        found.unreadable(error)
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
