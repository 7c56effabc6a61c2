"""Fill the cells of a declared experiment one by one: a cell is a system with a seed, and has a result file of its own.

The file names data, languages and blocks; a block names seeds and systems. Cells are made block by block, seed by seed,
so that all systems of one seed are there before the next seed. A cell is in if its result holds every language with
the digest of its recipe. A cell that fails or is interrupted writes no result; what it computed stays in the cache, and
the next call continues there.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from pydantic import Field, ValidationError, model_validator

from mdrbench import recipe, results
from mdrbench.commands.run import Trial, failure, plan_all, prepare_negatives, run_steps, try_judges
from mdrbench.core import console, registry
from mdrbench.core.errors import UsageError, did_you_mean
from mdrbench.core.members import MemberConfig
from mdrbench.core.store import Store
from mdrbench.evaluation import inference
from mdrbench.evaluation.statistics import PROTOCOL
from mdrbench.pipeline import write_result
from mdrbench.recipe import Recipe
from mdrbench.recipe.yaml_files import read_yaml
from mdrbench.results import Result, comparison


class System(MemberConfig):
    """A recipe, or a recipe with changes."""

    recipe: str
    changes: tuple[str, ...] = Field(default=(), description="items as given to --set")


class Block(MemberConfig):
    """Systems that are run with the same seeds; seed 0 is the recipe's own."""

    seeds: tuple[int, ...] = Field(min_length=1)
    systems: tuple[str, ...] = Field(min_length=1)


class Table(MemberConfig):
    """A table of the publication that an experiment repeats."""

    caption: str
    measure: str = "nDCG@10"
    systems: tuple[str, ...] = Field(min_length=1)


class Experiment(MemberConfig):
    """A declared experiment.

    Attributes:
        systems: label -> recipe with changes; a label that is not here is a recipe's name.
        source: the citation key of the publication that the experiment repeats.
        tables: the publication's tables. Without ``blocks``, their systems are run once each.
    """

    summary: str
    data: str
    languages: tuple[str, ...] = Field(min_length=1)
    blocks: tuple[Block, ...] = ()
    systems: dict[str, System] = Field(default_factory=dict)
    source: str | None = None
    tables: dict[str, Table] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _blocks_of_tables(cls, data: Any) -> Any:
        """Make a block of all systems of the tables if no blocks are given."""
        if not isinstance(data, dict) or data.get("blocks"):
            return data
        if not isinstance(tables := data.get("tables"), dict):
            raise ValueError("an experiment needs `blocks` or `tables`")
        try:
            systems = [name for table in tables.values() for name in Table.model_validate(table).systems]
        except ValidationError:
            return data  # the check of `tables` says what is wrong with one
        return {**data, "blocks": [{"seeds": [0], "systems": list(dict.fromkeys(systems))}]}


@dataclass(frozen=True)
class Cell:
    """A system with a seed. ``overrides`` are those of its result; ``made`` is the result, None if it is missing."""

    system: str
    seed: int
    recipe: Recipe
    overrides: list[str]
    path: Path
    made: Result | None


def files() -> dict[str, Path]:
    """Return the shipped experiments, name -> YAML file."""
    return {path.stem: path for path in sorted(registry.resource("recipes").glob("experiments/*.yaml"))}


