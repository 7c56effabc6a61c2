"""Topics, qrels and run files, and the one tie rule.

Formats: topics ``qid<TAB>query``; qrels ``qid Q0 docid grade``; runs ``qid Q0 docid rank score tag``. Readers decode
line by line, so that a wrong byte is named with its file and line. What the field tolerates (a repeated identical
judgment, a DOS line end) is counted in a :class:`collections.Counter` of warnings, everything else is a
:class:`~mdrbench.core.errors.DataError`.
"""

from __future__ import annotations

import gzip
import math
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from mdrbench.core.atomic_files import gzip_file
from mdrbench.core.errors import DataError
from mdrbench.core.types import Hit, Qrels, Run, Topics


def lines(path: Path, warnings: Counter[str] | None = None) -> Iterator[tuple[int, str]]:
    """Numbered lines (from 1) of a UTF-8 text file, plain or ``.gz``, without line ends or a byte-order mark."""
    opener = gzip.open if path.suffix == ".gz" else open
    number = 0
    try:
        with opener(path, "rb") as file:
            for number, raw in enumerate(file, 1):
                yield number, _decode(raw, number, path, warnings)
    except FileNotFoundError:
        raise DataError("file not found", where=str(path), mend="check the path and the folder's layout") from None
    except (OSError, EOFError, gzip.zlib.error) as error:  # a damaged gzip stream raises any of the three
        raise DataError(
            f"cannot be read after line {number}: {error}", where=str(path), mend="fetch or copy the file again"
        ) from None


def _decode(raw: bytes, number: int, path: Path, warnings: Counter[str] | None) -> str:
    line = raw.removesuffix(b"\n")
    if number == 1 and line.startswith(b"\xef\xbb\xbf"):
        line = line[3:]
        count(warnings, "byte-order mark ignored")
    if line.endswith(b"\r"):
        line = line[:-1]
        count(warnings, "DOS line end ignored")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"not UTF-8: byte 0x{line[error.start]:02x} at column {error.start + 1}",
            where=f"{path}:{number}",
            mend="convert the file, e.g. `iconv -f latin1 -t utf-8`",
        ) from None


def count(warnings: Counter[str] | None, what: str) -> None:
    """Count one tolerated flaw where the caller keeps a tally."""
    if warnings is not None:
        warnings[what] += 1


def read_topics(path: Path, warnings: Counter[str] | None = None) -> Topics:
    """Topics in file order; a repeated qid, an empty query or a line without a tab is an error."""
    topics: Topics = {}
    for number, line in lines(path, warnings):
        qid, tab, text = line.partition("\t")
        where = f"{path}:{number}"
        if not line.strip():
            count(warnings, "blank topic line ignored")
            continue
        if not tab or not qid.strip():
            raise DataError("a topic line must be qid, tab, query", where=where, mend="put a tab after the qid")
        if any(ch.isspace() for ch in qid):
            raise DataError(f"qid '{qid}' holds white space", where=where, mend="runs are split at white space")
        if not text.strip():
            raise DataError(f"topic '{qid}' has no text", where=where, mend="write the query or drop the line")
        if qid in topics:
            raise DataError(f"topic '{qid}' occurs twice", where=where, mend="keep one of the lines")
        topics[qid] = text.strip()
    if not topics:
        raise DataError("holds no topic", where=str(path), mend="put one `qid<TAB>query` a line")
    return topics


def iter_qrels(path: Path, warnings: Counter[str] | None = None) -> Iterator[tuple[int, str, str, int]]:
    """Line number, qid, docid and grade of each judgment, as the file has them."""
    for number, line in lines(path, warnings):
        fields = line.split()
        if not fields:
            count(warnings, "blank qrels line ignored")
            continue
        where = f"{path}:{number}"
        if len(fields) != 4:
            raise DataError(
                f"a qrels line has 4 columns, this one {len(fields)}", where=where, mend="write `qid Q0 docid grade`"
            )
        try:
            yield number, fields[0], fields[2], int(fields[3])
        except ValueError:
            raise DataError(f"grade '{fields[3]}' is no whole number", where=where, mend="use 0, 1, ...") from None


