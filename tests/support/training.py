"""Material, batches and settings of a tiny training."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

from mdrbench.core.types import Negative, TrainingGroup
from mdrbench.retrieval.encoders import transformer
from mdrbench.training import Material, token_files
from mdrbench.training.settings import Settings
from mdrbench.training.token_files import TrainingData

WORDS = ["a", "the", "ringed", "seal", "of", "largest", "lake", "in", "finland", "lives", "fresh", "water", "inari"]


STEPS = 8


def material(seed: int, number: int) -> Material:
    """Make queries with one or two positives and one to six negatives."""
    dice = random.Random(seed)
    queries = {f"q{i}": " ".join(dice.choices(WORDS, k=dice.randint(1, 5))) for i in range(number)}
    passages = {f"p{i}": " ".join(dice.choices(WORDS, k=dice.randint(1, 14))) for i in range(60)}
    groups = []
    for i in range(number):
        positives = (f"p{i}", f"p{i + 20}")[: 1 + i % 2]
        negatives = tuple(Negative(f"p{40 + j}", 0.5, "mined", False) for j in range(dice.randint(1, 6)))
        groups.append(TrainingGroup(f"q{i}", positives, negatives))
    return Material(queries, groups, passages)


DATA = {"en": material(1, 14), "fi": material(2, 9)}


class Plan:
    """Batches of four queries of one language, drawn by their number."""

    def __init__(self, steps: int = STEPS, without=frozenset(), size: int = 4):
        self._steps, self._size = steps, size
        self._keys = [(lang, g.qid) for lang, part in DATA.items() for g in part.groups if (lang, g.qid) not in without]

    def count(self):
        return self._steps

    def batch(self, n):
        dice = random.Random(n)
        lang = dice.choice(["en", "fi"])
        return dice.sample([key for key in self._keys if key[0] == lang], self._size)


def conventions(folder, **changes) -> transformer.Config:
    given = {
        "model": str(folder),
        "pooling": "mean",
        "normalize": True,
        "query_prefix": "query : ",
        "precision": "fp32",
    }
    given |= {"passage_prefix": "passage : ", "query_length": 8, "passage_length": 16, **changes}
    return transformer.Config(**given)


def opened(folder: Path, model: Path, data: dict[str, Material] | None = None) -> TrainingData:
    """Write the token files of ``data`` (:data:`DATA`) and open them."""
    token_files.write(folder, Path(model), conventions(model), (data or DATA).items())
    return TrainingData.open(folder)


def passage_keys(data: TrainingData) -> list[tuple[str, str]]:
    """Return language and docid of each passage row."""
    return [(lang, docid) for lang in data.bounds for docid in data.passage_rows(lang)]


def without_dropout(folder: Path, to: Path) -> Path:
    """Copy a model without dropout."""
    shutil.copytree(folder, to)
    config = json.loads((to / "config.json").read_text())
    config |= {name: 0.0 for name in config if name == "dropout" or name.endswith(("_dropout", "dropout_prob"))}
    (to / "config.json").write_text(json.dumps(config | {"classifier_dropout": None}))
    return to


def settings(**changes) -> Settings:
    given = {"learning_rate": 1e-3, "negatives": 3, "precision": "fp32", "validation": 0.0, "save_every": 3}
    return Settings(**{**given, **changes})
