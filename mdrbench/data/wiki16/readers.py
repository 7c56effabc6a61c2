"""Read the question-answering sets: paragraphs, with the questions that they answer."""

from __future__ import annotations

import html
import io
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from mdrbench.data.wiki16.sources import SourceFolder, files_of, json_rows, sources_of
from mdrbench.data.wiki16.text import clean, digest, query_key, title_key


class Answer(NamedTuple):
    """An answer and the character of the paragraph at which the source says that it begins."""

    start: int
    text: str


class Question(NamedTuple):
    """A question with its answers; ``qid`` is unique within its source."""

    qid: str
    text: str
    answers: list[Answer]


class Paragraph(NamedTuple):
    """A paragraph of a source. ``article`` is the key of its article; ``title`` may be empty."""

    source: str
    article: str
    title: str
    text: str
    questions: list[Question]


def paragraphs(folder: SourceFolder) -> Iterator[Paragraph]:
    """Yield every paragraph of a language, source after source in the order of the listing."""
    for source in sources_of(folder.lang):
        if source in READERS:
            yield from READERS[source](folder, source)


def title_article(title: str) -> str:
    """Return the key of the article with a title."""
    return f"title:{title_key(title)}"


def text_article(text: str) -> str:
    """Return the key of an article of which one paragraph is all that is known."""
    return f"context:{digest(clean(text))[:16]}"


def read_squad(folder: SourceFolder, source: str) -> Iterator[Paragraph]:
    """Read files in SQuAD's format; an article is known by its title."""
    for document in folder.documents(source):
        for article in document["data"]:
            title = _plain_title(article.get("title", ""))
            for paragraph in article["paragraphs"]:
                yield Paragraph(source, title_article(title), title, paragraph["context"], _questions(paragraph))


def read_xquad(folder: SourceFolder, source: str) -> Iterator[Paragraph]:
    """Read XQuAD: its titles are English in every language, so only English keeps them."""
    for document in folder.documents(source):
        for article in document["data"]:
            title = _plain_title(article["title"]) if folder.lang == "en" else ""
            for paragraph in article["paragraphs"]:
                yield Paragraph(source, f"xquad:{article['title']}", title, paragraph["context"], _questions(paragraph))


def read_arcd(folder: SourceFolder, source: str) -> Iterator[Paragraph]:
    """Read ARCD: some of its questions begin with a dash."""
    for paragraph in read_squad(folder, source):
        questions = [
            question._replace(text=question.text.strip().lstrip("-").strip()) for question in paragraph.questions
        ]
        yield paragraph._replace(questions=questions)


def read_jsquad(folder: SourceFolder, source: str) -> Iterator[Paragraph]:
    """Read JSQuAD: a context begins with the title and a mark, and some answers point into the title."""
    for paragraph in read_squad(folder, source):
        title, mark, text = paragraph.text.partition("[SEP] ")
        if not mark:
            yield paragraph
            continue
        removed = len(title) + len(mark)
        questions = [
            question._replace(answers=_moved(question.answers, removed, text)) for question in paragraph.questions
        ]
        yield paragraph._replace(text=text, questions=questions)


def _moved(answers: list[Answer], removed: int, text: str) -> list[Answer]:
    """Return answers in a text without its first ``removed`` characters; drop those that only stood there."""
    starts = [start - removed if start >= removed else text.find(answer) for start, answer in answers]
    return [Answer(start, answer) for start, (_, answer) in zip(starts, answers, strict=True) if start >= 0]


def read_afriqa(folder: SourceFolder, source: str) -> Iterator[Paragraph]:
    """Read AfriQA: a record is a question with its French translation and a French paragraph."""
    for file in files_of(folder.lang, source):
        split = file.path.split(".")[-2]
        for row in folder.rows(file):
            text, title = row["context"], row["title"] or ""
            if text:
                article = title_article(title) if title else text_article(text)
                pivot = row["answer_pivot"]
                answers = _answers(zip(pivot["answer_start"], pivot["text"], strict=False))
                question = Question(f"{split}-{row['id']}", row["question_translated"] or "", answers)
                yield Paragraph(source, article, title, text, [question] if answers and question.text else [])


