"""Adapt how many requests are under way, and how long one may take, to what the endpoint can do."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

RECENT = 20
"""Answers that the rate is measured on, and answers without a failure after which one more request may go out."""

PATIENCE = 4.0
"""A request may take so many times the slowest recent answer."""

LONGEST = 8
"""The longest time-out, in units of the one that is set."""


class Pace:
    """Start with as many requests at once as allowed; halve after a time-out or a 429, and grow again slowly.

    Args:
        most: requests that may be under way at once.
        timeout_s: seconds that a request may take at first.
    """

    def __init__(self, most: int, timeout_s: float):
        self.most = most
        self.at_once = most
        self.lowest = most
        self._timeout_s = self._longest_s = timeout_s
        self._seconds: deque[float] = deque(maxlen=RECENT)
        self._successes = 0
        self._under_way = 0
        self._halved_at = float("-inf")
        self._changed = threading.Condition()

    @property
    def timeout_s(self) -> float:
        """Seconds that the next request may take."""
        with self._changed:
            slowest = max(self._seconds, default=0.0)
            return min(self._longest_s * LONGEST, max(self._timeout_s, PATIENCE * slowest))

    @contextmanager
    def slot(self, stopped: Callable[[], bool]) -> Iterator[None]:
        """Wait until another request may go out, or until ``stopped`` is true."""
        with self._changed:
            while self._under_way >= self.at_once and not stopped():
                self._changed.wait(0.5)
            self._under_way += 1
        try:
            yield
        finally:
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()

    def answered(self, seconds: float) -> None:
        """Count an answer and its time."""
        with self._changed:
            self._seconds.append(seconds)
            self._successes += 1
            if self._successes >= RECENT and self.at_once < self.most:
                self.at_once += 1
                self._successes = 0
                self._changed.notify_all()

    def overloaded(self, *, timed_out: bool) -> None:
        """Halve the requests at once, once for all that were under way together; if it is one, wait longer."""
        with self._changed:
            now = time.monotonic()
            self._successes = 0
            if timed_out and self.at_once == 1:
                self._timeout_s = min(2 * self._timeout_s, self._longest_s * LONGEST)
            if now - self._halved_at < 1.0:
                return
            self._halved_at = now
            self.at_once = max(1, self.at_once // 2)
            self.lowest = min(self.lowest, self.at_once)
