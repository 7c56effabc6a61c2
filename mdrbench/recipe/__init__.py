"""Recipes: the schema, and how they are loaded from YAML files."""

from mdrbench.recipe.loading import load
from mdrbench.recipe.schema import Recipe, digest_of

__all__ = ["Recipe", "digest_of", "load"]
