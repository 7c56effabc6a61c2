"""Compare an encoder's settings with the statements of the model's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Protocol

from mdrbench.core.errors import UsageError
from mdrbench.hub.model_folder import ModelFolder

Override = Literal["pooling", "normalize", "query_prefix", "passage_prefix", "auto_map"]
"""Statements of a folder that a recipe may set aside by naming them in ``overrides_model``."""


class Settings(Protocol):
    """The settings that are compared."""

    pooling: Any
    normalize: bool
    query_prefix: str
    passage_prefix: str
    query_length: int
    passage_length: int
    overrides_model: tuple[Override, ...]
    trust_remote_code: str | None


def check(settings: Settings, folder: ModelFolder, revision: str) -> None:
    """Compare all settings with the folder.

    Args:
        revision: of the model on this disk.

    Raises:
        UsageError: a setting contradicts the folder and is not in ``overrides_model``, a length is above the model's
            positions, or the model has Python code of its own that is neither allowed nor set aside.
    """
    _check_contradictions(settings, folder)
    _check_lengths(settings, folder)
    _check_own_code(settings, folder, revision)


def _check_contradictions(settings: Settings, folder: ModelFolder) -> None:
    stated: dict[Override, Any] = {
        "pooling": folder.pooling,
        "normalize": folder.normalize,
        "query_prefix": folder.query_prompt,
        "passage_prefix": folder.passage_prompt,
    }
    differing = {
        name: value
        for name, value in stated.items()
        if value is not None and value != getattr(settings, name) and name not in settings.overrides_model
    }
    if differing:
        pairs = [
            f"{name} is {getattr(settings, name)!r}, the model says {value!r}" for name, value in differing.items()
        ]
        raise UsageError(
            f"the recipe contradicts the model's own files: {'; '.join(pairs)}",
            where=str(folder.path),
            mend="set these as the model says, or say that the recipe means it: "
            f"overrides_model: [{', '.join([*settings.overrides_model, *differing])}]",
        )


def _check_lengths(settings: Settings, folder: ModelFolder) -> None:
    for name in ("query_length", "passage_length"):
        length = getattr(settings, name)
        if folder.longest is not None and length > folder.longest:
            raise UsageError(
                f"{name} is {length}, but the model has positions for {folder.longest} tokens",
                where=str(folder.path / "config.json"),
                mend=f"set {name} to {folder.longest} or less",
            )


def _check_own_code(settings: Settings, folder: ModelFolder, revision: str) -> None:
    consent = settings.trust_remote_code
    if not folder.own_code:
        if consent is not None:
            raise UsageError(
                "trust_remote_code is set, but the model has no code of its own",
                where=str(folder.path),
                mend="leave trust_remote_code out",
            )
        return
    if consent is None and "auto_map" not in settings.overrides_model:
        raise UsageError(
            "the model has Python code of its own (auto_map), which may compute something else than transformers does",
            where=str(folder.path),
            mend=f"read the code and allow it with trust_remote_code: {revision}, "
            "or use transformers' own classes with overrides_model: [auto_map]",
        )
    if consent is not None and consent != revision:
        raise UsageError(
            f"trust_remote_code allows the code of revision {consent}, but the model is at {revision}",
            where=str(folder.path),
            mend=f"read the code of this revision, then set trust_remote_code: {revision}",
        )
    if consent is not None and (elsewhere := sorted(v for v in _classes(folder.own_code) if "--" in v)):
        raise UsageError(
            f"the model's code lies in another repository ({elsewhere[0].partition('--')[0]}), which no revision pins",
            where=str(folder.path),
            mend="copy the code into the model's folder and correct auto_map",
        )


def _classes(own_code: dict[str, Any]) -> list[str]:
    """The classes of an ``auto_map``: values are names, or pairs of names for a slow and a fast tokenizer."""
    names = [name for value in own_code.values() for name in (value if isinstance(value, list) else [value])]
    return [name for name in names if isinstance(name, str)]


def check_special_tokens(settings: Settings, tokenizer: Any, folder: Path) -> None:
    """Raise a UsageError if a length leaves no room for a token of the text."""
    special = tokenizer.num_special_tokens_to_add()
    for name in ("query_length", "passage_length"):
        if getattr(settings, name) <= special:
            raise UsageError(
                f"{name} is {getattr(settings, name)}, and {special} tokens are the tokenizer's own",
                where=str(folder),
                mend=f"set {name} to {special + 1} or more",
            )
