"""MIRACL in 18 languages, fetched from the Hugging Face hub at pinned revisions.

``--data miracl``, or ``mdrbench data fetch``. Raw files are fetched, no dataset script is run. The counts below are
those of Zhang et al., "MIRACL: A Multilingual Retrieval Dataset Covering 18 Diverse Languages", TACL 2023, table of
statistics, and of the data cards.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mdrbench.core.errors import DataError
from mdrbench.core.languages import ALL, SURPRISE
from mdrbench.core.members import MemberConfig, Spec
from mdrbench.core.store import file_sha256
from mdrbench.data.downloads import DownloadedFolder, download_folder
from mdrbench.formats.trec import iter_qrels, lines, read_topics
from mdrbench.hub import dataset_files
from mdrbench.hub.downloads import Event, Listen, Manifest, Remote, Wanted, nobody

CARD = Path(__file__).with_suffix(".md")

SPLITS = ("train", "dev")
"""The splits whose judgments are public."""

SPLIT_PATH = "miracl-v1.0-{lang}/{kind}/{kind}.miracl-v1.0-{lang}-{split}.tsv"
GATED = Remote("miracl/miracl", "5be20db9509754dadad47689368639fcec739c00", SPLIT_PATH)
OPEN = Remote("macavaney/miracl-noauth", "3ef0b29bdb6790eb08e05a34bb21c96a2ddf310a", SPLIT_PATH)
CORPUS = Remote(
    "miracl/miracl-corpus",
    "d921ec7e349ce0d28daf30b2da9da5ee698bef0d",
    "miracl-corpus-v1.0-{lang}/docs-{shard}.jsonl.gz",
)
SOURCES: dict[str, tuple[Remote, ...]] = {
    "corpus": (CORPUS,),
    "topics": (GATED, OPEN),
    "qrels": (GATED, OPEN),
}
"""Where each kind of file may be had, best first, and every pin.

