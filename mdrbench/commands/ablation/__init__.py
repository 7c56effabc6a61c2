"""Choose the variants of a recipe, which lack some of its parts, and run them together."""
