"""Several processes that train as one: joint embeddings and joint gradients.

Every process computes the loss of the whole batch from the embeddings of all, with gradients for its own embeddings
only. What it adds to the weights' gradients is the share that goes through its own texts, and the sum over the
processes is the gradient of the loss: nothing is approximated, and no gradient is lost in the exchange.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch

Value = TypeVar("Value")


def of_first(value: Value, processes: int) -> Value:
    """Return the first process's value: a file system on a network may show machines different lists of files."""
    import torch

    values = [value]
    if processes > 1:
        torch.distributed.broadcast_object_list(values)
    return values[0]


def joint(own: torch.Tensor, sizes: list[int], rank: int) -> torch.Tensor:
    """The embeddings of all processes (sum of ``sizes``, dim) in the order of the ranks; ``own`` keeps its gradient.

    Args:
        own: (sizes[rank], dim).
        sizes: how many rows each process has.
    """
    import torch

    if len(sizes) == 1:
        return own
    padded = own.new_zeros(max(sizes), own.shape[1])
    padded[: len(own)] = own.detach()
    parts = [torch.empty_like(padded) for _ in sizes]
    torch.distributed.all_gather(parts, padded)
    return torch.cat([own if i == rank else parts[i][:size] for i, size in enumerate(sizes)])


def add_gradients(parameters: Iterable[torch.nn.Parameter], processes: int) -> None:
    """Replace each parameter's gradient by the sum over the processes."""
    import torch

    if processes == 1:
        return
    for parameter in parameters:
        if parameter.grad is None:  # a process without a text of its own
            parameter.grad = torch.zeros_like(parameter)
        torch.distributed.all_reduce(parameter.grad)
