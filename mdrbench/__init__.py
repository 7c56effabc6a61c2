"""mdrbench: a reproducible benchmark and leaderboard harness for multilingual dense retrieval.

The names in ``__all__`` are the public Python API (``docs/api.md``). They are imported at their first use, so that
``import mdrbench`` stays light.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mdrbench.api import Comparison, MdrbenchError, Result, ResultSet, ScoreRow, compare, load_results, run

__version__ = "0.1.0"

__all__ = [
    "Comparison",
    "MdrbenchError",
    "Result",
    "ResultSet",
    "ScoreRow",
    "__version__",
    "compare",
    "load_results",
    "run",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'mdrbench' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module("mdrbench.api"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
