"""Send one request to an OpenAI-compatible endpoint and translate its errors.

Requests go through the official ``openai`` package, which is imported at the first request (about a second). Nothing is
repeated here: :mod:`mdrbench.llm.chat` may repeat after :class:`Refused` and :class:`Failed`; every other error is for
the user.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from mdrbench.core import extras
from mdrbench.core.errors import MdrbenchError, SetupError, StepError, did_you_mean
from mdrbench.core.secrets import is_local, redact, remember
from mdrbench.llm import replies
from mdrbench.llm.replies import Listed, Reply

if TYPE_CHECKING:
    import openai
    from openai.types import Batch

OPENAI = "https://api.openai.com/v1"

CHECK_TIMEOUT_S = 10.0

FROM_A_PROXY = (403, 405, 407, 502, 503, 504)
"""Statuses with which a proxy answers for an endpoint that it cannot or must not reach."""

TOO_LONG = "context"
"""The reason for an empty answer if the prompt does not fit into the model's context; the request cost nothing."""

UNDONE = ("batch_expired", "batch_cancelled")
"""Codes of questions of a batch that nobody asked the model."""

LISTED_BATCHES = 1000
"""Batches of an account among which a lost one is looked for, the newest first."""

NO_KEY = "none"
"""Sent in place of a key: servers without keys ignore it, but the client requires one."""


class Failed(Exception):
    """A request failed in a way that may pass (5xx, timeout, lost connection, garbled body); it may have cost money.

    ``wait``: seconds that the endpoint asks to wait; None if it does not say.
    """

    def __init__(self, reason: str, wait: float | None = None):
        super().__init__(redact(reason))
        self.wait = wait


class TimedOut(Failed):
    """The endpoint did not answer in time."""


class Refused(Failed):
    """The endpoint was too busy to take the request (429): it cost nothing."""


