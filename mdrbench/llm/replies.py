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
    """One answer: its text (empty if there is none), why it ended, its tokens (None if not counted), who answered."""

    text: str
    finish: str | None
    input_tokens: int | None
    output_tokens: int | None
    served: str | None


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
    return Reply(redact(text), finish, asked, answered, served_name(_get(body, "model")))


def model_names(body: Any) -> list[str]:
    """Read the models that an endpoint lists."""
    models = _get(body, "data")
    names = (_get(model, "id") for model in models) if isinstance(models, list) else ()
    return [name for name in names if isinstance(name, str)]


def served_name(name: Any) -> str | None:
    """The model as the endpoint names it; of a path to a local file only the file's name."""
    named = _name(name)
    if named and (named.startswith(("/", "~", "./", "../")) or "\\" in named):
        return named.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return named


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
