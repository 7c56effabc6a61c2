"""Build one language of wiki16 in memory."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from mdrbench.core.errors import StepError
from mdrbench.data.wiki16 import miracl_prompts
from mdrbench.data.wiki16.passages import Corpus
from mdrbench.data.wiki16.queries import Queries
from mdrbench.data.wiki16.readers import paragraphs
from mdrbench.data.wiki16.sources import SourceFolder
from mdrbench.data.wiki16.splits import Split, divide, leaks, xquad_splits


class BuiltLanguage(NamedTuple):
    """The corpus of a language and its queries by split."""

    corpus: Corpus
    splits: Split


def build_language(sources: Path, lang: str) -> BuiltLanguage:
    """Build a language from the folder of source files.

    Raises:
        DataError: a source file is missing.
        StepError: an article is in two splits; this would be an error in the builder.
    """
    folder = SourceFolder(sources, lang)
    corpus = Corpus(lang)
    questions = [question for paragraph in paragraphs(folder) for question in corpus.add_paragraph(paragraph)]
    corpus.drop_near_copies(questions)
    corpus.add_miracl(miracl_prompts.read_passages(folder))
    queries = Queries(corpus)
    queries.add_questions(questions)
    queries.add_topics(miracl_prompts.read_topics(folder))
    of_xquad = xquad_splits(key for key in corpus.groups.articles() if key.startswith("xquad:"))
    queries.drop_vague()
    queries.drop_between_splits(of_xquad)
    splits = divide(corpus, queries.all(), of_xquad)
    if problems := leaks(corpus, splits):
        raise StepError(f"An article is in two splits: {problems[0]}.", where=f"wiki16, language '{lang}'")
    return BuiltLanguage(corpus, splits)
