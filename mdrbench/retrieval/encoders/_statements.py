"""Compare an encoder's settings with the statements of the model's folder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, TypeVar, cast

from mdrbench.core.errors import UsageError
from mdrbench.hub import model_folder
from mdrbench.hub.model_folder import ModelFolder
from mdrbench.retrieval.pooling import Pooling

Value = TypeVar("Value")

Override = Literal["pooling", "normalize", "query_prefix", "passage_prefix", "auto_map"]
"""Statements of a folder that a recipe may set aside by naming them in ``overrides_model``."""


INSTRUCTION = re.compile(r"(Instruct: )(.*)(\n ?Query: ?)", re.DOTALL)
"""A prompt whose second part is the sentence about the task, as in E5-instruct (Wang et al. 2024) and Qwen3."""


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
    def task(self) -> str | None: ...

    @property
    def truncate_dim(self) -> int | None: ...

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
    truncate_dim: int | None = None


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
    _check_width(settings, folder)
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
        query_prefix=_with_task(
            settings, _either("query_prefix", settings.query_prefix, folder.query_prompt or "", folder), folder
        ),
        passage_prefix=_either("passage_prefix", settings.passage_prefix, folder.passage_prompt or "", folder),
        query_length=_either("query_length", settings.query_length, folder.usual_length, folder),
        passage_length=_either("passage_length", settings.passage_length, folder.usual_length, folder),
        overrides_model=settings.overrides_model,
        truncate_dim=settings.truncate_dim or folder.truncate_dim,
    )


def _with_task(settings: Settings, prefix: str, folder: ModelFolder) -> str:
    """Put the sentence that describes the task into a query prefix, in place of ``{task}`` or of the model's sentence.

    Raises:
        UsageError: the prefix has a place for a sentence and none is given, or the other way round.
    """
    if settings.task is None:
        if "{task}" in prefix:
            raise UsageError(
                f"the query prefix {prefix!r} has a place for a sentence about the task, and none is given",
                where=str(folder.path),
                mend="set task in the recipe's encoder, such as task: Given a question, retrieve its answer",
            )
        return prefix
    if "{task}" in prefix:
        return prefix.replace("{task}", settings.task)
    if parts := INSTRUCTION.fullmatch(prefix):
        return parts[1] + settings.task + parts[3]
    raise UsageError(
        f"task is given, but the query prefix {prefix!r} has no place for it",
        where=str(folder.path),
        mend='leave task out, or write the place into the prefix: query_prefix: "Instruct: {task}\\nQuery: "',
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
    given = {name: getattr(settings, name) for name in stated}
    if given["query_prefix"] is not None:
        given["query_prefix"] = _with_task(settings, given["query_prefix"], folder)
        if settings.task is not None and INSTRUCTION.fullmatch(folder.query_prompt or ""):
            stated["query_prefix"] = _with_task(settings, folder.query_prompt or "", folder)
    differing = {
        name: value
        for name, value in stated.items()
        if value is not None and given[name] not in (None, value) and name not in settings.overrides_model
    }
    if differing:
        pairs = [f"{name} is {given[name]!r}, the model says {value!r}" for name, value in differing.items()]
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


def _check_width(settings: Settings, folder: ModelFolder) -> None:
    if settings.truncate_dim is not None and settings.truncate_dim > folder.width:
        raise UsageError(
            f"truncate_dim is {settings.truncate_dim}, but an embedding has {folder.width} dimensions",
            where=str(folder.path),
            mend=f"set truncate_dim to {folder.width} or less",
        )


def _check_own_code(settings: Settings, folder: ModelFolder, revision: str) -> None:
    if settings.trust_remote_code is not None or "auto_map" not in settings.overrides_model:
        instead = ", or use transformers' own classes with overrides_model: [auto_map]"
        model_folder.check_consent(settings.trust_remote_code, folder.own_code, folder.path, revision, instead)


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
