"""Pairs to judge, and their verdicts."""

from __future__ import annotations

import json
from contextlib import closing

from mdrbench.core.types import Judgment, Pair, Passage


def grades(accuracy, completeness) -> str:
    return json.dumps({"accuracy": accuracy, "completeness": completeness})


REFERENCE = Passage("9#0", "Saimaa", "Saimaa on Suomen suurin järvi.")


def pairs(count: int, lang: str = "fi") -> list[Pair]:
    passages = [Passage(f"{i}#0", "Järvi", f"Kohta {i}.") for i in range(count)]
    return [Pair(lang, f"q{i}", "mikä on suurin järvi", passages[i], REFERENCE) for i in range(count)]


def verdicts(judge, asked: list[Pair]) -> list[Judgment]:
    with closing(judge.judge(asked, lambda done: None)) as found:
        return list(found)
