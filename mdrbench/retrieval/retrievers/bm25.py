"""BM25 with Lucene through pyserini, with the analyzers of Pyserini's MIRACL regressions.

A passage is indexed as title, separator and text in one field. Anserini chooses the analyzer of a language; Swahili and
Yoruba are split at white space. A language with subtags (``zh-tw``) has the analyzer of its language. A language that
the engine does not know is split into Unicode words. The analyzer that is recorded is read from the engine
(``retrieval.lucene.analyzers``), because it depends on the version: Anserini 1.7.1 cuts Korean into bigrams, later
versions use Nori. Thai needs a word breaker that only a full JDK has: see :class:`Config`.

Of pyserini only Anserini's jar is used. Its Python modules ``index.lucene`` and ``search.lucene`` wrap the two Anserini
classes that are called here. They are not imported: ``search`` would load torch, transformers and openai (10 s, and an
error without OPENAI_API_KEY), and version 2 of both fetches lists of indexes from the network. A test compares the two.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from mdrbench.core.environment import cores, package_version
from mdrbench.core.errors import DataError, SetupError, StepError
from mdrbench.core.members import MemberConfig, Spec
from mdrbench.core.types import Hit, Passage, Run, Topics
from mdrbench.retrieval import java, lucene

BATCH = 1000
"""Passages that are given to Lucene at once."""

LONGEST_DOCID = 32_766
"""Bytes of the longest term that Lucene can index; the docid is one term."""

MOST_TERMS = 2**20
"""Different terms that a query may have; Lucene's own limit is 1,024."""


class Config(MemberConfig):
    """Parameters of BM25 and of the text that is indexed.

    ``thai``: ``lucene`` is Lucene's ThaiAnalyzer, which needs a full JDK. ``pythainlp`` segments with the
    dictionary-based ``newmm`` of pythainlp, and then does the same as ThaiAnalyzer: lower case, decimal digits,
    Lucene's Thai stop words. ``auto`` takes Lucene if ``JAVA_HOME`` names a JDK 21 or newer. The result names the
    choice.
    """

    k1: float = Field(default=0.9, ge=0, description="saturation of the term frequency")
    b: float = Field(default=0.4, ge=0, le=1, description="length normalisation")
    title_separator: str = Field(default="\n", description="text between title and text")
    thai: Literal["auto", "lucene", "pythainlp"] = "auto"


