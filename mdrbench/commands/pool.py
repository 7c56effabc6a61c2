"""Cut a data set to the pool of several results."""

from __future__ import annotations

from pathlib import Path

from mdrbench import results
from mdrbench.core.errors import DataError, UsageError
from mdrbench.data.access import check_searchable, choose_languages, open_dataset, require
from mdrbench.data.importing.folder import check_target
from mdrbench.data.pooling import PooledRun, write_pool
from mdrbench.results import kept


def pool(
    data: str, names: list[str], out: Path, *, depth: int, split: str, langs: str, results_root: Path
) -> dict[str, dict[str, int]]:
    """Write the pool of results as a data set.

    Args:
        data: the data set to cut.
        names: results, by path or name.
        out: the folder of the pool.
        depth: how many hits of each topic and result are taken.
        split: the split of the results.
        langs: ``all`` takes the languages that every result has.
        results_root: the folder of results.

    Returns:
        The counts of each language.

    Raises:
        UsageError: no such result, or results of another data set or split.
        DataError: a run file is missing or was changed.
    """
    check_target(out)
    dataset = open_dataset(data)
    check_searchable(dataset)
    found = [results.find(results_root, name) for name in names]
    read = [(path, results.read(path)) for path in found]
    for path, result in read:
        if (result.dataset, result.split) != (dataset.name, split):
            message = f"The result is of {result.dataset} ({result.split}), not of {dataset.name} ({split})."
            raise UsageError(message, where=str(path), mend="give results of the data set and split that you cut")
    common = [lang for lang in dataset.languages() if all(lang in result.languages for _, result in read)]
    chosen = common if langs == "all" else choose_languages(dataset, langs, [split])
    if not chosen:
        raise UsageError("The results have no language in common.", mend="give results of the same languages")
    require(dataset, chosen, split)
    runs = {lang: [_run(path, result, lang) for path, result in read] for lang in chosen}
    return write_pool(dataset, out, split, depth, runs)


def _run(path: Path, result: results.Result, lang: str) -> PooledRun:
    """Return the run of a result's language; its file must be as recorded."""
    run = result.languages[lang].files.get("run") if lang in result.languages else None
    if run is None:
        raise DataError(f"The result has no run of '{lang}'.", where=str(path), mend="run the recipe on this language")
    return PooledRun(result.system.name, kept.checked(path, run), run.sha256)
