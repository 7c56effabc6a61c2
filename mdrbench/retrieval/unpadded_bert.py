"""Run BERT without padding over texts that are laid end to end; gradients and dropout work.

A batch is one row of tokens: embeddings, linear layers, norms and dropout see a matrix of shape (tokens, dim) and
compute nothing for padding. Texts of one length lie side by side, and each group of one length goes through scaled dot
product attention without a mask. Tensors are split and joined in one operation each, so that the backward pass does not
copy the whole row for every group. transformers' ``AttentionInterface`` calls this attention.

This works for architectures that mix tokens only in attention and have a position embedding for each token: BERT and
its relatives (:func:`suits`). For other architectures the callers pad.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import torch

FIRST_POSITION = {"bert": None, "roberta": "pad", "xlm-roberta": "pad", "camembert": "pad"}
"""Architectures that were tested -> where their positions start: at 0 (None), or after the padding's index."""

ATTENTION = "mdrbench-packed"


def suits(config: Any) -> bool:
    """Whether a model with this configuration (a ``PretrainedConfig``) computes the same without padding."""
    return (
        config.model_type in FIRST_POSITION
        and (FIRST_POSITION[config.model_type] is None or config.pad_token_id is not None)
        and not getattr(config, "is_decoder", False)
        and not getattr(config, "chunk_size_feed_forward", 0)
        and getattr(config, "position_embedding_type", "absolute") == "absolute"
    )


def register() -> str:
    """Register the attention with transformers; return its name for ``attn_implementation``."""
    from transformers import AttentionInterface

    AttentionInterface.register(ATTENTION, _attention)
    return ATTENTION


def hidden_states(model: Any, rows: list[np.ndarray]) -> list[torch.Tensor]:
    """Return the last hidden states of a batch, one tensor of shape (texts, length, dim) for each length.

    Args:
        model: loaded with :func:`register`'s attention.
        rows: token ids of each text, sorted by length, so that texts of one length are neighbours.
    """
    import numpy as np
    import torch

    groups = [torch.from_numpy(np.stack(list(same))).long() for _, same in groupby(rows, key=len)]
    shapes = [tuple(group.shape) for group in groups]
    ids = torch.cat([group.flatten() for group in groups]).unsqueeze(0).to(model.device)  # (1, tokens)
    positions = torch.cat([_positions(model.config, group).flatten() for group in groups]).unsqueeze(0)
    hidden: torch.Tensor = model(
        input_ids=ids, position_ids=positions.to(model.device), shapes=shapes
    ).last_hidden_state[0]
    parts = torch.split(hidden, [count * length for count, length in shapes])  # each (texts * length, dim)
    return [part.reshape(*shape, part.shape[-1]) for part, shape in zip(parts, shapes, strict=True)]


def _positions(config: Any, ids: torch.Tensor) -> torch.Tensor:
    """Return the positions that the model itself would give these ids; both of shape (texts, length)."""
    import torch

    if FIRST_POSITION[config.model_type] is None:
        return torch.arange(ids.shape[1]).expand(ids.shape)
    mask = ids.ne(config.pad_token_id).long()  # a text may spell the padding token out
    positions: torch.Tensor = mask.cumsum(dim=1) * mask + config.pad_token_id
    return positions


def _attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: None,
    *,
    scaling: float,
    shapes: list[tuple[int, int]],
    dropout: float = 0.0,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attend within each text; query, key and value have shape (1, heads, tokens, head dim)."""
    import torch

    sizes = [count * length for count, length in shapes]
    parts = (
        torch.split(x[0].transpose(0, 1), sizes) for x in (query, key, value)
    )  # each (texts * length, heads, head dim)
    found = []
    for shape, *qkv in zip(shapes, *parts, strict=True):
        q, k, v = (x.unflatten(0, shape).transpose(1, 2) for x in qkv)  # (texts, heads, length, head dim)
        out = torch.nn.functional.scaled_dot_product_attention(q, k, v, dropout_p=dropout, scale=scaling)
        found.append(out.transpose(1, 2).flatten(0, 1))
    return torch.cat(found).unsqueeze(0), None  # (1, tokens, heads, head dim)
