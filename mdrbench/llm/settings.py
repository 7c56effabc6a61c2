"""Settings shared by all members that ask a language model: endpoint or model here, sampling, budget."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from mdrbench.core.members import MemberConfig
from mdrbench.llm.replies import is_path, served_name
from mdrbench.llm.spending import Prices


class Settings(MemberConfig):
    """Endpoint, sampling and budget; members add their own settings.

    A key is never part of a recipe: ``api_key_env`` names the environment variable that holds it.
    """

    engine: Literal["endpoint", "transformers"] = Field(
        default="endpoint", description="who answers: an endpoint, or the model in this process through transformers"
    )
    model: str = Field(min_length=1, description="name of the model at the endpoint; else hub repository or folder")
    revision: str | None = Field(default=None, description="for engine transformers: commit, tag or branch on the hub")
    source: Literal["auto", "hub", "local"] = Field(default="auto", description="for engine transformers")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(default="auto", description="for engine transformers")
    batch_tokens: int = Field(
        default=16384, ge=1, description="for engine transformers: tokens of a batch with padding and answers"
    )
    served: str | None = Field(
        default=None, description="whose answers are meant, if several models answered under this name"
    )
    base_url: str | None = Field(
        default=None, description="address of the endpoint; None: OPENAI_BASE_URL, else OpenAI's"
    )
    api_key_env: str | None = Field(default=None, description="environment variable with the key; None: OPENAI_API_KEY")
    temperature: float | None = Field(default=0.0, ge=0, description="None: not sent, so the endpoint decides")
    top_p: float | None = Field(default=None, gt=0, le=1, description="nucleus of the sampling; None: not sent")
    max_tokens: int = Field(default=512, ge=1, description="most tokens of an answer, with its reasoning")
    seed: int | None = Field(default=0, description="None: not sent; votes and repeated questions use other seeds")
    extra: dict[str, Any] = Field(default_factory=dict, description="more fields for the body of the request")
    passage_chars: int = Field(default=8000, ge=1, description="characters of a passage that the model sees")
    reasks: int = Field(default=2, ge=0, description="how often an unreadable answer is asked for again")
    length_parameter: Literal["max_tokens", "max_completion_tokens"] = Field(
        default="max_tokens", description="the field of the request that holds max_tokens"
    )
    concurrency: int = Field(default=8, ge=1, le=1024, description="requests at the same time")
    timeout_s: float = Field(default=120.0, gt=0, description="seconds that a request may take; grows if it must")
    retries: int = Field(
        default=6, ge=0, description="retries of a request after 429, 5xx, a timeout or a lost connection"
    )
    backoff_s: float = Field(
        default=1.0, ge=0, description="wait in seconds before the first retry; it doubles each time"
    )
    max_requests: int | None = Field(
        default=None, ge=0, description="hard limit of requests of a run, all its processes together"
    )
    max_cost: float | None = Field(default=None, ge=0, description="hard limit of the cost of a run; needs both prices")
    price_input: float | None = Field(default=None, ge=0, description="price of a million input tokens")
    price_output: float | None = Field(default=None, ge=0, description="price of a million output tokens")
    batch_from: int | None = Field(
        default=None, ge=1, description="ask through OpenAI's Batch API if at least so many questions have no answer"
    )
    batch_price: float = Field(default=0.5, gt=0, le=1, description="share of the prices that a batch costs")
    store: str | None = Field(
        default=None, description="file of stored answers; None: MDRBENCH_ANSWERS, else in the cache"
    )
    check_model: bool = Field(default=True, description="ask the endpoint for the model before anything runs")
    offline: bool = Field(default=False, description="use only stored answers; a missing answer is an error")

    @field_validator("model", "served")
    @classmethod
    def _no_path(cls, name: str | None, info: ValidationInfo) -> str | None:
        if name is not None and is_path(name) and info.data.get("engine") == "endpoint":
            raise ValueError(f"paths of files are not published; give the file's name alone: {served_name(name)}")
        return name

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if (self.price_input is None) != (self.price_output is None):
            raise ValueError("price_input and price_output go together")
        if self.max_cost is not None and self.price_input is None:
            raise ValueError("max_cost needs price_input and price_output")
        return self

    @model_validator(mode="after")
    def _one_engine(self) -> Settings:
        if self.runs_here and (foreign := self._changed(OF_ENDPOINTS)):
            raise ValueError(f"engine: transformers asks no endpoint: remove {', '.join(foreign)}")
        if self.runs_here and (foreign := sorted(self.extra.keys() - {"chat_template_kwargs"})):
            raise ValueError(f"extra: engine: transformers takes chat_template_kwargs alone: remove {foreign[0]}")
        if not self.runs_here and (foreign := self._changed(OF_MODELS)):
            raise ValueError(f"{', '.join(foreign)}: only for engine: transformers")
        return self

    def _changed(self, names: tuple[str, ...]) -> list[str]:
        """Return the settings that are not at their default."""
        fields = type(self).model_fields
        return [name for name in names if getattr(self, name) != fields[name].default]

    @property
    def runs_here(self) -> bool:
        """Whether the model runs in this process."""
        return self.engine == "transformers"

    @property
    def prices(self) -> Prices | None:
        """Return the price of tokens; None if it is not known."""
        if self.price_input is None or self.price_output is None:
            return None
        return Prices(self.price_input, self.price_output)


OF_MODELS = ("revision", "source", "precision", "batch_tokens")
"""Settings of a model in this process."""

OF_ENDPOINTS = (
    *("base_url", "api_key_env", "served", "max_requests", "max_cost", "price_input", "price_output"),
    *("batch_from", "batch_price"),
)
"""Settings that a model in this process has no use for."""

ADDED = ("served", "engine", "revision", "source", "precision")
"""Settings that came later and change nothing at their default."""

RUN_ONLY = (
    *("base_url", "api_key_env", "length_parameter", "concurrency", "timeout_s", "retries", "backoff_s"),
    *("max_requests", "max_cost", "price_input", "price_output", "store", "check_model", "offline", "batch_tokens"),
    *("batch_from", "batch_price"),
)
"""Settings that affect the cost or origin of an answer but not its text."""