def read_iapp(folder: SourceFolder, source: str) -> Iterator[Paragraph]:
    """Read iapp-wiki-qa-squad: a record is a question; those on one paragraph are brought together."""
    (file,) = files_of(folder.lang, source)
    archive = zipfile.ZipFile(io.BytesIO(folder.bytes(file)))
    asked: dict[tuple[str, str], list[Question]] = {}
    for part in ("train", "valid", "test"):
        for row in json_rows(archive.read(f"data/{part}.jsonl").decode("utf-8")):
            answers = _answers(zip(row["answers"]["answer_start"], row["answers"]["text"], strict=False))
            question = Question(str(row["question_id"]), row["question"], answers)
            asked.setdefault((row["title"], row["context"]), []).append(question)
    for (title, text), questions in asked.items():
        answered = [question for question in questions if question.answers]
        yield Paragraph(source, title_article(title), title, text, answered)


def read_tydi_id(folder: SourceFolder, source: str) -> Iterator[Paragraph]:
    """Read Indonesian TyDi QA: its paragraphs have no titles, but Mr. TyDi tells the article of most questions."""
    articles = _mrtydi_articles(folder)
    for document in folder.documents(source):
        for paragraph in document:
            questions = _questions(paragraph)
            known = [articles[key] for key in (query_key(q.text) for q in questions) if key in articles]
            article = f"miracl:{known[-1]}" if known else text_article(paragraph["context"])
            yield Paragraph(source, article, "", paragraph["context"], questions)


def _mrtydi_articles(folder: SourceFolder) -> dict[str, str]:
    """Return the number of the article that Mr. TyDi judges first for a query (:func:`query_key` -> number)."""
    articles: dict[str, str] = {}
    for split in ("train", "dev", "test"):
        topics = dict(line.split("\t", 1) for line in folder.lines(f"topics/topics.mrtydi-v1.1-id.{split}.txt.gz"))
        for line in folder.lines(f"qrels/qrels.mrtydi-v1.1-id.{split}.txt"):
            qid, _, docid, _ = line.split()
            articles.setdefault(query_key(topics[qid]), docid.split("#")[0])
    return articles


def read_sqes(folder: SourceFolder, source: str) -> Iterator[Paragraph]:
    """Read SQuAD-es-dist, without the paragraphs that may be of an article of XQuAD.

    Its paragraphs have no titles, and XQuAD's articles are divided between train, dev and test.
    """
    from mdrbench.data.wiki16.likeness import near_to

    items = [
        (f"{PurePosixPath(file.path).stem}-{number}", item)
        for file in files_of(folder.lang, source)
        for number, item in enumerate(folder.json(file)["data"])
    ]
    articles: dict[str, str] = {}
    for paragraph in read_xquad(folder, "xquad"):
        articles[paragraph.article] = f"{articles.get(paragraph.article, '')} {paragraph.text}"
    near = near_to(list(articles.values()), [item["context"] for _, item in items])
    for (qid, item), is_near in zip(items, near, strict=True):
        if not is_near:
            yield _sqes_paragraph(source, qid, item)


def _sqes_paragraph(source: str, qid: str, item: dict[str, Any]) -> Paragraph:
    correct = [choice for choice in item["choices"] if choice["type"] == "correct answer"]
    answers = _answers((choice["start"], choice["text"]) for choice in correct)
    questions = [Question(qid, item["question"], answers)] if answers else []
    article = f"sqes:{digest(clean(item['context']))[:16]}"
    return Paragraph(source, article, "", item["context"], questions)


def _plain_title(title: str) -> str:
    """Return a title without HTML tags, entities and underscores."""
    return html.unescape(re.sub(r"</?[a-z]+>", "", title)).replace("_", " ").strip()


def _questions(paragraph: dict[str, Any]) -> list[Question]:
    """Return the questions of a SQuAD paragraph that have an answer."""
    questions = [
        Question(str(qa["id"]), qa["question"], _answers((a["answer_start"], a["text"]) for a in qa["answers"]))
        for qa in paragraph["qas"]
        if not qa.get("is_impossible")
    ]
    return [question for question in questions if question.answers]


def _answers(pairs: Any) -> list[Answer]:
    return [Answer(start, text) for start, text in pairs if text]


Reader = Callable[[SourceFolder, str], Iterator[Paragraph]]

READERS: dict[str, Reader] = {
    "afriqa": read_afriqa,
    "arcd": read_arcd,
    "cmrc": read_squad,
    "drcd": read_squad,
    "iapp": read_iapp,
    "jaquad": read_squad,
    "jsquad": read_jsquad,
    "piaf": read_squad,
    "pquad": read_squad,
    "sqes": read_sqes,
    "tydi": read_squad,
    "tydi-id": read_tydi_id,
    "xquad": read_xquad,
}
"""How each source is read; ``miracl`` and ``anserini`` are read by :mod:`.miracl_prompts`."""
