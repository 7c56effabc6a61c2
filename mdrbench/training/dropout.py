"""Dropout that is drawn for each text by itself, so that how a batch is cut changes nothing.

PyTorch draws the dropout of a whole pass from one stream of random numbers: the mask of a text then depends on the
texts beside it, on padding, on the size of a piece and on the process. Here each text has a seed of its own. The mask
of a text follows from its seed and from how many dropouts its pass went through before. Two processes, gradient
caching, gradient checkpointing and the path without padding therefore train the same model, up to rounding.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from collections.abc import Callable

STRIDE = 0x9E3779B97F4A7C15
"""Added to a text's seed at each dropout: an odd constant, so that no seed comes twice."""


def text_seed(seed: int, step: int, side: int, position: int) -> int:
    """Return the seed of a text: the text at a position in the joint batch of all processes at a step.

    Args:
        side: 0 for queries, 1 for passages.
    """
    return int.from_bytes(hashlib.sha256(f"{seed}:{step}:{side}:{position}".encode()).digest()[:8], "big") >> 1


class TextDropout(TorchFunctionMode):
    """While active, replaces dropout and the dropout of attention in one pass.

    Attributes:
        by_text: False once a tensor was met whose layout is not known: its mask is drawn for the whole pass.

    Args:
        seeds: one for each text of the pass.
        lengths: tokens of each text.
        packed: whether the texts lie end to end, shape (1, tokens, dim), or padded on the right, (texts, length, dim).
        device: where masks are drawn.
    """

    def __init__(self, seeds: list[int], lengths: list[int], packed: bool, device: torch.device):
        super().__init__()
        self.by_text = True
        self._seeds, self._lengths, self._packed = seeds, lengths, packed
        self._generator = torch.Generator(device)
        self._calls = self._group = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Intercept the two functions through which every model of transformers drops; let all others pass."""
        if func is torch.nn.functional.dropout:
            return self._dropout(*args, **(kwargs or {}))
        if func is torch.nn.functional.scaled_dot_product_attention:
            return self._attention(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def recomputation(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        """Return the contexts of ``torch.utils.checkpoint``: the second pass of a block draws what the first drew."""
        return nullcontext(), self._again(self._calls)

    @contextmanager
    def _again(self, calls: int) -> Iterator[None]:
        before, self._calls = self._calls, calls
        try:
            with self:
                yield
        finally:
            self._calls = before

    def _dropout(self, x: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> torch.Tensor:
        if not training or p == 0:
            return x
        dropped = x * self._mask(x, p)
        self._calls += 1
        return dropped

    def _mask(self, x: torch.Tensor, p: float) -> torch.Tensor:
        """Zeros and 1 / (1 - p), of the shape and type of ``x``; padding gets ones."""
        mask = torch.ones_like(x)
        for text, place in self._places(x):
            mask[place] = self._draw(text, mask[place].shape, p).to(x.dtype)
        return mask

    def _places(self, x: torch.Tensor) -> Iterator[tuple[int, Any]]:
        """The number of each text and where its values are in a tensor."""
        texts, longest = len(self._lengths), max(self._lengths)
        if self._packed and x.ndim == 3 and x.shape[:2] == (1, sum(self._lengths)):
            start = 0
            for text, length in enumerate(self._lengths):
                yield text, (0, slice(start, start + length))
                start += length
        elif x.shape[0] == texts and x.ndim == 4 and x.shape[2:] == (longest, longest):  # weights of attention
            for text, length in enumerate(self._lengths):
                yield text, (text, slice(None), slice(length), slice(length))
        elif x.shape[0] == texts and x.ndim == 3 and x.shape[1] == longest:
            for text, length in enumerate(self._lengths):
                yield text, (text, slice(length))
        else:
            self.by_text = False
            yield -1, ...

    def _draw(self, text: int, shape: torch.Size, p: float) -> torch.Tensor:
        seed = self._seeds[text] if text >= 0 else sum(self._seeds)
        self._generator.manual_seed((seed + self._calls * STRIDE) % 2**63)
        kept = torch.empty(shape, device=self._generator.device)
        return kept.bernoulli_(1 - p, generator=self._generator) / (1 - p)

    def _attention(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attn_mask: torch.Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> torch.Tensor:
        """Scaled dot product attention, all of shape (texts, heads, length, head dim)."""
        if not dropout_p:
            return torch.nn.functional.scaled_dot_product_attention(
                query, key, value, attn_mask, 0.0, is_causal, scale=scale, enable_gqa=enable_gqa
            )
        if enable_gqa:
            key, value = (x.repeat_interleave(query.shape[1] // x.shape[1], dim=1) for x in (key, value))
        logits = query @ key.transpose(-1, -2) * (query.shape[-1] ** -0.5 if scale is None else scale)
        if is_causal:
            attn_mask = torch.ones(logits.shape[-2:], dtype=torch.bool, device=logits.device).tril()
        if attn_mask is not None:
            whole = attn_mask.dtype == torch.bool
            logits = logits.masked_fill(~attn_mask, -torch.inf) if whole else logits + attn_mask
        weights = logits.softmax(dim=-1)
        return (weights * self._attention_mask(weights, dropout_p)).to(value.dtype) @ value

    def _attention_mask(self, weights: torch.Tensor, p: float) -> torch.Tensor:
        """Of all texts where they are padded; without padding, of the next texts, a group of one length at a time."""
        if not self._packed:
            mask = self._mask(weights, p)
            self._calls += 1
            return mask
        first, self._group = self._group, self._group + len(weights)
        drawn = [self._draw(text, weights.shape[1:], p) for text in range(first, self._group)]
        if self._group == len(self._lengths):
            self._group = 0
            self._calls += 1
        return torch.stack(drawn).to(weights.dtype)
