"""Settings shared by all members that ask a language model: endpoint, sampling, budget."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from mdrbench.core.members import MemberConfig
from mdrbench.llm.spending import Prices


class Settings(MemberConfig):
    """Endpoint, sampling and budget; members add their own settings.

    A key is never part of a recipe: ``api_key_env`` names the environment variable that holds it.
    """

    model: str = Field(min_length=1, description="the model's name as the endpoint knows it")
    base_url: str | None = Field(default=None, description="None: OPENAI_BASE_URL, else OpenAI's")
    api_key_env: str | None = Field(default=None, description="variable with the key; None: OPENAI_API_KEY, see docs")
    temperature: float | None = Field(default=0.0, ge=0, description="None: not sent, the endpoint's default")
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_tokens: int = Field(default=512, ge=1, description="tokens of an answer, reasoning included")
    seed: int | None = Field(default=0, description="None: not sent; later votes and attempts send other seeds")
    extra: dict[str, Any] = Field(default_factory=dict, description="further fields of the request's body")
    passage_chars: int = Field(default=8000, ge=1, description="characters of a passage's text that are shown")
    reasks: int = Field(default=2, ge=0, description="times that an unreadable answer is asked for again")
    length_parameter: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    concurrency: int = Field(default=8, ge=1, le=1024, description="requests under way at once")
    timeout_s: float = Field(default=120.0, gt=0)
    retries: int = Field(
        default=6, ge=0, description="repetitions of a request after 429, 5xx, timeout, lost connection"
    )
    backoff_s: float = Field(default=1.0, ge=0, description="wait before the first repetition; doubles each time")
    max_requests: int | None = Field(default=None, ge=0, description="hard limit of requests, for a process")
    max_cost: float | None = Field(default=None, ge=0, description="hard limit of cost; needs both prices")
    price_input: float | None = Field(default=None, ge=0, description="of a million input tokens")
    price_output: float | None = Field(default=None, ge=0, description="of a million output tokens")
    store: str | None = Field(default=None, description="file of answers; None: MDRBENCH_ANSWERS, else in the cache")
    check_model: bool = Field(default=True, description="whether the endpoint is tried before anything runs")
    offline: bool = Field(default=False, description="use stored answers only; a missing one is an error")

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if (self.price_input is None) != (self.price_output is None):
            raise ValueError("price_input and price_output go together")
        if self.max_cost is not None and self.price_input is None:
            raise ValueError("max_cost needs price_input and price_output")
        return self

    @property
    def prices(self) -> Prices | None:
        """Return the price of tokens; None if it is not known."""
        if self.price_input is None or self.price_output is None:
            return None
        return Prices(self.price_input, self.price_output)


RUN_ONLY = (
    *("base_url", "api_key_env", "length_parameter", "concurrency", "timeout_s", "retries", "backoff_s"),
    *("max_requests", "max_cost", "price_input", "price_output", "store", "check_model", "offline"),
)
"""Settings that affect the cost or origin of an answer but not its text."""
