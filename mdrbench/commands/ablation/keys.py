"""Parse ``--vary KEY=V1,V2`` into the key of the recipe and the values as they were typed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mdrbench.core.errors import UsageError, did_you_mean

OPENING, CLOSING, QUOTES = "[{(", "]})", "\"'"


def parse_vary(item: str, resolved: dict[str, Any]) -> tuple[str, list[str]]:
    """Return the whole key and the values.

    Args:
        resolved: the recipe with all defaults, as JSON; settings without a value are None.

    Raises:
        UsageError: the text is not KEY=V1,V2, or the recipe has no such key, or several keys that end so.
    """
    key, equals, text = item.partition("=")
    values = [value.strip() for value in split(text)]
    if not equals or not key or not all(values):
        mend = "write, for example, --vary negatives.size=10,20,30"
        raise UsageError(f"'{item}' is not KEY=V1,V2.", where="--vary", mend=mend)
    if len(set(values)) < len(values):
        raise UsageError(f"'{item}' names a value twice.", where="--vary", mend="name each value once")
    return whole_key(key, resolved), values


def whole_key(key: str, resolved: dict[str, Any]) -> str:
    """Return the whole key: the given one, or the only key of the recipe that ends in it.

    ``mining.keep`` is the number of negatives that a query keeps: ``k`` of the strategy, or else ``negatives.size``.
    """
    known = list(_keys(resolved))
    if key in ("mining.keep", "negatives.mining.keep") and resolved.get("negatives"):
        key = "negatives.mining.k" if "negatives.mining.k" in known else "negatives.size"
    if key in known:
        return key
    ending = [other for other in known if other.endswith(f".{key}")]
    if len(ending) == 1:
        return ending[0]
    if ending:
        mend = "write the whole key"
        raise UsageError(f"'{key}' may mean {' or '.join(ending)}.", where="--vary", mend=mend)
    tails = {other.split(".", 1)[-1]: other for other in known} | {other.rsplit(".", 1)[-1]: other for other in known}
    hint = did_you_mean(key, [*known, *tails]).partition("(known:")[0].strip()
    raise UsageError(
        f"The recipe has no key '{key}'.",
        where="--vary",
        mend=f"{hint + ' ' if hint else ''}`mdrbench show RECIPE` prints every key",
    )


def _keys(data: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in data.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _keys(value, f"{prefix}{key}.")


def split(text: str) -> Iterator[str]:
    """Yield the values between commas; commas in brackets or quotation marks do not count."""
    depth, quote, begin = 0, "", 0
    for at, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in QUOTES:
            quote = char
        elif char in OPENING + CLOSING:
            depth += 1 if char in OPENING else -1
        elif char == "," and not depth:
            yield text[begin:at]
            begin = at + 1
    yield text[begin:]
