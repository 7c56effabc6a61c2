"""Stop asking when hardly any answer is readable."""

from __future__ import annotations

from collections import deque

FIRST = 20
"""Asking stops if so many items in a row have no readable answer."""

RECENT, MOST_UNREADABLE = 100, 95
"""Asking stops if of so many recent items at least so many have no readable answer."""


class Readable:
    """Watch the share of readable answers while they come in."""

    def __init__(self) -> None:
        self._recent: deque[bool] = deque(maxlen=RECENT)

    def hopeless(self, readable: bool) -> str | None:
        """Count one item. Return a sentence if asking on is hopeless, else None."""
        self._recent.append(readable)
        last = list(self._recent)[-FIRST:]
        if len(last) == FIRST and not any(last):
            return f"none of the last {FIRST} items has a readable answer"
        unreadable = self._recent.count(False)
        if len(self._recent) == RECENT and unreadable >= MOST_UNREADABLE:
            return f"{unreadable} of the last {RECENT} items have no readable answer"
        return None
