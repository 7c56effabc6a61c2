"""Write measured results with run and topic files, for the tests of pages that compare systems."""

from __future__ import annotations

import random
from html.parser import HTMLParser
from pathlib import Path

from mdrbench import results
from mdrbench.core.store import file_sha256
from mdrbench.core.types import Hit
from mdrbench.data.access import open_dataset
from mdrbench.data.miracl_layout import MiraclFolder
from mdrbench.evaluation import measures
from mdrbench.formats import trec
from mdrbench.results import Average, Cell, DatasetRecord, Evaluated, File, LanguageResult, Result, System

DEPTH = 100


def sample() -> MiraclFolder:
    return open_dataset("sample")


def record(root: Path, name: str, skill: float, langs=("ar", "fi"), data: MiraclFolder | None = None, **system) -> Path:
    """Write a system that adds ``skill`` to the random score of each positive. The same name gives the same numbers."""
    data = data or sample()
    path = root / data.name / f"{name}.json"
    languages = {lang: _language(path, data, lang, skill) for lang in langs}
    cells = {m: _cell([languages[lang].scores[m].value for lang in langs]) for m in measures.DEFAULT}
    result = Result(
        kind="measured",
        dataset=data.name,
        split="dev",
        system=System(name=name, summary="a system", **system),
        evaluated=Evaluated(
            measures=list(measures.DEFAULT), depth=DEPTH, tie_rule="t", denominator="d", corpus_variant="full"
        ),
        languages=languages,
        averages=[Average(label=results.average_label(list(langs)), languages=list(langs), scores=cells)],
    )
    path.write_text(results.dump(result), encoding="utf-8")
    return path


def _language(path: Path, data: MiraclFolder, lang: str, skill: float) -> LanguageResult:
    topics, qrels = (
        trec.read_topics(data.topics_file(lang, "dev")),
        trec.read_qrels(data.qrels_file(lang, "dev")),
    )
    passages = list(data.passages(lang))
    rng = random.Random(f"{path.stem} {lang}")
    run = {}
    for qid in topics:
        scores = {p.docid: rng.random() + skill * (qrels.get(qid, {}).get(p.docid, 0) > 0) for p in passages}
        run[qid] = trec.ranked([Hit(docid, score) for docid, score in scores.items()])[:DEPTH]
    scored = measures.score_topics(run, qrels)
    folder = path.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    kept = {"run": folder / f"{lang}-dev.run.trec.gz", "topics": folder / f"{lang}-dev.topics.tsv.gz"}
    trec.write_run(kept["run"], run, "x")
    measures.write_topic_scores(kept["topics"], scored, topics, measures.DEFAULT)
    files = [data.topics_file(lang, "dev"), data.qrels_file(lang, "dev"), *data.corpus_files(lang)]
    return LanguageResult(
        scores={m: _cell([row[m] for row in scored.values()]) for m in measures.DEFAULT},
        dataset=DatasetRecord(
            fingerprint=file_sha256(data.corpus_files(lang)[0]),
            passages=len(passages),
            topics=len(topics),
            judged_topics=len(qrels),
            judgments=sum(map(len, qrels.values())),
            positives=sum(grade > 0 for judged in qrels.values() for grade in judged.values()),
            files={file.name: file_sha256(file) for file in files},
            warnings={},
        ),
        files={
            kind: File(path=str(file.relative_to(path.parent)), bytes=file.stat().st_size, sha256=file_sha256(file))
            for kind, file in kept.items()
        },
    )


def _cell(values: list[float]) -> Cell:
    mean = sum(values) / len(values)
    return Cell(value=mean, low=max(0.0, mean - 0.1), high=min(1.0, mean + 0.1))


class Html(HTMLParser):
    """Collects all tags with their attributes, all words, and the rows of all tables."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._rows: list[list[str]] = []
        self.words = ""
        self._cell = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self._rows.append([])
        if tag in ("td", "th") and self._rows:
            self._cell = True
            self._rows[-1].append("")

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self._cell = False

    def handle_data(self, data):
        self.words += data
        if self._cell:
            self._rows[-1][-1] += data

    @property
    def rows(self) -> list[list[str]]:
        """Return the words of each cell of each row."""
        return [[" ".join(cell.split()) for cell in row] for row in self._rows]