class Endpoint:
    """One endpoint, used by several threads.

    Args:
        base_url: None: ``OPENAI_BASE_URL``, else OpenAI's.
        api_key_env: the environment variable that holds the key. None: ``OPENAI_API_KEY``, but only if the address
            is OpenAI's or comes from ``OPENAI_BASE_URL``: a recipe must not send your key to its own address.
        timeout_s: seconds without a byte after which a request counts as failed.
    """

    def __init__(self, base_url: str | None, api_key_env: str | None, timeout_s: float, model: str):
        self._address = (base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI).rstrip("/")
        self.url = redact(self._address)  # for messages
        self._is_openai = urlsplit(self._address).hostname == urlsplit(OPENAI).hostname
        self.key_env = api_key_env or ("OPENAI_API_KEY" if self._is_openai or not base_url else None)
        self.timeout_s = timeout_s
        self.model = model
        self.listed: Listed | None = None
        self.server: str | None = None
        self._looked_up = False
        self._looking_up = threading.Lock()
        self._lock = threading.Lock()
        self._client: openai.OpenAI | None = None

    # -- checking ---------------------------------------------------------------------------------------------------

    def _key(self) -> str:
        """Return the key; a SetupError if one is needed and not set."""
        if self.key_env is None:
            return NO_KEY
        if key := os.environ.get(self.key_env, "").strip():
            remember(key)
            return key
        if self.key_env == "OPENAI_API_KEY" and not self._is_openai:
            return NO_KEY  # OPENAI_BASE_URL alone: a server of one's own
        raise SetupError(
            f"no key for {self.url}: the environment variable {self.key_env} is not set",
            mend=f"export {self.key_env}=...; or name an endpoint of your own with base_url or OPENAI_BASE_URL",
        )

    def check(self, say: Callable[[str], None]) -> None:
        """Raise a SetupError if there is no key, nobody answers, or the model is not served.

        An endpoint that does not list its models is taken on trust, and ``say`` is told so.
        """
        self._key()
        served = self._models(say)
        if served is None or self._choose(served):
            return
        names = [str(replies.served_name(model.id)) for model in served]
        raise SetupError(
            f"{self.url} does not serve the model '{self.model}'",
            mend=f"{did_you_mean(self.model, names)}; check_model: false if the list is not complete",
        )

    def _choose(self, served: list[Listed]) -> bool:
        """Take the listed model that is meant; tell whether there is one. Of a path the file's name is meant."""
        names = (self.model, f"{self.model}:latest")
        self.listed = next((model for model in served if {model.id, replies.served_name(model.id)} & set(names)), None)
        self.server = (self.listed.owner if self.listed else None) or self.server
        return self.listed is not None

    @property
    def request_model(self) -> str:
        """The model's name as the endpoint lists it (a whole path, if it does so), else as the recipe gives it."""
        if self.listed is None or replies.served_name(self.listed.id) == self.listed.id:
            return self.model
        return self.listed.id

    def look_up(self) -> None:
        """Ask once for the list of models, to know who answers. Without a list nothing is known of it."""
        with self._looking_up:
            if self._looked_up:
                return
            self._looked_up = True
            try:
                self._choose(self._models(lambda text: None) or [])
            except (MdrbenchError, Failed):
                return  # the request itself will say what is wrong

    def _models(self, say: Callable[[str], None]) -> list[Listed] | None:
        client = self._open()
        import openai

        quick = client.with_options(timeout=min(self.timeout_s, CHECK_TIMEOUT_S))
        try:
            with quick.models.with_streaming_response.list() as response:
                self.server = (response.headers.get("server") or "")[:50] or None
                models = replies.listed_models(replies.bounded(response.iter_bytes()))
        except (openai.APIConnectionError, openai.AuthenticationError, openai.PermissionDeniedError) as error:
            raise self._explain(error) from None
        except _failures() as error:
            if self._proxy():
                raise SetupError(
                    f"no answer from {self.url}: {_reason(error)}", mend=self._around_the_proxy()
                ) from None
            models = []
            say(f"{self.url} did not list its models ({_reason(error)}): '{self.model}' is taken on trust")
        return models or None

    def _proxy(self) -> str | None:
        """The proxy through which requests to an endpoint on this machine or network go; None if there is none."""
        parts = urlsplit(self._address)
        host = parts.hostname or ""
        if not is_local(host) or proxy_bypass(host):
            return None
        proxies = getproxies()
        return proxies.get(parts.scheme) or proxies.get("all")

    def _around_the_proxy(self) -> str:
        host = urlsplit(self._address).hostname
        return f"requests to {host} go through the proxy {redact(self._proxy() or '')}: export NO_PROXY={host}"

    # -- asking -----------------------------------------------------------------------------------------------------

    def _open(self) -> openai.OpenAI:
        with self._lock:
            if self._client is None:
                try:
                    import openai
                except ImportError:
                    mend = f"run `{extras.command('train')}`"
                    raise SetupError("The package openai is not installed.", mend=mend) from None
                self._client = openai.OpenAI(
                    api_key=self._key(), base_url=self._address, timeout=self.timeout_s, max_retries=0
                )
            return self._client

    def close(self) -> None:
        """Close the connections; they are opened again when they are needed."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def complete(self, body: dict[str, Any], timeout_s: float | None = None) -> Reply:
        """Send one request.

        Args:
            timeout_s: seconds without a byte after which it counts as failed; None: as for all requests.

        Raises:
            Failed, Refused: a repetition may help.
            SetupError, StepError: no repetition would help.
        """
        client = self._open()
        import httpx2
        import openai

        try:
            options: dict[str, Any] = {} if timeout_s is None else {"timeout": timeout_s}
            with client.chat.completions.with_streaming_response.create(**body, **options) as response:
                return replies.completion(replies.bounded(response.iter_bytes()))
        except replies.TooLarge:
            return Reply("", replies.OVERSIZED, None, None, None)
        except openai.APIStatusError as error:
            if error.status_code == 400 and "content_filter" in str(error.body):
                return Reply("", "content_filter", 0, 0, None)
            if error.status_code == 400 and "context" in _reason(error):
                return Reply("", TOO_LONG, 0, 0, None)
            raise self._explain(error) from None
        except _failures() as error:
            kind = TimedOut if isinstance(error, openai.APITimeoutError | httpx2.TimeoutException) else Failed
            raise kind(_reason(error)) from None

    # -- batches (:mod:`mdrbench.llm.batches`) ------------------------------------------------------------------------

    @contextmanager
    def _explained(self) -> Iterator[openai.OpenAI]:
        """Translate the errors of calls about files and batches as those of requests."""
        client = self._open()
        import openai

        try:
            yield client
        except openai.APIStatusError as error:
            raise self._explain(error) from None
        except _failures() as error:
            raise Failed(_reason(error)) from None

    def upload(self, lines: bytes) -> str:
        """Upload the questions of a batch; return the file's name there."""
        with self._explained() as client:
            return client.files.create(file=("questions.jsonl", lines), purpose="batch").id

    def make_batch(self, file: str, mark: str) -> str:
        """Make a batch of an uploaded file; return its name."""
        with self._explained() as client:
            made = client.batches.create(
                input_file_id=file,
                endpoint="/v1/chat/completions",
                completion_window="24h",
                metadata={"mdrbench": mark},
            )
            return made.id

    def batch(self, name: str) -> Batch | None:
        """Return a batch as it is now; None if there is none of this name."""
        import openai

        with self._explained() as client:
            try:
                return client.batches.retrieve(name)
            except openai.NotFoundError:
                return None

    def batch_of(self, mark: str) -> str | None:
        """Return the name of the batch with this mark, among the last :data:`LISTED_BATCHES`; None if there is none."""
        with self._explained() as client:
            listed = islice(client.batches.list(limit=100), LISTED_BATCHES)
            return next((one.id for one in listed if (one.metadata or {}).get("mdrbench") == mark), None)

    def outcomes(self, file: str, keys: set[str]) -> Iterator[tuple[str, Reply | MdrbenchError | str]]:
        """Yield what the lines of a batch's file say about questions: an answer, a refusal, or why there is none."""
        with self._explained() as client, client.files.with_streaming_response.content(file) as response:
            for line in response.iter_lines():
                try:
                    found = json.loads(line)
                    key = found["custom_id"]
                except (ValueError, KeyError, TypeError):
                    continue  # the question counts as not answered
                if key in keys:
                    yield key, self._outcome(found)

    def _outcome(self, line: dict[str, Any]) -> Reply | MdrbenchError | str:
        response = line.get("response") or {}
        status, body = response.get("status_code") or 400, response.get("body")
        if status == 200:
            try:
                return replies.completion(body)
            except replies.Garbled as error:
                return str(error)
        told = line.get("error") or (body.get("error") if isinstance(body, dict) else None) or {}
        code, said = str(told.get("code")), redact(" ".join(str(told.get("message")).split()))[:400]
        if code in UNDONE or status in (408, 409, 429) or status >= 500:
            return f"{code}: {said}"
        if status == 400 and ("content_filter" in code or "context" in said):
            return Reply("", "content_filter" if "content_filter" in code else TOO_LONG, 0, 0, None)
        return self._denied(status, said)

    def batch_refused(self, name: str, batch: Batch) -> MdrbenchError:
        """Return the error for a batch that the endpoint did not take."""
        found = (batch.errors and batch.errors.data) or []
        said = redact("; ".join(dict.fromkeys(str(one.message) for one in found)))[:400] or "no reason is given"
        if any(one.code == "token_limit_exceeded" for one in found):
            return StepError(
                f"{self.url} has no room for batch {name}: {said}", mend="run the command again when others have ended"
            )
        return SetupError(f"{self.url} refuses batch {name}: {said}", mend=_mend_of(said))

    def _explain(self, error: openai.APIError) -> Exception:
        import openai

        reason = _reason(error)
        if not isinstance(error, openai.APIStatusError):
            mend = self._around_the_proxy() if self._proxy() else "start the server, or set base_url or OPENAI_BASE_URL"
            return SetupError(f"no answer from {self.url}: {reason}", mend=mend)
        status, headers = error.status_code, error.response.headers
        if status in FROM_A_PROXY and self._proxy():
            return SetupError(f"no answer from {self.url}: {reason}", mend=self._around_the_proxy())
        if status == 429 and error.code == "insufficient_quota":
            return StepError(f"{self.url}: {reason}", mend="the account has run out; answers so far are kept")
        if status == 429:
            return Refused(reason, _retry_after(headers))
        if status in (408, 409) or status >= 500:
            return Failed(reason, _retry_after(headers))
        return self._denied(status, reason)

    def _denied(self, status: int, reason: str) -> MdrbenchError:
        key = f"the key in {self.key_env}" if self.key_env else "no key was sent: name its variable in api_key_env"
        mends = {
            401: f"check {key}" if self.key_env else key,
            403: f"check {key} and what it may use" if self.key_env else key,
            404: f"check base_url ({self.url}; it mostly ends in /v1) and the model's name, '{self.model}'",
            413: "lower passage_chars",
        }
        mend = mends.get(status) or _mend_of(reason)
        return SetupError(f"{self.url} refuses the request: {reason}", mend=mend)