def load(name: str) -> Experiment:
    """Load and check an experiment.

    Args:
        name: of a shipped experiment, or the path of a YAML file.

    Raises:
        UsageError: there is no such file, or something is wrong with it.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else files().get(name)
    if path is None or not path.is_file():
        raise UsageError(f"no experiment '{name}'", mend=did_you_mean(name, list(files())))
    data, _ = read_yaml(path)
    try:
        return Experiment.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise UsageError(f"{key}: {first['msg']}", where=str(path), mend="correct the key") from None


def cells(experiment: Experiment, root: Path) -> list[Cell]:
    """Return all cells in their order, each once, with the results in ``root`` that are in.

    A system that trains nothing has one cell: no seed changes its scores.
    """
    found: dict[tuple[str, int], Cell] = {}
    for block in experiment.blocks:
        for seed in block.seeds:
            for system in block.systems:
                cell = _cell(experiment, system, seed, root)
                found.setdefault((system, cell.seed), cell)
    return list(found.values())


def _cell(experiment: Experiment, system: str, seed: int, root: Path) -> Cell:
    declared = _declared(experiment, system)
    overrides = list(declared.changes)
    loaded = recipe.load(declared.recipe, overrides)
    seed = seed if loaded.training is not None else 0
    if seed and loaded.training is not None:
        overrides += [f"seed={loaded.seed + seed}", f"training.seed={loaded.training.seed + seed}"]
        loaded = recipe.load(declared.recipe, overrides)
    name = f"variants/{loaded.name}-{loaded.digest[:10]}" if overrides else loaded.name
    path = root / experiment.data / f"{name}.json"
    return Cell(system, seed, loaded, overrides, path, _made(path, loaded, experiment.languages))


def _made(path: Path, loaded: Recipe, languages: tuple[str, ...]) -> Result | None:
    if not path.exists():
        return None
    result = results.read(path)
    whole = result.system.recipe_digest == loaded.digest and set(languages) <= set(result.languages)
    return result if whole else None


def part_of(wanted: list[Cell], part: str) -> list[Cell]:
    """Return every N-th cell from the K-th on; ``part`` is ``K/N``, counted from 1.

    Raises:
        UsageError: it is not.
    """
    found = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", part)
    if found is None or int(found[1]) > int(found[2]):
        raise UsageError(f"'{part}' is no part", mend="give K/N, such as --part 1/2 and --part 2/2")
    return wanted[int(found[1]) - 1 :: int(found[2])]


def fill(
    experiment: Experiment, wanted: list[Cell], store: Store, root: Path, quiet: bool
) -> Iterator[tuple[Cell, Path]]:
    """Make cells one by one, and yield each with its result file as soon as that is written.

    Raises:
        MdrbenchError: a cell failed; no result of it is written.
    """
    for cell in wanted:
        yield cell, _make(experiment, cell, store, root, quiet)


def command(experiment: Experiment, cell: Cell) -> str:
    """Return the command that makes a cell by itself."""
    changes = "".join(f" --set {shlex.quote(item)}" for item in cell.overrides)
    langs = ",".join(experiment.languages)
    return f"mdrbench run {_declared(experiment, cell.system).recipe} --data {experiment.data} --langs {langs}{changes}"


def _declared(experiment: Experiment, system: str) -> System:
    return experiment.systems.get(system, System(recipe=system))


def _make(experiment: Experiment, cell: Cell, store: Store, root: Path, quiet: bool) -> Path:
    name = _declared(experiment, cell.system).recipe
    langs = ",".join(experiment.languages)
    prepare_negatives(cell.recipe)
    console.say(f"{cell.system}, seed {cell.seed}")
    plan = plan_all([name], experiment.data, langs, "dev", cell.overrides, store, fetch=True, quiet=quiet)[0]
    write_result.target(plan, root)  # refuse before the work starts
    steps = plan.steps()
    with store.in_use(step.key for step in steps):
        tried, error = try_judges([Trial(plan.recipe, plan.canaries(), steps, plan.targets())], store, quiet)
        if error:
            raise error
        outcome = run_steps(steps, plan.targets(), store, quiet)
        if error := failure(outcome, steps):
            raise error
        outcome.artifacts |= tried.artifacts
        for step in plan.training:
            if found := store.find(*step.ref):
                outcome.artifacts[step.ref] = found
        return write_result.write(plan, outcome.artifacts, root, command(experiment, cell))


# -- tables ------------------------------------------------------------------------------------------------------------

TABLE = re.compile(r"(?P<begin><!-- experiment (?P<name>\S+) -->\n).*?(?P<end><!-- end of experiment -->)", re.DOTALL)
"""The places of a page that hold an experiment's table."""

MEASURES = ("nDCG@10", "Recall@100")


