"""Read MIRACL: passages out of NoMIRACL's published prompts, topics and judgments from Anserini."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from mdrbench.core.types import Passage
from mdrbench.data.wiki16.sources import SourceFolder, files_of
from mdrbench.data.wiki16.text import clean, docid_order

_CONTEXTS = re.compile(r"QUESTION:\n.*?\n\nCONTEXTS:\n(.*?)\n\nOUTPUT:\s*$", re.DOTALL)
_NUMBER = re.compile(r"(?:^|\n\n)\[(\d+)\] ")
_DOCID = re.compile(r"\d+#\d+")
_LONGEST_TITLE = 200  # characters
_MARK = ": "  # between title and text


class Topic(NamedTuple):
    """A topic of MIRACL with its judgments (docid -> 0 or 1)."""

    qid: str
    split: str
    text: str
    judgments: dict[str, int]


def read_topics(folder: SourceFolder) -> list[Topic]:
    """Return MIRACL's train topics, then its dev topics."""
    topics: dict[str, Topic] = {}
    for split in ("train", "dev"):
        name = f"miracl-v1.0-{folder.lang}-{split}.tsv"
        for line in folder.lines(f"topics/topics.{name}"):
            qid, query = line.split("\t", 1)
            topics[qid] = Topic(qid, split, clean(query), {})
        for line in folder.lines(f"qrels/qrels.{name}"):
            qid, _, docid, grade = line.split()
            topics[qid].judgments[docid] = int(grade)
    return list(topics.values())


def read_passages(folder: SourceFolder) -> list[Passage]:
    """Return the passages of all prompts of a language, by docid; none if there are no prompts."""
    joined = _joined_texts(folder)
    articles: defaultdict[str, list[str]] = defaultdict(list)
    for docid in sorted(joined, key=docid_order):
        articles[docid.split("#")[0]].append(docid)
    passages = []
    for docids in articles.values():
        for docid, title in zip(docids, titles([joined[docid] for docid in docids]), strict=True):
            text = joined[docid][len(title) + len(_MARK) :] if title else joined[docid]
            if text.strip():
                passages.append(Passage(docid, title.strip(), text.strip()))
    return passages


def _joined_texts(folder: SourceFolder) -> dict[str, str]:
    """Return docid -> ``title: text``. A prompt may cut a passage short, so the longest occurrence counts."""
    longest: dict[str, str] = {}
    for file in files_of(folder.lang, "miracl"):
        for row in folder.rows(file):
            for docid, text in _numbered_texts(row["prompt"], row["docids"]):
                if len(text) > len(longest.get(docid, "")):
                    longest[docid] = text
    return longest


def _numbered_texts(prompt: str | None, docids: list[str]) -> Iterator[tuple[str, str]]:
    """Yield docid and text of each passage in a prompt; none if the prompt is not numbered as expected."""
    match = _CONTEXTS.search(prompt or "")
    if match is None:
        return
    pieces = _NUMBER.split(match[1])
    if [int(number) for number in pieces[1::2]] != list(range(1, len(docids) + 1)):
        return
    for docid, text in zip(docids, pieces[2::2], strict=True):
        if _DOCID.fullmatch(docid):  # a few Chinese ones have another form
            yield docid, clean(text)


def titles(joined: list[str]) -> list[str]:
    """Return the title of each ``title: text`` of one article.

    The colon that ends the title is not marked. If there are several texts, the title is the longest beginning that
    all share; if there is one, it is the shortest. A shared beginning wins if a text opens with it, since many
    passages open with the name of their article.
    """
    beginnings = [[text[: colon.start()] for colon in re.finditer(_MARK, text[:_LONGEST_TITLE])] for text in joined]
    shared = [title for title in beginnings[0] if all(title in others for others in beginnings[1:])]
    if not shared:
        return [own[0] if own else "" for own in beginnings]
    opening = (title for title in shared if any(_opens_with(text, title) for text in joined))
    return [next(opening, shared[-1] if len(joined) > 1 else shared[0])] * len(joined)


def _opens_with(joined: str, title: str) -> bool:
    """Tell whether the text behind a title opens with it, without what it has in parentheses at its end."""
    name = re.sub(r"\s*\(.*\)$", "", title)
    return joined[len(title) + len(_MARK) :].startswith(name)
