"""What a model folder says about itself: architecture, pooling, layers, normalisation, prompts, longest text.

sentence-transformers describes an encoder in these files; a plain checkpoint has only the first::

    config.json                          architecture, positions, code of its own (``auto_map``)
    modules.json                         the layers in order: Transformer, Pooling, Dense, Normalize
    1_Pooling/config.json                how token vectors become one vector
    2_Dense/config.json, weights         a linear layer after pooling
    config_sentence_transformers.json    prompts, similarity

Reading costs no heavy import, so that a plan can compare a recipe with the folder.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from mdrbench.core.errors import DataError, UsageError

POOLING = {
    "cls": "cls",
    "mean": "mean",
    "max": "max",
    "weightedmean": "weighted-mean",
    "lasttoken": "last-token",
}
"""sentence-transformers' name of a pooling -> ours."""

FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
}
"""The older way to name a pooling: one flag each."""

WIDTHS = ("hidden_size", "dim", "d_model", "n_embd")
"""What configurations call the width of a token's vector."""

POSITIONS = ("max_position_embeddings", "n_positions")
"""What configurations call the number of positions."""

POSITIONS_AFTER_PADDING = (
    *("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "roberta-prelayernorm", "data2vec-text"),
    *("mpnet", "longformer"),
)
"""Architectures whose first position is the one after the padding token's index: the positions before are not used."""

OTHER_MODEL = "choose another model, or remove the layer from modules.json if the model was trained without it"


class ModelFolder(NamedTuple):
    """The statements of a model folder; None where it states nothing.

    Attributes:
        config: the content of ``config.json``.
        pooling: a value of :data:`POOLING`.
        normalize: whether embeddings have length 1.
        dense: the linear layers after pooling, folders in order.
        query_prompt: the text in front of each query.
        passage_prompt: the text in front of each passage.
        width: of an embedding.
        longest: tokens of the longest text that the model has positions for.
        usual_length: tokens that sentence-transformers keeps of a text.
        truncate_dim: leading dimensions that sentence-transformers keeps of an embedding.
        own_code: ``auto_map`` of the model or its tokenizer: Python code that belongs to the model.
    """

    path: Path
    config: dict[str, Any]
    pooling: str | None
    normalize: bool | None
    dense: tuple[Path, ...]
    query_prompt: str | None
    passage_prompt: str | None
    width: int
    longest: int | None
    usual_length: int | None
    own_code: dict[str, Any]
    truncate_dim: int | None


def read(folder: Path) -> ModelFolder:
    """Read the statements of a model folder.

    Raises:
        DataError: a file is damaged, or ``modules.json`` names a layer that mdrbench does not apply.
    """
    config = read_json(folder / "config.json")
    modules = _modules(folder)
    described = optional_json(folder / "config_sentence_transformers.json")
    query, passage = _prompts(described)
    longest = _longest(config)
    return ModelFolder(
        path=folder,
        config=config,
        pooling=_pooling(modules["Pooling"][0]) if "Pooling" in modules else None,
        normalize=_normalize(modules, described),
        dense=tuple(modules.get("Dense", ())),
        query_prompt=query,
        passage_prompt=passage,
        width=_width(folder, config, modules),
        longest=longest,
        usual_length=_usual_length(folder, longest),
        own_code=own_code(folder),
        truncate_dim=described.get("truncate_dim"),
    )


def stated_length(folder: Path) -> int | None:
    """Return the tokens that sentence-transformers keeps of a text; None if no file states it."""
    return _usual_length(folder, _longest(read_json(folder / "config.json")))


def own_code(folder: Path) -> dict[str, Any]:
    """Return what of a folder is Python code of its own: ``auto_map``, and layers of ``modules.json`` by their path."""
    found: dict[str, Any] = {}
    for name in ("config.json", "tokenizer_config.json"):
        found.update(optional_json(folder / name).get("auto_map") or {})
    for kind, place in _layers(folder / "modules.json"):
        if not kind.startswith("sentence_transformers."):
            found[place or "."] = kind
    return found


def check_consent(
    consent: str | None, own_code: dict[str, Any], folder: Path, revision: str, instead: str = ""
) -> None:
    """Raise a UsageError unless the consent names the revision of a model that has Python code of its own.

    Args:
        consent: the recipe's ``trust_remote_code``.
        own_code: the model's classes of its own, by place.
        revision: of the model on this disk.
        instead: another way, for the error of a missing consent.
    """
    if not own_code:
        if consent is not None:
            raise UsageError(
                "trust_remote_code is set, but the model has no code of its own",
                where=str(folder),
                mend="leave trust_remote_code out",
            )
        return
    if consent is None:
        raise UsageError(
            "the model has Python code of its own (auto_map), which may compute something else than transformers does",
            where=str(folder),
            mend=f"read the code and allow it with trust_remote_code: {revision}{instead}",
        )
    if consent != revision:
        raise UsageError(
            f"trust_remote_code allows the code of revision {consent}, but the model is at {revision}",
            where=str(folder),
            mend=f"read the code of this revision, then set trust_remote_code: {revision}",
        )
    if elsewhere := sorted(name for name in _classes(own_code) if "--" in name):
        raise UsageError(
            f"the model's code lies in another repository ({elsewhere[0].partition('--')[0]}), which no revision pins",
            where=str(folder),
            mend="copy the code into the model's folder and correct auto_map",
        )


def _classes(own_code: dict[str, Any]) -> list[str]:
    """The classes of an ``auto_map``: values are names, or pairs of names for a slow and a fast tokenizer."""
    names = [name for value in own_code.values() for name in (value if isinstance(value, list) else [value])]
    return [name for name in names if isinstance(name, str)]


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; a DataError where the file is missing or damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError("the file is missing", where=str(path), mend="give the folder of a complete model") from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"the file cannot be read: {error}", where=str(path), mend="download the model again") from None
    if not isinstance(value, dict):
        raise DataError("the file holds no JSON object", where=str(path), mend="download the model again")
    return value


