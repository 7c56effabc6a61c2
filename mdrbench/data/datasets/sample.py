"""The packaged sample: 16 languages, written for this project, for trying commands.

``--data sample``; ``docs/sample.md`` says how it was made and what its recorded judgments mean.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from mdrbench.data.miracl_layout import MiraclFolder

VERSION = 1

ROOT = Path(__file__).parent / "sample_data"


class Config(BaseModel):
    """The sample takes no settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def build(config: Config) -> MiraclFolder:
    """The packaged folder as a data set."""
    return MiraclFolder(name="sample", root=ROOT)
