"""Write data sets in MIRACL's layout."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from mdrbench.data.miracl_layout import MiraclFolder

PASSAGES = [
    {"docid": "1#0", "title": "Saimaa", "text": "Saimaa is the largest lake in Finland."},
    {"docid": "1#1", "title": "Saimaa", "text": "The ringed seal of Saimaa lives in fresh water."},
    {"docid": "2#0", "title": "Inari", "text": "Lake Inari lies in Lapland and freezes in November."},
]


class FolderMaker:
    """Writes a data set in MIRACL's layout. Raw bytes can replace each part, to spoil it."""

    def __init__(self, root: Path):
        self.root = root

    def corpus(self, lang: str = "en", passages=PASSAGES, *, raw: bytes | None = None, shard: int = 0) -> Path:
        path = self.root / "miracl-corpus" / f"miracl-corpus-v1.0-{lang}" / f"docs-{shard}.jsonl.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(json.dumps(p, ensure_ascii=False) + "\n" for p in passages).encode() if raw is None else raw
        path.write_bytes(gzip.compress(text, mtime=0))
        return path

    def split(self, kind: str, text: str | bytes, lang: str = "en", split: str = "dev") -> Path:
        folder = self.root / "miracl" / f"miracl-v1.0-{lang}" / kind
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{kind}.miracl-v1.0-{lang}-{split}.tsv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def whole(self, lang: str = "en", passages=PASSAGES) -> MiraclFolder:
        self.corpus(lang, passages)
        self.split("topics", "q1\twhere does the ringed seal live\nq2\tlargest lake in Finland\n", lang)
        self.split("qrels", "q1\tQ0\t1#1\t1\nq2\tQ0\t1#0\t1\nq2\tQ0\t2#0\t0\n", lang)
        return self.folder()

    def folder(self) -> MiraclFolder:
        return MiraclFolder(self.root.name, self.root)
