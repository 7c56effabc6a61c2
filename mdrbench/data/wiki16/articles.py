"""Articles that belong together: groups of article keys, each named after its smallest key.

An article key is text such as ``title:helsinki`` or ``miracl:1234``. One article can have several keys.
"""

from __future__ import annotations

from collections.abc import Iterable


class ArticleGroups:
    """A union-find structure over article keys."""

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}

    def group(self, article: str) -> str:
        """Return the name of an article's group: its smallest key, however the group was joined."""
        parents = self._parents
        parents.setdefault(article, article)
        while parents[article] != article:
            parents[article] = parents[parents[article]]
            article = parents[article]
        return article

    def join(self, first: str, second: str) -> None:
        """Put two articles, with everything in their groups, into one group."""
        low, high = sorted((self.group(first), self.group(second)))
        self._parents[high] = low

    def join_all(self, articles: Iterable[str]) -> None:
        """Put articles into one group."""
        keys = list(articles)
        for article in keys[1:]:
            self.join(keys[0], article)

    def articles(self) -> list[str]:
        """Return all article keys in alphabetical order."""
        return sorted(self._parents)
