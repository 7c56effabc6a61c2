"""Recipes: the schema, the members that a recipe names, and the YAML files."""

from mdrbench.recipe.schema import Recipe, load

__all__ = ["Recipe", "load"]
