"""A BERT over passages of any lengths laid end to end, without padding.

A batch is one row of tokens: embeddings, linear layers and norms see it as a matrix of shape (tokens, dim) and compute
nothing for padding. Only attention must know where a passage ends: passages of one length lie side by side, and each
such group goes through scaled dot product attention without a mask. The model's own layers do the rest; attention is
put in through transformers' ``AttentionInterface``.

For architectures whose layers mix tokens in attention alone, with a position embedding for each token: BERT and its
relatives. Others go through the padded path.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

FIRST_POSITION = {"bert": None, "roberta": "pad", "xlm-roberta": "pad", "camembert": "pad"}
"""Architectures that are known to be right, and where their positions start: at 0, or behind the padding's index."""

ATTENTION = "mdrbench-flat"


def suits(config: Any) -> bool:
    """Whether a model with this configuration (a ``PretrainedConfig``) gives the same embeddings without padding."""
    return (
        config.model_type in FIRST_POSITION
        and not getattr(config, "is_decoder", False)
        and not getattr(config, "chunk_size_feed_forward", 0)
        and getattr(config, "position_embedding_type", "absolute") == "absolute"
    )


def register() -> str:
    """Make the attention known to transformers; its name, for ``attn_implementation``."""
    from transformers import AttentionInterface

    AttentionInterface.register(ATTENTION, _attention)
    return ATTENTION


def hidden_states(model: torch.nn.Module, batch: list[list[int]]) -> list[torch.Tensor]:
    """The last hidden states of a batch of token ids, one tensor of shape (passages, length, dim) a length.

    Args:
        model: loaded with :func:`register`'s attention.
        batch: sorted by length, so that passages of one length are neighbours.
    """
    import torch

    groups = [torch.tensor(list(rows), device=model.device) for _, rows in groupby(batch, key=len)]
    shapes = [tuple(group.shape) for group in groups]
    row = torch.cat([group.flatten() for group in groups]).unsqueeze(0)  # (1, tokens)
    positions = torch.cat([_positions(model.config, group).flatten() for group in groups]).unsqueeze(0)
    hidden = model(input_ids=row, position_ids=positions, shapes=shapes).last_hidden_state[0]  # (tokens, dim)
    parts = hidden.split([count * length for count, length in shapes])
    return [part.unflatten(0, shape) for part, shape in zip(parts, shapes, strict=True)]


def _positions(config: Any, ids: torch.Tensor) -> torch.Tensor:
    """The positions that the model itself would give these ids; both of shape (passages, length)."""
    import torch

    if FIRST_POSITION[config.model_type] is None:
        return torch.arange(ids.shape[1], device=ids.device).expand(ids.shape)
    mask = ids.ne(config.pad_token_id).int()  # a text may spell the padding token out
    return mask.cumsum(dim=1) * mask + config.pad_token_id


def _attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: None,
    *,
    scaling: float,
    shapes: list[tuple[int, int]],
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention within each passage; query, key and value of shape (1, heads, tokens, head dim)."""
    import torch

    out = torch.empty_like(query.transpose(1, 2))  # (1, tokens, heads, head dim)
    start = 0
    for count, length in shapes:
        part = slice(start, start + count * length)
        q, k, v = (x[0, :, part].unflatten(1, (count, length)).transpose(0, 1) for x in (query, key, value))
        found = torch.nn.functional.scaled_dot_product_attention(q, k, v, scale=scaling)  # (count, heads, length, ..)
        out[0, part].unflatten(0, (count, length)).copy_(found.transpose(1, 2))
        start = part.stop
    return out, None
