"""Derive what a stored ablation says about itself from the results that it names and the commands that made it.

The complete recipe is read from its result file. Each variant must be the recipe that its names say: a label follows
from the parts that are taken away, and the parts lead to the overrides and to the digest. A variant whose result lies
among the variants was dropped from the ablation. So was a variant that the ablation's own commands make, and that
did not fail. What only another commit of mdrbench or a command in another file can tell about is not a problem.
"""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from mdrbench import __version__, results
from mdrbench.commands.ablation import variants as ablation
from mdrbench.commands.ablation.parts import PAPER
from mdrbench.commands.audit import step_keys
from mdrbench.core.errors import MdrbenchError, UsageError
from mdrbench.recipe import load
from mdrbench.results import Result
from mdrbench.results import ablations as ablation_results
from mdrbench.results.ablations import Ablation, Complete, SeedRun, Tested, Variant
from mdrbench.results.stored import ANY_SEAL
from mdrbench.results.verified import Verified

Derived = dict[str, list[ablation_results.Name]]
"""Digest of a recipe, as this mdrbench computes it -> the names that the complete recipe gives it.

The digests that are stored are not used here: those of an older mdrbench lack keys that recipes got later.
"""


def check(path: Path, found: Verified) -> None:
    """Add what is wrong with a stored ablation, its numbers aside, to what was found."""
    stored = ablation_results.read(path, ANY_SEAL)
    folder = path.parent.parent
    complete = results.read(folder / stored.complete.runs[0].result)
    for what, was, now in _head(path, stored, complete):
        found.problem(what, stored=was, derived=now)
    runs = [run for one in stored.entries for run in one.runs]
    for run in runs:
        for what, was, now in _run(folder, run):
            found.problem(what, stored=was, derived=now)
    if complete.system.recipe is None:
        return
    commands: set[str] = set()
    for run in runs:
        commands |= {one.command for one in results.read(folder / run.result).languages.values() if one.command}
    with tempfile.TemporaryDirectory(prefix="mdrbench-") as scratch:
        recipe = Path(scratch) / "complete.yaml"
        content = {key: value for key, value in complete.system.recipe.items() if key != "name"}
        recipe.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
        try:
            present = [_digest(str(recipe), [*stored.overrides, *_own(one)]) for one in stored.entries]
            derived = _derived(str(recipe), stored, present, found)
            asked = _asked(str(recipe), stored, stored.commands, found)
            mentioned = _asked(str(recipe), stored, sorted(commands.difference(stored.commands)), found)
            left_out = list(_left_out(str(recipe), folder, stored, derived.keys() - {*present}))
        except MdrbenchError as error:
            found.unchecked.append(f"the variants' names could not be derived: {error.message}")
            return
    missing = list(_missing(stored, present, asked))
    dropped = [f"'{label}' is not there, though its command makes it" for label in missing]
    maybe = [label for label in _missing(stored, present, mentioned) if label not in missing]
    told = [f"'{label}' is not there; a command in the results makes it" for label in maybe]
    if not _made_by_this(complete):
        told, dropped = [*told, *(f"{one} today" for one in dropped)], []
    for what in (*_names(stored, present, derived), *left_out, *dropped):
        found.problem(what, mend="run `mdrbench ablate` again")
    found.unchecked += told


def _own(one: Complete | Variant) -> list[str]:
    return one.overrides if isinstance(one, Variant) else []


def _digest(recipe: str, overrides: list[str]) -> str:
    return load(recipe, overrides).digest


def _head(path: Path, stored: Ablation, complete: Result) -> Iterator[tuple[str, Any, Any]]:
    system = complete.system
    facts = [
        ("dataset is not the folder that the ablation lies in", stored.dataset, path.resolve().parent.parent.name),
        ("the file's name is not that of the complete recipe", path.stem, Path(stored.complete.runs[0].result).stem),
        ("split is not the complete recipe's", stored.split, complete.split),
        ("recipe is not the complete recipe's name", stored.recipe, system.name),
        ("summary is not the complete recipe's", stored.summary, system.summary),
        ("overrides are not the complete recipe's", stored.overrides, system.overrides),
        ("measures are not the complete recipe's", stored.measures, complete.evaluated.measures),
        ("tested is not how this mdrbench tests", stored.tested.model_dump(), Tested().model_dump()),
        ("seeds is not the number of runs", stored.seeds, len(stored.complete.runs)),
    ]
    yield from ((what, was, now) for what, was, now in facts if was != now)
    for variant in stored.variants:
        base = [*stored.overrides, *variant.overrides]
        for run in variant.runs:
            if run.overrides[: len(base)] != base:
                yield f"'{variant.label}': the overrides of its run are not its own", run.overrides, base


def _run(folder: Path, run: SeedRun) -> Iterator[tuple[str, Any, Any]]:
    system = results.read(folder / run.result).system
    if run.overrides != system.overrides:
        yield f"{run.result}: the overrides are not the result's", run.overrides, system.overrides
    seed = (system.recipe or {}).get("seed")
    if seed is not None and seed != run.seed:
        yield f"{run.result}: the seed is not the result's", run.seed, seed