def read_qrels(path: Path, warnings: Counter[str] | None = None) -> Qrels:
    """Judgments; the same one twice is counted as a warning, two different grades for a pair are an error."""
    qrels: Qrels = {}
    for number, qid, docid, grade in iter_qrels(path, warnings):
        judged = qrels.setdefault(qid, {})
        if docid in judged:
            if judged[docid] != grade:
                raise DataError(
                    f"'{docid}' is judged {judged[docid]} and {grade} for topic '{qid}'",
                    where=f"{path}:{number}",
                    mend="keep one of the judgments",
                )
            count(warnings, "repeated judgment ignored")
        judged[docid] = grade
    if not qrels:
        raise DataError("holds no judgment", where=str(path), mend="put one `qid Q0 docid grade` a line")
    return qrels


def float32(scores: Iterable[float]) -> list[float]:
    """Scores rounded to float32, the precision in which trec_eval compares them."""
    return array("f", scores).tolist()


def ranked(hits: Iterable[Hit]) -> list[Hit]:
    """The tie rule, trec_eval's: float32 score descending, then docid descending."""
    return [Hit(docid, score) for score, docid in by_tie_rule(hits)]


def by_tie_rule(hits: Iterable[Hit]) -> list[tuple[float, str]]:
    """What :func:`ranked` returns, as bare (float32 score, docid) pairs: half the time on long runs."""
    docids, scores = zip(*hits, strict=True) if (hits := list(hits)) else ((), ())
    return sorted(zip(float32(scores), docids, strict=True), reverse=True)


def check_hits(qid: str, hits: list[Hit], where: str) -> None:
    """Raise a DataError where a topic's hits repeat a docid or hold a score that is not finite in float32."""
    docids, scores = zip(*hits, strict=True) if hits else ((), ())
    # finite float32 values cannot overflow a double, so their sum is finite exactly when all of them are
    if len(set(docids)) == len(docids) and math.isfinite(sum(float32(scores))):
        return
    seen = set()
    for docid, score in hits:
        if not math.isfinite(*float32([score])):
            raise DataError(
                f"topic '{qid}' scores '{docid}' {score}",
                where=where,
                mend="mend the retriever: every score must be a finite float32",
            )
        if docid in seen:
            raise DataError(f"topic '{qid}' ranks '{docid}' twice", where=where, mend="keep each passage once a topic")
        seen.add(docid)


def read_run(path: Path) -> Run:
    """A TREC run, plain or gzipped, ranked by the tie rule; the rank column is not believed."""
    run: dict[str, list[Hit]] = {}
    for number, line in _whole(path):
        fields = line.split()
        if len(fields) != 6:
            raise DataError(
                f"a run line has 6 columns, this one {len(fields)}",
                where=f"{path}:{number}",
                mend="write `qid Q0 docid rank score tag`",
            )
        try:
            hit = Hit(fields[2], float(fields[4]))
        except ValueError:
            raise DataError(
                f"score '{fields[4]}' is no number", where=f"{path}:{number}", mend="write a decimal number"
            ) from None
        run.setdefault(fields[0], []).append(hit)
    for qid, hits in run.items():
        check_hits(qid, hits, str(path))
    return {qid: ranked(hits) for qid, hits in run.items()}


def _whole(path: Path) -> Iterable[tuple[int, str]]:
    """Numbered lines of a file that fits in memory: decoded at once, by :func:`lines` only to name a bad byte."""
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            text = file.read().decode("utf-8").removesuffix("\n")
        return enumerate(text.split("\n"), 1) if text else ()
    except (OSError, EOFError, ValueError, gzip.zlib.error):
        return lines(path)


def write_run(path: Path, run: Run, tag: str) -> None:
    """Write a gzipped TREC run, hits in the order of the tie rule, scores with the 9 digits that keep a float32.

    The same run gives the same bytes. Topics without hits leave no line, as everywhere in the field.
    """
    with gzip_file(path) as file:
        for qid, hits in run.items():
            check_hits(qid, hits, str(path))
            order = enumerate(by_tie_rule(hits), 1)
            rows = [f"{qid} Q0 {docid} {rank} {score:.9g} {tag}\n" for rank, (score, docid) in order]
            file.write("".join(rows).encode("utf-8"))
