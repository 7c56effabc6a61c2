"""A recipe that trains a tiny encoder on the sample, and its plan."""

from __future__ import annotations

from pathlib import Path

from mdrbench import recipe
from mdrbench.core.store import Store
from mdrbench.data.access import open_dataset
from mdrbench.pipeline.plan import plan_recipe

ENCODER = (
    "{{name: transformer, model: {model}, pooling: mean, normalize: true, query_length: 16, passage_length: 32, "
    "precision: fp32}}"
)
TEXT = f"""
summary: trained
retriever: {{{{name: dense, encoder: {ENCODER}}}}}
negatives: {{{{mining: {{{{name: random, k: 4, depth: 8}}}}}}}}
training: {{{{steps: 4, batch_size: 4, negatives: 2, learning_rate: 0.01, domains: {{{{name: none}}}},
  precision: fp32}}}}
"""


def trained_recipe(tmp_path: Path, model: Path, *changes: str) -> recipe.Recipe:
    """Load the recipe with changes."""
    path = tmp_path / "trained.yaml"
    path.write_text(TEXT.format(model=model))
    return recipe.load(str(path), list(changes))


def planned(one: recipe.Recipe, store: Store, languages: tuple[str, ...] = ("en", "sw")):
    """Plan it on the sample."""
    return plan_recipe(one, open_dataset("sample"), list(languages), "dev", store, [])
