"""The encoder to train: a transformer in fp32 with its pooling, run under autocast.

On a CPU, BERT and its relatives run without padding (:mod:`mdrbench.retrieval.unpadded_bert`), the whole batch in one
pass. Other batches are sorted by length and cut if padding would grow too large; each piece is one padded pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdrbench.core.errors import DataError, UsageError
from mdrbench.hub import loading, model_folder
from mdrbench.retrieval import unpadded_bert
from mdrbench.retrieval.pooling import pool, pool_whole
from mdrbench.training import EncoderSettings
from mdrbench.training.settings import Lora

if TYPE_CHECKING:
    import numpy as np
    import torch

PADDING = 0.75
"""In a padded pass the shortest text has at least this share of the longest one's tokens."""

ATTENTION_DROPOUT = ("attention_probs_dropout_prob", "attention_dropout")
"""Names of the probability in configurations, in the order of the search."""


class Encoder:
    """A model with its conventions.

    Attributes:
        model: the transformer, parameters in fp32; an unused pooler is not trained.
        packed: whether it runs without padding.
        dropout_by_text: whether all dropout so far was drawn text by text.
    """

    def __init__(
        self,
        folder: Path,
        settings: EncoderSettings,
        device: torch.device,
        precision: str,
        attention_dropout: float | None = None,
        gradient_checkpointing: bool = False,
        freeze_word_embeddings: bool = False,
        lora: Lora | None = None,
        seed: int = 0,
    ):
        import torch

        self.settings, self.device = settings, device
        self.dropout_by_text = True
        self._autocast = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
        _check_trainable(folder, settings)
        config = loading.load_config(folder)
        if settings.pooling == "cls":
            loading.check_first_token(config, folder)
        self._dropout = _set_attention_dropout(config, attention_dropout, folder)
        self.packed = device.type == "cpu" and unpadded_bert.suits(config)
        chosen: dict[str, Any] = {"attn_implementation": unpadded_bert.register()} if self.packed else {}
        self.model = loading.load_model(folder, config=config, dtype=torch.float32, **chosen).to(device)
        self._adapted = _adapted(self.model, lora, seed, folder) if lora else None
        for name, parameter in self.model.named_parameters():
            if name.startswith("pooler.") or (lora and "lora_" not in name):
                parameter.requires_grad_(False)
        if freeze_word_embeddings:
            self.model.get_input_embeddings().weight.requires_grad_(False)
        if gradient_checkpointing:
            self._recompute_activations()

    def parameters(self) -> list[torch.nn.Parameter]:
        """Return the parameters that are trained."""
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def groups(self, weight_decay: float) -> list[dict[str, Any]]:
        """Return the trained parameters for an optimiser: matrices decay, biases and norms do not."""
        matrices = [parameter for parameter in self.parameters() if parameter.ndim > 1]
        others = [parameter for parameter in self.parameters() if parameter.ndim < 2]
        return [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]

    def pieces(self, rows: list[np.ndarray], at_once: int = 0) -> list[list[int]]:
        """Return positions of texts by length, cut into passes of at most ``at_once`` texts (0: any number)."""
        found: list[list[int]] = []
        for i in sorted(range(len(rows)), key=lambda i: len(rows[i]), reverse=True):
            full = found and at_once and len(found[-1]) >= at_once
            if not found or full or not (self.packed or len(rows[i]) >= PADDING * len(rows[found[-1][0]])):
                found.append([])
            found[-1].append(i)
        return found

    def embed(self, rows: list[np.ndarray], seeds: list[int]) -> torch.Tensor:
        """Return float32 embeddings (texts, dim) of texts sorted by length, in one pass.

        Args:
            seeds: one for each text, from which its dropout follows while the model trains.
        """
        import torch

        autocast = torch.autocast(self.device.type, self._autocast) if self._autocast else nullcontext()
        with autocast, self._dropping(rows, seeds):
            pooled = self._packed(rows) if self.packed else self._padded(rows)
        return torch.nn.functional.normalize(pooled, dim=-1) if self.settings.normalize else pooled

    @contextmanager
    def _dropping(self, rows: list[np.ndarray], seeds: list[int]) -> Iterator[None]:
        """Draw dropout text by text, in the pass and when a block of it is computed again."""
        if not self.model.training:
            yield
            return
        from mdrbench.training.dropout import TextDropout

        self._pass = TextDropout(seeds, [len(row) for row in rows], self.packed, self.device)
        with self._pass:
            yield
        self.dropout_by_text &= self._pass.by_text

    def _packed(self, rows: list[np.ndarray]) -> torch.Tensor:
        import torch

        parts = unpadded_bert.hidden_states(self.model, rows)  # each (texts, length, dim)
        return torch.cat([pool_whole(part, self.settings.pooling) for part in parts])

    def _padded(self, rows: list[np.ndarray]) -> torch.Tensor:
        import numpy as np
        import torch

        lengths = torch.tensor([len(row) for row in rows])
        ids = np.full((len(rows), int(lengths.max())), self.model.config.pad_token_id or 0, dtype=np.int64)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = row
        mask = torch.arange(ids.shape[1]).unsqueeze(0) < lengths.unsqueeze(1)  # (texts, length)
        mask = mask.long().to(self.device)
        hidden = self.model(input_ids=torch.from_numpy(ids).to(self.device), attention_mask=mask).last_hidden_state
        return pool(hidden, mask, self.settings.pooling)

    def _recompute_activations(self) -> None:
        """Switch gradient checkpointing on; transformers 5.2x renamed the method."""
        settings = {"use_reentrant": False, "context_fn": self._recomputation}
        if hasattr(self.model, "activation_checkpointing_enable"):
            self.model.activation_checkpointing_enable(settings)
        else:
            self.model.gradient_checkpointing_enable(settings)

    def _recomputation(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        """Return the contexts of a block that will be computed again, for the current pass."""
        return self._pass.recomputation()

    def save(self, folder: Path) -> None:
        """Save weights and config.json, with the model's original dropout; adapters are added to the weights first."""
        model = self._adapted.merge_and_unload() if self._adapted else self.model
        name, value = self._dropout
        if name:
            setattr(model.config, name, value)
        model.save_pretrained(folder)


def _adapted(model: Any, lora: Lora, seed: int, folder: Path) -> Any:
    """Put low-rank adapters into a model, in place; return peft's handle on it.

    Raises:
        DataError: the model has no linear layer of these names.
    """
    import torch
    from peft import LoraConfig
    from peft.tuners.lora import LoraModel

    linear = [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)]
    chosen = [
        name for name in linear if "pooler" not in name and (not lora.layers or name.rpartition(".")[2] in lora.layers)
    ]
    if not chosen:
        known = sorted({name.rpartition(".")[2] for name in linear})
        raise DataError(
            "no linear layer of the model has a name of training.lora.layers",
            where=str(folder),
            mend=f"choose among {', '.join(known)}",
        )
    torch.manual_seed(seed)  # the adapters' first weights
    config = LoraConfig(r=lora.rank, lora_alpha=lora.alpha, lora_dropout=0.0, target_modules=chosen)
    return LoraModel(model, {"default": config}, "default")


