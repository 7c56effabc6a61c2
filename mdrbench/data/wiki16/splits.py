"""Divide the queries of one language into train, dev and test, by article.

All queries on a group of articles go to one split, so that no article is known from training when it is asked about in
dev or test. Groups are placed in an order that depends on their names' hashes only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from mdrbench.data.wiki16.passages import Corpus
from mdrbench.data.wiki16.queries import Query
from mdrbench.data.wiki16.text import digest, docid_order

SPLITS = ("train", "dev", "test")

TRAIN_LIMIT = 3000
"""Queries of a language's train split."""

_MOST_APART = 420
"""Queries that dev and test have together, at most."""

_FEW = 8
"""Queries that a group of articles gives to dev or test at most, if there are enough groups."""

Split = dict[str, list[Query]]
"""split -> its queries by qid."""


def xquad_splits(articles: Iterable[str]) -> dict[str, str]:
    """Return the split of each XQuAD article (key -> split): 8 dev, 4 test, the rest train.

    The articles are the same in all languages of XQuAD, and each has the same split in all of them.
    """
    prefix = "xquad:"
    order = sorted(articles, key=lambda article: digest("wiki16 xquad", article.removeprefix(prefix)))
    return {article: "dev" if rank < 8 else "test" if rank < 12 else "train" for rank, article in enumerate(order)}


def divide(corpus: Corpus, queries: list[Query], of_xquad: dict[str, str]) -> Split:
    """Divide the queries of a language; those that fit no split are left out.

    Args:
        corpus: the passages. Articles that share a query are joined.
        queries: all queries, each with a positive.
        of_xquad: the split of each XQuAD article.
    """
    placement = _Placement(corpus, queries)
    placement.place_xquad(of_xquad)
    placement.place_restricted()
    for split in ("test", "dev"):
        placement.fill(split)
    placement.place_rest()
    splits = placement.splits()
    splits["train"] = _limited(corpus, splits["train"])
    return {split: sorted(splits[split], key=lambda query: query.qid) for split in SPLITS}


def _limited(corpus: Corpus, train: list[Query]) -> list[Query]:
    """Return the train queries within the limit; MIRACL's topics come first."""
    corpus.counts["train queries over the limit, left out"] += max(0, len(train) - TRAIN_LIMIT)
    order = sorted(train, key=lambda query: (not query.miracl_splits, digest("wiki16 cap", corpus.lang, query.qid)))
    return order[:TRAIN_LIMIT]