def markdown(experiment: Experiment, found: list[Cell]) -> str:
    """Return a table of the systems that have cells: means over seeds, the seeds' standard deviation, languages.

    A sentence behind it names the cells that are missing.
    """
    by_system: dict[str, list[Cell]] = {}
    for cell in found:
        by_system.setdefault(cell.system, []).append(cell)
    languages = experiment.languages
    lines = [
        f"| system | seeds | {MEASURES[0]} | sd of seeds | {MEASURES[1]} | {' | '.join(languages)} |",
        f"|---|{'---|' * (4 + len(languages))}",
    ]
    missing = []
    for system, cells_ in by_system.items():
        made = [cell.made for cell in cells_ if cell.made is not None]
        lacking = [str(cell.seed) for cell in cells_ if cell.made is None]
        if lacking:
            missing.append(f"`{system}` (seeds {', '.join(lacking)})")
        if made:
            lines.append(_row(system, made, languages))
    state = f"Not run: {'; '.join(missing)}." if missing else "All cells are in."
    return "\n".join([*lines, "", state, *_pairs(experiment, by_system), ""])


def _pairs(experiment: Experiment, by_system: dict[str, list[Cell]]) -> list[str]:
    """Return a table of the differences of all pairs of the first block's systems that have results.

    These pairs are the family over which p values are corrected. It is declared with the experiment, so that it does
    not depend on what the results show.
    """
    family = list(combinations(experiment.blocks[0].systems, 2))
    made: dict[str, Path] = {}  # of each system the result with the first seed
    for cell in (cell for cells_ in by_system.values() for cell in cells_ if cell.made):
        made.setdefault(cell.system, cell.path)
    found = [
        (a, b, comparison.compare(made[a], made[b], MEASURES[0], top=0)) for a, b in family if a in made and b in made
    ]
    if not found:
        return []
    corrected = inference.corrected([compared.average.p for *_, compared in found])
    rows = [
        f"| {a} - {b} | {compared.seeds or '-'} | {signed(average.value)}{inference.mark(p, compared.seeds)} "
        f"| [{signed(average.low)}, {signed(average.high)}] | {'< .0001' if p < 1e-4 else short(p)} |"
        for (a, b, compared), p in zip(found, corrected, strict=True)
        for average in [compared.average]
    ]
    caption = (
        f"Differences of the average over {len(experiment.languages)} languages, {MEASURES[0]}, with 95% intervals "
        f"that count topics and paired seeds. p is corrected over these {len(found)} of {len(family)} declared pairs "
        f"(Holm). `{inference.STAR}`: p < 0.05 with at least {PROTOCOL.star_seeds} seeds; `{inference.DAGGER}`: with "
        "fewer."
    )
    head = "| difference | seeds | nDCG@10 | 95% interval | p |\n|---|---|---|---|---|"
    return ["", caption, "", head, *rows]


def _row(system: str, made: list[Result], languages: tuple[str, ...]) -> str:
    """Return a system's row; the average is over the experiment's languages, whatever else a result holds."""
    values = {
        name: [[result.languages[lang].scores[name].value for lang in languages] for result in made]
        for name in MEASURES
    }
    first, second = ([fmean(by_language) for by_language in values[name]] for name in MEASURES)
    spread = short(stdev(first)) if len(first) > 1 else "-"
    each = [short(fmean(column)) for column in zip(*values[MEASURES[0]], strict=True)]
    return (
        f"| {system} | {len(made)} | {short(fmean(first))} | {spread} | {short(fmean(second))} | {' | '.join(each)} |"
    )


def short(value: float) -> str:
    """Return a score with four digits and no leading zero."""
    return f"{value:.4f}".removeprefix("0")


def signed(value: float) -> str:
    """Return a difference with its sign, four digits and no leading zero."""
    return f"{'-' if value < 0 else '+'}{short(abs(value))}"


def with_tables(page: str, root: Path) -> str:
    """Return a page with the tables of its experiments made again from the results in ``root``."""

    def made(place: re.Match[str]) -> str:
        experiment = load(place["name"])
        return f"{place['begin']}{markdown(experiment, cells(experiment, root))}{place['end']}"

    return TABLE.sub(made, page)
