"""The public Python API: run recipes, load results, compare two results. See ``docs/api.md``."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

from mdrbench import results as result_files
from mdrbench.core import extras
from mdrbench.core.errors import DataError, MdrbenchError, SetupError, UsageError, did_you_mean
from mdrbench.core.secrets import redact
from mdrbench.evaluation.statistics import PROTOCOL
from mdrbench.results import Cell, Result
from mdrbench.results.comparison import Comparison

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Comparison", "MdrbenchError", "Result", "ResultSet", "ScoreRow", "compare", "load_results", "run"]

Pathlike = str | os.PathLike[str]


class ScoreRow(NamedTuple):
    """One score of one result: a row of :meth:`ResultSet.to_frame`.

    Attributes:
        dataset: name of the data set, such as ``miracl`` or ``sample``.
        split: ``dev``, ``train`` or another split.
        system: name of the system, with its overrides if it is a variant.
        kind: ``measured`` here, or ``published`` in the literature.
        scope: ``language`` or ``average``.
        language: language code, or the label of the average.
        measure: name of the measure, such as ``nDCG@10``.
        value: the score, from 0 to 1.
        low: lower end of the bootstrap interval. None if there is no interval.
        high: upper end of the bootstrap interval. None if there is no interval.
    """

    dataset: str
    split: str
    system: str
    kind: Literal["measured", "published"]
    scope: Literal["language", "average"]
    language: str
    measure: str
    value: float
    low: float | None
    high: float | None


class ResultSet(Sequence[Result]):
    """An immutable sequence of results, each with the path of its file.

    Attributes:
        paths: path of each result file, in the order of the results.
    """

    def __init__(self, results: Iterable[tuple[Path, Result]]):
        pairs = tuple(results)
        self.paths = tuple(path for path, _ in pairs)
        self._results = tuple(result for _, result in pairs)

    def __len__(self) -> int:
        return len(self._results)

    @overload
    def __getitem__(self, index: int) -> Result: ...

    @overload
    def __getitem__(self, index: slice) -> ResultSet: ...

    def __getitem__(self, index: int | slice) -> Result | ResultSet:
        if isinstance(index, slice):
            return ResultSet(zip(self.paths[index], self._results[index], strict=True))
        return self._results[index]

    def __repr__(self) -> str:
        return f"ResultSet({', '.join(map(str, self.paths))})"

    def rows(self) -> list[ScoreRow]:
        """Return every score: a row for each result, language or average, and measure."""
        return [row for result in self for row in _rows(result)]

    def to_frame(self) -> pd.DataFrame:
        """Return :meth:`rows` as a pandas data frame with the columns of :class:`ScoreRow`.

        Raises:
            SetupError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise SetupError("A data frame needs pandas.", mend=f"run `{extras.command('data')}`") from None
        return pd.DataFrame(self.rows(), columns=list(ScoreRow._fields))


def _rows(result: Result) -> Iterator[ScoreRow]:
    system = " ".join([result.system.name, *result.system.overrides])

    def rows(scope: Literal["language", "average"], language: str, scores: dict[str, Cell]) -> Iterator[ScoreRow]:
        for measure, cell in scores.items():
            place = (result.dataset, result.split, system, result.kind, scope, language)
            yield ScoreRow(*place, measure, cell.value, cell.low, cell.high)

    for lang in result.language_codes():
        yield from rows("language", lang, result.languages[lang].scores)
    for average in result.averages:
        yield from rows("average", average.label, average.scores)


def run(
    *recipes: Pathlike,
    data: Pathlike = "miracl",
    langs: str | Iterable[str] = "all",
    split: str = "dev",
    final: bool = False,
    overrides: Mapping[str, object] | None = None,
    results: Pathlike = "results",
    cache: Pathlike | None = None,
    executor: str | Mapping[str, Any] = "local",
    keep_embeddings: bool = True,
    quiet: bool = False,
) -> ResultSet:
    """Run recipes and write their results, as ``mdrbench run`` does.

    Steps that are already in the cache are not computed again. Missing data and models are downloaded first.

    Args:
        recipes: names of shipped recipes, or paths of YAML files.
        data: ``miracl``, ``wiki16``, ``sample``, or a folder in MIRACL's layout.
        langs: ``all``, codes in one text such as ``"fi,sw"``, or several codes.
        split: split whose topics and qrels are used.
        final: allow the split ``test``, and record that the scores are a final figure.
        overrides: key of the recipe -> value, as ``--set`` takes them, such as ``{"retriever.k1": 1.2}``.
        results: folder that the result files are written to.
        cache: folder of the artifact store. None takes ``$MDRBENCH_CACHE``, else ``~/.cache/mdrbench``.
        executor: ``local``, ``ray`` or ``queue``, or a mapping with its settings: ``{"name": "local", "workers": 2}``.
        keep_embeddings: False removes the embeddings of a trained encoder as soon as they were searched. Scores and
            runs stay.
        quiet: hide progress, which goes to standard error.

    Returns:
        One result for each recipe, in order.

    Raises:
        UsageError: a recipe, language or override does not exist.
        DataError: the data set is missing or malformed.
        SetupError: Java, a package or a model is missing.
        StepError: a step failed. Results of the languages that succeeded are on disk.

    Example:
        >>> mdrbench.run("bm25", data="sample", langs="fi,sw").to_frame()
    """
    from mdrbench.commands.run import plan_all, run_plans
    from mdrbench.core.store import Store, default_root

    if not recipes:
        raise UsageError("run() needs a recipe.", mend='give one, such as mdrbench.run("bm25", data="sample")')
    names = [os.fspath(recipe) for recipe in recipes]
    languages = langs if isinstance(langs, str) else ",".join(langs)
    changes = [f"{key}={_yaml(value)}" for key, value in (overrides or {}).items()]
    store = Store(Path(cache) if cache is not None else default_root())
    plans = plan_all(names, os.fspath(data), languages, split, changes, store, fetch=True, quiet=quiet, final=final)
    last = ["--keep-embeddings", "no"] * (not keep_embeddings) + ["--final"] * final
    command = redact(_command(names, os.fspath(data), languages, split, changes, last))
    written, error = run_plans(plans, store, Path(results), command, quiet, executor, keep_embeddings)
    if error:
        raise error
    return ResultSet(written)


