"""Recipes without their parts: which variants there are, and running them together."""
