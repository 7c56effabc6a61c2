"""Write an imported collection: every language in MIRACL's layout, a record of its source, and a data card."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from mdrbench.core.atomic_files import write_atomically
from mdrbench.core.errors import UsageError
from mdrbench.core.languages import CODE, language
from mdrbench.data import writing
from mdrbench.data.datasets.local import RESERVED
from mdrbench.data.importing.origin import Import
from mdrbench.data.record import JUDGED, DatasetRecord, read_record, write_record

INTERRUPTED = {"sources", "manifest.json", ".lock", "unfinished"}
"""What an interrupted import may leave in a folder without a record."""


def check_target(root: Path) -> None:
    """Refuse a folder that holds something else than an imported data set, or whose name means another one.

    Raises:
        UsageError: the folder cannot be written to.
    """
    if root.resolve().name in RESERVED:
        raise UsageError(
            f"A data set cannot be called '{root.resolve().name}'.", where="--out", mend="choose another name"
        )
    others = {path.name for path in root.glob("*")} - INTERRUPTED
    if others and read_record(root) is None:
        mend = "give --out a new folder, or one that `mdrbench data import` made"
        raise UsageError("The folder is not empty and was not made by an import.", where=str(root), mend=mend)


def write_import(root: Path, imported: Import) -> dict[str, dict[str, int]]:
    """Write all languages of a collection; each appears when it is whole.

    Returns:
        The counts of each language (see :func:`mdrbench.data.writing.write_language`).

    Raises:
        DataError: a row of the collection is malformed.
        UsageError: a language code is malformed.
    """
    written: dict[str, dict[str, int]] = {}
    for lang, data in imported.languages:
        if not CODE.fullmatch(lang):
            raise UsageError(f"'{lang}' is no language code.", where="--langs", mend="give a code such as de or pt-br")
        work = root / "unfinished" / lang
        shutil.rmtree(work, ignore_errors=True)
        written[lang] = writing.write_language(work, lang, data)
        writing.place_language(work, root, lang)
        shutil.rmtree(root / "unfinished")
        _record(root, imported, lang, written[lang])
    return written


def _record(root: Path, imported: Import, lang: str, counts: dict[str, int]) -> None:
    """Add a language to the record and to the data card; text that the user added to the card is kept."""
    empty = DatasetRecord(corpus_variant=imported.corpus_variant, origin=imported.origin._asdict())
    record = read_record(root) or empty
    record.languages[lang] = counts
    write_record(root, record)
    card = root / "README.md"
    begun = card.read_text(encoding="utf-8") if card.is_file() else _new_card(root.resolve().name, imported)
    table = _table(record)
    write_atomically(card, re.sub(r"(?s)\| language \|.*?\n\n", lambda match: table, begun, count=1))


ONLY_JUDGED = """
**The corpora hold judged passages alone.** `mdrbench agreement` compares a judge with the annotators on them. Retrieval
cannot be evaluated, and `mdrbench run` refuses this data set.
"""


def _new_card(name: str, imported: Import) -> str:
    origin = imported.origin
    licence = origin.licence or "not stated by the source"
    return f"""# {name}

Imported by mdrbench from {origin.kind}: {origin.name}, revision {origin.revision}.
{ONLY_JUDGED if imported.corpus_variant == JUDGED else ""}\

| language |

- Licence: {licence}
- How topics and judgments were made: to be written
- Known limits: to be written
"""


def _table(record: DatasetRecord) -> str:
    columns = list(dict.fromkeys(name for counts in record.languages.values() for name in counts))
    rows = [["language", *columns], ["---"] * (len(columns) + 1)]
    for lang, counts in record.languages.items():
        rows.append([language(lang).name, *(f"{counts.get(name, 0):,}" for name in columns)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n\n"
