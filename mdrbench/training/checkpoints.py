"""Files of a running training: checkpoints, the best weights so far, the log.

::

    OUT/checkpoints/step-N.pt    identity, step, weights, optimiser, scaler, validations after N steps
    OUT/checkpoints/best.pt      the weights with the lowest validation loss, with early stopping
    OUT/log.jsonl                a line per logged step and a line per validation
    OUT/tensorboard/             the same for TensorBoard, if asked for

A checkpoint is written beside its place and renamed. It holds no random states: dropout follows from seed,
step and text, and batches, draws and learning rate follow from the step as well.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mdrbench.core.atomic_files import whole, write_atomically
from mdrbench.core.errors import SetupError, StepError, UsageError

LOG = "log.jsonl"


def save(out: Path, state: dict[str, Any], keep: int) -> None:
    """Write the state of a step, whole or not at all; remove all but the last ``keep``."""
    import torch

    with whole(out / "checkpoints" / f"step-{state['step']}.pt") as path:
        torch.save(state, path)
    for step in _steps(out)[:-keep]:
        (out / "checkpoints" / f"step-{step}.pt").unlink()


def newest(out: Path) -> int | None:
    """Return the step of the last checkpoint, or None."""
    steps = _steps(out)
    return steps[-1] if steps else None


def load(out: Path, step: int, identity: str, device: Any) -> dict[str, Any]:
    """Return the state of a checkpoint.

    Raises:
        UsageError: it belongs to a training with other settings, model or data.
        StepError: the file cannot be read.
    """
    state = _load(out / "checkpoints" / f"step-{step}.pt", device)
    if state["identity"] != identity:
        raise other_run(out)
    return state


def other_run(out: Path) -> UsageError:
    """Return the error for a folder that holds another training."""
    return UsageError(
        "the folder holds a training with another model, other settings or other data",
        where=str(out),
        mend="train into another folder, or delete this one",
    )


def save_best(out: Path, step: int, weights: dict[str, Any]) -> None:
    """Save the weights of a step as the best ones."""
    import torch

    with whole(out / "checkpoints" / "best.pt") as path:
        torch.save({"step": step, "weights": weights}, path)


def best(out: Path, step: int, device: Any) -> dict[str, Any]:
    """Return the best weights, saved at a step; a StepError if the file belongs to another step."""
    path = out / "checkpoints" / "best.pt"
    state = _load(path, device)
    if state["step"] != step:
        raise StepError(
            f"the file holds the weights of step {state['step']}, not {step}", where=str(path), mend=_AFRESH
        )
    weights: dict[str, Any] = state["weights"]
    return weights


_AFRESH = "delete the folder `checkpoints` and train again"


def _load(path: Path, device: Any) -> dict[str, Any]:
    import pickle

    import torch

    place = "cpu" if device.type == "cpu" else device  # torch cannot load to `cpu:0`, as accelerate names it in a group
    try:
        state: dict[str, Any] = torch.load(path, map_location=place, weights_only=True)
        return state
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise StepError(f"the checkpoint cannot be read: {error}", where=str(path), mend=_AFRESH) from None


def _steps(out: Path) -> list[int]:
    return sorted(int(path.stem.removeprefix("step-")) for path in (out / "checkpoints").glob("step-*.pt"))


class Log:
    """The log of a training in ``out``, cut back to the ``steps`` that are done; ``on=False`` writes nothing."""

    def __init__(self, out: Path, steps: int, tensorboard: bool, say: Callable[[str], None], on: bool = True):
        self._file, self._board = None, None
        if not on:
            return
        kept = [entry for entry in read_log(out) if entry["step"] <= steps]
        write_atomically(out / LOG, "".join(json.dumps(entry) + "\n" for entry in kept))
        self._file = open(out / LOG, "a", encoding="utf-8")  # noqa: SIM115 - closed by close()
        if tensorboard:
            self._board = _board(out / "tensorboard", steps, say)

    def write(self, kind: str, entry: dict[str, Any]) -> None:
        """Write one line; ``kind`` is ``train`` or ``validation``, and ``entry["step"]`` is the step."""
        if self._file:
            self._file.write(json.dumps({"kind": kind, **entry}) + "\n")
            self._file.flush()
        if self._board:
            for name, value in entry.items():
                if name != "step" and value is not None:
                    self._board.add_scalar(f"{kind}/{name}", value, entry["step"])

    def close(self) -> None:
        """Close the files."""
        for file in (self._file, self._board):
            if file:
                file.close()


def _board(folder: Path, steps: int, say: Callable[[str], None]) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "tensorboard":
            raise SetupError(f"TensorBoard cannot be used: {error}", mend="set tensorboard: false") from None
        say("tensorboard is not installed, so nothing is written for it (`pip install tensorboard`); see log.jsonl")
        return None
    return SummaryWriter(str(folder), purge_step=steps + 1)


def read_log(out: Path) -> list[dict[str, Any]]:
    """Return the whole lines of the log; a killed run may have left half a line."""
    path = out / LOG
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
