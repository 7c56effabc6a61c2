"""Run files that somebody else made: read line by line, every mistake named with its line before anything is scored.

What :func:`mdrbench.formats.trec.read_run` forgives is refused here: a rank column that contradicts the scores shows
that the file was put together wrongly (distances for scores, or a later sort), and no reader could tell which of the
two is meant.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from mdrbench.core.errors import DataError
from mdrbench.core.types import Hit, Run
from mdrbench.evaluation import measures
from mdrbench.formats import trec

NAMED = 3
"""Mistakes of a kind that are named one by one; the others are counted."""


class Line(NamedTuple):
    """One line of a run: its number in the file and the hit. ``rank`` is 0 if the file's rank column is constant."""

    number: int
    docid: str
    rank: int
    score: float


@dataclass(frozen=True)
class Judged:
    """What a run is held against: the data's topics, its judged ones, its passages and their number."""

    topics: frozenset[str]
    judged: tuple[str, ...]
    known: Callable[[str], bool]
    passages: int


@dataclass
class Checked:
    """A run with its flaws. ``mistakes`` refuse it, ``notes`` do not; ``ranked``: its rank column says something."""

    path: Path
    run: Run = field(default_factory=dict)
    mistakes: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    ranked: bool = True
    depth: int = 0
    without_hits: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def mistake(self, kind: str, place: int | str, message: str, mend: str) -> None:
        """Note a mistake; of each kind the first few are named."""
        self.counts[kind] += 1
        if self.counts[kind] <= NAMED:
            where = f"{self.path}:{place}" if place else str(self.path)
            self.mistakes.append(f"{where}: {message} (mend: {mend})")

    def finish(self) -> Checked:
        """Count what was not named."""
        for kind, count in self.counts.items():
            if count > NAMED:
                self.mistakes.append(f"{self.path}: {kind}: {count - NAMED} more")
        return self


def check_run(path: Path, data: Judged, names: tuple[str, ...], allow_missing: bool) -> Checked:
    """Read a run file and check it against the data; nothing is raised, all is in what is returned.

    Args:
        names: the measures that it will be scored with, for the depth they need.
        allow_missing: take judged topics without hits for a note, not for a mistake; they score 0.
    """
    checked = Checked(path)
    try:
        by_topic = _read(checked)
    except DataError as error:
        checked.mistakes.append(f"{error.where}: {error.message} (mend: {error.mend})")
        return checked.finish()
    if not by_topic and not checked.mistakes:
        checked.mistake("empty", "", "holds no hit", "write one `qid Q0 docid rank score tag` a line")
        return checked.finish()
    for qid, lines in by_topic.items():
        if qid not in data.topics:
            mend = "runs are of one language and split; drop the topic"
            checked.mistake("unknown topics", lines[0].number, f"topic '{qid}' is none of the data's", mend)
        _check_topic(checked, qid, lines, data.known)
    checked.run = {qid: [Hit(line.docid, line.score) for line in lines] for qid, lines in by_topic.items()}
    missing = [qid for qid in data.judged if qid not in by_topic]
    checked.without_hits = len(missing)
    _missing(checked, missing, allow_missing)
    _check_depth(checked, data, names)
    _note_ties(checked, by_topic)
    return checked.finish()


def _read(checked: Checked) -> dict[str, list[Line]]:
    """Read the lines of each topic; a malformed line is a mistake."""
    rows: list[tuple[int, list[str]]] = []
    comments = 0
    for number, text in trec.lines(checked.path):
        comments += text.startswith("#")
        try:
            columns = trec.split_run_line(text, f"{checked.path}:{number}")
        except DataError as error:
            checked.mistake("columns", number, error.message, error.mend or "")
        else:
            if columns is not None:
                rows.append((number, columns))
    if comments:
        checked.notes.append(f"{checked.path}: {comments} comment line{'s' * (comments > 1)} ignored")
    ranks = {columns[3] for _, columns in rows}
    constant = len(ranks) == 1 and len({columns[0] for _, columns in rows}) < len(rows)
    if constant:
        checked.notes.append(f"{checked.path}: every line has rank {ranks.pop()}; hits are ordered by score")
    by_topic: dict[str, list[Line]] = {}
    for number, (qid, _, docid, rank, score, _) in rows:
        line = _line(checked, number, qid, docid, "0" if constant else rank, score)
        if line is not None:
            by_topic.setdefault(qid, []).append(line)
    checked.ranked = not constant
    checked.tags = list(dict.fromkeys(columns[5] for _, columns in rows))
    return by_topic


