"""A trained encoder on disk: sentence-transformers' layout and a model card.

``SentenceTransformer(folder)`` gives the embeddings of our own encoder. The prefixes are the prompts ``query`` and
``document``, which ``encode_query`` and ``encode_document`` put in front.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mdrbench.core.atomic_files import write_atomically
from mdrbench.training import EncoderSettings

MODULES = (
    ("", "sentence_transformers.models.Transformer"),
    ("1_Pooling", "sentence_transformers.models.Pooling"),
    ("2_Normalize", "sentence_transformers.models.Normalize"),
)
"""Folder and class of each module, by the names that every version of sentence-transformers knows."""

CARD = """---
library_name: sentence-transformers
pipeline_tag: sentence-similarity
tags: [sentence-transformers, dense-retrieval, mdrbench]
language: [{languages}]
---

# Dense encoder trained with mdrbench

Trained from `{base}` on {queries:,} queries in {number} languages: InfoNCE over {similarity} similarity at temperature
{temperature}, in-batch negatives and up to {negatives} hard negatives a query.

```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("FOLDER")
queries = model.encode_query(["where does the ringed seal live"])
passages = model.encode_document(["Saimaa The ringed seal of Saimaa lives in fresh water."])
scores = queries @ passages.T
```

A passage is its title and text. Queries were cut to {query_length} tokens, passages to {passage_length}; the limit in
the folder is that of the passages.

| setting | value |
|---|---|
{settings}

{steps} steps in {hours:.2f} hours on {processes} x {device}, {precision}. {validation}

Queries by language: {by_language}.
"""


def write(out: Path, encoder: Any, tokenizer: Any, settings: EncoderSettings, facts: dict[str, Any]) -> None:
    """Write the folder ``out``, whole or not at all; ``encoder`` saves its weights and config.json itself."""
    with made_whole(out) as folder:
        encoder.save(folder)
        tokenizer.save_pretrained(folder)
        modules = MODULES if settings.normalize else MODULES[:2]
        _json(
            folder / "modules.json",
            [{"idx": i, "name": str(i), "path": path, "type": kind} for i, (path, kind) in enumerate(modules)],
        )
        _json(folder / "sentence_bert_config.json", {"max_seq_length": settings.passage_length, "do_lower_case": False})
        _json(folder / "1_Pooling" / "config.json", _pooling(settings.pooling, facts["dim"]))
        if settings.normalize:
            _json(folder / "2_Normalize" / "config.json", {})
        _json(
            folder / "config_sentence_transformers.json",
            {
                "model_type": "SentenceTransformer",
                "prompts": {"query": settings.query_prefix, "document": settings.passage_prefix},
                "default_prompt_name": None,
                "similarity_fn_name": facts["settings"]["similarity"],
            },
        )
        write_atomically(folder / "README.md", card(settings, facts))


def _pooling(kind: str, dim: int) -> dict[str, Any]:
    return {
        "word_embedding_dimension": dim,
        "pooling_mode_cls_token": kind == "cls",
        "pooling_mode_mean_tokens": kind == "mean",
        "pooling_mode_max_tokens": kind == "max",
        "pooling_mode_weightedmean_tokens": kind == "weighted-mean",
        "pooling_mode_lasttoken": kind == "last-token",
        "include_prompt": True,
    }


def _json(path: Path, value: object) -> None:
    write_atomically(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def card(settings: EncoderSettings, facts: dict[str, Any]) -> str:
    """Return the README.md: Markdown, from the training's facts."""
    chosen = facts["settings"]
    shown = {"pooling": settings.pooling, "normalize": settings.normalize}
    shown |= {"query_prefix": repr(settings.query_prefix), "passage_prefix": repr(settings.passage_prefix)} | chosen
    validated = facts["validation"]
    loss = f"Loss on {facts['held_out']:,} held-out queries: {validated[-1]['loss']:.4f}." if validated else ""
    return CARD.format(
        base=facts["base"],
        languages=", ".join(sorted(facts["queries"])),
        queries=sum(facts["queries"].values()),
        number=len(facts["queries"]),
        similarity=chosen["similarity"],
        temperature=chosen["temperature"],
        negatives=chosen["negatives"],
        query_length=settings.query_length,
        passage_length=settings.passage_length,
        settings="\n".join(f"| {key} | {value} |" for key, value in shown.items()),
        steps=facts["steps"],
        hours=facts["seconds"]["train"] / 3600,
        processes=facts["processes"],
        device=facts["device"],
        precision=facts["precision"],
        validation=loss,
        by_language=", ".join(f"{lang} {count:,}" for lang, count in sorted(facts["queries"].items())),
    )


@contextmanager
def made_whole(folder: Path) -> Iterator[Path]:
    """Yield a folder to fill; it gets its name when it is filled."""
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    yield part
    shutil.rmtree(folder, ignore_errors=True)
    os.rename(part, folder)
