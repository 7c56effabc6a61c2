"""Losses that teach a batch's teacher scores, instead of or beside the contrastive loss.

``kl`` compares distributions over the passages of the batch: with teacher scores t and student similarities s::

    loss_i = sum over passages j of p_ij (log p_ij - log q_ij),  p_i = softmax(t_i / teacher_temperature),
                                                                 q_i = softmax(s_i / temperature)

``margin-mse`` compares margins over the negatives (Hofstätter et al. 2020), in units of the temperature::

    loss_i = mean over negatives j of (((s_ip - s_ij) - (t_ip - t_ij)) / temperature)^2

Passages that the contrastive loss leaves out are left out here too, and passages without a score of the teacher. A
query whose positive (``margin-mse``) or whose passages (``kl``) have no score adds 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from mdrbench.core.members import MemberConfig

if TYPE_CHECKING:
    import torch


class Distillation(MemberConfig):
    """How the teacher's scores are learned; the teacher is ``training.teacher``."""

    loss: Literal["kl", "margin-mse"] = "kl"
    weight: float = Field(default=0.5, gt=0, le=1, description="of this loss; the contrastive loss has the rest")
    teacher_temperature: float = Field(default=0.02, gt=0, description="kl: divides the teacher's scores")


def distilled(
    similarities: torch.Tensor,
    scores: torch.Tensor,
    targets: torch.Tensor,
    ignored: torch.Tensor,
    *,
    settings: Distillation,
    temperature: float,
) -> torch.Tensor:
    """Return the mean loss over the queries, a scalar.

    Args:
        similarities: (B, P), of the student, not divided by the temperature.
        scores: (B, P), of the teacher; NaN for a pair without a score.
        targets: (B,), the column of each query's positive.
        ignored: (B, P), true for passages without a term.
    """
    import torch

    unknown = scores.isnan()
    scores, ignored = scores.masked_fill(unknown, 0.0), ignored | unknown
    if settings.loss == "margin-mse":
        rows = torch.arange(len(targets), device=targets.device)
        margins = [matrix[rows, targets].unsqueeze(1) - matrix for matrix in (similarities, scores)]  # (B, P)
        negative = ~ignored
        negative[rows, targets] = False
        negative &= ~unknown[rows, targets].unsqueeze(1)
        squares = ((margins[0] - margins[1]) / temperature).square() * negative
        return (squares.sum(1) / negative.sum(1).clamp(min=1)).mean()
    hidden = ignored & ~ignored.all(1, keepdim=True)  # a row that is left out whole would make its gradient nan
    log_q = (similarities / temperature).masked_fill(hidden, float("-inf")).log_softmax(1)
    log_p = (scores / settings.teacher_temperature).masked_fill(hidden, float("-inf")).log_softmax(1)
    terms = log_p.exp() * (log_p - log_q)
    return terms.masked_fill(ignored, 0.0).sum(1).mean()  # the products of left-out passages are 0 * nan