class _Placement:
    """The groups of articles with their queries, and the split of each group that has one."""

    def __init__(self, corpus: Corpus, queries: list[Query]) -> None:
        self._corpus = corpus
        self._queries = _by_group(corpus, queries)
        self._split_of: dict[str, str] = {}
        self._sizes: Counter[str] = Counter()
        total = len(queries)
        apart = int(min(_MOST_APART, max(0.3 * total, min(0.5 * total, 300))))
        self._wanted = {"test": apart // 3, "dev": apart - apart // 3}
        self._few = _FEW if total > 1.3 * (TRAIN_LIMIT + apart) else None
        self._order = sorted(self._queries, key=lambda group: digest("wiki16 split", corpus.lang, group))

    def place_xquad(self, of_xquad: dict[str, str]) -> None:
        """Place the groups that have an XQuAD article, then limit XQuAD's share of dev and test."""
        of_groups: dict[str, str] = {}
        for article in sorted(of_xquad):
            of_groups.setdefault(self._corpus.groups.group(article), of_xquad[article])
        for group in self._order:
            if group in of_groups:
                self._place(group, of_groups[group])
        others = sum(query.source not in ("xquad", "sqes") for queries in self._queries.values() for query in queries)
        if others >= 500:
            for split in ("dev", "test"):
                self._leave_out(split, self._wanted[split] * 2 // 5)

    def place_restricted(self) -> None:
        """Place the groups that may go to one split only: those with MIRACL topics or machine-translated paragraphs.

        MIRACL's dev topics go to dev until they are about a third of it.
        """
        room = self._sizes["dev"] + self._wanted["dev"] * 35 // 100
        for group in self._unplaced():
            queries = self._queries[group]
            topics = {split for query in queries for split in query.miracl_splits}
            size = len(self._usable(group, "dev"))
            if "dev" in topics and size >= len(self._usable(group, "train")) and self._sizes["dev"] + size <= room:
                self._place(group, "dev")
            elif topics or any(query.source == "sqes" for query in queries):
                self._place(group, "train")

    def fill(self, split: str) -> None:
        """Place groups that are small enough until a split has the wanted size."""
        wanted = self._wanted[split]
        for group in self._unplaced():
            size = len(self._usable(group, split))
            if 0 < size <= max(10, wanted // 4) and self._sizes[split] + size <= wanted + 2:
                self._place(group, split)

    def place_rest(self) -> None:
        """Place all other groups in train."""
        for group in self._unplaced():
            self._place(group, "train")

    def splits(self) -> Split:
        """Return the queries of each split, in no particular order."""
        splits: Split = {split: [] for split in SPLITS}
        for group, queries in self._queries.items():
            splits[self._split_of[group]] += queries
        return splits

    def _unplaced(self) -> Iterator[str]:
        return (group for group in self._order if group not in self._split_of)

    def _usable(self, group: str, split: str) -> list[Query]:
        """Return what a group can give to a split.

        A MIRACL topic stays in its own split and out of test. No query with the text of a MIRACL dev topic goes to
        train. If queries are plenty, a group gives few to dev or test, so that these span many articles.
        """
        queries = self._queries[group]
        if split == "train":
            return [query for query in queries if not query.is_miracl_dev]
        allowed = {"dev"} if split == "dev" else set()
        fitting = [query for query in queries if query.miracl_splits <= allowed]
        return sorted(fitting, key=self._drawing_order)[: self._few]

    def _drawing_order(self, query: Query) -> tuple[bool, str]:
        """Return the sort key by which a group gives its queries: MIRACL's first, then by hash."""
        return not query.miracl_splits, digest("wiki16 few", self._corpus.lang, query.qid)

    def _place(self, group: str, split: str) -> None:
        """Give a group to a split; its queries that cannot be used there are left out."""
        usable = self._usable(group, split)
        self._corpus.counts[f"queries left out, article in {split}"] += len(self._queries[group]) - len(usable)
        self._split_of[group] = split
        self._queries[group] = usable
        self._sizes[split] += len(usable)

    def _leave_out(self, split: str, most: int) -> None:
        """Keep at most ``most`` of the queries that a split has so far."""
        groups = [group for group, placed in self._split_of.items() if placed == split]
        queries = [query for group in groups for query in self._queries[group]]
        order = sorted(queries, key=lambda query: digest("wiki16 xquad", self._corpus.lang, query.qid))
        kept = {query.qid for query in order[:most]}
        for group in groups:
            self._queries[group] = [query for query in self._queries[group] if query.qid in kept]
        self._corpus.counts[f"queries left out, article in {split}"] += len(queries) - len(kept)
        self._sizes[split] -= len(queries) - len(kept)


def _by_group(corpus: Corpus, queries: list[Query]) -> dict[str, list[Query]]:
    """Join articles that share a query, and return the queries of each group of articles."""
    for query in queries:
        corpus.groups.join_all(corpus.passages[docid].article for docid in query.positives())
    groups: dict[str, list[Query]] = {}
    for query in queries:
        groups.setdefault(corpus.article_group(query.positives()[0]), []).append(query)
    return groups


def leaks(corpus: Corpus, splits: Split) -> list[str]:
    """Return the groups of articles that are judged relevant in two splits; there should be none."""
    owners: dict[str, str] = {}
    problems = []
    for split, queries in splits.items():
        for group in sorted({corpus.article_group(docid) for query in queries for docid in query.positives()}):
            if owners.setdefault(group, split) != split:
                problems.append(f"{group} is in {owners[group]} and {split}")
    return problems


def positives_first(query: Query) -> list[tuple[str, int]]:
    """Return a query's judgments as they are written: the higher grade first, then by docid."""
    return sorted(query.judgments.items(), key=lambda item: (-item[1], docid_order(item[0])))
