"""Read what an endpoint sent: bounded in size, checked, and free of secrets."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from mdrbench.core.secrets import redact

LARGEST_BODY = 4_000_000
"""Bytes of an answer's body that are read at most, after decompression."""

LONGEST_TEXT = 100_000
"""Characters of an answer that are kept. A verdict has 40, a summary some 600, long reasoning 60,000."""

LONGEST_NAME = 200
MOST_TOKENS = 10**9

OVERSIZED, MALFORMED = "oversized", "malformed"
"""Reasons why an answer is empty that no endpoint gives: too long, or not valid Unicode."""


class Reply(NamedTuple):
    """One answer: its text (empty if there is none), why it ended, its tokens (None if not counted), who answered.

    ``logprobs`` are those of the first token that is not white space: token -> log probability, as the endpoint lists
    them; None if it gave none.
    """

    text: str
    finish: str | None
    input_tokens: int | None
    output_tokens: int | None
    served: str | None
    fingerprint: str | None = None
    logprobs: dict[str, float] | None = None


class Garbled(ValueError):
    """A body that is not a chat completion."""


class TooLarge(ValueError):
    """A body of more than :data:`LARGEST_BODY` bytes."""


def bounded(chunks: Iterable[bytes]) -> Any:
    """Parse a JSON body that arrives in chunks.

    Raises:
        TooLarge: it has more than :data:`LARGEST_BODY` bytes; nothing more is read.
        Garbled: it is not JSON.
    """
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > LARGEST_BODY:
            raise TooLarge(f"the body has more than {LARGEST_BODY:,} bytes")
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        start = bytes(body[:LONGEST_NAME]).decode("utf-8", "replace")
        raise Garbled(f"the answer is not JSON: {redact(start)!r}") from None


def completion(body: Any) -> Reply:
    """Read the first choice of a chat completion. An oversized or malformed text counts as empty.

    Raises:
        Garbled: the body is not a completion.
    """
    choice = _first(_get(body, "choices"))
    message = _get(choice, "message")
    if not isinstance(message, dict):
        raise Garbled(f"the answer is not a completion: {redact(json.dumps(body)[:LONGEST_NAME])}")
    text, finish = _text(message.get("content")), _name(_get(choice, "finish_reason"))
    if len(text) > LONGEST_TEXT:
        text, finish = "", OVERSIZED
    elif not _is_unicode(text):
        text, finish = "", MALFORMED
    usage = _get(body, "usage")
    asked, answered = _tokens(_get(usage, "prompt_tokens")), _tokens(_get(usage, "completion_tokens"))
    served, fingerprint = served_name(_get(body, "model")), _name(_get(body, "system_fingerprint"))
    return Reply(redact(text), finish, asked, answered, served, fingerprint, _first_logprobs(choice))


def _first_logprobs(choice: Any) -> dict[str, float] | None:
    content = _get(_get(choice, "logprobs"), "content")
    for token in content if isinstance(content, list) else ():
        if not str(_get(token, "token") or "").strip():
            continue
        listed = _get(token, "top_logprobs")
        pairs = [(_get(one, "token"), _get(one, "logprob")) for one in (listed if isinstance(listed, list) else ())]
        found = {
            token: float(value) for token, value in pairs if isinstance(token, str) and isinstance(value, int | float)
        }
        return found or None
    return None


class Listed(NamedTuple):
    """A model as an endpoint lists it.

    Attributes:
        id: its name there, which may be the path of a local file.
        facts: what the list says of it that stays the same, such as parameters and bytes; never times.
        context: tokens that a prompt and its answer may have together, as far as the list says.
        owner: ``owned_by``, by which servers of one's own name their software (``llamacpp``, ``vllm``).
    """

    id: str
    facts: dict[str, Any]
    owner: str | None
    context: int | None = None


STABLE = ("root", "parent", "quantization")
STABLE_META = ("n_params", "size", "n_vocab", "n_embd", "n_ctx_train", "ftype")
"""Facts of a listed model that identify it: of the entry, and of llama.cpp's ``meta`` in it."""


def listed_models(body: Any) -> list[Listed]:
    """Read the models that an endpoint lists."""
    models = _get(body, "data")
    found = []
    for model in models if isinstance(models, list) else ():
        name = _get(model, "id")
        if isinstance(name, str):
            entry = {key: _get(model, key) for key in STABLE} | {
                key: _get(_get(model, "meta"), key) for key in STABLE_META
            }
            facts = {key: served_name(value) if isinstance(value, str) else value for key, value in entry.items()}
            kept = {
                key: value for key, value in facts.items() if isinstance(value, str | int | float) and value != name
            }
            meta = _get(model, "meta")
            lengths = (_get(model, "max_model_len"), _get(meta, "n_ctx"), _get(meta, "n_ctx_train"))
            context = next((_tokens(length) for length in lengths if _tokens(length)), None)
            found.append(Listed(name, kept, _name(_get(model, "owned_by")), context))
    return found


def model_names(body: Any) -> list[str]:
    """Read the names of the models that an endpoint lists."""
    return [model.id for model in listed_models(body)]


def served_name(name: Any) -> str | None:
    """The model as the endpoint names it; of a path to a local file only the file's name."""
    named = _name(name)
    return named.replace("\\", "/").rstrip("/").rpartition("/")[2] if named and is_path(named) else named


def is_path(name: str) -> bool:
    """Whether a model's name is the path of a local file or folder."""
    return name.startswith(("/", "~", "./", "../")) or "\\" in name


def _text(content: Any) -> str:
    """A message's content: a string, or a list of parts of which those with text count."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = (part if isinstance(part, str) else _get(part, "text") for part in parts)
    return "".join(text for text in texts if isinstance(text, str))


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


def _name(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    return redact(value.encode("utf-8", "replace").decode()[:LONGEST_NAME])


def _tokens(value: Any) -> int | None:
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS
    return int(value) if is_count else None


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else None


def _get(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None
