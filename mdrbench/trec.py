"""Topics, qrels and run files, and the one tie rule.

Formats: topics ``qid<TAB>query``; qrels ``qid Q0 docid grade``; runs ``qid Q0 docid rank score tag``. Readers decode
line by line, so that a wrong byte is named with its file and line. What the field tolerates (a repeated identical
judgment, a DOS line end) is counted in a :class:`collections.Counter` of warnings, everything else is a
:class:`~mdrbench.errors.DataError`.
"""

from __future__ import annotations

import gzip
import math
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from mdrbench.errors import DataError
from mdrbench.types import Hit, Qrels, Run, Topics


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
    hits = list(hits)
    scores = float32(hit.score for hit in hits)
    order = sorted(zip(scores, (hit.docid for hit in hits), strict=True), reverse=True)
    return [Hit(docid, score) for score, docid in order]


def check_hits(qid: str, hits: list[Hit], where: str) -> None:
    """Raise a DataError where a topic's hits repeat a docid or hold a score that is not finite in float32."""
    scores = float32(hit.score for hit in hits)
    if len({hit.docid for hit in hits}) == len(hits) and all(map(math.isfinite, scores)):
        return
    seen = set()
    for hit, score in zip(hits, scores, strict=True):
        if not math.isfinite(score):
            raise DataError(
                f"topic '{qid}' scores '{hit.docid}' {hit.score}",
                where=where,
                mend="mend the retriever: every score must be a finite float32",
            )
        if hit.docid in seen:
            raise DataError(
                f"topic '{qid}' ranks '{hit.docid}' twice", where=where, mend="keep each passage once a topic"
            )
        seen.add(hit.docid)


def read_run(path: Path) -> Run:
    """A TREC run, plain or gzipped, ranked by the tie rule; the rank column is not believed."""
    run: dict[str, list[Hit]] = {}
    for number, line in lines(path):
        fields = line.split()
        if len(fields) != 6:
            raise DataError(
                f"a run line has 6 columns, this one {len(fields)}",
                where=f"{path}:{number}",
                mend="write `qid Q0 docid rank score tag`",
            )
        try:
            score = float(fields[4])
        except ValueError:
            raise DataError(
                f"score '{fields[4]}' is no number", where=f"{path}:{number}", mend="write a decimal number"
            ) from None
        run.setdefault(fields[0], []).append(Hit(fields[2], score))
    for qid, hits in run.items():
        check_hits(qid, hits, str(path))
    return {qid: ranked(hits) for qid, hits in run.items()}


def write_run(path: Path, run: Run, tag: str) -> None:
    """Write a gzipped TREC run, hits in the order of the tie rule, scores with the 9 digits that keep a float32.

    The same run gives the same bytes. Topics without hits leave no line, as everywhere in the field.
    """
    with open(path, "wb") as raw, gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as file:
        for qid, hits in run.items():
            check_hits(qid, hits, str(path))
            rows = [f"{qid} Q0 {h.docid} {rank} {h.score:.9g} {tag}\n" for rank, h in enumerate(ranked(hits), 1)]
            file.write("".join(rows).encode("utf-8"))
