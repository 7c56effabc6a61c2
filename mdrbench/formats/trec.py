"""Read and write topics, qrels and run files; state the one tie rule.

Formats: topics ``qid<TAB>query``; qrels ``qid Q0 docid grade``; runs ``qid Q0 docid rank score tag``.

Readers decode line by line, so an error names the file and the line. Flaws that the field tolerates (a repeated
identical judgment, a DOS line end) are counted in a :class:`collections.Counter` of warnings. Everything else is a
:class:`~mdrbench.core.errors.DataError`. Numbers are read as trec_eval reads them: ASCII digits only.
"""

from __future__ import annotations

import gzip
import math
import re
import unicodedata
import zlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from mdrbench.core.atomic_files import gzip_file
from mdrbench.core.errors import DataError
from mdrbench.core.types import Hit, Qrels, Run, Topics, is_blank

MAX_GRADE = 1000
"""Grades run from -MAX_GRADE to MAX_GRADE. trec_eval allocates memory for every grade up to the highest one."""

MAX_ID_BYTES = 4096
"""The longest docid or qid, in bytes of UTF-8. Lucene loses a docid of more than 32,766 bytes."""

HEADER_NAMES = (
    {"qid", "query_id", "query-id", "queryid", "topic_id", "topic", "_id", "id"},
    {"query", "text", "title"},
)
"""Names that the first and the second column of a topics file may have in a header line."""


def lines(
    path: Path, warnings: Counter[str] | None = None, progress: Callable[[int], None] | None = None
) -> Iterator[tuple[int, str]]:
    """Number the lines (from 1) of a UTF-8 text file, plain or ``.gz``; drop line ends and a byte-order mark.

    Args:
        progress: called every 1,000 lines with the bytes of the file that were read, compressed or not.
    """
    for number, _, line in placed_lines(path, warnings, progress):
        yield number, line


def placed_lines(
    path: Path, warnings: Counter[str] | None = None, progress: Callable[[int], None] | None = None
) -> Iterator[tuple[int, int, str]]:
    """As :func:`lines`, with the byte of the uncompressed file at which each line begins: number, byte, line."""
    number = begin = 0
    try:
        with path.open("rb") as stored:
            file = gzip.GzipFile(fileobj=stored) if path.suffix == ".gz" else stored
            for number, raw in enumerate(file, 1):
                yield number, begin, _decode(raw, number, path, warnings)
                begin += len(raw)
                if progress and number % 1000 == 0:
                    progress(stored.tell())
    except FileNotFoundError:
        raise DataError("file not found", where=str(path), mend="check the path and the folder's layout") from None
    except (OSError, EOFError, zlib.error) as error:  # a damaged gzip stream raises any of the three
        raise DataError(
            f"cannot be read after line {number}: {error}", where=str(path), mend="fetch or copy the file again"
        ) from None


def lines_at(path: Path, begins: Iterable[int]) -> Iterator[str]:
    """Read the lines of a file, plain or ``.gz``, that begin at these ascending bytes of the uncompressed file.

    Lines between them are not decoded. A ``.gz`` file is inflated up to the last of them; others are not read.

    Raises:
        DataError: the file is missing or damaged, or a line is not UTF-8.
    """
    begin = 0
    try:
        with path.open("rb") as stored:
            file = gzip.GzipFile(fileobj=stored) if path.suffix == ".gz" else stored
            for begin in begins:
                file.seek(begin)
                yield _decode(file.readline(), 0 if begin else 1, path, None)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"cannot be read at byte {begin}: {error}", where=str(path), mend="fetch or copy the file again"
        ) from None


def lines_from(file: BinaryIO, path: Path, begin: int) -> Iterator[tuple[int, str]]:
    """Read the lines of an open file from a byte (of the uncompressed file) at which a line begins: byte, line.

    The file stays open behind the last line that was taken.

    Raises:
        DataError: the file is damaged, or a line is not UTF-8.
    """
    try:
        file.seek(begin)
        while raw := file.readline():
            yield begin, _decode(raw, 0 if begin else 1, path, None)
            begin += len(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"cannot be read at byte {begin}: {error}", where=str(path), mend="fetch or copy the file again"
        ) from None