def _mend_of(reason: str) -> str:
    """Choose the mend for a request that the endpoint refuses."""
    words = {
        "context": "lower passage_chars or max_tokens, or serve the model with a longer context",
        "max_completion_tokens": "set length_parameter: max_completion_tokens",
        "temperature": "set temperature to null, so that it is not sent",
        "top_p": "set top_p to null, so that it is not sent",
        "seed": "set seed to null, so that it is not sent",
        "response_format": "set response_format to text",
    }
    return next((mend for word, mend in words.items() if word in reason), "correct what the endpoint names")


def _failures() -> tuple[type[Exception], ...]:
    """List what a request may fail with: errors of the client, of a body, and of a stream that breaks off.

    openai wraps the errors of the HTTP library only until the body arrives.
    """
    import httpx2
    import openai

    return (openai.OpenAIError, ValueError, httpx2.HTTPError, httpx2.StreamError)


def _reason(error: Exception) -> str:
    """Put an error on one line: the status, and the endpoint's message."""
    status = getattr(error, "status_code", None)
    body = getattr(error, "body", None)
    said = body.get("message") or body.get("detail") if isinstance(body, dict) else None
    text = redact(" ".join(str(said or error.__cause__ or error).split()))[:400]  # a key cut in two would stay
    return f"HTTP {status}: {text}" if status else f"{type(error).__name__}: {text}"


def _retry_after(headers: Any) -> float | None:
    """Return the seconds to wait, from ``retry-after-ms`` or ``Retry-After`` (seconds or a date)."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers[name]) * unit)
        except (KeyError, ValueError):
            pass
    try:
        return max(0.0, parsedate_to_datetime(headers["retry-after"]).timestamp() - time.time())
    except (KeyError, ValueError):
        return None
