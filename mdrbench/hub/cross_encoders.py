"""Cross-encoders: models that read two texts together and score the pair."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mdrbench.core.errors import DataError
from mdrbench.hub import loading
from mdrbench.hub.model_folder import optional_json, read_json

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

CHOOSE = "choose a cross-encoder with one score, such as BAAI/bge-reranker-v2-m3"


def check_head(folder: Path) -> None:
    """Raise a DataError if, by its JSON files, a model has no head that scores pairs, or gives several scores.

    A head that the folder lacks would get random weights.
    """
    if optional_json(folder / "config_sentence_transformers.json").get("model_type") == "CrossEncoder":
        return
    config = read_json(folder / "config.json")
    kind = str((config.get("architectures") or ["unknown"])[0])
    if kind.endswith("ForSequenceClassification"):
        _check_scores(len(config.get("id2label", (0, 1))), folder)
    elif not kind.endswith("ForCausalLM"):
        raise DataError(f"the model is {kind}, which has no head that scores pairs", where=str(folder), mend=CHOOSE)


def _check_scores(scores: int, folder: Path) -> None:
    if scores != 1:
        raise DataError(f"the model gives {scores} scores for a pair", where=str(folder), mend=CHOOSE)


@lru_cache(maxsize=1)
def load(
    folder: Path,
    *,
    precision: str,
    device: str,
    length: int,
    activation: Literal["sigmoid", "none"] = "none",
    own_code: bool = False,
) -> CrossEncoder:
    """Load a cross-encoder. The last model is kept, so that the steps of a run load it once.

    Args:
        precision: ``fp32``, ``bf16`` or ``fp16``.
        length: most tokens of a pair.
        own_code: the model's own Python code may run. Its head and weights cannot be checked before they are loaded.

    Raises:
        DataError: the folder holds no cross-encoder with one score for a pair, or its weights do not fit.
    """
    if not own_code:
        check_head(folder)
        loading.check_weights(folder, loading.class_of(folder))
    with loading.errors(folder, "the cross-encoder"):
        import torch
        from sentence_transformers import CrossEncoder

        model: CrossEncoder = CrossEncoder(
            str(folder),
            device=device,
            local_files_only=True,
            trust_remote_code=own_code,
            max_length=length,
            model_kwargs={"dtype": loading.dtype(precision)},
            activation_fn=torch.nn.Sigmoid() if activation == "sigmoid" else torch.nn.Identity(),
        )
    _check_scores(model.num_labels, folder)
    return model
