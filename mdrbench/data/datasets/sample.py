"""The packaged sample: 16 languages, written for this project, for trying commands.

``--data sample``; ``docs/sample.md`` says how it was made and what its recorded judgments mean.
"""

from __future__ import annotations

from pathlib import Path

from mdrbench.core.members import NoSettings, Spec
from mdrbench.data.miracl_layout import MiraclFolder

ROOT = Path(__file__).parent / "sample_data"


class Sample(MiraclFolder):
    """The packaged folder as a data set."""

    spec = Spec(NoSettings, version=1)

    def __init__(self, config: NoSettings):
        super().__init__("sample", ROOT)
