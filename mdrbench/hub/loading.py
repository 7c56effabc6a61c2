"""Load a transformer strictly: every weight comes from the folder, and every weight in the folder is used.

transformers fills a layer that the folder lacks with random numbers and ignores a layer that it does not know; both
give an embedding that nobody can repeat. Here both are errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdrbench.core.errors import DataError, MdrbenchError, SetupError, UsageError
from mdrbench.hub.model_folder import check_dense, optional_json, read_json

if TYPE_CHECKING:
    import torch

COMPLETE = "download the model again, or give the folder of a complete one"
ACTIVATIONS = ("Identity", "Tanh", "ReLU", "GELU", "SiLU", "Sigmoid")
"""Classes of torch that a linear layer may end with."""

VOCABULARIES = ("tokenizer.json", "vocab.*", "*.model", "*.tiktoken")
"""Files of which a tokenizer needs at least one: without any, transformers makes an empty tokenizer."""

SHOWN = 3
"""Weights that an error names."""


def dtype(precision: str) -> torch.dtype:
    """Return a resolved precision (``fp32``, ``bf16``, ``fp16``) as torch has it."""
    import torch

    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def free_memory() -> None:
    """Give a GPU's memory back that torch keeps for later."""
    import torch

    if torch.accelerator.is_available():
        torch.accelerator.empty_cache()


def load_config(folder: Path, *, own_code: bool = False) -> Any:
    """Return the ``PretrainedConfig`` of a folder.

    Raises:
        DataError: the configuration cannot be read, or is that of an encoder-decoder.
    """
    from transformers import AutoConfig

    with errors(folder, "the configuration"):
        config = AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=own_code)
    if getattr(config, "is_encoder_decoder", False):
        raise DataError(
            f"'{config.model_type}' is an encoder with a decoder, which gives no embedding of a text",
            where=str(folder),
            mend="choose an encoder or a decoder",
        )
    return config


def load_tokenizer(folder: Path, *, own_code: bool = False) -> Any:
    """Return the tokenizer of a folder; a DataError where it has none that can be read.

    It lowers the case of texts if ``sentence_bert_config.json`` says so, as sentence-transformers does.
    """
    from transformers import AutoTokenizer

    if not own_code and not any(path for name in VOCABULARIES for path in folder.glob(name)):
        raise DataError("the folder holds no tokenizer", where=str(folder), mend=COMPLETE)
    with errors(folder, "the tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=own_code)
    if optional_json(folder / "sentence_bert_config.json").get("do_lower_case"):
        from tokenizers import normalizers

        backend = tokenizer.backend_tokenizer
        present = [backend.normalizer] if backend.normalizer is not None else []
        backend.normalizer = normalizers.Sequence([normalizers.Lowercase(), *present])
    return tokenizer


def load_model(folder: Path, class_name: str = "AutoModel", *, own_code: bool = False, **settings: Any) -> Any:
    """Return a model whose weights are exactly those of the folder.

    Args:
        class_name: a class of transformers with ``from_pretrained``.
        settings: for ``from_pretrained``: ``config``, ``dtype``, ``attn_implementation`` ...

    Raises:
        DataError: the files cannot be read, a weight is missing, or one is left over.
        SetupError: there is too little memory.
    """
    import transformers

    kind = getattr(transformers, class_name)
    with errors(folder, "the model"):
        model, report = kind.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=own_code, output_loading_info=True, **settings
        )
    _check_weights(folder, model, report)
    return model


def with_adapter(model: Any, folder: Path) -> Any:
    """Return the model with the weights of a LoRA adapter of peft added to its own.

    Raises:
        DataError: the folder holds no adapter, or one that does not fit the model.
    """
    import warnings

    with errors(folder, "the adapter"), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers for a renamed attribute
        from peft import PeftModel

        if not (folder / "adapter_config.json").is_file():
            raise DataError("there is no adapter in this folder", where=str(folder), mend=COMPLETE)
        return PeftModel.from_pretrained(model, str(folder)).merge_and_unload()


def check_weights(folder: Path, class_name: str, *, own_code: bool = False) -> None:
    """Raise the DataError of :func:`load_model` without reading the weights: only names and shapes are compared."""
    load_model(folder, class_name, own_code=own_code, device_map="meta")


