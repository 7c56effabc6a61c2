"""Random single edits of stored files, as a slip of the hand or a hand that wants another number would make them."""

from __future__ import annotations

import copy
import gzip
import json
import random
from collections.abc import Iterator
from typing import Any

Place = tuple[Any, ...]


def places(value: Any, place: Place = ()) -> Iterator[Place]:
    """Yield the place of every value inside a JSON value, containers included."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield (*place, key)
        yield from places(child, (*place, key))


def differing(before: Any, after: Any, place: Place = ()) -> Iterator[Place]:
    """Yield the places in which two JSON values differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in before.keys() | after.keys():
            yield from differing(before.get(key), after.get(key), (*place, key))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for key, pair in enumerate(zip(before, after, strict=True)):
            yield from differing(*pair, (*place, key))
    elif before != after:
        yield place


def edited(data: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """Return a copy of a JSON object with one value changed, deleted, repeated or swapped with another one."""
    changed = copy.deepcopy(data)
    while changed == data:
        place = rng.choice([one for one in places(changed) if one != ("seal",)])
        container = changed
        for key in place[:-1]:
            container = container[key]
        _change(container, place[-1], rng)
    return changed


def _change(container: Any, key: Any, rng: random.Random) -> None:
    value = container[key]
    way = rng.choice(("value", "value", "value", "delete", "swap"))
    if way == "delete":
        del container[key]
    elif way == "swap":
        keys = list(container) if isinstance(container, dict) else list(range(len(container)))
        other = rng.choice(keys)
        container[key], container[other] = container[other], container[key]
    else:
        container[key] = _other(value, rng)


def _other(value: Any, rng: random.Random) -> Any:
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int):
        return value + rng.choice((-1, 1, 10))
    if isinstance(value, float):
        return value + rng.choice((-1, 1)) * 10 ** rng.uniform(-9, 0)
    if isinstance(value, str):
        at = rng.randrange(len(value) + 1)
        return value[:at] + rng.choice("abcxyz0123 -") + value[at + rng.randrange(2) :]
    return [] if isinstance(value, list) else {}


def with_another_number(data: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """Return a copy of a result in which one score, interval end or average is another number."""
    changed = copy.deepcopy(data)
    parts = [*changed["languages"].values(), *changed["averages"]]
    cell = rng.choice(list(rng.choice(parts)["scores"].values()))
    part = rng.choice(("value", "low", "high"))
    cell[part] += rng.choice((-1, 1)) * 10 ** rng.uniform(-8, -1)
    return changed


def edited_json(content: bytes, rng: random.Random) -> bytes:
    """Return the bytes of a JSON file after one edit; the layout stays."""
    return (json.dumps(edited(json.loads(content), rng), indent=1, ensure_ascii=False) + "\n").encode()


def edited_bytes(content: bytes, rng: random.Random) -> bytes:
    """Return bytes after one of them was changed, removed or added."""
    at = rng.randrange(len(content))
    way = rng.choice(("change", "remove", "add", "cut"))
    if way == "cut":
        return content[:at]
    if way == "change":
        return content[:at] + bytes([content[at] ^ (1 << rng.randrange(8))]) + content[at + 1 :]
    return content[:at] + (b"" if way == "remove" else bytes([rng.randrange(256)])) + content[at + (way == "remove") :]


def edited_gzip(content: bytes, rng: random.Random) -> bytes:
    """Return a gzip file after one edit of what it holds, or of its own bytes."""
    if rng.random() < 0.5:
        return edited_bytes(content, rng)
    return gzip.compress(edited_bytes(gzip.decompress(content), rng), mtime=0)
