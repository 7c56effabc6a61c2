"""The contrastive loss: InfoNCE over a batch's passages, with weights (van den Oord et al. 2018; Huang et al. 2025).

For query i with positive p and similarity s to each passage j of the batch::

    loss_i = -log( exp(s_ip / t) / (exp(s_ip / t) + sum over negatives j of w_j exp(s_ij / t)) )

Negatives are all passages of the batch: hard negatives and those of other queries. Other positives of query i, and
passages with the text of a positive, are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def contrastive(
    queries: torch.Tensor,
    passages: torch.Tensor,
    targets: torch.Tensor,
    ignored: torch.Tensor,
    *,
    temperature: float,
    similarity: str,
    negative_weights: torch.Tensor | None = None,
    example_weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the mean loss over the queries, a scalar.

    Args:
        queries: (B, dim).
        passages: (P, dim).
        targets: (B,), the row of each query's positive among the passages.
        ignored: (B, P), true if a passage is neither the query's target nor a negative of it.
        similarity: ``cosine`` or ``dot``.
        negative_weights: (P,), positive: w_j above, the weight of each passage as a negative.
        example_weights: (B,): factors of the queries' losses, applied before the mean over B.
    """
    import torch
    from torch.nn.functional import cross_entropy, one_hot

    logits = similarities(queries, passages, similarity) / temperature  # (B, P)
    if negative_weights is not None:
        own = one_hot(targets, len(passages)).bool()
        logits = logits + torch.where(own, 0.0, negative_weights.log())
    losses = cross_entropy(logits.masked_fill(ignored, float("-inf")), targets, reduction="none")  # (B,)
    return (losses if example_weights is None else losses * example_weights).mean()


def similarities(queries: torch.Tensor, passages: torch.Tensor, similarity: str) -> torch.Tensor:
    """Return the similarities (B, P) of queries (B, dim) and passages (P, dim), float32."""
    from torch.nn.functional import normalize

    queries, passages = queries.float(), passages.float()
    if similarity == "cosine":
        queries, passages = normalize(queries, dim=-1), normalize(passages, dim=-1)
    return queries @ passages.T