def class_of(folder: Path) -> str:
    """Return the class that ``config.json`` names; a DataError where transformers has no such class."""
    import transformers

    config = read_json(folder / "config.json")
    name = str((config.get("architectures") or ["AutoModel"])[0])
    if config.get("auto_map") or not hasattr(transformers, name):
        raise DataError(
            f"the model is {name}, which needs Python code of its own", where=str(folder), mend="choose another model"
        )
    return name


def _check_weights(folder: Path, model: Any, report: dict[str, Any]) -> None:
    missing = sorted(name for name in report["missing_keys"] if not _pooler(name))
    if missing:
        raise DataError(f"the model lacks {_named(missing)}", where=str(folder), mend=COMPLETE)
    left = sorted(name for name in report["unexpected_keys"] if not _pooler(name) and not _head(name, model))
    if left:
        raise DataError(
            f"the model has no place for {_named(left)}",
            where=str(folder),
            mend="config.json does not describe these weights: correct it, or " + COMPLETE,
        )
    if report["mismatched_keys"] or report["error_msgs"]:
        raise DataError("weights have other shapes than config.json says", where=str(folder), mend=COMPLETE)


def _named(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{len(names)} weight{'s' * (len(names) > 1)}: {', '.join(names[:SHOWN])}{more}"


def _pooler(name: str) -> bool:
    """Whether a weight is of the pooler, which no embedding here goes through."""
    return "pooler" in name.split(".")


def _head(name: str, model: Any) -> bool:
    """Whether a weight belongs to a head for another task (masked language modelling), which is not used here."""
    architectures = getattr(model.config, "architectures", None) or [type(model).__name__]
    parts = {*dict(model.named_children()), model.base_model_prefix}
    return type(model).__name__ not in architectures and name.partition(".")[0] not in parts


@contextmanager
def errors(folder: Path, what: str) -> Iterator[None]:
    """Keep transformers quiet, and turn whatever it raises about the folder into a DataError."""
    import transformers

    logging: Any = transformers.utils.logging
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    except MdrbenchError:
        raise
    except MemoryError:
        raise SetupError(
            "there is too little memory to load the model",
            where=str(folder),
            mend="choose a smaller model, or free memory",
        ) from None
    except ImportError as error:
        raise SetupError(f"{what} needs a package: {error}", where=str(folder), mend="install the package") from None
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{what} cannot be loaded: {reason[:500]}", where=str(folder), mend=COMPLETE) from error
    finally:
        logging.set_verbosity(verbosity)


def load_dense(folder: Path) -> Any:
    """Return a linear layer of sentence-transformers (``2_Dense``) with its activation, in fp32.

    Raises:
        DataError: a file is missing, the weights do not fit, or the activation is not known.
    """
    import torch

    config = check_dense(folder)
    name = str(config.get("activation_function", "torch.nn.modules.activation.Tanh")).rsplit(".", 1)[-1]
    if name not in ACTIVATIONS:
        raise DataError(
            f"the activation {name} is not applied", where=str(folder), mend=f"known: {', '.join(ACTIVATIONS)}"
        )
    with errors(folder, "the layer"):
        linear = torch.nn.Linear(config["in_features"], config["out_features"], bias=config.get("bias", True))
        linear.load_state_dict({key.removeprefix("linear."): value for key, value in _weights(folder).items()})
    return torch.nn.Sequential(linear.float(), getattr(torch.nn, name)()).eval()


def _weights(folder: Path) -> dict[str, Any]:
    import torch
    from safetensors.torch import load_file

    if (folder / "model.safetensors").is_file():
        return dict(load_file(folder / "model.safetensors"))
    return dict(torch.load(folder / "pytorch_model.bin", map_location="cpu", weights_only=True))


# -- what a recipe may ask of a folder ---------------------------------------------------------------------------------


def is_decoder(config: Any) -> bool:
    """Whether each token of a model with this ``PretrainedConfig`` sees only the tokens before it."""
    from transformers.models.auto import modeling_auto

    kinds = modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    masked = modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    both_ways = getattr(config, "is_causal", None) is False or getattr(config, "use_bidirectional_attention", False)
    return config.model_type in kinds and config.model_type not in masked and not both_ways


def check_first_token(config: Any, folder: Path) -> None:
    """Raise a UsageError where first-token pooling gives every text the same embedding."""
    if is_decoder(config):
        raise UsageError(
            f"'{config.model_type}' is a decoder: its first token does not see the rest of the text",
            where=str(folder),
            mend="use pooling: last-token or mean, as the model was trained",
        )