Each commit holds all files; what came later in miracl-noauth touches its loading script alone. The open copy is the
one that ir_datasets reads; it has the same paths.
"""

LOCAL = {
    "corpus": "miracl-corpus/miracl-corpus-v1.0-{lang}/docs-{shard}.jsonl.gz",
    "topics": f"miracl/{SPLIT_PATH}",
    "qrels": f"miracl/{SPLIT_PATH}",
}
"""The same files in our layout (:mod:`mdrbench.data.miracl_layout`)."""

PASSAGES = {
    "ar": 2_061_414, "bn": 297_265, "en": 32_893_221, "es": 10_373_953, "fa": 2_207_172, "fi": 1_883_509,
    "fr": 14_636_953, "hi": 506_264, "id": 1_446_315, "ja": 6_953_614, "ko": 1_486_752, "ru": 9_543_918,
    "sw": 131_924, "te": 518_079, "th": 542_166, "zh": 4_934_368, "de": 15_866_222, "yo": 49_043,
}  # fmt: skip
"""Passages of each corpus (lines of its shards)."""

SHARDS = {
    "ar": 5, "bn": 1, "en": 66, "es": 21, "fa": 5, "fi": 4, "fr": 30, "hi": 2, "id": 3, "ja": 14, "ko": 3, "ru": 20,
    "sw": 1, "te": 2, "th": 2, "zh": 10, "de": 32, "yo": 1,
}  # fmt: skip
"""Files of each corpus: its passages by 500,000, rounded up."""

QUERIES = {
    "train": {
        "ar": 3495, "bn": 1631, "en": 2863, "es": 2162, "fa": 2107, "fi": 2897, "fr": 1143, "hi": 1169, "id": 4071,
        "ja": 3477, "ko": 868, "ru": 4683, "sw": 1901, "te": 3452, "th": 2972, "zh": 1312,
    },
    "dev": {
        "ar": 2896, "bn": 411, "en": 799, "es": 648, "fa": 632, "fi": 1271, "fr": 343, "hi": 350, "id": 960,
        "ja": 860, "ko": 213, "ru": 1252, "sw": 482, "te": 828, "th": 733, "zh": 393, "de": 305, "yo": 119,
    },
}  # fmt: skip
"""Topics of each split; each of them has judgments. The surprise languages have no train split."""


class Config(MemberConfig):
    """``root``: the download folder, by default ``$MDRBENCH_DATA/miracl``, else ``data/miracl`` in the cache."""

    root: Path | None = None


class Miracl(DownloadedFolder):
    """A folder in MIRACL's layout that can be fetched and checked against the published counts."""

    spec = Spec(Config, version=1)

    def __init__(self, config: Config):
        super().__init__("miracl", (config.root or download_folder("miracl")).absolute())

    def languages(self) -> list[str]:
        """Return the 16 benchmark languages, German and Yoruba, fetched or not."""
        return [*ALL, *SURPRISE]

    def card(self) -> str:
        """Return the data card as Markdown."""
        return CARD.read_text(encoding="utf-8")

    def splits_of(self, lang: str) -> list[str]:
        """The judged splits of a language."""
        return [split for split in SPLITS if lang in QUERIES[split]]

    def fetched(self, split: str | None = None) -> list[str]:
        """The languages of which the manifest records a file, or those of which all is there for a split."""
        manifest = Manifest(self.root)
        found = [lang for lang in (*ALL, *SURPRISE) if any(f"v1.0-{lang}/" in local for local in manifest.files)]
        if split is None:
            return found
        _check_split("en", split)
        judged = [lang for lang in found if lang in QUERIES[split]]
        return [lang for lang in judged if all(manifest.has(one.local) for one in self._wanted([lang], [split]))]

    def manifest(self, langs: list[str], splits: list[str] | None = None) -> dict[str, dict[str, Any]]:
        """What is recorded of the files: path -> url, repo, revision, commit, etag, bytes, sha256."""
        recorded = Manifest(self.root).files
        return {one.local: recorded[one.local] for one in self._wanted(langs, splits) if one.local in recorded}

    def missing(self, langs: list[str], splits: list[str] | None = None) -> list[str]:
        """The files that are not fetched yet, as paths below the root; None stands for every split there is."""
        manifest = Manifest(self.root)
        return [one.local for one in self._wanted(langs, splits) if not manifest.has(one.local)]

    def fetch(self, langs: list[str], splits: list[str] | None = None, listen: Listen = nobody, jobs: int = 4) -> None:
        """Download what is missing, then count the topics.

        Raises:
            DataError: a split that does not exist, or a count that is not the published one.
            DataError, SetupError: see :func:`mdrbench.hub.dataset_files.fetch`.
        """
        dataset_files.fetch(self.root, self._wanted(langs, splits), jobs, listen)
        for lang in langs:
            for split in self.splits_of(lang) if splits is None else splits:
                if problems := self._miscounted(lang, split):
                    path, problem = problems[0]
                    mend = "report it: the hub's files are not those that were published"
                    raise DataError(problem, where=str(self.root / path), mend=mend)

    def verify(self, langs: list[str] | None = None, listen: Listen = nobody) -> list[dict[str, str]]:
        """Re-hash every file and count topics, judged topics and passages; rows of language, file and problem.

        The corpora and the splits of which something is fetched must be whole. Memory does not grow with the corpus;
        the time is that of reading and unpacking every byte once each.
        """
        manifest = Manifest(self.root)
        problems = []
        for lang in self.fetched() if langs is None else langs:
            splits = [split for split in self.splits_of(lang) if any(_is(path, lang, split) for path in manifest.files)]
            found = []
            for wanted in self._wanted([lang], splits):
                if problem := self._altered(wanted.local, manifest):
                    found.append((wanted.local, problem))
                else:
                    size = manifest.files[wanted.local]["bytes"]
                    listen(Event("done", wanted.local, size, size))
            if not found:
                found = list(self._miscounted_passages(lang))
                found += [row for split in splits for row in self._miscounted(lang, split)]
            problems += [{"language": lang, "file": path, "problem": problem} for path, problem in found]
        return problems

    def _altered(self, local: str, manifest: Manifest) -> str | None:
        path = self.root / local
        if local not in manifest.files:
            return "not fetched"
        if not path.is_file():
            return "missing"
        return (
            None if file_sha256(path) == manifest.files[local]["sha256"] else "bytes differ from the recorded SHA-256"
        )

    def _miscounted(self, lang: str, split: str) -> list[tuple[str, str]]:
        """File and problem where topics or judged topics are not as many as published."""
        expected = QUERIES[split][lang]
        topics = len(read_topics(self.topics_file(lang, split)))
        judged = len({qid for _, qid, _, _ in iter_qrels(self.qrels_file(lang, split))})
        counted = {"topics": ("topics", topics), "qrels": ("judged topics", judged)}
        return [
            (_local(kind, lang, split=split), f"language '{lang}' has {n} {split} {what}, MIRACL has {expected}")
            for kind, (what, n) in counted.items()
            if n != expected
        ]

    def _miscounted_passages(self, lang: str) -> Iterator[tuple[str, str]]:
        passages, folder = 0, Path(_local("corpus", lang, shard=0)).parent
        try:
            for path in self.corpus_files(lang):
                passages += sum(1 for _, line in lines(path) if line.strip())
        except DataError as error:
            yield str(folder), str(error)
            return
        if passages != PASSAGES[lang]:
            yield str(folder), f"language '{lang}' has {passages} passages, MIRACL has {PASSAGES[lang]}"

    def _split_file(self, kind: str, lang: str, split: str) -> Path:
        _check_split(lang, split)
        return super()._split_file(kind, lang, split)

    def _wanted(self, langs: list[str], splits: list[str] | None) -> list[Wanted]:
        """The files of languages and splits: topics and qrels of all languages first, they are small."""
        small, large = [], []
        for lang in langs:
            for split in self.splits_of(lang) if splits is None else splits:
                _check_split(lang, split)
                small += [_file(kind, lang, split=split) for kind in ("topics", "qrels")]
            large += [_file("corpus", lang, shard=shard) for shard in range(SHARDS[lang])]
        return small + large


def _check_split(lang: str, split: str) -> None:
    if split not in SPLITS:
        raise DataError(f"MIRACL has no judgments for split '{split}'", mend="--split dev or train")
    if lang not in QUERIES[split]:
        raise DataError(f"language '{lang}' has no {split} split in MIRACL", mend="use --split dev for de and yo")


def _local(kind: str, lang: str, **words: object) -> str:
    return LOCAL[kind].format(kind=kind, lang=lang, **words)


def _is(local: str, lang: str, split: str) -> bool:
    return local in (_local("topics", lang, split=split), _local("qrels", lang, split=split))


def _file(kind: str, lang: str, **words: object) -> Wanted:
    sources = (source._replace(path=source.path.format(kind=kind, lang=lang, **words)) for source in SOURCES[kind])
    return Wanted(_local(kind, lang, **words), tuple(sources))
