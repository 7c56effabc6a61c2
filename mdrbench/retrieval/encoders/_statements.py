"""Compare an encoder's settings with the statements of the model's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, TypeVar, cast

from mdrbench.core.errors import UsageError
from mdrbench.hub.model_folder import ModelFolder
from mdrbench.retrieval.pooling import Pooling

Value = TypeVar("Value")

Override = Literal["pooling", "normalize", "query_prefix", "passage_prefix", "auto_map"]
"""Statements of a folder that a recipe may set aside by naming them in ``overrides_model``."""


class Settings(Protocol):
    """The settings of a recipe; None where it leaves a convention to the folder."""

    @property
    def pooling(self) -> Pooling | None: ...

    @property
    def normalize(self) -> bool | None: ...

    @property
    def query_prefix(self) -> str | None: ...

    @property
    def passage_prefix(self) -> str | None: ...

    @property
    def query_length(self) -> int | None: ...

    @property
    def passage_length(self) -> int | None: ...

    @property
    def overrides_model(self) -> tuple[Override, ...]: ...

    @property
    def trust_remote_code(self) -> str | None: ...


class Conventions(NamedTuple):
    """How texts become embeddings; nothing is left open."""

    pooling: Pooling
    normalize: bool
    query_prefix: str
    passage_prefix: str
    query_length: int
    passage_length: int
    overrides_model: tuple[Override, ...]


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


def resolved(settings: Settings, folder: ModelFolder) -> Conventions:
    """Return the conventions: a setting of the recipe, or else the folder's statement.

    Without a statement there is no prefix, and embeddings are normalised unless their similarity is the inner product,
    because cosine is what sentence-transformers then compares them by. Pooling and lengths must be stated somewhere.

    Raises:
        UsageError: neither recipe nor folder states the pooling or a length.
    """
    pooling: Pooling = _either("pooling", settings.pooling, cast("Pooling | None", folder.pooling), folder)
    stated = True if folder.normalize is None and folder.pooling is not None else folder.normalize
    normalize = _either("normalize", settings.normalize, stated, folder)
    return Conventions(
        pooling=pooling,
        normalize=normalize,
        query_prefix=_either("query_prefix", settings.query_prefix, folder.query_prompt or "", folder),
        passage_prefix=_either("passage_prefix", settings.passage_prefix, folder.passage_prompt or "", folder),
        query_length=_either("query_length", settings.query_length, folder.usual_length, folder),
        passage_length=_either("passage_length", settings.passage_length, folder.usual_length, folder),
        overrides_model=settings.overrides_model,
    )


def _either(name: str, setting: Value | None, stated: Value | None, folder: ModelFolder) -> Value:
    if setting is not None:
        return setting
    if stated is None:
        raise UsageError(
            f"neither the recipe nor the model's files state {name}",
            where=str(folder.path),
            mend=f"set {name} in the recipe's encoder, as the model was trained",
        )
    return stated


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
        if value is not None and getattr(settings, name) not in (None, value) and name not in settings.overrides_model
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
        if folder.longest is not None and length is not None and length > folder.longest:
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


def check_special_tokens(settings: Conventions, tokenizer: Any, folder: Path) -> None:
    """Raise a UsageError if a length leaves no room for a token of the text."""
    special = tokenizer.num_special_tokens_to_add()
    for name in ("query_length", "passage_length"):
        if getattr(settings, name) <= special:
            raise UsageError(
                f"{name} is {getattr(settings, name)}, and {special} tokens are the tokenizer's own",
                where=str(folder),
                mend=f"set {name} to {special + 1} or more",
            )
