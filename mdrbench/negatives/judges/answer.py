"""Grade 2 if the passage contains a known answer of the query, else 0 (DPR, Karpukhin et al. 2020).

Answers come from ``answers-LANG-SPLIT.jsonl`` (``qid`` and a list ``answers``) or ``.tsv`` (qid and answers, separated
by tabs). Both sides are brought to NFKC, case folded, and lose their format characters (zero-width joiners). As in DPR
an answer must match whole tokens, that is runs of letters, digits and marks, or single other characters, and titles
are not looked at. Japanese, Thai and Chinese, which put no spaces between words, are compared as strings without them.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from mdrbench.core.errors import DataError
from mdrbench.core.members import MemberConfig, Spec
from mdrbench.core.types import Judgment, Pair
from mdrbench.formats import jsonl
from mdrbench.formats.trec import lines
from mdrbench.negatives.judges import Estimate
from mdrbench.negatives.judges._local import FREE, Tally
from mdrbench.negatives.recorded_answers import Recorded


class Config(MemberConfig):
    """The folder of the answers, and how a passage is searched for them.

    ``missing``: give passages of a query without known answers no grade (``unreadable``), or stop (``error``).
    """

    folder: str = Field(description="folder of answers-LANG-SPLIT.jsonl or .tsv files")
    split: str = Field(default="train", description="split in the names of the files")
    missing: Literal["unreadable", "error"] = "unreadable"
    substring: tuple[str, ...] = Field(
        default=("ja", "th", "zh"), description="languages that are compared as strings, not as tokens"
    )


class AnswerJudge:
    """See :class:`mdrbench.negatives.judges.Judge`."""

    spec = Spec(Config, version=1, run_only=("folder",))  # the conventions have its files' hash
    reference = "ignored"

    def __init__(self, config: Config):
        self.config = config
        self._files = Recorded(Path(config.folder).expanduser(), "answers", config.split, ("jsonl", "tsv"))
        self._answers = cache(self._read)
        self._tally = Tally()
        self._without: Counter[tuple[str, str]] = Counter()

    def _read(self, lang: str) -> dict[str, list[str]]:
        """qid -> answers, already in the form in which they are looked for."""
        paths = self._files.candidates(lang)
        there = [path for path in paths if path.is_file()]
        if len(there) != 1:
            what = "both files hold answers" if there else "no answers for this language"
            raise DataError(what, where=str(paths[0]), mend="give either the .jsonl or the .tsv file")
        form = self._form(lang)
        return {
            qid: [_formed(form, answer, where) for answer in answers] for qid, where, answers in read_answers(there[0])
        }

    def _form(self, lang: str) -> Callable[[str], str]:
        return unspaced if lang in self.config.substring else tokens

    def prepare(self, say: Callable[[str], None]) -> None:
        """Raise a DataError if the folder holds no answers."""
        self._files.require("answers", " (docs/judges.md)")

    def conventions(self) -> dict[str, Any]:
        """Return the matching, how a missing answer is treated, and the SHA-256 of the files' names and contents."""
        return {
            "judge": "answer",
            "split": self.config.split,
            "missing": self.config.missing,
            "substring": sorted(self.config.substring),
            "normalisation": "NFKC, case folded, without format characters",
            "unicode": unicodedata.unidata_version,
            "files_sha256": self._files.sha256(),
        }

    def holds(self, pair: Pair) -> bool:
        """Whether answers to the query are known."""
        return pair.qid in self._answers(pair.lang)

    def estimate(self, pairs: list[Pair]) -> Estimate:
        """Nothing is asked of an endpoint."""
        return FREE

    def judge(self, pairs: list[Pair], progress: Callable[[int], None]) -> Iterator[Judgment]:
        """Grade 2 if any answer is in the text, 0 if none is, None if no answer is known."""
        for done, pair in enumerate(pairs, 1):
            answers = self._answers(pair.lang).get(pair.qid)
            if answers is None:
                self._cannot_tell(pair)
                verdict = None
            else:
                text = _cached(self._form(pair.lang), pair.passage.text)
                verdict = 2 if any(answer in text for answer in answers) else 0
            yield self._tally.verdict(pair, verdict, verdict)
            progress(done)

    def _cannot_tell(self, pair: Pair) -> None:
        if self.config.missing == "error":
            raise DataError(
                f"no answer is known for query '{pair.qid}' ({pair.lang})",
                where=str(self._files.folder),
                mend="add it, or set negatives.judge.missing to unreadable",
            )
        self._without[pair.lang, pair.qid] += 1

    def facts(self) -> dict[str, Any]:
        """Pairs judged by grade; queries without a known answer and their pairs, which got no grade."""
        return {
            **self._tally.facts(),
            "queries_without_answer": len(self._without),
            "pairs_without_answer": self._without.total(),
        }


