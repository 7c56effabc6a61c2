"""Training examples without texts."""

from __future__ import annotations

from mdrbench.training.samplers import Example


def plain(counts: dict[tuple[str, str], int]) -> list[Example]:
    """Make a number of examples for each language and domain. No two examples share a positive."""
    cells = [cell for cell, count in counts.items() for _ in range(count)]
    return [Example(lang, str(i), domain, (f"p{i}",)) for i, (lang, domain) in enumerate(cells)]
