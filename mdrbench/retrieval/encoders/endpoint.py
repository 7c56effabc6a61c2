"""An encoder behind an endpoint that speaks OpenAI's embeddings protocol, such as vLLM or text-embeddings-inference.

Nothing here can see which weights the server runs. The recipe states them as ``revision``, part of the keys; the
address is not, because the same server may move. ``mdrbench check --encoder`` compares it with a local encoder.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import Field

from mdrbench.core.errors import SetupError, StepError
from mdrbench.core.members import MemberConfig, Spec

if TYPE_CHECKING:
    import numpy as np

    Progress = Callable[[int], None]


class Config(MemberConfig):
    """The server, what it runs, and what is put around texts and embeddings here."""

    base_url: str = Field(description="address of the server, such as http://localhost:8000/v1")
    model: str = Field(description="the model's name at the server")
    revision: str = Field(min_length=1, description="what the server runs: the commit or version of the model")
    dim: int = Field(ge=1, description="width of an embedding")
    api_key_env: str | None = Field(default=None, description="environment variable that holds the key; None: no key")
    query_prefix: str = ""
    passage_prefix: str = ""
    normalize: bool = Field(default=True, description="whether embeddings get length 1 here")
    batch_size: int = Field(default=32, ge=1, description="texts of a request")
    timeout_s: float = Field(default=120.0, gt=0)


class Endpoint:
    """See :class:`mdrbench.retrieval.encoders.Encoder`."""

    spec = Spec(Config, version=1, run_only=("base_url", "api_key_env", "batch_size", "timeout_s"))
    device = "endpoint"
    precision = "fp32"

    def __init__(self, config: Config):
        self.config = config
        self._served: set[str] = set()

    def prepare(self, say: Callable[[str], None]) -> None:
        """Nothing to download."""

    @property
    def dim(self) -> int:
        """Width of an embedding."""
        return self.config.dim

    def conventions(self) -> dict[str, Any]:
        """Return model and revision as the recipe states them, prefixes and normalisation."""
        return {
            **self.config.model_dump(mode="json", exclude={*self.spec.run_only, "revision"}),
            "encoder": "endpoint",
            "encoder_version": self.spec.version,
            "model_revision": self.config.revision,
        }

    def facts(self) -> dict[str, Any]:
        """Return the models that the server named in its answers."""
        return {"device": self.device, "served": sorted(self._served)}

    def encode_queries(self, texts: list[str]) -> np.ndarray:
        """Return float32 embeddings of shape (len(texts), dim)."""
        return self._encode([self.config.query_prefix + text for text in texts], lambda done: None)

    def encode_passages(self, texts: list[str], progress: Progress) -> np.ndarray:
        """Return float32 embeddings of shape (len(texts), dim)."""
        return self._encode([self.config.passage_prefix + text for text in texts], progress)

    def _encode(self, texts: list[str], progress: Progress) -> np.ndarray:
        import numpy as np

        found = np.zeros((len(texts), self.dim), dtype=np.float32)
        for at in range(0, len(texts), self.config.batch_size):
            part = texts[at : at + self.config.batch_size]
            found[at : at + len(part)] = self._ask(part)
            progress(at + len(part))
        if self.config.normalize:
            found /= np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
        return found

    def _ask(self, texts: list[str]) -> np.ndarray:
        """Return the server's embeddings in the order of the texts.

        Raises:
            SetupError: the server does not answer, or refuses.
            StepError: the answer does not fit the texts.
        """
        import numpy as np
        import openai

        where = self.config.base_url
        try:
            answer = self._client.embeddings.create(model=self.config.model, input=texts, encoding_format="float")
        except openai.APIConnectionError as error:
            raise SetupError(
                f"the server does not answer: {error}", where=where, mend="start the server, or correct base_url"
            ) from None
        except openai.APIStatusError as error:
            raise SetupError(
                f"the server answers {error.status_code}: {str(error.message)[:300]}",
                where=where,
                mend=f"check the model's name '{self.config.model}', the key in api_key_env, and the length of texts",
            ) from None
        rows = {row.index: row.embedding for row in answer.data}
        widths = {len(row) for row in rows.values()}
        if set(rows) != set(range(len(texts))) or widths != {self.dim}:
            raise StepError(
                f"{len(rows)} embeddings of width {sorted(widths)} came for {len(texts)} texts",
                where=where,
                mend=f"set dim to the model's width (it is {self.dim}), and look at the server's log",
            )
        self._served.add(str(answer.model))
        return np.array([rows[number] for number in range(len(texts))], dtype=np.float32)

    @cached_property
    def _client(self) -> Any:
        import openai

        name = self.config.api_key_env
        if name is not None and not os.environ.get(name):
            raise SetupError(f"the variable {name} holds no key", mend=f"export {name}=..., or leave api_key_env out")
        key = os.environ[name] if name else "none"
        return openai.OpenAI(base_url=self.config.base_url, api_key=key, timeout=self.config.timeout_s, max_retries=4)
