from __future__ import annotations

import subprocess
import sys

import pytest
from support.project import PROJECT

from mdrbench import recipe
from mdrbench.commands.run import plan_all
from mdrbench.core.errors import DataError
from mdrbench.pipeline.plan import plan_recipe


def planned(folder, store, overrides=(), split="dev"):
    return plan_recipe(recipe.load("bm25", list(overrides)), folder, ["en"], split, store, list(overrides))


def keys(plan) -> dict[str, str]:
    return {step.stage: step.key for step in plan.by_language["en"].steps}


def changed(a, b) -> set[str]:
    one, other = keys(a), keys(b)
    return {stage for stage in one if one[stage] != other[stage]}


def test_the_same_recipe_on_the_same_bytes_has_the_same_keys_wherever_the_folder_lies(maker, store, tmp_path):
    first = planned(maker.whole(), store)
    moved = maker.root.rename(tmp_path / "elsewhere")
    again = planned(type(maker)(moved).folder(), store)
    assert keys(first) == keys(again)
    assert [step.stage for step in first.steps()] == ["corpus", "topics", "index", "search", "evaluate", "average"]


def test_a_change_reaches_just_the_steps_that_depend_on_it(maker, store):
    folder = maker.whole()
    base = planned(folder, store)
    assert changed(base, planned(folder, store, ["evaluation.resamples=500"])) == {"evaluate"}
    assert changed(base, planned(folder, store, ["search.depth=10"])) == {"search", "evaluate"}
    assert changed(base, planned(folder, store, ["retriever.k1=1.2"])) == {"search", "evaluate"}
    assert changed(base, planned(folder, store, ["retriever.title_separator=x"])) == {"index", "search", "evaluate"}
    maker.split("qrels", "q1\tQ0\t1#1\t1\n")
    assert changed(base, planned(folder, store)) == {"topics", "search", "evaluate"}
    maker.split("topics", "q1\ta train topic\n", split="train")
    maker.split("qrels", "q1\tQ0\t1#1\t1\n", split="train")
    assert changed(base, planned(folder, store, split="train")) == {"topics", "search", "evaluate"}


def test_languages_and_files_that_are_missing_are_said_before_anything_runs(maker, store):
    maker.whole()
    with pytest.raises(DataError, match=r"no topics for language 'en', split 'test-a'"):
        planned(maker.folder(), store, split="test-a")
    with pytest.raises(Exception, match="The data set has no language 'sw'"):
        plan_all(["bm25"], str(maker.root), "en,sw", "dev", [], store)


@pytest.mark.medium
def test_planning_loads_nothing_heavy(maker, tmp_path):
    maker.whole()
    script = (
        "import sys; from pathlib import Path; "
        "from mdrbench.commands.run import plan_all; from mdrbench.core.store import Store; "
        f"plan_all(['bm25'], {str(maker.root)!r}, 'en', 'dev', [], Store(Path({str(tmp_path / 's')!r}))); "
        "heavy = ('torch', 'transformers', 'pyserini', 'jnius', 'scipy', 'faiss', 'mteb'); "
        "print([m for m in heavy if m in sys.modules])"
    )
    for _ in range(2):  # the first plan with an engine asks it for its analyzers, and remembers them
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=PROJECT)
    assert done.stdout == "[]\n"
