"""Write results for a site, render pages one kind at a time, and read built pages."""

from __future__ import annotations

import json
import math
from html.parser import HTMLParser
from pathlib import Path

from mdrbench.core import registry
from mdrbench.core.store import file_sha256
from mdrbench.evaluation import measures
from mdrbench.site.cache import Cache
from mdrbench.site.engine.render import Renderer
from mdrbench.site.model.site_model import SiteModel, load
from mdrbench.site.pages.page import Asset, Page
from support.results import measured, sealed


class Parsed(HTMLParser):
    """Collects the text of each table row, and all start tags."""

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
        """Return the first row whose head begins with ``name``."""
        return next(row for row in self.rows if row and row[0].startswith(name))


def save(root: Path, data: dict, name: str = "mine", dataset: str = "tiny") -> Path:
    """Write a result with its seal. Data of another schema version stay unchanged."""
    path = root / dataset / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    current = data.get("schema_version") == 1
    path.write_text(json.dumps(sealed(data) if current else data), encoding="utf-8")
    return path


def save_topics(root: Path, name: str, lang: str, values: list[float], dataset: str = "tiny") -> dict:
    """Write a topic file of nDCG@10 scores, and return its record for the result."""
    path = root / dataset / name / f"{lang}-dev.topics.tsv.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    scores = {f"q{i}": {"nDCG@10": value} for i, value in enumerate(values)}
    measures.write_topic_scores(path, scores, dict.fromkeys(scores, "where"), ("nDCG@10",))
    return {"path": f"{name}/{path.name}", "bytes": path.stat().st_size, "sha256": file_sha256(path)}


def model(root: Path, cache: Path, data: tuple[str, ...] = ()) -> SiteModel:
    """Return the model of a site of these results."""
    return load(root, data, Cache(cache))


def rendered(root: Path, cache: Path, *makers, data: tuple[str, ...] = ()) -> dict[str, str]:
    """Return address -> text of all pages and assets that the makers yield."""
    shown = model(root, cache, data)
    files = [file for maker in makers for file in maker(shown)]
    renderer = Renderer(registry.resource("site") / "templates", (file.path for file in files), Cache(cache))
    pages = {file.path: renderer.render(file) for file in files if isinstance(file, Page)}
    assets = {file.path: file.content for file in files if isinstance(file, Asset)}
    return {path: content.decode("utf-8") for path, content in (pages | assets).items()}


def scored(name: str, values: dict[str, float], **changes) -> dict:
    """Return a measured result with one nDCG@10 score per language. Its average is over all its languages."""
    cells = {lang: {"scores": {"nDCG@10": {"value": value}}} for lang, value in values.items()}
    mean = {"nDCG@10": {"value": math.fsum(values.values()) / len(values)}}
    averages = [{"label": "x", "languages": list(values), "scores": mean}]
    return measured(system={"name": name, "summary": ""}, languages=cells, averages=averages, **changes)


def tree(folder: Path) -> dict[str, bytes]:
    """Return the bytes of all files of a folder, by path."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
