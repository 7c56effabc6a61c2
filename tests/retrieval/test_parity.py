"""Every architecture gives sentence-transformers' embeddings: tiny random models, odd texts, both padding sides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.model_folders import add_dense, describe, edit_json
from support.models import TEXTS, save_random

from mdrbench.core.members import Member

ODD = [*TEXTS, "", "🦭 lake 👩‍👩‍👧", "  seal \n lake  ", "seal lake " * 40]
"""Short, empty, emoji, white space, and longer than the limit of 32 tokens."""

FOLDERS = {
    "Bert": {"pooling": "cls"},
    "XLMRoberta": {"pooling": "mean", "prompts": {"query": "query: ", "document": "passage: "}},
    "Gte": {"pooling": "cls"},
    "JinaEmbeddingsV3": {"pooling": "mean", "prompts": {"query": "largest lake: ", "document": ""}},
    "ModernBert": {"pooling": "mean"},
    "Qwen3": {"pooling": "lasttoken", "prompts": {"query": "Instruct: where does the seal lives\nQuery:"}},
    "Gemma3Text": {"pooling": "mean", "prompts": {"query": "task: seal | query: ", "document": "title: none | text: "}},
}
"""Class of transformers -> how its best-known embedding model is described."""

SIDES = {"Bert": ("right",)}
"""With padding on the left BERT gives a text other positions in sentence-transformers than alone."""


@pytest.mark.medium
@pytest.mark.parametrize("architecture", FOLDERS)
def test_a_recipe_of_a_model_alone_gives_sentence_transformers_embeddings(tmp_path: Path, architecture):
    from sentence_transformers import SentenceTransformer

    folder = save_random(tmp_path / "model", architecture)
    dense = ("Dense", "Dense") if architecture == "Gemma3Text" else ()
    described = {key: value for key, value in FOLDERS[architecture].items() if key != "pooling"}
    describe(folder, "Pooling", *dense, "Normalize", pooling=FOLDERS[architecture]["pooling"], **described)
    if dense:
        add_dense(folder, 2, 32, out=64, activation="Identity")
        add_dense(folder, 3, 64, out=32, activation="Identity")
    edit_json(folder / "sentence_bert_config.json", max_seq_length=32)
    mine = Member.of("encoders", {"name": "transformer", "model": str(folder), "precision": "fp32"}).build()
    theirs = SentenceTransformer(str(folder), device="cpu")
    for encode, expected in (
        (mine.encode_queries, theirs.encode_query),
        (lambda texts: mine.encode_passages(texts, print), theirs.encode_document),
    ):
        alone = expected(ODD, batch_size=1)
        assert encode(ODD) == pytest.approx(alone, abs=1e-5)
        assert np.concatenate([encode([text]) for text in ODD[2:6]]) == pytest.approx(alone[2:6], abs=1e-5)
        for theirs.tokenizer.padding_side in SIDES.get(architecture, ("left", "right")):
            assert encode(ODD) == pytest.approx(expected(ODD, batch_size=len(ODD)), abs=1e-5)