def _choice(recipe: str, stored: Ablation, **asked: Any) -> Derived:
    """Return the variants of the complete recipe that are asked for, by digest, the complete one included."""
    parts = asked.pop("parts", ())
    choice = ablation.choose(recipe, stored.overrides, parts, **asked)
    return {
        one.recipe.digest: [ablation_results.Name(**asdict(name) | {"parts": list(name.parts)}) for name in one.names]
        for one in (choice.complete, *choice.variants)
    }


def _derived(recipe: str, stored: Ablation, present: list[str], found: Verified) -> Derived:
    """Return the names that lead from the complete recipe to each digest."""
    derived = _choice(recipe, stored, everything=True)
    for one, own in zip(stored.entries, present, strict=True):
        for name in one.names:
            try:
                more = _choice(recipe, stored, **_asked_by(name))
            except UsageError as error:
                found.unchecked.append(f"'{name.label}' could not be derived: {error.message}")
                more = {own: [name]}
            for digest, names in more.items():
                derived.setdefault(digest, []).extend(names)
    return derived


def _asked_by(name: ablation_results.Name) -> dict[str, Any]:
    if name.kind == "sweep":
        return {"vary": [f"{name.key}={name.value}"]}
    if name.kind == "rival":
        return {"rivals": [name.label]}
    if any(part.startswith("ensemble-") for part in name.parts):
        return {"ensemble_without": [part.removeprefix("ensemble-") for part in name.parts]}
    return {"everything": True} if name.kind == "cumulative" or not name.parts else {"parts": name.parts}


def _names(stored: Ablation, present: list[str], derived: Derived) -> Iterator[str]:
    for one, own in zip(stored.entries, present, strict=True):
        for name in one.names:
            if name not in derived.get(own, []):
                yield f"'{name.label}' is not what the recipe with {', '.join(_own(one)) or 'no changes'} is"


def _asked(recipe: str, stored: Ablation, commands: list[str], found: Verified) -> Derived:
    """Return the variants that the recorded commands made."""
    asked: Derived = {}
    for command in commands:
        words = _words(command)
        if not any(words.values()):
            continue
        try:
            asked |= _choice(recipe, stored, **words)
        except UsageError as error:
            found.unchecked.append(f"the variants of `{command}` could not be derived: {error.message}")
    return asked


def _words(command: str) -> dict[str, Any]:
    """Return what an ``ablate`` command asks for, nothing for another command."""
    asked: dict[str, Any] = {"parts": [], "everything": False, "vary": [], "rivals": [], "ensemble_without": []}
    words = iter(word for part in shlex.split(command) for word in (part.split("=", 1) if part[:2] == "--" else [part]))
    lists = {"--vary": "vary", "--rival": "rivals", "--ensemble-without": "ensemble_without"}
    if [next(words, ""), next(words, "")] != ["mdrbench", "ablate"]:
        return asked
    for word in words:
        if word == "--all":
            asked["everything"] = True
        elif word in lists:
            asked[lists[word]].append(next(words, ""))
        elif word == "--stage-off":
            asked["parts"].append(f"stage-{next(words, '')}")
        elif word in PAPER.values():
            asked["parts"] += [slug for slug, flag in PAPER.items() if flag == word]
        elif word.startswith("--no-"):
            asked["parts"].append(word.removeprefix("--no-"))
    return asked


def _missing(stored: Ablation, present: list[str], asked: Derived) -> Iterator[str]:
    """Yield the labels of the names that commands make today and that the ablation lacks, failed ones aside."""
    named = dict(zip(present, (one.names for one in stored.entries), strict=True))
    for digest, names in asked.items():
        if not {name.label for name in names} & {*stored.failed}:
            yield from (name.label for name in names if name not in named.get(digest, []))


def _made_by_this(complete: Result) -> bool:
    """Return whether the commands make the same variants today; another commit may know other parts."""
    made = {one.get("packages", {}).get("mdrbench") for one in complete.environments.values()}
    return made == {__version__} and not step_keys.of_another_commit(complete)


def _left_out(recipe: str, folder: Path, stored: Ablation, absent: Collection[str]) -> Iterator[str]:
    """Yield the whole results of variants that an ablation of this recipe made and that are not in it."""
    runs = {run.result for one in stored.entries for run in one.runs}
    for path in sorted((folder / "variants").glob("*.json")):
        result = results.read(path)
        whole = set(stored.languages) <= set(result.languages) and result.split == stored.split
        if f"variants/{path.name}" in runs or result.system.variant_of != stored.recipe or not whole:
            continue
        commands = [one.command or "" for one in result.languages.values()]
        made = all(command.startswith("mdrbench ablate ") for command in commands)
        if made and _digest(recipe, result.system.overrides) in absent:
            yield f"{path.name} is a variant of it that the ablation leaves out"
