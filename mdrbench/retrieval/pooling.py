"""Pooling: the vectors of a text's tokens become one vector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

Pooling = Literal["mean", "cls", "max", "weighted-mean", "last-token"]
"""``weighted-mean`` gives token i (from 1) the weight i (Muennighoff 2022, SGPT); ``cls`` takes the first token."""


def pool(hidden: torch.Tensor, mask: torch.Tensor, pooling: Pooling) -> torch.Tensor:
    """Pool padded texts; float32 vectors of shape (texts, dim).

    Args:
        hidden: (texts, length, dim).
        mask: (texts, length): 1 at the tokens of a text, which come first, and 0 at the padding behind them.
    """
    import torch

    if pooling == "cls":
        return hidden[:, 0].float()
    if pooling == "last-token":
        return hidden[torch.arange(len(hidden), device=hidden.device), mask.sum(dim=1) - 1].float()
    mask = mask.unsqueeze(-1)  # (texts, length, 1)
    if pooling == "max":
        return hidden.float().masked_fill(mask == 0, -torch.inf).amax(dim=1)
    if pooling == "weighted-mean":
        mask = mask * torch.arange(1, mask.shape[1] + 1, device=hidden.device).unsqueeze(-1)
    return (hidden.float() * mask).sum(dim=1) / mask.sum(dim=1)


def pool_whole(hidden: torch.Tensor, pooling: Pooling) -> torch.Tensor:
    """Pool texts of one length without padding, hidden of shape (texts, length, dim); as :func:`pool` does."""
    import torch

    if pooling == "mean":
        return hidden.float().mean(dim=1)
    if pooling == "cls":
        return hidden[:, 0].float()
    return pool(hidden, torch.ones(hidden.shape[:2], dtype=torch.long, device=hidden.device), pooling)
