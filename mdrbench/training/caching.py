"""Gradients of a loss over all embeddings of a batch, with limited memory (Gao et al. 2021, GradCache).

Without caching, the whole batch goes through the model once, and its activations are kept. With caching, every piece
goes through without activations; the loss gives each embedding its gradient; then every piece goes through again, with
the same dropout, and the embeddings' gradients continue to the weights. The gradient is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import torch

    Rows = list[np.ndarray]
    Embed = Callable[[Rows, list[int]], torch.Tensor]
    Loss = Callable[[list[torch.Tensor]], torch.Tensor]
    Backward = Callable[[torch.Tensor], None]


class Side(NamedTuple):
    """Texts that are embedded alike, their passes through the model (positions of texts), and a seed for each text."""

    rows: Rows
    pieces: list[list[int]]
    seeds: list[int]

    def passes(self) -> list[tuple[Rows, list[int]]]:
        """Return the texts of each pass with their seeds."""
        return [([self.rows[i] for i in piece], [self.seeds[i] for i in piece]) for piece in self.pieces]

    def in_order(self, parts: list[torch.Tensor], empty: torch.Tensor) -> torch.Tensor:
        """Return embeddings (len(rows), dim) in the order of ``rows``; ``parts`` are those of the passes."""
        import torch

        if not parts:
            return empty.clone().requires_grad_()
        place = torch.empty(len(self.rows), dtype=torch.long)
        place[[i for piece in self.pieces for i in piece]] = torch.arange(len(self.rows))
        return torch.cat(parts).index_select(0, place.to(parts[0].device))


def plain(embed: Embed, sides: list[Side], empty: torch.Tensor, loss: Loss, backward: Backward) -> torch.Tensor:
    """Compute gradients with all activations in memory; return the loss, detached. ``empty``: a tensor (0, dim)."""
    value = loss([side.in_order([embed(*texts) for texts in side.passes()], empty) for side in sides])
    backward(value)
    return value.detach()


def cached(embed: Embed, sides: list[Side], empty: torch.Tensor, loss: Loss, backward: Backward) -> torch.Tensor:
    """Compute the same gradients with the activations of one pass in memory; return the loss, detached."""
    import torch

    embeddings: list[torch.Tensor] = []
    for side in sides:
        with torch.no_grad():
            parts = [embed(*texts) for texts in side.passes()]
        embeddings.append(side.in_order(parts, empty).requires_grad_())
    value = loss(embeddings)
    backward(value)
    for side, embedding in zip(sides, embeddings, strict=True):
        for piece, texts in zip(side.pieces, side.passes(), strict=True):
            torch.autograd.backward(embed(*texts), _gradient(embedding)[piece])
    return value.detach()


def _gradient(embeddings: torch.Tensor) -> torch.Tensor:
    """Return the gradient (texts, dim) of the loss; zeros if the loss does not depend on the embeddings."""
    import torch

    return torch.zeros_like(embeddings) if embeddings.grad is None else embeddings.grad
