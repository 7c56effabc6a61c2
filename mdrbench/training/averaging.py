"""Average the weights of trainings that differ by their seeds (Wortsman et al. 2022, "model soups").

All begin at the same model, so their weights can be averaged one by one. The result is one model, no larger and no
slower than each of them. It costs as many trainings as there are members.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from mdrbench.core.errors import DataError

STEP = 1_000_003
"""Between the seeds of the members: far from the seeds of other trainings."""

WEIGHTS = "model.safetensors"


def average(folders: list[Path], out: Path) -> None:
    """Write the average of models as a copy of the first one's folder, with averaged weights.

    Raises:
        DataError: they do not have the same parameters.
    """
    from safetensors.torch import load_file, save_file

    shutil.copytree(folders[0], out, dirs_exist_ok=True)
    total = load_file(folders[0] / WEIGHTS)
    kinds = {name: value.dtype for name, value in total.items()}
    total = {name: value.double() for name, value in total.items()}
    for folder in folders[1:]:
        more = load_file(folder / WEIGHTS)
        if {n: v.shape for n, v in more.items()} != {n: v.shape for n, v in total.items()}:
            raise DataError("the models do not have the same parameters", where=str(folder))
        for name, value in more.items():
            total[name] += value.double()
    averaged = {name: (value / len(folders)).to(kinds[name]).contiguous() for name, value in total.items()}
    save_file(averaged, out / WEIGHTS, metadata={"format": "pt"})
