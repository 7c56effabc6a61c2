"""Source files of a small wiki16 in one language."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from mdrbench.data.wiki16 import content, sources
from mdrbench.data.wiki16.build import write_language
from mdrbench.data.wiki16.language import BuiltLanguage, build_language

LANG = "sw"


def squad(articles: dict[str, list[tuple[str, list[tuple[str, str, str]]]]]) -> bytes:
    """Return a file in SQuAD's format from title -> paragraphs, each a text with questions (id, question, answer)."""
    data = [
        {
            "title": title,
            "paragraphs": [
                {
                    "context": text,
                    "qas": [
                        {"id": qid, "question": question, "answers": [{"answer_start": text.find(a), "text": a}]}
                        for qid, question, a in questions
                    ],
                }
                for text, questions in paragraphs
            ],
        }
        for title, paragraphs in articles.items()
    ]
    return json.dumps({"data": data}).encode()


def prompt(passages: dict[str, str], question: str = "?") -> str:
    """Return a line of NoMIRACL's prompts from docid -> ``title: text``."""
    contexts = "\n\n".join(f"[{number}] {text}" for number, text in enumerate(passages.values(), start=1))
    text = f"QUESTION:\n{question}\n\nCONTEXTS:\n{contexts}\n\nOUTPUT:\n"
    return json.dumps({"prompt": text, "docids": list(passages), "query_id": "1"})


def default_files() -> dict[tuple[str, str], bytes]:
    """Return twelve articles with one paragraph and one question each, two MIRACL passages and one MIRACL topic."""
    articles = {
        f"Ziwa {n}": [
            (f"Ziwa namba {n} lina kina cha mita {n * 7}.", [(f"q{n}", f"Kina cha ziwa {n}?", f"mita {n * 7}")])
        ]
        for n in range(1, 13)
    }
    passages = {"31#0": "Mlima: Mlima ni mrefu sana.", "31#1": "Mlima: Juu kuna barafu."}
    return {
        ("tydi", "swahili.json"): squad(articles),
        ("miracl", "sw.jsonl"): prompt(passages).encode(),
        ("anserini", "topics/topics.miracl-v1.0-sw-train.tsv"): b"5\tMlima una nini juu?\n6\tNani?\n",
        ("anserini", "qrels/qrels.miracl-v1.0-sw-train.tsv"): b"5\tQ0\t31#1\t1\n5\tQ0\t31#0\t0\n6\tQ0\t99#0\t1\n",
        ("anserini", "topics/topics.miracl-v1.0-sw-dev.tsv"): b"",
        ("anserini", "qrels/qrels.miracl-v1.0-sw-dev.tsv"): b"",
    }


class TinyWiki16:
    """Replaces the real source files while a test runs.

    Attributes:
        files: (source, path) -> bytes.
        folder: where they lie, as if they had been downloaded.
    """

    def __init__(self, folder: Path, monkeypatch):
        self.folder, self._monkeypatch = folder, monkeypatch
        self.files = default_files()

    def install(self) -> None:
        """Write the files and their listing."""
        rows = ["lang\tsource\tpath\tbytes\tsha256"]
        for (source, path), body in self.files.items():
            rows.append("\t".join([LANG, source, path, str(len(body)), hashlib.sha256(body).hexdigest()]))
        self._list(sources, rows)
        for file in sources.source_files():
            path = self.folder / file.local
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.files[file.source, file.path])

    def build(self) -> BuiltLanguage:
        """Install the files and build the language from them."""
        self.install()
        return build_language(self.folder, LANG)

    def pin(self, scratch: Path) -> None:
        """Build the language and list its files as the pinned content."""
        write_language(self.build(), scratch)
        rows = ["lang\tkind\tsplit\tlines\tbytes\tsha256"]
        for file in [content.ContentFile(LANG, "corpus", "", 0, 0, "")] + [
            content.ContentFile(LANG, kind, split, 0, 0, "")
            for split in ("train", "dev", "test")
            for kind in ("topics", "qrels")
        ]:
            body = (scratch / file.path).read_bytes()
            digest = hashlib.sha256(body).hexdigest()
            rows.append("\t".join([LANG, file.kind, file.split, str(body.count(b"\n")), str(len(body)), digest]))
        self._list(content, rows)

    def read(self, local: str) -> bytes | None:
        """Return the bytes of a path, as a host of raw files serves them."""
        path = self.folder / local
        return path.read_bytes() if path.is_file() else None

    def _list(self, module, rows: list[str]) -> None:
        listing = self.folder / f"{module.__name__.rsplit('.', 1)[-1]}.tsv"
        listing.parent.mkdir(parents=True, exist_ok=True)
        listing.write_text("\n".join(rows) + "\n")
        self._monkeypatch.setattr(module, "LISTING", listing)
        clear_listings()


def clear_listings() -> None:
    """Clear the cached listings."""
    sources.source_files.cache_clear()
    sources.sources_of.cache_clear()
    content.content_files.cache_clear()
