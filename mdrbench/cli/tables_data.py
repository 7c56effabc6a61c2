"""Statistics of a data set on the terminal."""

from __future__ import annotations

from typing import Any

from mdrbench.cli.tables import human_bytes

COLUMNS = ("passages", "topics", "judgments", "positives", "bytes")

NOTES = {
    "passages_that_repeat_a_text": "passages repeat the text of another",
    "passages_without_title": "passages have no title",
    "passages_in_another_script": "passages are mostly in another script",
    "topics_in_another_script": "topics are mostly in another script",
}
"""Statistic -> the sentence that is printed if it is not zero."""


def print_statistics(rows: dict[str, dict[str, Any]], split: str) -> None:
    """Print a table of counts and lengths, and a line for each flaw; ``rows`` are by language."""
    print(f"{'':<9}" + "".join(f"{name:>12}" for name in (*COLUMNS, "characters", "in a topic")))
    total = {name: sum(row[name] for row in rows.values()) for name in COLUMNS}
    for lang, row in rows.items():
        lengths = f"{row['passage_characters']['mean']:>12,.0f}{row['topic_characters']['mean']:>12,.0f}"
        print(f"{lang:<9}{_counts(row)}{lengths}")
    print(f"{'all':<9}{_counts(total)}")
    for lang, row in rows.items():
        for note in _notes(row, split):
            print(f"note: {lang}: {note}")


def _counts(row: dict[str, Any]) -> str:
    return "".join(f"{row[name]:>12,}" for name in COLUMNS[:-1]) + f"{human_bytes(row['bytes']):>12}"


def _notes(row: dict[str, Any], split: str) -> list[str]:
    notes = [f"{row[name]:,} {sentence}" for name, sentence in NOTES.items() if row[name]]
    shared = row["topics_in_other_splits"].items()
    notes += [f"{number:,} {split} topics are also in {other}" for other, number in shared if number]
    return notes + [f"{flaw}: {number:,}" for flaw, number in row["warnings"].items()]
