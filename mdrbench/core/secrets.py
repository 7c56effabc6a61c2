"""Keep keys and passwords out of errors, results, stores and logs: the one function that redacts."""

from __future__ import annotations

import os
import re
from ipaddress import ip_address
from typing import TypeVar
from urllib.parse import quote

HIDDEN = "***"

SHORTEST = 8
"""A shorter value is no key; it would be redacted inside ordinary words."""

_NAMES = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD)$", re.IGNORECASE)
"""How the names of environment variables that hold a secret end."""

_FIELDS = re.compile(r"(api[-_]?key|secret|password|authorization)$", re.IGNORECASE)
"""How the keys of settings that hold a secret end."""

_USER = re.compile(r"(?<=://)[^/?#\s'\"]+@")
_HOST = re.compile(r"(?<=://)(?P<host>\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+)(:\d+)?")
_HEADER = re.compile(r"\b(Bearer|Basic) +[A-Za-z0-9._~+/=-]{8,}")

_QUERY = re.compile(r"([?&][\w-]*(?:key|token|secret|password|signature)=)[^&\s'\"]+", re.IGNORECASE)
_NAMED = re.compile(
    r"\b((?:x-)?api[-_]?key|(?:access|auth)[-_]token|secret|password)(['\"]?\s*[=:]\s*['\"]?)[^\s'\"&,;{}]{8,}",
    re.IGNORECASE,
)

_remembered: set[str] = set()

Value = TypeVar("Value")


def remember(secret: str) -> None:
    """Redact this value from now on, whatever the name of the variable that holds it."""
    if len(secret) >= SHORTEST:
        _remembered.add(secret)


def redact(text: str) -> str:
    """Replace keys and passwords in a text by ``***``.

    These are: user, password and keys of a URL, bearer and basic tokens, headers and fields such as ``api-key``, values
    given to :func:`remember`, and the values of environment variables whose names end in KEY, TOKEN, SECRET or
    PASSWORD.

    >>> redact("http://me:pass@host/v1")
    'http://***@host/v1'
    """
    for secret in _secrets():
        for form in (secret, quote(secret, safe="")):
            text = text.replace(form, HIDDEN)
    text = _HEADER.sub(rf"\1 {HIDDEN}", text)
    text = _NAMED.sub(rf"\1\2{HIDDEN}", _QUERY.sub(rf"\1{HIDDEN}", text))
    return _USER.sub(f"{HIDDEN}@", text)


def redacted(value: Value) -> Value:
    """Redact every string inside nested dictionaries, lists and tuples, and every value under a key such as api_key."""
    if isinstance(value, str):
        return redact(value)  # type: ignore[return-value]
    if isinstance(value, dict):
        pairs = ((key, HIDDEN if _is_secret(key, item) else redacted(item)) for key, item in value.items())
        return dict(pairs)  # type: ignore[return-value]
    if isinstance(value, list | tuple):
        return type(value)(map(redacted, value))
    return value


def published(value: Value) -> Value:
    """Redact as :func:`redacted` does, and hide addresses in private networks, which say something of a network.

    >>> published("http://10.1.2.3:8000/v1"), published("http://localhost:8000/v1")
    ('http://private/v1', 'http://localhost:8000/v1')
    """
    if isinstance(value, dict):
        return {key: published(item) for key, item in redacted(value).items()}  # type: ignore[return-value]
    if isinstance(value, list | tuple):
        return type(value)(map(published, redacted(value)))
    return _HOST.sub(_without_private, redact(value)) if isinstance(value, str) else value  # type: ignore[return-value]


def _without_private(found: re.Match[str]) -> str:
    host = found["host"].strip("[]")
    return "private" if is_local(host) and not is_this_machine(host) else found[0]


def is_local(host: str) -> bool:
    """Tell whether a host is this machine or in a private network."""
    try:
        return ip_address(host).is_private
    except ValueError:
        return host == "localhost" or host.endswith((".localhost", ".local", ".internal")) or "." not in host


def is_this_machine(host: str) -> bool:
    """Tell whether a host is a name or address by which only this machine reaches itself."""
    try:
        return ip_address(host).is_loopback or ip_address(host).is_unspecified
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _is_secret(key: object, value: object) -> bool:
    return isinstance(key, str) and isinstance(value, str) and bool(_FIELDS.search(key))


def _secrets() -> list[str]:
    """The known secrets, longest first, so that none is left in part."""
    named = {value.strip() for name, value in os.environ.items() if _NAMES.search(name)}
    return sorted((secret for secret in named | _remembered if len(secret) >= SHORTEST), key=len, reverse=True)
