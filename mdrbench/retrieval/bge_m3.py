"""The two further heads of BGE-M3 (Chen et al. 2024): weights of tokens, and a vector for each token.

The folder holds ``sparse_linear.pt`` (dim to 1) and ``colbert_linear.pt`` (dim to dim) beside the transformer. Both
work on the last hidden states:

- a token's weight is ``relu(sparse_linear(h))``; a token that occurs more than once keeps its greatest weight, and
  special tokens have none;
- a token's vector is ``colbert_linear(h)`` with length 1; the first token has none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdrbench.core.errors import DataError
from mdrbench.hub import loading

if TYPE_CHECKING:
    import numpy as np
    import torch

SPARSE, MULTI_VECTOR = "sparse_linear.pt", "colbert_linear.pt"


class BgeM3:
    """The transformer with one of its heads.

    Args:
        head: :data:`SPARSE` or :data:`MULTI_VECTOR`.
    """

    def __init__(self, folder: Path, head: str, device: str, dtype: torch.dtype):
        import torch

        if not (folder / head).is_file():
            raise DataError(f"the folder has no {head}", where=str(folder), mend="choose a model with BGE-M3's heads")
        self.device = device
        self.tokenizer = loading.load_tokenizer(folder)
        self.model = loading.load_model(folder, dtype=dtype).eval().to(device)
        with loading.errors(folder, head):
            weights = torch.load(folder / head, map_location="cpu", weights_only=True)
            width_out, width_in = weights["weight"].shape
            self.head = torch.nn.Linear(width_in, width_out)
            self.head.load_state_dict(weights)
        self.head = self.head.to(device=device, dtype=dtype).eval()

    def weights(
        self, texts: list[str], length: int, batch_size: int, progress: Callable[[int], None]
    ) -> list[dict[int, float]]:
        """Return the weights of each text's tokens by token id; tokens with weight 0 are left out."""
        import torch

        special = set(self.tokenizer.all_special_ids)
        found: list[dict[int, float]] = [{} for _ in texts]
        for rows, ids, mask, hidden in self._hidden(texts, length, batch_size, progress):
            values = torch.relu(self.head(hidden)).squeeze(-1).float().cpu()  # (B, L)
            for row, tokens, present, of_text in zip(rows, ids.tolist(), mask.tolist(), values.tolist(), strict=True):
                for token, here, value in zip(tokens, present, of_text, strict=True):
                    if here and value > 0 and token not in special:
                        found[row][token] = max(value, found[row].get(token, 0.0))
        return found

    def vectors(
        self, texts: list[str], length: int, batch_size: int, progress: Callable[[int], None]
    ) -> list[np.ndarray]:
        """Return the vectors of each text's tokens but the first: float32, shape (tokens - 1, dim)."""
        import torch

        found: list[Any] = [None] * len(texts)
        for rows, _, mask, hidden in self._hidden(texts, length, batch_size, progress):
            values = torch.nn.functional.normalize(self.head(hidden[:, 1:]).float(), dim=-1).cpu().numpy()
            for row, count, of_text in zip(rows, mask.sum(dim=1).tolist(), values, strict=True):
                found[row] = of_text[: count - 1]
        return found

    def _hidden(
        self, texts: list[str], length: int, batch_size: int, progress: Callable[[int], None]
    ) -> Iterator[tuple[list[int], torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Yield positions of texts, token ids and mask of shape (B, L), and last hidden states of shape (B, L, dim)."""
        import torch

        order = sorted(range(len(texts)), key=lambda i: len(texts[i]), reverse=True)
        for at in range(0, len(order), batch_size):
            rows = order[at : at + batch_size]
            batch = self.tokenizer(
                [texts[i] for i in rows],
                truncation=True,
                max_length=length,
                padding=True,
                padding_side="right",
                return_tensors="pt",
            )
            mask = batch["attention_mask"].to(self.device)
            with torch.inference_mode():
                inputs = batch["input_ids"].to(self.device)
                hidden = self.model(input_ids=inputs, attention_mask=mask).last_hidden_state
                yield rows, batch["input_ids"], mask, hidden
            progress(at + len(rows))
