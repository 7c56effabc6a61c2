"""Built pages read back: rows, tags and links of a page, and results to build from."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

from mdrbench.core.store import file_sha256
from mdrbench.evaluation import measures


class Parsed(HTMLParser):
    """The text of every table row, and all tags that were opened."""

    def __init__(self, path: Path):
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: list[tuple[str, dict]] = []
        self.inside = False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
            self.inside = True

    def handle_endtag(self, tag):
        self.inside = self.inside and tag not in ("td", "th", "table")

    def handle_data(self, data):
        if self.inside:
            self.rows[-1][-1] = " ".join(f"{self.rows[-1][-1]} {data}".split())

    def row(self, name: str) -> list[str]:
        """The first row whose head begins so."""
        return next(row for row in self.rows if row and row[0].startswith(name))


def save(root: Path, data: dict, name: str = "mine", dataset: str = "tiny") -> Path:
    path = root / dataset / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def save_topics(root: Path, name: str, lang: str, values: list[float], dataset: str = "tiny") -> dict:
    """A topic file of nDCG@10 scores; its record for the result."""
    path = root / dataset / name / f"{lang}-dev.topics.tsv.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    scores = {f"q{i}": {"nDCG@10": value} for i, value in enumerate(values)}
    measures.write_topic_scores(path, scores, dict.fromkeys(scores, "where"), ("nDCG@10",))
    return {"path": f"{name}/{path.name}", "bytes": path.stat().st_size, "sha256": file_sha256(path)}