def optional_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; empty if there is no such file."""
    return read_json(path) if path.is_file() else {}


def _modules(folder: Path) -> dict[str, list[Path]]:
    """Return the class of each layer without its package -> the folders of the layers of that class, in order."""
    path = folder / "modules.json"
    layers = [(kind.rsplit(".", 1)[-1], place) for kind, place in _layers(path)]
    kinds = [kind for kind, _ in layers]
    if kinds and (kinds[0] != "Transformer" or layers[0][1] not in ("", ".")):
        raise DataError(
            f"the first layer is {kinds[0]} in '{layers[0][1]}', and not a Transformer in the model's own folder",
            where=str(path),
            mend="choose another model",
        )
    _check_order(path, kinds)
    modules: dict[str, list[Path]] = {}
    for kind, place in layers:
        modules.setdefault(kind, []).append(folder / place)
    for layer in modules.get("Dense", ()):
        check_dense(layer)
    return modules


def _layers(path: Path) -> list[tuple[str, str]]:
    """Return class and folder of each layer in ``modules.json``; empty if there is no such file."""
    if not path.is_file():
        return []
    try:
        return [(str(row["type"]), str(row["path"])) for row in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(
            f"the file cannot be read: {error!r}", where=str(path), mend="download the model again"
        ) from None


def _check_order(path: Path, kinds: list[str]) -> None:
    """Allow Transformer, Pooling, any number of Dense, Normalize; name the first layer that does not fit."""
    order = ("Transformer", "Pooling", "Dense", "Normalize")
    last = -1
    for number, kind in enumerate(kinds):
        at = order.index(kind) if kind in order else -1
        if at < last or at == -1 or (at == last and kind != "Dense"):
            raise DataError(
                f"layer {number} is {kind}, which mdrbench does not apply at this place",
                where=str(path),
                mend=OTHER_MODEL,
            )
        last = at
    if kinds and "Pooling" not in kinds:
        raise DataError(
            "there is no layer Pooling", where=str(path), mend="choose a model that gives one vector a text"
        )


def _pooling(folder: Path) -> str:
    path = folder / "config.json"
    config = read_json(path)
    modes = config.get("pooling_mode") or [mode for flag, mode in FLAGS.items() if config.get(flag)] or "mean"
    modes = [modes] if isinstance(modes, str) else list(modes)
    if len(modes) != 1 or modes[0] not in POOLING:
        raise DataError(f"pooling by {' and '.join(map(str, modes))} is not applied", where=str(path), mend=OTHER_MODEL)
    if config.get("include_prompt") is False:
        raise DataError(
            "include_prompt is false: pooling without the prompt is not applied", where=str(path), mend=OTHER_MODEL
        )
    return POOLING[modes[0]]


def check_dense(folder: Path) -> dict[str, Any]:
    """Return the configuration of a linear layer; a DataError where it does more than weights, bias and activation."""
    path = folder / "config.json"
    config = read_json(path)
    names = (config.get("module_input_name"), config.get("module_output_name"))
    if config.get("use_residual") or any(name not in (None, "sentence_embedding") for name in names):
        raise DataError("a Dense layer of this kind is not applied", where=str(path), mend=OTHER_MODEL)
    return config


def _normalize(modules: dict[str, list[Path]], described: dict[str, Any]) -> bool | None:
    """True with a layer Normalize, False without one where the similarity is the inner product, else not stated."""
    if "Normalize" in modules:
        return True
    return False if modules and described.get("similarity_fn_name") in ("dot", "dot_product") else None


def _prompts(described: dict[str, Any]) -> tuple[str | None, str | None]:
    """The prompts that ``encode_query`` and ``encode_document`` put in front; sentence-transformers also writes empty
    prompts for models that have none, so that empty prompts alone state nothing."""
    prompts = described.get("prompts") or {}
    if not any(prompts.values()):
        return None, None
    default = prompts.get(described.get("default_prompt_name"))
    passage = next((prompts[name] for name in ("document", "passage", "corpus") if name in prompts), default)
    return prompts.get("query", default), passage


def _width(folder: Path, config: dict[str, Any], modules: dict[str, list[Path]]) -> int:
    layers = modules.get("Dense", [])
    source = check_dense(layers[-1]) if layers else config
    name = next((name for name in (("out_features",) if layers else WIDTHS) if isinstance(source.get(name), int)), None)
    if name is None:
        raise DataError("the width of an embedding is not stated", where=str(folder), mend="choose another model")
    return int(source[name])


def _longest(config: dict[str, Any]) -> int | None:
    found = next((config[name] for name in POSITIONS if isinstance(config.get(name), int)), None)
    if found is None or config.get("model_type") not in POSITIONS_AFTER_PADDING:
        return found
    return int(found - (config.get("pad_token_id", 1) or 0) - 1)


def _usual_length(folder: Path, longest: int | None) -> int | None:
    """``max_seq_length``, else the tokenizer's ``model_max_length``; never more than the model has positions for."""
    stated = optional_json(folder / "sentence_bert_config.json").get("max_seq_length")
    if stated is None:
        stated = optional_json(folder / "tokenizer_config.json").get("model_max_length")
    lengths = [length for length in (stated, longest) if isinstance(length, int)]
    return min(lengths, default=None)