def _decode(raw: bytes, number: int, path: Path, warnings: Counter[str] | None) -> str:
    line = raw.removesuffix(b"\n")
    if number == 1 and line.startswith(b"\xef\xbb\xbf"):
        line = line[3:]
        count(warnings, "byte-order mark ignored")
    if line.endswith(b"\r"):
        line = line[:-1]
        count(warnings, "DOS line end ignored")
    if b"\r" in line:
        raise DataError(
            "a carriage return stands in the middle of the line",
            where=f"{path}:{number}",
            mend="end lines with a line feed, e.g. `tr '\\r' '\\n'`",
        )
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"not UTF-8: byte 0x{line[error.start]:02x} at column {error.start + 1}",
            where=f"{path}:{number}",
            mend="convert the file, e.g. `iconv -f latin1 -t utf-8`",
        ) from None


def count(warnings: Counter[str] | None, flaw: str) -> None:
    """Count one tolerated flaw if the caller keeps a tally."""
    if warnings is not None:
        warnings[flaw] += 1


def check_id(kind: str, name: str, where: str) -> None:
    """Raise a DataError if a docid or qid cannot stand in every file and engine.

    Runs are split at white space, trec_eval's C code ends a name at NUL, and Lucene loses very long names.

    Args:
        kind: ``docid`` or ``qid``, for the message.
    """
    shown = repr(name if len(name) <= 60 else f"{name[:60]}...")
    mend = f"give it another {kind}"
    if not name or any(ch.isspace() for ch in name):
        raise DataError(f"{kind} {shown} is empty or holds white space", where=where, mend=mend)
    if any(unicodedata.category(ch) == "Cc" for ch in name):
        raise DataError(f"{kind} {shown} holds a control character", where=where, mend=mend)
    if len(name) * 4 > MAX_ID_BYTES and (size := len(name.encode("utf-8"))) > MAX_ID_BYTES:
        raise DataError(f"{kind} {shown} has {size:,} bytes; the most is {MAX_ID_BYTES:,}", where=where, mend=mend)


def read_topics(path: Path, warnings: Counter[str] | None = None) -> Topics:
    """Read topics in file order; a repeated qid, a blank query or another number of columns is an error."""
    topics: Topics = {}
    for number, line in lines(path, warnings):
        if not line.strip():
            count(warnings, "blank topic line ignored")
            continue
        qid, text = _topic(line, f"{path}:{number}")
        if not topics and qid.lower() in HEADER_NAMES[0] and text.lower() in HEADER_NAMES[1]:
            count(warnings, "first line looks like a header, read as a topic")
        if qid in topics:
            raise DataError(f"topic '{qid}' occurs twice", where=f"{path}:{number}", mend="keep one of the lines")
        topics[qid] = text
    if not topics:
        raise DataError("holds no topic", where=str(path), mend="put one `qid<TAB>query` a line")
    return topics


def _topic(line: str, where: str) -> tuple[str, str]:
    """Split a line into qid and query."""
    qid, *columns = line.split("\t")
    if not columns or not qid.strip():
        raise DataError("a topic line must be qid, tab, query", where=where, mend="put a tab after the qid")
    if len(columns) > 1:
        raise DataError(
            f"a topic line has 2 columns, this one {len(columns) + 1}",
            where=where,
            mend="keep qid and query; replace tabs inside the query by spaces",
        )
    if qid.startswith("#"):
        raise DataError(
            f"qid '{qid}' begins with '#', which marks comments in qrels and run files",
            where=where,
            mend="remove the line if it is a comment; otherwise give the topic another qid",
        )
    check_id("qid", qid, where)
    if is_blank(columns[0]):
        raise DataError(f"topic '{qid}' has no text", where=where, mend="write the query or drop the line")
    return qid, columns[0].strip()


def iter_qrels(path: Path, warnings: Counter[str] | None = None) -> Iterator[tuple[int, str, str, int]]:
    """Yield line number, qid, docid and grade of each judgment in file order.

    Comment lines, which begin with ``#``, are skipped and counted, as trec_eval 10 skips them.
    """
    for number, line in lines(path, warnings):
        fields = line.split()
        if not fields or line.startswith("#"):
            count(warnings, "comment line ignored" if fields else "blank qrels line ignored")
            continue
        where = f"{path}:{number}"
        if len(fields) != 4:
            raise DataError(
                f"a qrels line has 4 columns, this one {len(fields)}", where=where, mend="write `qid Q0 docid grade`"
            )
        yield number, fields[0], fields[2], parse_grade(fields[3], where)


def parse_grade(text: str, where: str) -> int:
    """Read a grade: ASCII digits with an optional minus, from -:data:`MAX_GRADE` to :data:`MAX_GRADE`."""
    if not re.fullmatch(r"-?[0-9]+", text):
        raise DataError(f"grade '{text:.40}' is not a whole number in ASCII digits", where=where, mend="use 0, 1, ...")
    if len(text.lstrip("-0")) > len(str(MAX_GRADE)) or abs(int(text)) > MAX_GRADE:
        raise DataError(
            f"grade {text:.40} is not between -{MAX_GRADE} and {MAX_GRADE}",
            where=where,
            mend="use the grades of the judgments, e.g. 0, 1, 2, 3",
        )
    return int(text)