def _line(checked: Checked, number: int, qid: str, docid: str, rank: str, score: str) -> Line | None:
    place = f"topic '{qid}', '{docid}'"
    if not re.fullmatch(r"[0-9]{1,18}", rank):
        mend = "number the hits from 1, best first"
        checked.mistake("ranks", number, f"{place}: rank '{rank}' is not a whole number", mend)
        return None
    try:
        [value] = trec.float32([trec.parse_score(score)])
    except ValueError:
        checked.mistake("scores", number, f"{place}: score '{score}' is not a number", "write a decimal number")
        return None
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        mend = "every score must be a finite float32; drop the hit or mend the system"
        checked.mistake("scores that are not finite", number, f"{place}: score '{score}' is not finite", mend)
        return None
    return Line(number, docid, int(rank), value)


def _check_topic(checked: Checked, qid: str, lines: list[Line], known: Callable[[str], bool]) -> None:
    """Repeated and unknown passages, repeated ranks, and ranks against scores."""
    seen: dict[str, int] = {}
    for line in lines:
        if line.docid in seen:
            text = f"topic '{qid}' ranks '{line.docid}' a second time, first on line {seen[line.docid]}"
            checked.mistake("repeated passages", line.number, text, "keep each passage once a topic")
            continue
        seen[line.docid] = line.number
        if not known(line.docid):
            text = f"topic '{qid}' ranks '{line.docid}', which the corpus lacks"
            checked.mistake("unknown passages", line.number, text, "search the corpus of --data, whole and unchanged")
    if not checked.ranked:
        return
    ordered = sorted(lines, key=lambda line: (line.rank, line.number))
    for better, worse in pairwise(ordered):
        if better.rank == worse.rank:
            text = f"topic '{qid}' has rank {worse.rank} twice ('{better.docid}', '{worse.docid}')"
            checked.mistake("repeated ranks", worse.number, text, "number the hits of a topic 1, 2, ...")
            return
        if better.score < worse.score:
            text = (
                f"topic '{qid}': rank {worse.rank} ('{worse.docid}') scores {worse.score:.9g}, more than "
                f"{better.score:.9g} of rank {better.rank} ('{better.docid}')"
            )
            checked.mistake("ranks against scores", worse.number, text, "higher scores are better: negate distances")
            return


def _missing(checked: Checked, missing: list[str], allowed: bool) -> None:
    if not missing:
        return
    named = ", ".join(missing[:NAMED]) + (", ..." if len(missing) > NAMED else "")
    told = f"{len(missing)} judged topic{'s have' if len(missing) > 1 else ' has'} no hit: {named}"
    if allowed:
        checked.notes.append(f"{checked.path}: {told}; scored 0")
    else:
        mend = "search them, or --allow-missing to score them 0"
        checked.mistake("missing topics", "", told, mend)


def _check_depth(checked: Checked, data: Judged, names: tuple[str, ...]) -> None:
    """Whether the run was cut above the rank that a measure looks to.

    A system may find fewer passages than were asked for (BM25 only those that share a word), so few hits are no
    mistake in themselves; that half of the topics end at the same rank is.
    """
    counts = [len(checked.run[qid]) for qid in data.judged if qid in checked.run]
    checked.depth = max(counts, default=0)
    deeper = [name for name in names if min(measures.parse_measure(name)[1], data.passages) > checked.depth]
    if not counts or not deeper:
        return
    if len(counts) > 1 and counts.count(checked.depth) * 2 >= len(counts):
        rest = [name for name in names if name not in deeper]
        mend = "hand in deeper runs" + (f", or score --measures {','.join(rest)} only" if rest else "")
        checked.mistake("depth", "", f"is cut at {checked.depth} hits a topic; {', '.join(deeper)} look deeper", mend)
    else:
        checked.notes.append(f"{checked.path}: no topic has more than {checked.depth} hits ({', '.join(deeper)})")


def _note_ties(checked: Checked, by_topic: dict[str, list[Line]]) -> None:
    differing = 0
    for qid, lines in by_topic.items():
        by_rank = [line.docid for line in sorted(lines, key=lambda line: line.rank)]
        differing += by_rank != [docid for _, docid in trec.by_tie_rule(checked.run[qid])]
    if differing and checked.ranked and not checked.counts["ranks against scores"]:
        topics = f"{differing} topic{'s' * (differing > 1)}"
        checked.notes.append(f"{checked.path}: equal scores in {topics} are ordered by the tie rule, not by rank")