class BM25:
    """See :class:`mdrbench.retrieval.retrievers.Retriever`."""

    spec = Spec(Config, version=1, search_only=("k1", "b"))
    topicwise = True
    """The hits of a topic do not depend on the topics that are searched with it."""

    def __init__(self, config: Config):
        self.config = config

    def prepare(self, say: Callable[[str], None]) -> None:
        """Nothing to download."""

    def conventions(self, lang: str) -> dict[str, Any]:
        """Return model, parameters, analyzer and engine versions."""
        facts: dict[str, Any] = {
            "model": "BM25",
            "k1": self.config.k1,
            "b": self.config.b,
            "title_separator": self.config.title_separator,
            "analyzer": lucene.analyzer(lang),
            "pyserini": package_version("pyserini"),
            "anserini": java.anserini_version(),
        }
        if lucene.engine_language(lang) == "th" and self._segments_thai():
            facts["analyzer"] = "pythainlp newmm, lower case, decimal digits, Lucene's Thai stop words; pre-tokenised"
            facts["pythainlp"] = package_version("pythainlp")
        return facts

    def _segments_thai(self) -> bool:
        if self.config.thai == "auto":
            return java.find().bundled
        return self.config.thai == "pythainlp"

    def _whitespace(self, lang: str) -> bool:
        code = lucene.engine_language(lang)
        return code is None or code in lucene.PRETOKENISED or (code == "th" and self._segments_thai())

    def estimate(self, corpus_bytes: int) -> int:
        """Measured on wiki16: an index has 0.6 (en, ja) to 1.7 (zh) of the compressed corpus."""
        return corpus_bytes

    def index(
        self, lang: str, passages: Iterable[Passage], out: Path, progress: Callable[[int], None]
    ) -> dict[str, Any]:
        """Stream passages into a Lucene index; skip and count a passage that has neither title nor text.

        Raises:
            DataError: a docid is too long for Lucene.
            SetupError: the disk is full, or Java cannot break Thai into words.
            StepError: the engine uses another analyzer than the recorded one.
        """
        running = java.start()
        self._check_thai(lang, running)
        from jnius import autoclass

        arguments = ["-index", str(out), "-memoryBuffer", "512", "-threads", str(cores())]
        arguments += ["-collection", "JsonCollection", "-input", ""]
        arguments += ["-pretokenized"] if self._whitespace(lang) else ["-language", str(lucene.engine_language(lang))]
        seen = skipped = 0
        with lucene.errors(out):
            indexer = autoclass("io.anserini.index.SimpleIndexer")(arguments)
            self._check_analyzer(lang, lucene.analyzer_of_indexer(indexer))
            batch: list[str] = []
            tokenise = self._tokeniser(lang)
            for passage in passages:
                seen += 1
                if passage.blank:
                    skipped += 1
                    continue
                text = f"{passage.title}{self.config.title_separator}{passage.text}"
                contents = tokenise(text) or text  # Lucene drops a document without contents
                _check_docid(passage.docid)
                batch.append(json.dumps({"id": passage.docid, "contents": contents}))
                if len(batch) == BATCH:
                    indexer.addRawDocuments(batch)
                    batch = []
                    progress(seen)
            if batch:
                indexer.addRawDocuments(batch)
            indexer.close()
            indexed = lucene.live_documents(out)
        if indexed < seen - skipped:
            lucene.check_space(out)
        progress(seen)
        return {"indexed": indexed, "skipped": skipped, "java": running.version}

    def join(self, parts: list[Path], out: Path) -> None:
        """Put Lucene indexes together; statistics and the order of equal scores are those of one index."""
        java.start()
        lucene.join(parts, out)

    def _tokeniser(self, lang: str) -> Callable[[str], str]:
        """Return the function that prepares a text for Lucene: it separates words where Lucene cannot."""
        if lucene.engine_language(lang) == "th" and self._segments_thai():
            terms = thai_tokeniser()
            return lambda text: " ".join(terms(text))
        if lucene.engine_language(lang) is None:
            return lucene.unicode_words
        return lambda text: text

    def _check_analyzer(self, lang: str, running: str) -> None:
        """Raise a StepError if the engine uses another analyzer than the recorded one."""
        recorded = lucene.WHITESPACE if self._whitespace(lang) else lucene.analyzer(lang).split(" ")[0]
        if running != recorded:
            raise StepError(
                f"Lucene uses {running} for '{lang}', but {recorded} is recorded",
                mend=f"delete {lucene.analyzer_file()} and run the command again",
            )

    def _check_thai(self, lang: str, running: java.Java) -> None:
        if lucene.engine_language(lang) == "th" and not self._segments_thai() and not java.breaks_thai():
            raise SetupError(
                f"Java {running.version} at {running.home} cannot break Thai into words",
                mend="set JAVA_HOME to a full JDK 21 or newer, or use --set retriever.thai=pythainlp",
            )

    def _searcher(self, lang: str, index: Path) -> Any:
        from jnius import autoclass

        autoclass("org.apache.lucene.search.IndexSearcher").setMaxClauseCount(MOST_TERMS)
        searcher = autoclass("io.anserini.search.SimpleSearcher")(str(index))
        searcher.set_bm25(self.config.k1, self.config.b)
        if self._whitespace(lang):
            searcher.set_analyzer(autoclass("org.apache.lucene.analysis.core.WhitespaceAnalyzer")())
        else:
            searcher.set_language(lucene.engine_language(lang))
        self._check_analyzer(lang, lucene.class_name(searcher.get_analyzer()))
        return searcher

    def search(self, lang: str, index: Path, topics: Topics, depth: int) -> Run:
        """Search all topics; Anserini orders equal scores by docid and lowers each later one a little."""
        self._check_thai(lang, java.start())
        from jnius import autoclass

        tokenise = self._tokeniser(lang)
        qids, queries = autoclass("java.util.ArrayList")(), autoclass("java.util.ArrayList")()
        for qid, text in topics.items():
            qids.add(qid)
            queries.add(tokenise(text))
        with lucene.errors(index):
            searcher = self._searcher(lang, index)
            answers = searcher.batch_search(queries, qids, depth, cores())
            hits = {entry.getKey(): entry.getValue() for entry in answers.entrySet().toArray()}
            searcher.close()
        if missing := topics.keys() - hits.keys():
            raise StepError(
                f"Lucene did not answer {len(missing)} of {len(topics)} topics, among them '{min(missing)}'",
                mend="look for Lucene's own message above; shorten or remove this topic",
            )
        return {qid: [Hit(hit.docid, hit.score) for hit in hits[qid]] for qid in topics}


def _check_docid(docid: str) -> None:
    if len(docid) > LONGEST_DOCID // 4 and (size := len(docid.encode())) > LONGEST_DOCID:
        raise DataError(
            f"the docid '{docid[:40]}...' has {size} bytes; Lucene can index {LONGEST_DOCID}",
            mend="give the passage a shorter docid",
        )


@cache
def thai_tokeniser() -> Callable[[str], list[str]]:
    """Return a function from Thai text to index terms: pythainlp's words, processed further as in ThaiAnalyzer.

    As in Lucene's ThaiTokenizer a word must begin with a letter or digit. Needs the JVM for Lucene's stop words.
    """
    from jnius import autoclass
    from pythainlp.tokenize import word_tokenize

    stops = set()
    entries = autoclass("org.apache.lucene.analysis.th.ThaiAnalyzer").getDefaultStopSet().iterator()
    while entries.hasNext():
        stops.add("".join(entries.next()))

    def terms(text: str) -> list[str]:
        words = (word.lower() for word in word_tokenize(text, engine="newmm", keep_whitespace=False))
        decimal = ("".join(str(unicodedata.decimal(ch, ch)) for ch in word) for word in words if word[0].isalnum())
        return [word for word in decimal if word not in stops]

    return terms