def read_qrels(path: Path, warnings: Counter[str] | None = None) -> Qrels:
    """Read judgments; a repeated one is counted as a warning, two different grades for a pair are an error."""
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
    """Round scores to float32, the precision in which trec_eval 9 compares them."""
    return array("f", scores).tolist()


def ranked(hits: Iterable[Hit]) -> list[Hit]:
    """Order hits by the tie rule of trec_eval 9: float32 score descending, then docid descending.

    trec_eval 10 compares scores as doubles. Runs that mdrbench writes hold float32 scores, so both order them alike.
    """
    return [Hit(docid, score) for score, docid in by_tie_rule(hits)]


def by_tie_rule(hits: Iterable[Hit]) -> list[tuple[float, str]]:
    """Return what :func:`ranked` returns as bare (float32 score, docid) pairs; takes half the time on long runs."""
    docids, scores = zip(*hits, strict=True) if (hits := list(hits)) else ((), ())
    return sorted(zip(float32(scores), docids, strict=True), reverse=True)


def check_hits(qid: str, hits: list[Hit], where: str) -> None:
    """Raise a DataError if a topic's hits repeat a docid or hold a score that is not finite in float32."""
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


def split_run_line(line: str, where: str) -> list[str] | None:
    """Split a line of a run into its six columns; None if it is blank or a comment.

    The tag is the rest of the line, so it may hold several words, as in trec_eval's own sample run.
    """
    fields = line.split()
    if not fields or line.startswith("#"):
        return None
    if len(fields) < 6:
        raise DataError(
            f"a run line has 6 columns, this one {len(fields)}", where=where, mend="write `qid Q0 docid rank score tag`"
        )
    return fields if len(fields) == 6 else [*fields[:5], " ".join(fields[5:])]


def parse_score(text: str) -> float:
    """Read a score as trec_eval reads it; Python alone would take ``1_0`` and ``١٠`` too.

    Raises:
        ValueError: not a decimal number in ASCII digits.
    """
    if "_" in text or not text.isascii():
        raise ValueError(text)
    return float(text)


def parse_scores(texts: Sequence[str]) -> list[float]:
    """Read several scores as :func:`parse_score` reads one.

    Raises:
        ValueError: one is not a decimal number in ASCII digits.
    """
    joined = "".join(texts)
    if "_" in joined or not joined.isascii():
        raise ValueError(joined)
    return list(map(float, texts))


def read_run(path: Path) -> Run:
    """Read a TREC run, plain or gzipped, ordered by the tie rule; the rank column is ignored."""
    run: dict[str, list[Hit]] = {}
    for number, line in whole_lines(path):
        fields = split_run_line(line, f"{path}:{number}")
        if fields is None:
            continue
        try:
            hit = Hit(fields[2], parse_score(fields[4]))
        except ValueError:
            raise DataError(
                f"score '{fields[4]}' is not a number", where=f"{path}:{number}", mend="write a decimal number"
            ) from None
        run.setdefault(fields[0], []).append(hit)
    for qid, hits in run.items():
        check_hits(qid, hits, str(path))
    return {qid: ranked(hits) for qid, hits in run.items()}


def whole_lines(path: Path) -> Iterable[tuple[int, str]]:
    """As :func:`lines`, faster, of a file that fits in memory; :func:`lines` takes over if something is unusual."""
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8").removesuffix("\n")
    except (OSError, EOFError, ValueError, zlib.error):
        return lines(path)
    if "\r" in text or text.startswith("\ufeff"):
        return lines(path)
    return enumerate(text.split("\n"), 1) if text else ()


def write_run(path: Path, run: Run, tag: str) -> None:
    """Write a TREC run, hits in the order of the tie rule, scores with the 9 digits that keep a float32.

    A path that ends in ``.gz`` is compressed.

    The same run gives the same bytes. Topics without hits leave no line, as everywhere in the field.
    """
    with gzip_file(path) if path.suffix == ".gz" else open(path, "wb") as file:
        for qid, hits in run.items():
            check_hits(qid, hits, str(path))
            order = enumerate(by_tie_rule(hits), 1)
            rows = [f"{qid} Q0 {docid} {rank} {score:.9g} {tag}\n" for rank, (score, docid) in order]
            file.write("".join(rows).encode("utf-8"))
