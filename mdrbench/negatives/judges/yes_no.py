"""A decoder asked for yes or no on this machine: the logit of yes minus the logit of no, cut into grades.

As the card of Qwen3-Reranker computes it, and as sentence-transformers' ``CrossEncoder`` reads such models. The prompt
is a system message, the task, the query and the passage; the score is the difference of two logits at its last token,
or its sigmoid. One score serves as both grades; the reference positive is not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from mdrbench.core.environment import package_version
from mdrbench.core.errors import DataError
from mdrbench.core.members import MemberConfig, Spec
from mdrbench.core.types import Judgment, Pair
from mdrbench.hub import loading
from mdrbench.hub.chosen_model import ChosenModel
from mdrbench.llm.spending import Estimate
from mdrbench.negatives.judges._local import FREE, Cutoffs, Tally, cutoffs_facts, cutoffs_of, grade

if TYPE_CHECKING:
    import torch

SYSTEM = (
    "Judge whether the Document meets the requirements based on the Query and the Instruct provided. "
    'Note that the answer can only be "yes" or "no".'
)
TASK = "Given a web search query, retrieve relevant passages that answer the query"

PREFIX = "<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n"
SUFFIX = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
"""The chat template of Qwen3, as the card of Qwen3-Reranker writes it out."""


class Config(MemberConfig):
    """The model, its prompt, and the cut-offs, which depend on the model."""

    model: str = Field(description="hub repository or a local folder of a decoder")
    revision: str | None = Field(default=None, description="commit, tag or branch on the hub")
    source: Literal["auto", "hub", "local"] = "auto"
    cutoffs: Cutoffs = Field(description="[low, high]: below low is grade 0, below high 1, else 2")
    activation: Literal["sigmoid", "none"] = Field(default="sigmoid", description="probability of yes, or the logits")
    system: str = Field(default=SYSTEM, description="the system message")
    task: str = Field(default=TASK, description="the instruction before query and passage")
    prefix: str = Field(default=PREFIX, description="the template before the task; holds {system}")
    suffix: str = Field(default=SUFFIX, description="the template after the passage")
    yes: str = Field(default="yes", min_length=1, description="the token of a relevant passage")
    no: str = Field(default="no", min_length=1, description="the token of another passage")
    max_length: int = Field(default=2048, ge=8, description="tokens of the prompt; the passage is cut to fit")
    title_separator: str = Field(default=" ", description="what joins title and text")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    batch_size: int = Field(default=8, ge=1, description="pairs of a batch")


class YesNoJudge(ChosenModel[Config]):
    """See :class:`mdrbench.negatives.judges.Judge`."""

    spec = Spec(Config, version=1, run_only=("batch_size",))
    reference = "ignored"

    def __init__(self, config: Config):
        super().__init__(config)
        self._tally = Tally()

    def conventions(self) -> dict[str, Any]:
        """Model, revision and source, prompt, cut-offs, length, precision, library versions."""
        return {
            "judge": "yes-no",
            **self.config.model_dump(mode="json", exclude={"batch_size", "source"}),
            "model": self.files.name,
            "source": self.files.source,
            "revision": self.files.revision,
            "precision": self.precision,
            **{name: package_version(name) for name in ("torch", "transformers")},
        }

    def estimate(self, pairs: list[Pair]) -> Estimate:
        """Nothing is asked of an endpoint."""
        return FREE

    def judge(self, pairs: list[Pair], progress: Callable[[int], None]) -> Iterator[Judgment]:
        """A batch at a time."""
        size = self.config.batch_size
        for start in range(0, len(pairs), size):
            batch = pairs[start : start + size]
            for pair, score in zip(batch, self.scores(batch), strict=True):
                found = grade(score, *cutoffs_of(self.config.cutoffs, pair.lang))
                yield self._tally.verdict(pair, found, found, score if found is not None else None)
            progress(start + len(batch))

    def scores(self, pairs: list[Pair]) -> list[float]:
        """The score of each pair, in order.

        Raises:
            DataError: ``yes`` or ``no`` is not one token of the model.
        """
        import torch

        tokenizer, model = _load(str(self.files.path), self.precision, self.device)
        yes, no = (self._token(tokenizer, word) for word in (self.config.yes, self.config.no))
        prompts = [self._prompt(tokenizer, pair) for pair in pairs]
        batch = tokenizer.pad({"input_ids": prompts}, padding=True, return_tensors="pt").to(model.device)
        with torch.inference_mode():
            last: torch.Tensor = model(**batch, logits_to_keep=1).logits[:, -1, :].float()  # (B, vocabulary)
        difference = last[:, yes] - last[:, no]
        found: list[float] = (difference.sigmoid() if self.config.activation == "sigmoid" else difference).tolist()
        return found

    def _token(self, tokenizer: Any, word: str) -> int:
        ids: list[int] = tokenizer.encode(word, add_special_tokens=False)
        if len(ids) != 1 or ids[0] == tokenizer.unk_token_id:
            raise DataError(
                f"'{word}' is not one token of the model",
                where=str(self.files.path),
                mend="set negatives.judge.yes and negatives.judge.no",
            )
        return ids[0]

    def _prompt(self, tokenizer: Any, pair: Pair) -> list[int]:
        """Token ids; the passage is cut so that the prompt has at most ``max_length``."""

        def ids(text: str) -> list[int]:
            found: list[int] = tokenizer.encode(text, add_special_tokens=False)
            return found

        prefix = self.config.prefix.replace("{system}", self.config.system)
        before = ids(f"{prefix}<Instruct>: {self.config.task}\n<Query>: {pair.query}\n<Document>: ")
        after = ids(self.config.suffix)
        room = max(0, self.config.max_length - len(before) - len(after))
        return before + ids(pair.passage.joined(self.config.title_separator))[:room] + after

    def facts(self) -> dict[str, Any]:
        """Pairs judged by grade; device and precision."""
        used = cutoffs_facts(self.config.cutoffs, self._tally.langs)
        return {**self._tally.facts(), "device": self.device, "precision": self.precision, **used}


@lru_cache(maxsize=1)
def _load(path: str, precision: str, device: str) -> tuple[Any, Any]:
    """Tokenizer and model of a folder; the last ones are kept."""
    import transformers

    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(path, padding_side="left", local_files_only=True)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(
        path, dtype=loading.dtype(precision), local_files_only=True
    )
    return tokenizer, model.to(device).eval()