def _check_trainable(folder: Path, settings: EncoderSettings) -> None:
    """Raise a UsageError for a model that training would change only in part, or that needs code of its own."""
    said = model_folder.read(folder)
    if said.dense:
        raise UsageError(
            f"training does not support the linear layer {said.dense[0].name}",
            where=str(folder),
            mend="train a model without a layer after pooling",
        )
    if getattr(settings, "truncate_dim", None) is not None:
        raise UsageError(
            "training does not truncate embeddings",
            where=str(folder),
            mend="leave truncate_dim out, and set it in a recipe that names the trained model",
        )
    if said.own_code and "auto_map" not in getattr(settings, "overrides_model", ()):
        raise UsageError(
            "training does not run a model's own Python code (auto_map)",
            where=str(folder),
            mend="choose another model, or use transformers' own classes with overrides_model: [auto_map]",
        )


def _set_attention_dropout(config: Any, wanted: float | None, folder: Path) -> tuple[str | None, float]:
    """Set the probability; return its name in the configuration and its old value."""
    name = next((name for name in ATTENTION_DROPOUT if hasattr(config, name)), None)
    before = getattr(config, name) if name else 0.0
    if wanted is not None:
        if name is None:
            raise DataError(
                "the model's config.json has no attention dropout",
                where=str(folder),
                mend="leave attention_dropout out",
            )
        setattr(config, name, wanted)
    return name, before
