"""A folder in BEIR's format: ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/SPLIT.tsv``, each packed or not."""

from __future__ import annotations

from pathlib import Path

from mdrbench.core.errors import DataError
from mdrbench.core.store import file_sha256, key_of
from mdrbench.data.importing.origin import Import, Origin, only_language, split_name
from mdrbench.data.tables import LanguageTables, language_data


def read(folder: Path, langs: list[str]) -> Import:
    """Return the collection of a folder.

    Raises:
        DataError: the folder is not in BEIR's format.
        UsageError: not exactly one language was given.
    """
    corpus, queries = _table(folder, "corpus"), _table(folder, "queries")
    qrels = sorted([*folder.glob("qrels/*.tsv"), *folder.glob("qrels/*.tsv.gz")])
    if not qrels:
        raise DataError("The folder has no qrels.", where=f"{folder}/qrels/dev.tsv", mend="see docs/your-own-data.md")
    lang = only_language(langs, str(folder))
    splits = {split_name(path.name.partition(".")[0]): [path] for path in qrels}
    tables = LanguageTables([corpus], {split: [queries] for split in splits}, splits)
    revision = f"sha256-{key_of([file_sha256(path) for path in (corpus, queries, *qrels)])[:40]}"
    return Import(Origin("beir", folder.resolve().name, revision), iter([(lang, language_data(tables))]))


def _table(folder: Path, name: str) -> Path:
    for suffix in (".jsonl", ".jsonl.gz"):
        if (folder / f"{name}{suffix}").is_file():
            return folder / f"{name}{suffix}"
    mend = "give a folder with corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv"
    if (folder / "miracl-corpus").is_dir():
        mend = f"it is in MIRACL's layout: use it as it is, with --data {folder}"
    raise DataError("The folder is not in BEIR's format.", where=f"{folder}/{name}.jsonl", mend=mend)