def _command(names: list[str], data: str, langs: str, split: str, changes: list[str], last: list[str]) -> str:
    """Return the command line that does the same; the result records it."""
    sets = [word for change in changes for word in ("--set", change)]
    return shlex.join(["mdrbench", "run", *names, "--data", data, "--langs", langs, "--split", split, *sets, *last])


def _yaml(value: object) -> str:
    """Return a value as ``--set`` reads it: plain text if YAML reads it as that text, else JSON."""
    import yaml

    if isinstance(value, str) and yaml.safe_load(value) == value:
        return value
    return json.dumps(value, ensure_ascii=False)


def load_results(
    folder: Pathlike = "results",
    *,
    dataset: str | None = None,
    split: str | None = None,
    published: bool = False,
) -> ResultSet:
    """Load the result files of a folder, variants included.

    Args:
        folder: folder of results, with a folder for each data set.
        dataset: load only results of this data set.
        split: load only results of this split.
        published: also load the figures of the literature under ``folder/published``.

    Raises:
        DataError: there is no such folder, or a file in it is not a valid result.

    Example:
        >>> mdrbench.load_results("results", dataset="sample").to_frame()
    """
    root = Path(folder)
    if not root.is_dir():
        raise DataError("There is no such folder.", where=str(root), mend="check the path, or run a recipe first")
    paths = result_files.files(root) + (result_files.published_files(root) if published else [])
    loaded = ((path, result_files.read(path)) for path in paths)
    return ResultSet(
        (path, result) for path, result in loaded if dataset in (None, result.dataset) and split in (None, result.split)
    )


def compare(
    a: Pathlike,
    b: Pathlike,
    measure: str = "nDCG@10",
    *,
    results: Pathlike = "results",
    top: int = 10,
    test: str = PROTOCOL.test,
    correction: str = PROTOCOL.correction,
    one_seed: bool = False,
    family: str = "leaderboard",
) -> Comparison:
    """Compare two results with paired tests, as ``mdrbench compare`` does.

    Args:
        a: a result: the path of its file, ``DATASET/RECIPE``, or a unique name.
        b: the result to compare it with.
        measure: the measure to compare.
        results: folder of results, for names.
        top: how many of the topics that moved most are returned.
        test: of each language: ``t``, ``randomisation`` or ``wilcoxon``; the last two count topics alone.
        correction: ``holm`` or ``benjamini-hochberg``.
        one_seed: compare these two results alone, not all seeds that both have.
        family: what is corrected over: ``leaderboard`` (all pairs of the systems beside the two, in each column) or
            ``languages`` (those of this pair). Other tests and corrections, variants and ``one_seed`` always have the
            languages.

    Returns:
        Per language the paired tests with corrected p values, the difference of the averages with its interval, what
        was counted, and the topics that moved most.

    Raises:
        UsageError: a name is unknown or ambiguous, or a test, correction or family is unknown.
        DataError: the two results cannot be compared, or a file of theirs is missing or changed.

    Example:
        >>> mdrbench.compare("sample/bm25", "sample/me5-small").average
    """
    from mdrbench.evaluation import inference
    from mdrbench.results import comparison
    from mdrbench.site.model import verdicts

    known = {"test": inference.TESTS, "correction": inference.CORRECTIONS, "family": verdicts.FAMILIES}
    for option, value in {"test": test, "correction": correction, "family": family}.items():
        if value not in known[option]:
            raise UsageError(f"the {option} '{value}' is unknown", mend=did_you_mean(value, list(known[option])))
    root = Path(results)
    path_a, path_b = (result_files.find(root, os.fspath(name)) for name in (a, b))
    compared = comparison.compare(path_a, path_b, measure, top=top, test=test, correction=correction, one_seed=one_seed)
    return compared if family == "languages" or one_seed else verdicts.on_leaderboard(compared, path_a, path_b)