# -- the files ---------------------------------------------------------------------------------------------------------


def read_answers(path: Path) -> Iterator[tuple[str, str, list[str]]]:
    """qid, ``path:line`` and answers of each line; a qid that occurs twice or has no answer is an error."""
    seen = set()
    for where, qid, answers in _jsonl(path) if path.suffix == ".jsonl" else _tsv(path):
        if qid in seen:
            raise DataError(f"query '{qid}' occurs twice", where=where, mend="put its answers on one line")
        if not answers:
            raise DataError(f"query '{qid}' has no answer", where=where, mend="drop the line")
        seen.add(qid)
        yield qid, where, answers


def _jsonl(path: Path) -> Iterator[tuple[str, str, list[str]]]:
    for where, record in jsonl.records(path, {"qid": str, "answers": list}):
        if not all(isinstance(answer, str) for answer in record["answers"]):
            raise DataError("'answers' must be a list of strings", where=where, mend='{"qid": "1", "answers": ["x"]}')
        yield where, record["qid"], record["answers"]


def _tsv(path: Path) -> Iterator[tuple[str, str, list[str]]]:
    for number, line in lines(path):
        if line.strip():
            qid, *answers = line.split("\t")
            yield f"{path}:{number}", qid.strip(), answers


def _formed(form: Callable[[str], str], answer: str, where: str) -> str:
    formed = form(answer)
    if not formed.strip():
        raise DataError(f"the answer {answer!r} is empty", where=where, mend="drop it")
    return formed


# -- matching ----------------------------------------------------------------------------------------------------------


def folded(text: str) -> str:
    """NFKC and case folded."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def tokens(text: str) -> str:
    """The tokens of a text, each with a space before and after, so that whole tokens are found as a substring.

    As DPR's SimpleTokenizer: a run of letters, numbers and marks, or one other character that is neither a space nor a
    control character.
    """
    return f" {' '.join(folded(text).translate(_SPACED).split())} "


def unspaced(text: str) -> str:
    """A text without white space, controls and format characters."""
    return folded(text).translate(_JOINED)


@lru_cache(maxsize=4096)
def _cached(form: Callable[[str], str], text: str) -> str:
    """A passage in the form in which it is searched; one passage stands in many pairs."""
    return form(text)


class _Table(dict[int, str]):
    """For ``str.translate``, filled as characters come: what becomes of white space and of other symbols."""

    def __init__(self, blank: str, symbol: str):
        super().__init__()
        self._blank, self._symbol = blank, symbol

    def __missing__(self, code: int) -> str:
        kind = unicodedata.category(chr(code))
        if kind == "Cf":
            self[code] = ""
        elif kind[0] in "ZC":
            self[code] = self._blank
        else:
            self[code] = chr(code) if kind[0] in "LNM" else self._symbol.format(chr(code))
        return self[code]


_SPACED = _Table(blank=" ", symbol=" {} ")
_JOINED = _Table(blank="", symbol="{}")
