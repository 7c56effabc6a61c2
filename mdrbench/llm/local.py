"""A causal language model in this process, through transformers: many questions at a time, without a server.

Prompts go through the model's own chat template. An answer is greedy at temperature 0; above it each answer is sampled
with its own seed, whatever stands beside it in a batch. Settings of sampling that a model's folder recommends
(repetition penalty, top_k) are not used: what is not in the recipe does not happen. Padding and batches change the last
digits of logits, so two equal ones may fall either way, as with every server; the stored answer counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mdrbench.core.environment import package_version
from mdrbench.core.errors import SetupError
from mdrbench.hub import loading
from mdrbench.hub.chosen_model import ChosenModel
from mdrbench.llm.completions import TOO_LONG
from mdrbench.llm.replies import LONGEST_TEXT, OVERSIZED, Reply, served_name

if TYPE_CHECKING:
    import torch

    from mdrbench.llm.settings import Settings

ITEMS = 256
"""Pairs whose questions are collected before they are asked: they are sorted by length, and answers come in order."""

TEMPLATE = "chat_template_kwargs"
"""The only key of ``extra`` that a model in this process takes, as vLLM and llama.cpp name it."""


class Asked(NamedTuple):
    """A question as the model gets it; ``sampling`` as :meth:`mdrbench.llm.chat.Chat.sampling` makes it."""

    key: str
    messages: list[dict[str, str]]
    sampling: dict[str, Any]


class LocalModel:
    """The model that the settings choose; loaded at the first question and kept for the next object."""

    items = ITEMS

    def __init__(self, settings: Settings):
        self.chosen = ChosenModel(settings)
        self._budget = settings.batch_tokens

    @property
    def name(self) -> str:
        """The model as answers are stored under it: name, revision, precision, and by what it runs."""
        files = self.chosen.files
        revision = files.revision.removeprefix("sha256:")[:12]
        return f"{served_name(files.name)}@{revision} transformers {self.chosen.precision}"

    @property
    def software(self) -> str:
        """The versions that compute; new ones are told and recorded, as an endpoint's fingerprint is."""
        return f"transformers {package_version('transformers')}, torch {package_version('torch')}"

    def prepare(self, say: Callable[[str], None]) -> None:
        """Fetch the model if it is not on this disk; a SetupError if it has no chat template."""
        self.chosen.prepare(say)
        if not loading.load_tokenizer(self.chosen.files.path).chat_template:
            raise SetupError(
                f"'{self.chosen.files.name}' has no chat template, so it cannot be asked",
                where=str(self.chosen.files.path),
                mend="choose a model that was tuned to follow instructions",
            )

    def conventions(self) -> dict[str, Any]:
        """Model, revision, source, precision, library versions."""
        return {
            **self.chosen.files.conventions(),
            "precision": self.chosen.precision,
            "torch": package_version("torch"),
            "transformers": package_version("transformers"),
        }

    def facts(self) -> dict[str, Any]:
        """Device, precision, and the tokens of a batch: fewer than the setting after a GPU ran out of memory."""
        return {"device": self.chosen.device, "precision": self.chosen.precision, "batch_tokens": self._budget}

    def answers(self, asked: list[Asked]) -> Iterator[tuple[str, Reply, float]]:
        """Yield the key of each question with its answer and its share of the seconds, the longest questions first.

        Raises:
            SetupError: the model's chat template refuses the messages, or one question does not fit into the memory.
        """
        import torch

        tokenizer, model = _load(self.chosen.files.path, self.chosen.precision, self.chosen.device)
        context = getattr(model.config, "max_position_embeddings", None)
        waiting = []
        for one in asked:
            ids, room = self._tokens(tokenizer, one), one.sampling["max_tokens"]
            if context is not None and len(ids) + room > context:
                yield one.key, Reply("", TOO_LONG, 0, 0, self.name), 0.0
            else:
                waiting.append((len(ids) + room, ids, one))
        waiting.sort(key=lambda row: row[0], reverse=True)
        while waiting:
            size = max(1, self._budget // waiting[0][0])
            batch, begun = waiting[:size], time.monotonic()
            try:
                replies = self._generated(tokenizer, model, [ids for _, ids, _ in batch], [one for *_, one in batch])
            except torch.OutOfMemoryError:
                if len(batch) == 1:
                    raise SetupError(
                        f"a question of {batch[0][0]} tokens does not fit into the memory of the GPU",
                        mend="lower passage_chars, or use a GPU with more memory",
                    ) from None
                loading.free_memory()
                self._budget = max(1, min(self._budget, len(batch) * batch[0][0]) // 2)
                continue
            del waiting[: len(batch)]
            seconds = (time.monotonic() - begun) / len(batch)
            for (_, _, one), reply in zip(batch, replies, strict=True):
                yield one.key, reply, seconds

    def _tokens(self, tokenizer: Any, one: Asked) -> list[int]:
        settings = one.sampling.get("extra", {}).get(TEMPLATE, {})
        try:
            text = tokenizer.apply_chat_template(one.messages, tokenize=False, add_generation_prompt=True, **settings)
        except Exception as error:  # templates raise what they like
            raise SetupError(
                f"the chat template of '{self.chosen.files.name}' refuses the messages: {error}",
                where=str(self.chosen.files.path),
                mend="choose a model whose template takes a system message",
            ) from None
        ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
        return ids

    def _generated(self, tokenizer: Any, model: Any, prompts: list[list[int]], asked: list[Asked]) -> list[Reply]:
        """Answer a batch, padded on the left to its longest prompt."""
        import torch
        from transformers import LogitsProcessorList

        batch = tokenizer.pad({"input_ids": prompts}, padding=True, return_tensors="pt").to(model.device)
        most = max(one.sampling["max_tokens"] for one in asked)
        scores: list[torch.Tensor] = []
        with torch.inference_mode():
            out = model.generate(
                **batch,
                max_new_tokens=most,
                do_sample=False,
                logits_processor=LogitsProcessorList([_Sampling([one.sampling for one in asked], scores)]),
            )
        ends = model.generation_config.eos_token_id
        ends = set(ends if isinstance(ends, list) else [ends])
        found = []
        for row, (prompt, one) in enumerate(zip(prompts, asked, strict=True)):
            ids = out[row, batch["input_ids"].shape[1] :].tolist()[: one.sampling["max_tokens"]]
            end = next((at for at, token in enumerate(ids) if token in ends), None)
            length = len(ids) if end is None else end + 1
            text = tokenizer.decode(ids[:length], skip_special_tokens=True).strip()
            finish = "length" if end is None else "stop"
            if len(text) > LONGEST_TEXT:
                text, finish = "", OVERSIZED
            listed = (
                _top(tokenizer, scores[0][row], one.sampling["top_logprobs"]) if "logprobs" in one.sampling else None
            )
            found.append(Reply(text, finish, len(prompt), length, self.name, self.software, listed))
        return found


class _Sampling:
    """A logits processor: keeps the first token's logits, and samples rows with a temperature by Gumbel noise.

    The token with the highest sum of logit / temperature and Gumbel noise is a sample of the softmax. The noise comes
    from a generator of the row's own seed.
    """

    def __init__(self, samplings: list[dict[str, Any]], first: list[torch.Tensor]):
        import torch

        self._first = first
        self._rows = []
        for row, sampling in enumerate(samplings):
            if sampling.get("temperature", 1.0) > 0:
                generator = torch.Generator()
                if (seed := sampling.get("seed")) is None:
                    generator.seed()
                else:
                    generator.manual_seed(seed)
                self._rows.append((row, sampling.get("temperature", 1.0), sampling.get("top_p"), generator))

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return the scores (B, vocabulary) of which the highest is taken."""
        import torch

        if not self._first:
            self._first.append(scores.float().cpu())
        if not self._rows:
            return scores
        scores = scores.float().clone()
        for row, temperature, top_p, generator in self._rows:
            logits = scores[row].cpu() / temperature
            if top_p is not None:
                ranked, order = logits.softmax(-1).sort(descending=True)
                logits[order[ranked.cumsum(-1) - ranked >= top_p]] = -torch.inf
            noise = torch.empty_like(logits).exponential_(generator=generator)
            scores[row] = (logits - noise.log()).to(scores.device)
        return scores


def _top(tokenizer: Any, logits: torch.Tensor, number: int) -> dict[str, float] | None:
    """The most probable first tokens with their log probabilities; None if the answer begins with white space."""
    values, ids = logits.log_softmax(-1).topk(min(number, len(logits)))
    found: dict[str, float] = {}
    for token, value in zip(ids.tolist(), values.tolist(), strict=True):
        found.setdefault(tokenizer.decode([token]), value)  # parts of a character decode alike; the first is highest
    return found if next(iter(found)).strip() else None


@lru_cache(maxsize=1)
def _load(folder: Path, precision: str, device: str) -> tuple[Any, Any]:
    """Tokenizer and model of a folder; the last ones are kept."""
    import transformers

    generation: Any = transformers.GenerationConfig
    tokenizer = loading.load_tokenizer(folder)
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    model = loading.load_model(folder, "AutoModelForCausalLM", dtype=loading.dtype(precision))
    ends = model.generation_config.eos_token_id
    ends = tokenizer.eos_token_id if ends is None else ends
    model.generation_config = generation(eos_token_id=ends, pad_token_id=tokenizer.pad_token_id)
    return tokenizer, model.to(device).eval()
